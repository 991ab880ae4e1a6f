"""Slack at its edges: an odd field hides no other, an odd message hides no other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from agent.core.messages import Deleted
from tests.support.inbound import text_of
from tests.support.platforms.slack import AGENT, Fault, SlackServer
from tests.support.platforms.slack.agent import (
    Inbox,
    channel_of,
    connected,
    direct_chat,
    hooked,
)
from tests.support.platforms.slack.delivery import Delivery


@pytest.fixture
async def server() -> AsyncIterator[SlackServer]:
    async with SlackServer(redeliver_after=0.1).running() as server:
        yield server


def texts(inbox: Inbox) -> list[str]:
    return [text_of(inbound) for inbound in inbox.taken]


# What is wrong with an event whose words, author and place can all be read.
UNIMPORTANT: dict[str, dict[str, Any]] = {
    "files of another type": {"files": 7},
    "files that are none": {"files": [None, 7, {"size": "x"}]},
    "a subtype of another type": {"subtype": ["x"]},
    "blocks of another type": {"blocks": {"type": 7}},
    "attachments of another type": {"attachments": [None, {"text": {"a": 1}}]},
    "a team of another type": {"team": {"id": 7}},
    "an edit of another type": {"edited": 7},
    "a thread of another type": {"thread_ts": {"ts": 7}},
    "an app of another type": {"bot_profile": 7, "app_id": 7},
    "what Bolt stumbles over": {"assistant_thread": 7, "message": 7, "item": 7},
    "a field from the future": {"hologram": {"id": None}},
}


@pytest.mark.parametrize("transport", [connected, hooked])
async def test_an_odd_field_of_no_importance_does_not_make_a_message_unreadable(
    server: SlackServer, transport: Any
) -> None:
    chat, ada = direct_chat(server)
    async with transport(server) as (_, inbox):
        for name, odd in UNIMPORTANT.items():
            said = server.space.add(chat, ada, name)
            [event] = server._message_events(said)
            await server.emit(event | odd)

        await inbox.next(len(UNIMPORTANT))

    assert sorted(UNIMPORTANT) == sorted(text.split("\n")[0] for text in texts(inbox))


# What is wrong with the delivery around an event.
AROUND: dict[str, dict[str, Any]] = {
    "authorizations of another type": {"authorizations": 7},
    "authorizations that are none": {"authorizations": [7]},
    "a team of another type": {"team_id": {"id": 7}},
    "an enterprise of another type": {"enterprise_id": ["x"], "enterprise": 7},
    "a context of another type": {"event_context": 7, "event_id": None},
    "a view, a user, a channel": {"user": 7, "channel": ["x"], "view": "x"},
}


@pytest.mark.parametrize("transport", [connected, hooked])
async def test_an_odd_field_of_the_delivery_hides_no_event(
    server: SlackServer, transport: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat, ada = direct_chat(server)
    around: dict[str, Any] = {}
    deliver = server._deliver

    async def changed(delivery: Any) -> Any:
        delivery.body.update(around)
        return await deliver(delivery)

    monkeypatch.setattr(server, "_deliver", changed)
    async with transport(server) as (_, inbox):
        for name, odd in AROUND.items():
            around = odd
            await server.say(chat, ada, name)

        await inbox.next(len(AROUND))

    assert sorted(AROUND) == sorted(texts(inbox))


@pytest.mark.parametrize(
    "frame", ["", "nonsense", "7", "null", "[]", '"x"', "{}", '{"type": {"a": 1}}']
)
async def test_a_frame_that_is_no_envelope_does_not_end_the_session(
    server: SlackServer, frame: str
) -> None:
    """The connection stays, and the next message comes over it."""
    chat, ada = direct_chat(server)
    async with connected(server) as (_, inbox):
        [link] = server.sockets._links
        await link.send_str(frame)
        await server.say(chat, ada, "hello")
        await inbox.next()

    assert (["hello"], 1) == (texts(inbox), server.sockets.opened)


@pytest.mark.parametrize("payload", [None, 7, "x", [], ["x"]])
async def test_an_envelope_whose_payload_is_none_is_acknowledged(
    server: SlackServer, payload: Any
) -> None:
    """Otherwise Slack sends it again and again."""
    chat, ada = direct_chat(server)
    async with connected(server) as (_, inbox):
        [link] = server.sockets._links
        delivery = Delivery("events_api", {}, 0.0)
        server.sockets._sent["odd"] = delivery
        await link.send_json({"envelope_id": "odd", "payload": payload})
        await server.sockets.until(lambda: delivery.acknowledged)
        await server.say(chat, ada, "hello")
        await inbox.next()

    assert ["hello"] == texts(inbox)


ODD_MESSAGES: dict[str, Any] = {
    "null": None,
    "a number": 7,
    "a list": ["x"],
    "nothing in it": {},
    "no ts": {"type": "message", "user": "U1", "text": "x"},
    "a ts of another type": {"type": "message", "user": "U1", "text": "x", "ts": 7},
    "no user": {"type": "message", "text": "x", "ts": "1"},
    "replies of another type": {"ts": "1.5", "latest_reply": {"x": 1}},
    "a channel of another type": {
        "ts": "1.6",
        "channel": 7,
        "type": 7,
        "user": "U1",
        "text": "odd but said",
    },
}


async def test_an_odd_message_in_the_history_does_not_block_the_catch_up(
    server: SlackServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All that can be read is taken, in order, in this chat and the next."""
    chat, ada = direct_chat(server)
    other, bob = direct_chat(server, "bob")
    seen = [server.space.add(chat, ada, "seen"), server.space.add(other, bob, "seen")]
    page = server._api._page

    def odd_page(arguments: Any, messages: Any) -> dict[str, Any]:
        answer = page(arguments, messages)
        odd = list(ODD_MESSAGES.values())
        return {
            **answer,
            "messages": [*odd, *answer["messages"], *odd],
            "response_metadata": 7,
        }

    monkeypatch.setattr(server._api, "_page", odd_page)
    for text in ("one", "two"):
        server.space.add(chat, ada, text)

    server.space.add(other, bob, "three")

    async def last_accepted(channel: str) -> dict[str, str]:
        return {chat: seen[0].ts, other: seen[1].ts}

    async with connected(server, last_accepted=last_accepted) as (_, inbox):
        await inbox.until(lambda: "three" in texts(inbox))

    said = [text for text in texts(inbox) if text in ("one", "two", "three")]
    assert ["one", "two", "three"] == said
    assert "odd but said" in texts(inbox)


