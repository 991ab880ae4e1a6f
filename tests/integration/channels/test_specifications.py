"""The platforms' servers of the tests answer as the platforms' documentation says."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.support.platforms import specification
from tests.support.platforms.slack import AGENT, BOT_TOKEN, SlackServer
from tests.support.platforms.slack.agent import channel_of, connected, direct_chat
from tests.support.platforms.specification import (
    SLACK_ANSWERS,
    SLACK_DELIVERY,
    SLACK_EVENTS,
    SLACK_REFUSAL,
    TELEGRAM_REFUSAL,
    TELEGRAM_RESULTS,
    departures,
)
from tests.support.platforms.telegram import TelegramServer

PAYLOADS = Path(__file__).parents[2] / "support" / "payloads"


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def named(name: str, found: Any, shape: Any) -> list[str]:
    return [f"{name} {line}" for line in departures(found, shape)]


async def test_telegrams_methods_answer_as_documented(
    http: aiohttp.ClientSession,
) -> None:
    async with TelegramServer() as server:
        ada, town = server.private("ada"), server.group("town")

        async def call(method: str, **fields: Any) -> Any:
            url = f"{server.url}/bot{server.token}/{method}"
            async with http.post(url, json=fields) as answer:
                body = await answer.json()

            assert body["ok"] is True, (method, body)

            return body["result"]

        server.say(ada, "hello")
        server.edit(server.say(town, "hello", mention=True), "hello!")
        server.react(ada, 1, "👍")
        sent = await call("sendMessage", chat_id=ada.id, text="hi")
        keys = {"inline_keyboard": [[{"text": "Retry", "callback_data": "retry:1"}]]}
        kept = await call("sendMessage", chat_id=ada.id, text="k", reply_markup=keys)
        press = server.press(ada, kept["message_id"], "Retry")
        kinds = ["message", "edited_message", "message_reaction", "callback_query"]
        commands = [{"command": "new", "description": "Begins again."}]
        calls: dict[str, dict[str, Any]] = {
            "getMe": {},
            "getUpdates": {"timeout": 0, "allowed_updates": kinds},
            "sendMessage": {"chat_id": town.id, "text": "hi"},
            "editMessageText": {
                "chat_id": ada.id,
                "message_id": sent["message_id"],
                "text": "hi!",
            },
            "sendDocument": {"chat_id": ada.id, "document": "12345"},
            "sendMessageDraft": {"chat_id": ada.id, "draft_id": 1, "text": "h"},
            "sendChatAction": {"chat_id": ada.id, "action": "typing"},
            "deleteMessage": {"chat_id": ada.id, "message_id": sent["message_id"]},
            "setMyCommands": {"commands": commands},
            "getMyCommands": {},
            "getChat": {"chat_id": town.id},
            "getChatMember": {"chat_id": town.id, "user_id": server.methods.me["id"]},
            "answerCallbackQuery": {"callback_query_id": press, "text": "Noted."},
            "getWebhookInfo": {},
            "deleteWebhook": {},
            "setWebhook": {"url": "http://127.0.0.1:9/x"},
        }
        found: list[str] = []
        for method, fields in calls.items():
            result = await call(method, **fields)
            found += named(method, result, TELEGRAM_RESULTS[method])

    assert [] == found
    assert set(TELEGRAM_RESULTS) == set(calls) == set(server.methods.table)


async def test_telegrams_refusals_are_as_documented(
    http: aiohttp.ClientSession,
) -> None:
    async with TelegramServer() as server:
        ada = server.private("ada")
        server.limit(ada, retry_after=1)
        requests: tuple[tuple[str, dict[str, Any]], ...] = (
            ("sendMessage", {"chat_id": ada.id, "text": "hi"}),
            ("sendMessage", {"chat_id": 7, "text": "hi"}),
            ("nothing", {}),
        )
        for method, fields in requests:
            url = f"{server.url}/bot{server.token}/{method}"
            async with http.post(url, json=fields) as answer:
                body = await answer.json()

            assert [] == named(method, body, TELEGRAM_REFUSAL)
            assert body["error_code"] == answer.status


@pytest.mark.parametrize("path", sorted((PAYLOADS / "telegram").glob("*.json")))
def test_telegrams_payloads_are_as_documented(path: Path) -> None:
    update = json.loads(path.read_text(encoding="utf-8"))

    assert [] == list(departures(update, specification.UPDATE))


async def test_slacks_methods_answer_as_documented(
    http: aiohttp.ClientSession,
) -> None:
    async with SlackServer().running() as server:
        chat, ada = direct_chat(server)
        room, [bob] = channel_of(server, "bob")
        root = server.space.add(room, bob, f"<@{AGENT}> hello")
        server.space.add(room, bob, "in the thread", root.ts)

        async def call(method: str, **arguments: Any) -> Any:
            headers = {"Authorization": f"Bearer {BOT_TOKEN}"}
            url = f"{server.api_url}{method}"
            async with http.post(url, json=arguments, headers=headers) as answer:
                return await answer.json()

        said = await call("chat.postMessage", channel=chat, text="hi")
        calls: dict[str, dict[str, Any]] = {
            "auth.test": {},
            "chat.postMessage": {"channel": room, "text": "hi"},
            "chat.update": {"channel": chat, "ts": said["ts"], "text": "hi!"},
            "chat.delete": {"channel": chat, "ts": said["ts"]},
            "chat.postEphemeral": {"channel": room, "user": bob, "text": "psst"},
            "chat.startStream": {
                "channel": room,
                "thread_ts": root.ts,
                "recipient_user_id": bob,
                "recipient_team_id": "T0TEAM000",
            },
            "files.getUploadURLExternal": {"filename": "a.zip", "length": 5},
            "files.completeUploadExternal": {
                "files": [{"id": "F00000000", "title": "a.zip"}],
                "channel_id": chat,
            },
            "conversations.history": {"channel": room},
            "conversations.replies": {"channel": room, "ts": root.ts},
            "conversations.info": {"channel": room},
            "users.conversations": {"types": "im,public_channel"},
            "users.info": {"user": ada},
        }
        found: list[str] = []
        for method, arguments in calls.items():
            answer = await call(method, **arguments)
            assert answer["ok"] is True, (method, answer)
            found += named(method, answer, SLACK_ANSWERS[method])

        refusal = await call("conversations.info", channel="C0NOWHERE")

    assert [] == found
    assert [] == named("refusal", refusal, SLACK_REFUSAL)
    assert set(SLACK_ANSWERS) == set(calls)


async def test_slacks_deliveries_are_as_documented() -> None:
    async with SlackServer().running() as server:
        chat, ada = direct_chat(server)
        room, [bob] = channel_of(server, "bob")
        async with connected(server):
            ts = await server.say(chat, ada, "hello")
            await server.edit(chat, ts, "hello!")
            await server.say(room, bob, f"<@{AGENT}> hello")
            await server.react(chat, ts, "+1", user=ada)
            await server.remove(chat, ts)

        bodies = [delivery.body for delivery in server.deliveries]

    found: list[str] = []
    for body in bodies:
        kind = body["event"]["type"]
        found += named(kind, body, SLACK_DELIVERY)
        found += named(kind, body["event"], SLACK_EVENTS.get(kind, {}))

    assert [] == found
    assert {"message", "app_mention", "reaction_added"} <= {
        body["event"]["type"] for body in bodies
    }


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ({"message_id": "1", "date": 0, "chat": {"id": 1, "type": "private"}}, "str"),
        ({"message_id": 1, "date": True, "chat": {"id": 1, "type": "x"}}, "bool"),
        ({"message_id": 1, "date": 0, "chat": {"id": 1}}, "chat.type: missing"),
        ([], "no object"),
    ],
)
def test_a_departure_is_seen(value: Any, line: str) -> None:
    [found] = departures(value, specification.MESSAGE)

    assert line in found
