"""What must be true once everything has settled, in Postgres and in what people see."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import product
from typing import Any
from uuid import UUID

import asyncpg
import msgspec

from agent.conversation.active_answer import MAX_EDIT_RESTARTS, CancelReason
from agent.conversation.recovery import SET_ASIDE
from agent.conversation.worker import WITHDRAWN
from agent.core.commands import parse_command
from agent.core.completion import Prompt
from agent.core.messages import (
    Deleted,
    Edited,
    Message,
    Said,
    Window,
    delivered,
)
from agent.core.prompt import build_prompt
from storage.postgres import connect
from tests.support.engine_harness import EngineHarness
from tests.support.fleet.invariant_queries import BROKEN

Change = Said | Edited | Deleted
PROMISES = (
    "a message has one row",
    "a turn has a message",
    "every message is covered by exactly one answer",
    "answers go forward",
    "order by timestamp is order by seq",
    "nothing is left in progress",
)
_TURNS = "SELECT id, chat_id, state, reply, placed, attempts FROM turns"
_MESSAGES = """
SELECT c.chat_id, m.conversation_id, m.seq, m.role, m.content, m.answers, m.turn_id, m.metadata
FROM messages m JOIN conversations c ON c.id = m.conversation_id ORDER BY m.conversation_id, m.seq
"""


def digest(prompt: Prompt) -> str:
    """Stands in each answer of the model, to show later what the model was asked."""
    return blake2b(
        repr((prompt.system, prompt.messages)).encode("utf-8", "surrogatepass"),
        digest_size=4,
    ).hexdigest()


@dataclass(frozen=True)
class Row:
    """A stored message."""

    chat: str
    conversation: UUID
    message: Message
    turn: UUID | None
    metadata: dict[str, Any]

    @property
    def shown(self) -> str:
        return delivered(self.message.content, self.metadata)


async def judge(
    world: EngineHarness, sent: Sequence[Change], acknowledged: Sequence[Change]
) -> list[str]:
    """A sentence for each broken promise; none if all are kept."""
    connection = await connect(world.database_url)
    try:
        rows = [_row(record) for record in await connection.fetch(_MESSAGES)]
        turns = await connection.fetch(_TURNS)
        broken = [name for name in PROMISES if await connection.fetch(BROKEN[name])]
    finally:
        await connection.close()

    return [
        *broken,
        *_lost(acknowledged, rows, turns),
        *_unfinished(rows, turns),
        *_wrongly_prompted(world, sent, rows),
        *_wrongly_shown(world, rows, turns),
    ]


def _row(record: asyncpg.Record) -> Row:
    metadata = msgspec.json.decode(record["metadata"])
    message = Message(
        record["seq"],
        record["role"],
        record["content"],
        record["answers"],
        metadata.get("author"),
        bool(metadata.get("notice")),
    )

    return Row(
        record["chat_id"],
        record["conversation_id"],
        message,
        record["turn_id"],
        metadata,
    )


def _lost(
    acknowledged: Sequence[Change],
    rows: Sequence[Row],
    turns: Sequence[asyncpg.Record],
) -> Iterator[str]:
    """Invariant 1: what was acknowledged is stored."""
    stored = {row.turn for row in rows}
    known = {turn["id"] for turn in turns}

    for inbound in acknowledged:
        if isinstance(inbound, Said):
            spoken = parse_command(inbound.text) is None and inbound.text.strip()
            if inbound.turn_id not in (stored if spoken else known):
                yield f"{inbound.text!r} was acknowledged and is lost"


def _unfinished(
    rows: Sequence[Row], turns: Sequence[asyncpg.Record]
) -> Iterator[str]:
    """Invariant 8: every turn ends; one that fails was set aside, and its author was told."""
    answers = {row.turn: _answer_to(row, rows) for row in rows if row.turn}
    for turn in turns:
        if turn["state"] == "open" or (
            turn["state"] == "failed" and answers.get(turn["id"]) != SET_ASIDE
        ):
            yield f"a turn is {turn['state']}, answered {answers.get(turn['id'])!r}"


def _answer_to(asked: Row, rows: Sequence[Row]) -> str | None:
    covering = (
        row.message
        for row in rows
        if row.conversation == asked.conversation
        and (row.message.answers or 0) >= asked.message.seq
    )
    first = min(covering, key=lambda message: message.seq, default=None)

    return first.content if first else None


def _wrongly_prompted(
    world: EngineHarness, sent: Sequence[Change], rows: Sequence[Row]
) -> Iterator[str]:
    """Invariants 4 and 6: every answer was made from exactly the messages before it, in order.

    An edit counts until the answer is stored, unless a person stopped it, or edited too
    often.
    """
    texts: dict[UUID | None, list[str]] = defaultdict(list)
    for inbound in sent:
        texts[inbound.turn_id].append(
            "" if isinstance(inbound, Deleted) else inbound.text
        )

    changes = Counter(
        inbound.address.chat for inbound in sent if not isinstance(inbound, Said)
    )
    conversations: dict[UUID, list[Row]] = defaultdict(list)

    for row in rows:
        before = conversations[row.conversation]
        if row.message.answers is not None and not row.message.notice:
            stopped = row.metadata.get("note") == CancelReason.STOPPED.value
            older = texts if stopped or changes[row.chat] > MAX_EDIT_RESTARTS else {}
            prompts = _possible_prompts(
                before, row.message.answers, world.window_messages, older
            )
            if row.message.content.partition(" ")[0] not in map(digest, prompts):
                yield f"{row.message.content!r} was made from another prompt"
        before.append(row)


def _possible_prompts(
    before: Sequence[Row],
    up_to_seq: int,
    limit: int,
    older: Mapping[UUID | None, Sequence[str]],
) -> Iterator[Prompt]:
    """Prompts with the newest texts; `older` are texts that may have been answered, too."""
    answered = max((row.message.answers or 0 for row in before), default=0)
    waiting = [
        row
        for row in before
        if row.message.role == "user" and row.message.seq > answered
    ]
    history = [row.message for row in before if row not in waiting][-limit:]
    asked = [row for row in waiting if row.message.seq <= up_to_seq]

    for contents in product(
        *({row.message.content, *older.get(row.turn, ())} for row in asked)
    ):
        if not any(contents):  # nothing was asked
            continue

        newest = [
            Message(row.message.seq, "user", content, author=row.message.author)
            for row, content in zip(asked, contents, strict=True)
        ]
        messages = sorted(
            [*history, *newest], key=lambda message: message.reading_order
        )
        yield build_prompt(
            "You are a helpful assistant.",
            Window(0, tuple(messages)),
            up_to_seq=up_to_seq,
            budget=100_000,
        )


def _wrongly_shown(
    world: EngineHarness, rows: Sequence[Row], turns: Sequence[asyncpg.Record]
) -> Iterator[str]:
    """Invariant 5: each answer stands where it belongs, and is repeated only with a label."""
    recorded = {
        name
        for turn in turns
        if turn["placed"]
        for name in msgspec.json.decode(turn["placed"])["ids"]
    }
    expected: dict[str, Counter[str]] = defaultdict(Counter)

    for row in rows:
        if row.message.answers is not None and row.message.content:
            expected[row.chat][row.shown] += 1

    for turn in turns:
        if turn["reply"] is not None:
            expected[turn["chat_id"]][turn["reply"]] += 1

    for chat in {*expected, *world.platform.chats}:
        yield from _wrong_in(world, chat, expected[chat], recorded)


def _wrong_in(
    world: EngineHarness, chat: str, expected: Counter[str], recorded: set[str]
) -> Iterator[str]:
    platform = world.platform
    standing = Counter(platform.screen(chat))

    for text in expected - standing:
        yield f"{chat} does not see {text!r}"
    silent = Counter(
        platform.messages[name]
        for name in platform.chats[chat]
        if not platform.origins[name].repeat
        and not (platform.origins[name].draft and name not in recorded)
    ) - Counter({WITHDRAWN: len(platform.messages)})

    for text in silent - expected:
        yield f"{chat} sees {text!r} once more than it should"
