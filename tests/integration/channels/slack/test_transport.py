"""The two ways events come in: Socket Mode and signed webhooks."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator

import pytest

from agent.core.errors import ConfigurationError
from channels.slack.channel import Slack
from tests.support.inbound import text_of
from tests.support.platforms.slack import (
    APP_TOKEN,
    BOT_TOKEN,
    SIGNING_SECRET,
    Fault,
    SlackServer,
)
from tests.support.platforms.slack.agent import Inbox, connected, hooked, slack
from tests.support.platforms.slack.delivery import Delivery, signed
from tests.support.platforms.slack.state import payload

MUTATIONS = 10_000


@pytest.fixture
async def server() -> AsyncIterator[SlackServer]:
    async with SlackServer(frozen=True, redeliver_after=0.1).running() as server:
        yield server


def _ada(server: SlackServer) -> tuple[str, str]:
    ada = server.space.person("ada")
    return server.space.chat("D0ADA", "im", ada), ada


# --- Socket Mode --------------------------------------------------------------


async def test_connections_overlap_when_slack_replaces_one(
    server: SlackServer,
) -> None:
    """The next is open before the last is closed, and both are heard."""
    chat, ada = _ada(server)
    async with connected(server) as (_, inbox):
        await server.say(chat, ada, "one")
        await server.sockets.refresh()
        await server.sockets.until(lambda: server.sockets.connections == 2)
        await server.say(chat, ada, "two")
        await server.sockets.close_oldest()
        await server.say(chat, ada, "three")
        await inbox.next(3)
        await server.sockets.until(lambda: server.unacknowledged() == 0)

    assert [text_of(inbound) for inbound in inbox.taken] == ["one", "two", "three"]
    assert (server.sockets.most_at_once, server.sockets.opened) == (2, 2)


async def test_a_dropped_connection_is_opened_again(server: SlackServer) -> None:
    """What was said meanwhile is delivered on the next connection."""
    chat, ada = _ada(server)
    async with connected(server) as (_, inbox):
        await server.sockets.drop()
        await server.say(chat, ada, "still there?")
        [inbound] = await inbox.next()

    assert text_of(inbound) == "still there?"


async def test_trouble_at_sign_in_is_waited_out(server: SlackServer) -> None:
    """Failures that pass do not end the channel; pauses grow, and Retry-After is kept."""
    chat, ada = _ada(server)
    server.space.faults += [
        Fault("internal_error", method="auth.test", times=2),
        Fault("ratelimited", method="apps.connections.open", retry_after=7),
    ]
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    async with connected(server, sleep=sleep) as (_, inbox):
        await server.say(chat, ada, "hello")
        await inbox.next()

    assert pauses[:3] == [1.0, 2.0, 7.0]


@pytest.mark.parametrize(
    ("token", "error", "named"),
    [
        (BOT_TOKEN, "invalid_auth", "SLACK_BOT_TOKEN"),
        (BOT_TOKEN, "token_revoked", "SLACK_BOT_TOKEN"),
        (BOT_TOKEN, "account_inactive", "SLACK_BOT_TOKEN"),
        (APP_TOKEN, "invalid_auth", "SLACK_APP_TOKEN"),
        (APP_TOKEN, "not_allowed_token_type", "SLACK_APP_TOKEN"),
    ],
)
async def test_a_refused_token_is_named(
    server: SlackServer,
    token: str,
    error: str,
    named: str,
) -> None:
    """One sentence names the setting, the cause and the page, and not the token."""
    server.space.refused_tokens[token] = error
    with pytest.raises(ConfigurationError) as raised:
        await slack(server).run(Inbox())

    assert raised.value.sentence == (
        f"Slack does not accept {named} ({error}): copy it again from https://api.slack.com/apps."
    )


async def test_a_missing_scope_is_named(server: SlackServer) -> None:
    """Without the scopes that matter the channel does not pretend to run."""
    server.space.scopes -= {"chat:write"}
    with pytest.raises(ConfigurationError) as raised:
        await slack(server).run(Inbox())

    assert raised.value.sentence == (
        "The Slack app lacks chat:write: add them at https://api.slack.com/apps, "
        "OAuth & Permissions, "
        "and reinstall the app."
    )


async def test_an_app_token_without_its_scope_is_named(server: SlackServer) -> None:
    """connections:write belongs to the app-level token."""
    more = {"needed": "connections:write", "provided": "authorizations:read"}
    server.space.faults.append(
        Fault("missing_scope", method="apps.connections.open", more=more)
    )
    with pytest.raises(ConfigurationError, match="lacks the scope connections:write"):
        await slack(server).run(Inbox())


async def test_switching_socket_mode_off_ends_the_channel_with_a_sentence(
    server: SlackServer,
) -> None:
    """Slack says link_disabled; no message would arrive any longer."""
    task = asyncio.create_task(slack(server).run(Inbox()))
    await server.sockets.until(lambda: server.sockets.connections > 0)
    await server.sockets.drop(reason="link_disabled")
    with pytest.raises(ConfigurationError, match="Socket Mode was switched off"):
        await task


async def test_a_token_revoked_while_running_ends_the_channel(
    server: SlackServer,
) -> None:
    """The first call that Slack refuses for it says so."""
    chat, ada = _ada(server)
    channel, inbox = slack(server), Inbox()
    task = asyncio.create_task(channel.run(inbox))
    await server.sockets.until(lambda: server.sockets.connections > 0)
    await server.say(chat, ada, "hello")
    [inbound] = await inbox.next()
    server.space.refused_tokens[BOT_TOKEN] = "token_revoked"
    await channel.reply(inbound.address, None, [inbound.turn_id]).show("Hel")
    with pytest.raises(ConfigurationError, match="SLACK_BOT_TOKEN"):
        await task


async def test_without_a_way_in_the_missing_setting_is_named(
    server: SlackServer,
) -> None:
    """Neither an app token nor a signing secret: no event can come."""
    with pytest.raises(ConfigurationError, match="SLACK_APP_TOKEN is not set"):
        await slack(server, app_token=None).run(Inbox())

    with pytest.raises(ConfigurationError, match="SLACK_SIGNING_SECRET is not set"):
        await slack(server, app_token=None, public_url="https://agent.example").run(
            Inbox()
        )


# --- webhooks -----------------------------------------------------------------


async def test_signed_events_and_commands_are_taken(server: SlackServer) -> None:
    """JSON events and form-encoded commands come to the same place."""
    chat, ada = _ada(server)
    async with hooked(server) as (_, inbox):
        await server.say(chat, ada, "hello")
        await server.command(chat, ada, "/model", "default")
        await inbox.next(2)

    assert [text_of(inbound) for inbound in inbox.taken] == [
        "hello",
        "/model default",
    ]
    assert server.unacknowledged() == 0


async def test_slack_can_verify_the_address(server: SlackServer) -> None:
    """The challenge of url_verification comes back."""
    challenge = payload("url_verification")
    async with hooked(server) as (channel, _):
        headers, body = signed(Delivery("events_api", challenge, 0.0), server.clock())
        reply = await channel.webhook(headers, body)

    assert (reply.status, json.loads(reply.body)["challenge"]) == (
        200,
        challenge["challenge"],
    )


async def test_an_event_that_was_not_stored_is_delivered_again(
    server: SlackServer,
) -> None:
    """503 until it is durable: at once, after one and after five minutes; the retry header
    hides nothing.
    """
    chat, ada = _ada(server)
    async with hooked(server) as (_, inbox):
        inbox.broken = True
        await server.say(chat, ada, "keep this")
        await server.clock.advance(0)
        await server.clock.advance(60)
        assert (inbox.tried, inbox.taken, server.unacknowledged()) == (3, [], 1)
        inbox.broken = False
        await server.clock.advance(300)

    assert [text_of(inbound) for inbound in inbox.taken] == ["keep this"]
    assert server.unacknowledged() == 0


async def test_a_delivery_that_comes_four_times_is_one_turn(
    server: SlackServer,
) -> None:
    """All are acknowledged; the turn's id is the same, so the core stores one."""
    chat, ada = _ada(server)
    async with hooked(server) as (_, inbox):
        await server.say(chat, ada, "hello", deliver=4)

    assert len(inbox.taken) == 4
    assert len({inbound.turn_id for inbound in inbox.taken}) == 1


