"""The life of a turn in Postgres: accepted, read, answered. Each statement carries all turns
that wait for it.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
from uuid_utils.compat import uuid7

from agent.core.errors import StoreUnavailable
from agent.core.messages import Address, Message, Placed, Window, is_prompted
from agent.core.turns import (
    Accepted,
    Answer,
    Claim,
    Loaded,
    NewTurn,
    Outdated,
    StoredAnswer,
    Waiting,
)
from storage.connecting.batch import Batch
from storage.conversation import STATEMENTS
from storage.people.system_prompts import SystemPrompts
from storage.postgres import LEASE_SECONDS, WALK_INDEXES, Database, columns


def encode_address(address: Address, *, direct: bool, part_of: str = "") -> str:
    """What turns.address holds; channel, chat and thread have columns of their own."""
    extra = dict(address.extra)
    value = {"message": address.message, "extra": extra, "direct": direct}

    return _json(value | {"part_of": part_of} if part_of else value)


def decode_address(row: asyncpg.Record) -> Address:
    """Reads the address back from a row with the columns of turns."""
    rest = msgspec.json.decode(row["address"])

    return Address(
        row["channel_type"],
        row["chat_id"],
        row["thread_id"],
        rest.get("message", ""),
        rest.get("extra", {}),
    )


def encode_placed(placed: Placed) -> str:
    value = {"ids": placed.ids, "extra": dict(placed.extra)}

    return _json(value | {"pending": True} if placed.pending else value)


def decode_placed(text: str | None) -> Placed | None:
    if text is None:
        return None

    value = msgspec.json.decode(text)

    return Placed(
        tuple(value["ids"]),
        value["extra"],
        value.get("pending", False),
    )


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


class PostgresTurns:
    """Implements agent.ports.Turns for one instance."""

    def __init__(
        self,
        database: Database,
        instance: UUID,
        window_messages: int = 20,
        *,
        lease: float = LEASE_SECONDS,
    ) -> None:
        self._instance = instance
        self._limit = window_messages
        self._lease = lease
        self._accept_line = database.line()
        self._answer_line = database.line()
        self._load_line = database.line(WALK_INDEXES)
        gone = (StoreUnavailable,)
        self._accepts = Batch(
            self._accept_all,
            key=lambda turn: turn.inbound.address.key,
            halves=True,
            passing=gone,
        )
        self._answers = Batch(
            self._answer_all,
            key=lambda answer: answer.claim.conversation,
            halves=True,
            passing=gone,
        )
        self._loads = Batch(self._load_all, passing=gone)
        self._prompts = SystemPrompts(database)

    def accept(self, turn: NewTurn) -> Future[Accepted | None]:
        return self._accepts.submit(turn)

    def answer(self, answer: Answer) -> Future[StoredAnswer | Outdated | None]:
        return self._answers.submit(answer)

    def load(self, conversation: UUID) -> Future[Loaded]:
        return self._loads.submit(conversation)

    async def _accept_all(self, turns: Sequence[NewTurn]) -> list[Accepted | None]:
        try:
            rows = await self._accept(turns)
        except (asyncpg.ForeignKeyViolationError, asyncpg.NotNullViolationError):
            # a cached user id that this database does not know: another life of it, or erased
            rows = await self._accept(turns, believe_users=False)

        verdicts: list[Accepted | None] = [None] * len(turns)
        for row in rows:
            number = row["n"] - 1
            verdicts[number] = _accepted(turns[number], row)

        return verdicts

    async def _accept(
        self,
        turns: Sequence[NewTurn],
        *,
        believe_users: bool = True,
    ) -> list[asyncpg.Record]:
        rows = (_accept_row(turn, believe_users=believe_users) for turn in turns)

        return await self._accept_line.fetch(
            STATEMENTS["accept"], *columns(rows), self._instance, self._lease
        )

    async def _answer_all(
        self, answers: Sequence[Answer]
    ) -> list[StoredAnswer | Outdated | None]:
        values = columns(_answer_row(answer, self._prompts) for answer in answers)
        rows = await self._answer_line.fetch(
            STATEMENTS["answer"], *values, self._lease
        )
        by_fence = {row["fence"]: row for row in rows}

        return [
            _stored(answer, by_fence.get(answer.claim.fence))
            or await self._find_answer(answer)
            for answer in answers
        ]

    async def _find_answer(self, answer: Answer) -> StoredAnswer | Outdated | None:
        """Either the claim is lost, or only the confirmation of our own commit.

        The message itself shows which.
        """
        rows = await self._answer_line.fetch(
            STATEMENTS["find_answer"], answer.claim.conversation, answer.message_id
        )

        return _stored(answer, rows[0] if rows else None)

    async def _load_all(self, conversations: Sequence[UUID]) -> list[Loaded]:
        wanted = list(dict.fromkeys(conversations))
        rows = await self._load_line.fetch(STATEMENTS["load"], wanted, self._limit)

        found: dict[UUID, list[asyncpg.Record]] = {each: [] for each in wanted}
        for row in rows:
            found[row["conversation"]].append(row)

        return [_loaded(found[each], self._limit) for each in conversations]


def _accepted(turn: NewTurn, row: asyncpg.Record) -> Accepted:
    claim = None
    if row["claimed"]:
        claim = Claim(row["conversation_id"], row["turn"], turn.inbound.address.key)

    return Accepted(
        row["turn"],
        row["conversation_id"],
        row["user_id"],
        row["seq"],
        claim,
        row["model"],
        row["person_id"],
        row["previous"],
        row["instruction"] or "",
    )


def _accept_row(turn: NewTurn, *, believe_users: bool) -> tuple[Any, ...]:
    inbound, address = turn.inbound, turn.inbound.address
    known = turn.user_known and believe_users
    metadata: dict[str, Any] = {}
    if inbound.username and not inbound.direct:
        metadata["author"] = inbound.username
    if turn.retry:
        metadata["retry"] = True

    return (
        inbound.turn_id,
        address.channel,
        address.chat,
        address.thread,
        inbound.message_id,
        encode_address(address, direct=inbound.direct, part_of=inbound.part_of),
        turn.conversation,
        # an id that is not believed is used by nobody again
        turn.user if believe_users or not turn.user_known else uuid7(),
        None if known else inbound.user_id,
        inbound.username,
        inbound.text,
        turn.message_id,
        _json(metadata),
    )


def _answer_row(answer: Answer, prompts: SystemPrompts) -> tuple[Any, ...]:
    usage, claim = answer.usage, answer.claim
    metadata = dict(answer.metadata)
    if prompt := metadata.pop("system_prompt", None):
        metadata["prompt"] = prompts.note(prompt)
    if usage and usage.estimated:
        metadata["estimated"] = True
    if usage and usage.cached_tokens:
        metadata["cached"] = usage.cached_tokens
    if usage and usage.price_source:
        metadata["price"] = usage.price_source

    return (
        claim.conversation,
        claim.fence,
        answer.answers,
        answer.next_fence,
        answer.message_id,
        answer.content,
        usage.model if usage else None,
        usage.prompt_tokens if usage else None,
        usage.completion_tokens if usage else None,
        usage.cost_usd if usage else None,
        answer.latency_ms,
        _json(metadata),
        answer.seen,
        answer.first_turn,
    )


def _stored(
    answer: Answer,
    row: asyncpg.Record | None,
) -> StoredAnswer | Outdated | None:
    if row is None:
        return None
    if row["outdated"]:
        return Outdated()

    next_claim = None
    if row["answering"] == answer.next_fence:
        claim = answer.claim
        next_claim = Claim(claim.conversation, answer.next_fence, claim.key)

    return StoredAnswer(row["version"], next_claim)


def _loaded(rows: Sequence[asyncpg.Record], limit: int) -> Loaded:
    """The newest `limit` messages and all that wait.

    A row without a message is an empty conversation.
    """
    if not rows:
        return Loaded(Window(0, ()), ())

    rows = sorted(rows, key=lambda row: row["seq"] or 0, reverse=True)
    asked = [row for row in rows if row["waiting_turn"] is not None]
    answered = [
        row for row in rows if row["seq"] is not None and row["waiting_turn"] is None
    ]

    messages = sorted(
        map(_message, [*answered[:limit], *asked]),
        key=lambda message: message.reading_order,
    )
    window = Window(rows[0]["version"], tuple(messages))

    waiting = tuple(_waiting(row) for row in reversed(asked))

    return Loaded(window, waiting, rows[0]["previous"], rows[0]["instruction"] or "")


def _message(row: asyncpg.Record) -> Message:
    metadata = msgspec.json.decode(row["metadata"])

    return Message(
        row["seq"],
        row["role"],
        row["content"],
        row["answers"],
        metadata.get("author"),
        not is_prompted(metadata),
        "undelivered" in metadata,
    )


def _waiting(row: asyncpg.Record) -> Waiting:
    address = msgspec.json.decode(row["address"])

    return Waiting(
        row["seq"],
        row["waiting_turn"],
        decode_address(row),
        row["user_id"],
        row["channel_user_id"] or "",
        row["attempts"],
        decode_placed(row["placed"]),
        address.get("direct", True),
        row["person_id"],
        row["model_override"] or row["preferred_model"],
        address.get("part_of", ""),
        row["age"],
    )
