"""Odd events through the real client libraries: no session ends, nothing readable is lost.

A sample runs with the other tests. Ten thousand events of each platform, in about a minute:

    uv run pytest -n 0 -m chaos tests/integration/channels/test_event_fuzz.py

The seed is in the tests' names.
"""

from __future__ import annotations

import asyncio
import copy
import random
import re
from typing import Any

import pytest

from agent.core.messages import Edited, Inbound, Said
from tests.support.odd_json import Path, mutated, spares
from tests.support.platforms.slack import AGENT, SlackServer
from tests.support.platforms.slack.agent import connected, direct_chat
from tests.support.platforms.slack.delivery import Delivery
from tests.support.platforms.slack.state import payload as slack_payload
from tests.support.platforms.telegram import TelegramServer
from tests.support.platforms.telegram.inbox import channel, until
from tests.support.platforms.telegram.state import BOT_NAME

SEED = 20261128
FEW, MANY = 400, 10_000
AT_ONCE = 50
_MARK = re.compile(r"#(\d+)#")

Event = tuple[dict[str, Any], set[Path]]
"""What the platform sends, and where in it stands what makes it readable."""


class Heard:
    """The numbers of the messages that were taken in."""

    def __init__(self) -> None:
        self.numbers: set[int] = set()

    async def accept(self, inbound: Inbound) -> bool:
        """As the engine would: ids and texts are text."""
        assert all(
            isinstance(name, str)
            for name in (inbound.message_id, inbound.user_id, inbound.address.chat)
        )
        if isinstance(inbound, Said | Edited):
            assert isinstance(inbound.text, str)
            self.numbers.update(int(n) for n in _MARK.findall(inbound.text))

        return True


# --- Telegram -----------------------------------------------------------------

TELEGRAM_NAMES = (
    "hologram",
    "entities",
    "photo",
    "poll",
    "venue",
    "location",
    "contact",
    "checklist",
    "dice",
    "document",
    "quote",
    "reply_to_message",
    "external_reply",
    "forward_origin",
    "sender_chat",
    "edit_date",
    "media_group_id",
    "message_thread_id",
    "is_topic_message",
    "caption",
    "reply_markup",
    "user",
    "url",
    "username",
)
TELEGRAM_NEEDED: set[Path] = {
    ("message", "message_id"),
    ("message", "chat", "id"),
    ("message", "chat", "type"),
    ("message", "from", "id"),
    ("message", "from", "is_bot"),
    ("message", "text"),
}
_MENTIONED: set[Path] = {
    ("message", "entities", 0, name) for name in ("type", "offset", "length")
}


def telegram_events(server: TelegramServer, number: int) -> list[Event]:
    """One of each kind, all with this number in the text."""
    ada, town = server.private("ada"), server.group("town")
    person, mark = server.state.person("ada"), f"see it: #{number}#"
    bob = server.state.person("bob")
    rich: dict[str, Any] = {
        "entities": [
            {"type": "text_link", "offset": 0, "length": 3, "url": "https://e.org"},
            {"type": "text_mention", "offset": 4, "length": 2, "user": bob},
        ],
        "reply_to_message": server.state.message(ada, bob, "before"),
        "quote": {"text": "for", "position": 2},
        "forward_origin": {"type": "user", "date": 1, "sender_user": bob},
        "poll": {"id": "1", "question": "?", "options": [{"text": "a"}]},
        "link_preview_options": {"is_disabled": True},
    }
    name = {"type": "mention", "offset": 0, "length": len(BOT_NAME) + 1}
    plain = server.state.message(ada, person, mark)
    full = server.state.message(ada, person, mark, **rich)
    called = server.state.message(
        town, person, f"@{BOT_NAME} {mark}", entities=[name]
    )

    return [
        ({"message": plain}, TELEGRAM_NEEDED),
        ({"message": full}, TELEGRAM_NEEDED),
        ({"message": called}, TELEGRAM_NEEDED | _MENTIONED),
        ({"edited_message": full}, set()),
        (
            {"message_reaction": server.state.reaction(ada, 1, person, "👍")},
            set(),
        ),
    ]