async def test_only_slack_is_let_in(server: SlackServer) -> None:
    """10,000 mutations of a signed request, in body, signature, time or header: none is taken."""
    event = payload("message_im")
    refused = 0
    dice = random.Random(7)

    async with hooked(server) as (channel, inbox):
        headers, body = signed(Delivery("events_api", event, 0.0), server.clock())
        for _ in range(MUTATIONS):
            reply = await channel.webhook(*_mutated(dice, headers, body))
            refused += reply.status == 401

        assert (refused, inbox.tried) == (MUTATIONS, 0)
        assert (await channel.webhook(headers, body)).status == 200


def _mutated(
    dice: random.Random,
    headers: dict[str, str],
    body: bytes,
) -> tuple[dict[str, str], bytes]:
    changed = dict(headers)
    kind = dice.choice(
        ["body", "cut", "grown", "signature", "stamp", "missing", "odd"]
    )
    if kind == "body":
        at = dice.randrange(len(body))
        return changed, body[:at] + bytes(
            [body[at] ^ (1 << dice.randrange(8))]
        ) + body[at + 1 :]

    if kind == "cut":
        return changed, body[: dice.randrange(len(body))]
    if kind == "grown":
        return changed, body + dice.randbytes(dice.randrange(1, 9))

    name = dice.choice(["x-slack-signature", "x-slack-request-timestamp"])
    if kind == "missing":
        del changed[name]
    elif kind == "odd":
        changed[name] = dice.choice(
            ["", "v0=", "nan", "-1", "١٢٣", "é" * 67, "9" * 5_000]
        )
    elif kind == "signature":
        at = dice.randrange(3, len(changed["x-slack-signature"]))
        given = changed["x-slack-signature"]
        other = dice.choice(
            [digit for digit in "0123456789abcdef" if digit != given[at]]
        )
        changed["x-slack-signature"] = given[:at] + other + given[at + 1 :]
    else:
        stamp = int(changed["x-slack-request-timestamp"])
        changed["x-slack-request-timestamp"] = str(
            stamp + dice.choice([-1, 1]) * dice.randrange(1, 600)
        )

    return changed, body


