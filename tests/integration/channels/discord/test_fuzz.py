"""Events with fields missing, null, added or of other types, at any depth, through discord.py
itself: no session ends, and no message that can be read is lost.

A few hundred, and ten thousand of the gateway and of the history each with

    uv run pytest -n 0 -m chaos -s tests/integration/channels/discord/test_fuzz.py
"""

from __future__ import annotations

import copy
import random
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from agent.core.messages import Said
from channels.discord.reading.history import PAGE
from tests.support.inbound import text_of
from tests.support.platforms.discord import DiscordServer, payload
from tests.support.platforms.discord.listening import Core, make_channel, running
from tests.support.platforms.discord.odd import ODD_EVENTS, ODD_FIELDS

FEW, MANY = 300, 10_000
HISTORY = 200
"""Messages in each chat that is caught up with; at most 300 are fetched."""

FIRST_ID = 1_400_000_000_000_000_000
SEEDS = [
    pytest.param(7, FEW),
    pytest.param(None, MANY, marks=(pytest.mark.chaos, pytest.mark.timeout(1800))),
]

VALUES: list[Any] = [
    *(None, True, False, 0, -1, 7, 19, 99, 2**70, 1.5, float("inf")),
    *("", "x", "5", "\ud83d", "a\0b", "https://[", "2026-11-01"),
    *([], [None], ["x"], [[[]]], [{}], {}, {"x": 1}, {"id": None}),
]

Place = tuple[str | int, ...]


@pytest.fixture
async def server() -> AsyncIterator[DiscordServer]:
    async with DiscordServer() as server:
        yield server


def rich_message() -> dict[str, Any]:
    """A message with everything that Discord may put into one."""
    inner = payload("message", attachments=[payload("attachment")])
    fields = {key: value for odd in ODD_FIELDS.values() for key, value in odd.items()}
    poll = {
        "question": {"text": "Lunch?"},
        "answers": [{"answer_id": 1, "poll_media": {"text": "Pizza"}}],
        "expiry": "2026-11-02T12:00:00+00:00",
    }
    embed = {
        "type": "rich",
        "title": "A title",
        "fields": [{"name": "a", "value": "b"}],
    }
    good = {
        "type": 19,
        "member": payload("member"),
        "mentions": [payload("user"), payload("user", id="1")],
        "embeds": [embed],
        "attachments": [payload("attachment")],
        "components": [{"type": 17, "components": [{"type": 10, "content": "x"}]}],
        "sticker_items": [{"id": "1", "name": "Wave", "format_type": 1}],
        "poll": poll,
        "flags": 0,
        "referenced_message": inner,
        "message_reference": {"type": 0, "channel_id": "20", "message_id": "50"},
        "message_snapshots": [{"message": inner}],
        "timestamp": "2026-11-01T12:00:00+00:00",
        "edited_timestamp": None,
        "webhook_id": None,
    }

    return payload("message") | fields | good


def other_events() -> list[tuple[Any, Any]]:
    """Good and odd events that are no messages, to be changed."""
    channel, thread = payload("channel_text"), payload("thread")
    server = payload("guild") | payload(
        "guild_create",
        threads=[thread],
        channels=[channel],
    )

    return [
        ("GUILD_CREATE", server),
        ("CHANNEL_CREATE", channel),
        ("CHANNEL_UPDATE", channel),
        ("THREAD_CREATE", thread),
        ("THREAD_UPDATE", thread),
        ("THREAD_LIST_SYNC", {"threads": [thread], "members": [{"id": "30"}]}),
        ("THREAD_MEMBERS_UPDATE", payload("thread_members_update")),
        ("GUILD_ROLE_UPDATE", {"guild_id": "10", "role": payload("role")}),
        ("MESSAGE_UPDATE", rich_message() | {"edited_timestamp": "now"}),
        ("MESSAGE_DELETE", {"id": "50", "channel_id": "20"}),
        ("MESSAGE_DELETE_BULK", {"ids": ["50", "51"], "channel_id": "20"}),
        ("MESSAGE_REACTION_ADD", payload("message_reaction_add")),
        ("MESSAGE_REACTION_REMOVE", payload("message_reaction_remove")),
        ("INTERACTION_CREATE", payload("interaction")),
        ("INTERACTION_CREATE", payload("interaction_direct")),
        *(event for event in ODD_EVENTS.values() if event[0] != "READY"),
    ]


def places(value: Any, before: Place = ()) -> Iterator[Place]:
    """Every place inside a value."""
    inner: Any = ()
    if isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list):
        inner = enumerate(value)

    for key, each in inner:
        yield (*before, key)
        yield from places(each, (*before, key))


