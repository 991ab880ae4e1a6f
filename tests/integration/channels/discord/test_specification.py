"""The project's own Discord answers and tells as Discord's interface description says."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tests.support.platforms.discord import DiscordServer, payload
from tests.support.platforms.discord.listening import Core, make_channel, running
from tests.support.platforms.discord.rest import Routes
from tests.support.platforms.discord.shapes import (
    SHAPES,
    departures,
    error_departures,
)
from tests.support.platforms.discord.values import BOT, GUILD, PAYLOADS, Limit

API = "/api/v10"
COMMAND = {"name": "help", "description": "see what I can do"}

ANSWERS: dict[tuple[str, str], tuple[str | None, Any]] = {
    ("GET", "/users/@me"): ("own user", None),
    ("GET", "/users/@me/guilds"): ("my guild", None),
    ("GET", "/applications/@me"): ("application", None),
    ("GET", "/oauth2/applications/@me"): ("application", None),
    ("PATCH", "/applications/@me"): ("application", {"description": "new"}),
    ("GET", "/gateway/bot"): ("gateway", None),
    ("GET", "/applications/{application}/commands"): ("command", None),
    ("PUT", "/applications/{application}/commands"): ("command", [COMMAND]),
    ("GET", "/guilds/{guild}"): ("guild", None),
    ("GET", "/guilds/{guild}/members/{user}"): ("member", None),
    ("GET", "/channels/{channel}"): ("channel", None),
    ("GET", "/channels/{channel}/messages"): ("message", None),
    ("GET", "/channels/{channel}/messages/{message}"): ("message", None),
    ("POST", "/channels/{channel}/messages"): (
        "message",
        {
            "content": "hi",
            "nonce": "n",
            "allowed_mentions": {"parse": []},
            "message_reference": {"message_id": "5"},
        },
    ),
    ("PATCH", "/channels/{channel}/messages/{message}"): (
        "message",
        {"content": "ho"},
    ),
    ("DELETE", "/channels/{channel}/messages/{message}"): (None, None),
    ("POST", "/channels/{channel}/typing"): (None, None),
    ("POST", "/interactions/{id}/{token}/callback"): (None, {"type": 5}),
    ("PATCH", "/webhooks/{application}/{token}/messages/@original"): (
        "message",
        {"content": "hi"},
    ),
}
"""Each route: the object that it answers with, None for no content; and the body of the call."""

EVENTS: dict[str, tuple[str | None, str]] = {
    "READY": (None, ""),
    "RESUMED": (None, ""),
    "GUILD_CREATE": (
        "guild",
        "joined_at large unavailable member_count voice_states members channels threads "
        "presences stage_instances guild_scheduled_events soundboard_sounds",
    ),
    "CHANNEL_CREATE": ("channel", ""),
    "THREAD_CREATE": ("thread", "newly_created"),
    "THREAD_MEMBERS_UPDATE": (None, ""),
    "MESSAGE_CREATE": ("message", "guild_id member channel_type"),
    "MESSAGE_UPDATE": ("message", "guild_id member channel_type"),
    "MESSAGE_DELETE": (None, ""),
    "MESSAGE_REACTION_ADD": (None, ""),
    "MESSAGE_REACTION_REMOVE": (None, ""),
    "INTERACTION_CREATE": (None, ""),
}
"""Each event: the object in it, and what the event has besides. The interface description
has no events; those without an object are held by `NEEDED`.
"""

NEEDED = {
    "READY": "v user guilds session_id resume_gateway_url application",
    "RESUMED": "",
    "THREAD_MEMBERS_UPDATE": "id guild_id member_count",
    "MESSAGE_DELETE": "id channel_id",
    "MESSAGE_REACTION_ADD": "user_id channel_id message_id emoji burst type",
    "MESSAGE_REACTION_REMOVE": "user_id channel_id message_id emoji burst type",
    "INTERACTION_CREATE": "id application_id type token version entitlements "
    "authorizing_integration_owners attachment_size_limit",
}
"""https://docs.discord.com/developers/events/gateway-events"""