@pytest.mark.parametrize(
    ("age", "status"), [(0, 200), (299, 200), (301, 401), (-301, 401)]
)
async def test_old_requests_are_refused(
    server: SlackServer, age: int, status: int
) -> None:
    """A signature is good for five minutes, so that a recorded request cannot be replayed
    later.
    """
    async with hooked(server) as (channel, _):
        headers, body = signed(
            Delivery("events_api", payload("message_im"), 0.0), server.clock() - age
        )
        assert (await channel.webhook(headers, body)).status == status


async def test_another_secret_does_not_sign(server: SlackServer) -> None:
    """Forged with a secret that is not ours."""
    async with hooked(server) as (channel, inbox):
        delivery = Delivery("events_api", payload("message_im"), 0.0)
        headers, body = signed(delivery, server.clock(), secret="0" * 32)
        assert (await channel.webhook(headers, body)).status == 401

    assert inbox.tried == 0


@pytest.mark.parametrize(
    "body", [b"{", b"\xff\xfe", b"[]", b'"text"', b"null", b'{"event": 1}', b""]
)
async def test_signed_nonsense_stores_nothing(
    server: SlackServer, body: bytes
) -> None:
    """What Slack would never sign is answered, not crashed over."""
    async with hooked(server) as (channel, inbox):
        headers = _sign(server, body)
        assert (await channel.webhook(headers, body)).status in (200, 400, 503)

    assert inbox.tried == 0


def _sign(server: SlackServer, body: bytes) -> dict[str, str]:
    from channels.slack.signature import sign

    stamp = str(int(server.clock()))
    return {
        "content-type": "application/json",
        "x-slack-request-timestamp": stamp,
        "x-slack-signature": sign(SIGNING_SECRET, stamp, body),
    }


async def test_before_it_runs_a_webhook_is_put_off(server: SlackServer) -> None:
    """Slack delivers again what came before the agent was ready."""
    channel: Slack = slack(
        server, public_url="https://agent.example", signing_secret=SIGNING_SECRET
    )
    headers, body = signed(
        Delivery("events_api", payload("message_im"), 0.0), server.clock()
    )

    assert (await channel.webhook(headers, body)).status == 503