async def test_a_thread_that_slack_does_not_show_blocks_no_catch_up(
    server: SlackServer,
) -> None:
    room, [bob] = channel_of(server, "bob")
    before = server.space.add(room, bob, f"<@{AGENT}> seen")
    server.space.add(room, bob, "in the thread", before.ts)
    server.space.add(room, bob, f"<@{AGENT}> later")
    server.space.faults.append(Fault("internal_error", "conversations.replies"))

    async def last_accepted(channel: str) -> dict[str, str]:
        return {room: before.ts}

    async with connected(server, last_accepted=last_accepted) as (_, inbox):
        await inbox.next()

    assert ["later"] == texts(inbox)


@pytest.mark.parametrize(
    "user", [None, 7, ["x"], {}, {"profile": 7}, {"profile": {"display_name": 7}}]
)
async def test_a_look_up_that_fails_does_not_lose_the_message(
    server: SlackServer, user: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It goes without the name."""
    room, [bob] = channel_of(server, "bob")
    monkeypatch.setitem(server._api._methods, "users.info", lambda _: {"user": user})
    async with connected(server) as (_, inbox):
        await server.say(room, bob, f"<@{AGENT}> hello <@U0CAROL00>")
        [inbound, *_] = await inbox.next()

    assert ("hello @U0CAROL00", None) == (text_of(inbound), inbound.username)


async def test_the_same_text_without_a_readable_author_is_passed_over(
    server: SlackServer,
) -> None:
    """And what comes after it is taken."""
    chat, ada = direct_chat(server)
    async with connected(server) as (_, inbox):
        said = server.space.add(chat, ada, "whose?")
        [event] = server._message_events(said)
        for user in (None, 7, {"id": ada}):
            await server.emit(event | {"user": user})

        await server.say(chat, ada, "mine")
        await inbox.next()
        await server.sockets.until(lambda: not server.unacknowledged())

    assert ["mine"] == texts(inbox)


PICTURE = {"id": "F1", "name": "a.png"}
CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any], list[str]]] = {
    "a link to a message, which Slack then shows": (
        {},
        {"attachments": [{"is_msg_unfurl": True, "author_name": "Bob", "text": "x"}]},
        ["hello\n\nForwarded from Bob:\n> x"],
    ),
    "a picture that is taken away": (
        {"files": [PICTURE]},
        {"files": [{"id": "F1", "mode": "tombstone"}]},
        ["hello\n[deleted file]"],
    ),
    "what was said, which Slack wrote down later": (
        {"files": [PICTURE]},
        {"files": [{**PICTURE, "transcription": {"preview": {"content": "hi"}}}]},
        ["hello\n[file a.png]:\n> hi"],
    ),
    "a preview": (
        {},
        {"attachments": [{"from_url": "https://example.org", "text": "x"}]},
        [],
    ),
    "counted replies": ({}, {"reply_count": 1}, []),
}


async def test_an_edit_is_what_people_see_change(server: SlackServer) -> None:
    chat, ada = direct_chat(server)
    async with connected(server) as (_, inbox):
        for before, after, expected in CHANGES.values():
            said = server.space.add(chat, ada, "hello")
            changed = _changed(server, said, before, after)
            count = len(inbox.taken)
            await server.emit(changed)
            await server.sockets.until(lambda: not server.unacknowledged())

            assert expected == [text_of(one) for one in inbox.taken[count:]]


async def test_a_message_that_only_keeps_its_place_above_replies_is_deleted(
    server: SlackServer,
) -> None:
    chat, ada = direct_chat(server)
    async with connected(server) as (_, inbox):
        said = server.space.add(chat, ada, "hello")
        left = {
            "subtype": "tombstone",
            "user": "USLACKBOT",
            "text": "It was deleted.",
        }
        await server.emit(_changed(server, said, {}, left))
        [deleted] = await inbox.next()

    assert isinstance(deleted, Deleted)
    assert (said.ts, ada) == (deleted.message_id, deleted.user_id)


def _changed(
    server: SlackServer, said: Any, before: dict[str, Any], after: dict[str, Any]
) -> dict[str, Any]:
    [event] = server._message_events(said)

    return {
        "type": "message",
        "subtype": "message_changed",
        "channel": event["channel"],
        "channel_type": event["channel_type"],
        "ts": "1.5",
        "previous_message": {**event, **before},
        "message": {**event, **before, **after},
    }