@pytest.fixture
async def server() -> AsyncIterator[DiscordServer]:
    async with DiscordServer() as server:
        yield server


async def call(
    server: DiscordServer, method: str, path: str, body: object = None
) -> tuple[int, Any]:
    headers = {"Authorization": f"Bot {server.token}"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.request(method, server.api_url + path, json=body) as response,
    ):
        return (
            response.status,
            await response.json() if response.status != 204 else None,
        )


def prepared(server: DiscordServer) -> dict[str, str]:
    """Something to ask for: what stands for the names in the routes' paths."""
    state = server.state
    town = state.add_channel("town")
    state.say(town, "hello", user="ada", attachments=[payload("attachment")])
    mine = state.post(town, {"content": "mine", "allowed_mentions": {"parse": []}})
    state.commands = [payload("command")]
    token = server.use_command(town, "help")
    state.respond(token, {"type": 5})
    fresh = state.use_command(town, "help", "", user="ada")

    return {
        "application": BOT,
        "guild": GUILD,
        "user": BOT,
        "channel": town,
        "message": mine["id"],
        "id": fresh["id"],
        "token": token,
        "fresh": fresh["token"],
    }


def test_every_route_is_held_against_the_description() -> None:
    routes = Routes(DiscordServer()).application().router.routes()
    served = {
        (route.method, route.resource.canonical.removeprefix(API))
        for route in routes
        if route.resource is not None and route.method != "HEAD"
    }

    assert set(ANSWERS) | {("GET", "/gateway")} == served


@pytest.mark.parametrize(("method", "path"), ANSWERS)
async def test_each_route_answers_with_its_object(
    server: DiscordServer, method: str, path: str
) -> None:
    names = prepared(server)
    shape, body = ANSWERS[method, path]
    if path.endswith("/callback"):
        path = path.replace("{token}", "{fresh}")

    status, answer = await call(server, method, path.format(**names), body)

    assert status == (200 if shape else 204)
    assert [] == list(departures(shape, answer) if shape else [])
    assert shape is None or answer


@pytest.mark.parametrize("kind", ["channel", "direct channel", "thread"])
async def test_each_kind_of_channel_is_told_as_it_is(
    server: DiscordServer, kind: str
) -> None:
    town = server.state.add_channel("town")
    chat = {
        "channel": town,
        "direct channel": server.state.add_direct("ada"),
        "thread": server.state.add_thread(town, "plans"),
    }[kind]
    _, answer = await call(server, "GET", f"/channels/{chat}")

    assert [] == list(departures(kind, answer))


