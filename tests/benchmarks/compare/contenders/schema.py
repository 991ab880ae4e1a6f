"""What the designs by hand share: two tables, one statement, the keys and the window in Redis."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid5

import msgspec

from tests.benchmarks.compare.contenders import WINDOW, answer_to
from tests.benchmarks.compare.contenders.pipelined import Command

SPACE = UUID("5b6c0d1e-1f7a-4c80-9a51-3a1fb0a5a001")
"""Names of chats become ids in it."""

Line = tuple[int, str, str]
"""A message of a window: seq, role, text."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Line]).decode

TABLES = """
CREATE TABLE IF NOT EXISTS {prefix}_conversations (
    id uuid PRIMARY KEY, version bigint NOT NULL
) WITH (fillfactor = 50);
CREATE TABLE IF NOT EXISTS {prefix}_messages (
    conversation uuid NOT NULL,
    seq bigint NOT NULL,
    id uuid NOT NULL,
    role text NOT NULL,
    content text NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (conversation, seq)
)
"""

BEGIN = """
INSERT INTO {prefix}_conversations VALUES ($1, 0) ON CONFLICT DO NOTHING
"""

ADD = """
WITH new AS (
    SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[]) AS n (conversation, id, content)
), moved AS (
    UPDATE {prefix}_conversations c SET version = version + 1
    FROM new WHERE c.id = new.conversation
    RETURNING c.id, c.version
)
INSERT INTO {prefix}_messages (conversation, seq, id, role, content)
SELECT new.conversation, moved.version, new.id, $4, new.content
FROM new JOIN moved ON moved.id = new.conversation
RETURNING conversation, seq
"""
"""Stores messages of one role in many conversations, and says which seq each has."""


def conversation_of(chat: str) -> UUID:
    return uuid5(SPACE, chat)


def reads(prefix: str, conversation: UUID) -> tuple[Command, ...]:
    """What a turn asks of Redis at first."""
    return (
        ("HMGET", f"{prefix}:session:{conversation}", "user", "conversation"),
        ("GET", f"{prefix}:window:{conversation}"),
    )


def writes(
    prefix: str, conversation: UUID, window: list[Line]
) -> tuple[Command, ...]:
    """What a turn leaves in Redis at last."""
    session = f"{prefix}:session:{conversation}"
    return (
        (
            "SET",
            f"{prefix}:window:{conversation}",
            _encode(window[-WINDOW:]),
            *("EX", 7200),
        ),
        (
            "HSET",
            session,
            "user",
            str(conversation),
            "conversation",
            str(conversation),
        ),
        ("EXPIRE", session, 3600),
    )


def window_of(packed: Any) -> list[Line]:
    """The window that Redis has; empty where it has none."""
    return _decode(packed) if packed else []


def ask_model(window: list[Line]) -> str:
    """Makes the prompt and its answer."""
    prompt = [(role, text) for _, role, text in window]
    return answer_to(prompt[-1][1])