async def fuzz_telegram(count: int, seed: int) -> None:
    chance, heard, expected = random.Random(seed), Heard(), set()
    async with TelegramServer() as server:
        telegram = channel(server)
        telegram._unreadable._note = lambda *_: None
        session = asyncio.create_task(telegram.run(heard.accept))
        for number in range(count):
            event, needed = chance.choice(telegram_events(server, number))
            odd, touched = mutated(event, chance, TELEGRAM_NAMES)
            server.state.updates.append({**odd, "update_id": 1000 + number})
            if needed and spares(touched, needed):
                expected.add(number)

            if number % AT_ONCE == 0:
                server.delivery.wake()
                await until(lambda: not server.state.updates or session.done())

        server.delivery.wake()
        await until(lambda: not server.state.updates or session.done())
        assert not session.done()
        session.cancel()
        await asyncio.gather(session, return_exceptions=True)

    assert len(expected) > count / 5
    assert set() == expected - heard.numbers


# --- Slack --------------------------------------------------------------------

SLACK_NAMES = (
    "hologram",
    "files",
    "blocks",
    "attachments",
    "elements",
    "text_",
    "thread_ts",
    "parent_user_id",
    "edited",
    "message",
    "previous_message",
    "item",
    "assistant_thread",
    "authorizations",
    "enterprise",
    "view",
    "bot_profile",
    "metadata",
    "is_share",
    "latest_reply",
)
SLACK_NEEDED: set[Path] = {
    ("type",),
    *(("event", name) for name in ("type", "user", "channel", "ts", "text")),
    # Of a message that a person wrote, these are of a few kinds, which decide.
    *(("event", name) for name in ("subtype", "channel_type", "thread_ts")),
}


def slack_events(
    server: SlackServer, chat: str, ada: str, number: int
) -> list[Event]:
    """One of each kind, all with this number in the text."""
    said = server.space.add(chat, ada, f"#{number}#")
    [message] = server._message_events(said)
    rich = {
        "files": slack_payload("file_share")["event"]["files"],
        "blocks": [
            {
                "type": "rich_text",
                "elements": [
                    {
                        "type": "rich_text_section",
                        "elements": [{"type": "text", "text": "x"}],
                    }
                ],
            }
        ],
        "attachments": [{"is_share": True, "author_name": "Bob", "text": "x"}],
        "edited": {"user": ada, "ts": "1.2"},
    }
    mention = {**message, "type": "app_mention", "text": f"<@{AGENT}> #{number}#"}
    events: list[tuple[dict[str, Any], set[Path]]] = [
        (message, SLACK_NEEDED),
        ({**message, **rich, "subtype": "file_share"}, SLACK_NEEDED),
        (mention, SLACK_NEEDED),
        (slack_payload("message_changed")["event"], set()),
        (slack_payload("message_deleted")["event"], set()),
        (slack_payload("reaction_added")["event"], set()),
        (slack_payload("app_home_opened")["event"], set()),
    ]
    around = slack_payload("message_im")

    return [({**around, "event": event}, needed) for event, needed in events]


async def fuzz_slack(count: int, seed: int) -> None:
    chance, heard, expected = random.Random(seed), Heard(), set()
    async with SlackServer(redeliver_after=30.0).running() as server:
        chat, ada = direct_chat(server)
        async with connected(server) as (slack, inbox):
            for number in range(count):
                events = slack_events(server, chat, ada, number)
                event, needed = chance.choice(events)
                odd, touched = mutated(copy.deepcopy(event), chance, SLACK_NAMES)
                await server._deliver(Delivery("events_api", odd, 0.0))
                if needed and spares(touched, needed):
                    expected.add(number)

                if number % AT_ONCE == AT_ONCE - 1:
                    await server.sockets.until(lambda: not server.unacknowledged())
                    server.deliveries.clear()
                    server.space.chats[chat].clear()

            await server.sockets.until(lambda: not server.unacknowledged())
            assert slack.listening
            assert server.sockets.opened == 1

        for inbound in inbox.taken:
            await heard.accept(inbound)

    assert len(expected) > count / 5
    assert set() == expected - heard.numbers


FUZZERS = {"telegram": fuzz_telegram, "slack": fuzz_slack}


@pytest.mark.parametrize("seed", [SEED])
@pytest.mark.parametrize("platform", FUZZERS)
async def test_no_odd_event_ends_a_session_or_hides_a_message(
    platform: str, seed: int
) -> None:
    await FUZZERS[platform](FEW, seed)


@pytest.mark.chaos
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", [SEED])
@pytest.mark.parametrize("platform", FUZZERS)
async def test_no_odd_event_of_ten_thousand_ends_a_session_or_hides_a_message(
    platform: str, seed: int
) -> None:
    await FUZZERS[platform](MANY, seed)