REFUSED: dict[str, tuple[str, str, Any, int]] = {
    "too long": (
        "POST",
        "/channels/{channel}/messages",
        {"content": "x" * 2001},
        400,
    ),
    "too long a nonce": (
        "POST",
        "/channels/{channel}/messages",
        {"content": "x", "nonce": "x" * 26},
        400,
    ),
    "empty": ("POST", "/channels/{channel}/messages", {"content": " "}, 400),
    "no such channel": ("POST", "/channels/5/messages", {"content": "x"}, 404),
    "no such message": (
        "PATCH",
        "/channels/{channel}/messages/5",
        {"content": "x"},
        404,
    ),
    "too much history": ("GET", "/channels/{channel}/messages?limit=101", None, 400),
    "a command without words": (
        "PUT",
        "/applications/1/commands",
        [{"name": "x", "description": ""}],
        400,
    ),
    "an address that is not reached": (
        "PATCH",
        "/applications/@me",
        {"interactions_endpoint_url": "https://x"},
        400,
    ),
    "flags that may not be set": ("PATCH", "/applications/@me", {"flags": 0}, 400),
    "no such interaction": ("POST", "/interactions/5/x/callback", {"type": 5}, 404),
    "no such token": (
        "PATCH",
        "/webhooks/1/x/messages/@original",
        {"content": "x"},
        401,
    ),
    "no such route": ("GET", "/nothing", None, 404),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_refusal_says_what_is_wrong_with_which_field(
    server: DiscordServer, name: str
) -> None:
    method, path, body, status = REFUSED[name]
    names = prepared(server)
    server.endpoint_reachable = server.may_set_flags = False
    refused, answer = await call(server, method, path.format(**names), body)

    assert status == refused
    assert [] == list(error_departures(answer))


async def test_a_limit_is_told_as_one(server: DiscordServer) -> None:
    town = server.state.add_channel("town")
    server.faults.limits[town] = Limit(1.5, 1)
    status, answer = await call(
        server, "POST", f"/channels/{town}/messages", {"content": "x"}
    )

    assert 429 == status
    assert [] == list(departures("rate limit", answer))


async def test_each_event_tells_its_object(server: DiscordServer) -> None:
    state, core = server.state, Core(server)
    async with running(make_channel(server), core):
        town = state.add_channel("town")
        thread = state.add_thread(town, "plans")
        for chat in (town, thread, state.add_direct("ada")):
            said = state.say(chat, f"<@{BOT}> hello", user="ada")
            state.edit(said["id"], f"<@{BOT}> hi")
            state.post(chat, {"content": "hi", "allowed_mentions": {"parse": []}})
            state.react(said["id"], "👍", user="ada")
            state.react(said["id"], "👍", user="ada", taken=True)
            server.use_command(chat, "help")
            state.delete(said["id"])

        await server.until(lambda: len(core.accepted) >= 15)
        await server.gateway.drop(resumable=True)
        await server.until(lambda: server.gateway.resumed == 1)
        (session,) = server.gateway.sessions.values()

    assert set(EVENTS) == {event["t"] for event in session.events}
    assert [] == [
        f"{event['t']}{found}"
        for event in session.events
        for found in event_departures(event["t"], event["d"])
    ]


def event_departures(kind: str, data: dict[str, Any]) -> list[str]:
    shape, besides = EVENTS[kind]
    if shape is None:
        return [
            f".{key} is missing" for key in NEEDED[kind].split() if key not in data
        ]

    inside = {key: value for key, value in data.items() if key not in besides.split()}
    member = data.get("member")

    return [
        *departures(shape, inside),
        *(departures("membership", member, ".member") if member else ()),
    ]


RECORDED = {
    "application": "application",
    "attachment": "attachment",
    "channel_direct": "direct channel",
    "channel_text": "channel",
    "command": "command",
    "error": "error",
    "gateway_bot": "gateway",
    "guild": "guild",
    "member": "member",
    "message": "message",
    "message_forward": "message",
    "message_sticker": "message",
    "my_guild": "my guild",
    "rate_limited": "rate limit",
    "role": "role",
    "thread": "thread",
    "user": "user",
}
EVENTS_RECORDED = {
    "guild_create",
    "heartbeat_ack",
    "hello",
    "interaction",
    "interaction_direct",
    "interaction_ping",
    "invalid_session",
    "message_reaction_add",
    "message_reaction_remove",
    "ready",
    "thread_members_update",
}
"""Payloads of the gateway, which the description does not have."""


def test_every_recorded_payload_is_held_against_the_description() -> None:
    recorded = {path.stem for path in PAYLOADS.glob("*.json")}

    assert recorded == set(RECORDED) | EVENTS_RECORDED
    assert [] == [
        f"{name}{found}"
        for name, shape in RECORDED.items()
        for found in departures(shape, payload(name))
    ]


@pytest.mark.parametrize("name", SHAPES)
def test_a_field_too_little_or_too_much_is_found(name: str) -> None:
    required = SHAPES[name].required.split()
    whole = dict.fromkeys(required)

    assert [] == list(departures(name, whole))
    assert [".new is unknown"] == list(departures(name, {**whole, "new": 1}))
    for missing in required:
        less = {key: value for key, value in whole.items() if key != missing}
        assert [f".{missing} is missing"] == list(departures(name, less))