def mutate(
    chance: random.Random,
    event: Any,
    kept: tuple[Place, ...] = (),
) -> None:
    """Takes fields away, adds some, and gives others another type, at up to six places."""
    for _ in range(chance.randint(1, 6)):
        choices = [place for place in places(event) if place not in kept]
        if not choices:
            return

        *way, last = chance.choice(choices)
        holder = event
        for key in way:
            holder = holder[key]

        match chance.randrange(4):
            case 0:
                del holder[last]
            case 1 if isinstance(holder, dict):
                holder[f"new_{last}"] = copy.deepcopy(chance.choice(VALUES))
            case _:
                holder[last] = copy.deepcopy(chance.choice(VALUES))


def is_readable(message: dict[str, Any], original: dict[str, Any]) -> bool:
    """Whether text, author, channel and id are as they were, and nothing says, in the form
    that Discord documents, that no person wrote it.
    """
    author = message.get("author")
    if not isinstance(author, dict) or author.get("id") != original["author"]["id"]:
        return False
    if any(
        message.get(key) != original[key] for key in ("id", "channel_id", "content")
    ):
        return False

    kind, webhook = message.get("type"), message.get("webhook_id")
    is_notice = type(kind) is int and kind == 7  # somebody joined
    is_webhook = webhook == "5" or (type(webhook) is int and webhook >= 0)

    return not (is_notice or is_webhook or author.get("bot") is True)


def changed_message(
    chance: random.Random,
    number: int,
    **fields: Any,
) -> tuple[dict[str, Any], bool]:
    """A changed message, and whether it has to be heard."""
    original = rich_message() | {
        "id": str(FIRST_ID + number),
        "channel_id": str(2 * FIRST_ID + number),
        "content": f"<@1> word {number}.",
        **fields,
    }
    message = copy.deepcopy(original)
    mutate(chance, message, kept=(("id",),) if fields else ())

    return message, is_readable(message, original)


def lost(core: Core, expected: set[int]) -> set[int]:
    """The numbers of the messages that were not heard with their text."""
    heard = {
        int(inbound.message_id) - FIRST_ID
        for inbound in core.accepted
        if isinstance(inbound, Said)
        and f"word {int(inbound.message_id) - FIRST_ID}." in text_of(inbound)
    }

    return expected - heard


async def all_heard(core: Core, expected: set[int]) -> None:
    """Returns once all of these were heard. Raises TimeoutError with how many were not."""
    try:
        await core.server.until(
            lambda: len(core.accepted) >= len(expected) and not lost(core, expected),
            seconds=100,
        )
    except TimeoutError as error:
        missing = sorted(lost(core, expected))
        raise TimeoutError(f"{len(missing)} lost: {missing[:9]}") from error

    print(f"{len(expected)} of them readable")


@pytest.mark.parametrize(("seed", "count"), SEEDS)
async def test_changed_events_end_no_session_and_lose_no_message(
    server: DiscordServer, seed: int | None, count: int
) -> None:
    seed = seed or random.randrange(2**32)
    print(f"seed {seed}")
    chance, core, expected = random.Random(seed), Core(server), set[int]()
    others = other_events()

    async with running(make_channel(server), core):
        for number in range(count):
            if chance.random() < 0.5:
                message, readable = changed_message(chance, number)
                expected |= {number} if readable else set()
                server.gateway.dispatch("MESSAGE_CREATE", message)
            else:
                kind, data = copy.deepcopy(chance.choice(others))
                mutate(chance, data)
                server.gateway.push({"op": 0, "t": kind, "d": data})

        await all_heard(core, expected)

    assert expected
    assert (1, 0) == (server.gateway.identified, server.gateway.resumed)


@pytest.mark.parametrize(("seed", "count"), SEEDS)
async def test_changed_messages_hold_up_no_catch_up(
    server: DiscordServer, seed: int | None, count: int
) -> None:
    seed = seed or random.randrange(2**32)
    print(f"seed {seed}")
    chance, core, expected = random.Random(seed), Core(server), set[int]()
    chats = [
        server.state.add_direct(f"person {number}")
        for number in range(-(-count // HISTORY))
    ]

    for number in range(count):
        chat = chats[number // HISTORY]
        message, readable = changed_message(chance, number, channel_id=chat)
        expected |= {number} if readable else set()
        server.state.messages[chat].append(message)

    async def last_accepted(channel: str) -> dict[str, str]:
        return {chat: str(FIRST_ID - 1) for chat in chats}

    async with running(make_channel(server, last_accepted=last_accepted), core):
        await all_heard(core, expected)

    assert expected
    assert len(chats) * (HISTORY // PAGE + 1) >= server.histories
