"""What Redis remembers of people and conversations: hints that are checked before they are
believed.

A window carries the version of its conversation at which it is true. The version names the
window's content, so a stale window is recognised whoever wrote it and whenever: it may be
used only one version behind a new message.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec

from agent import metrics
from agent.core.limits import Limited, Rule
from agent.core.messages import Message, Role, Said, Window
from agent.core.turns import Arrival, Session
from storage.limits.limiter import RedisLimiter, commands
from storage.recent_ids import RecentIds
from storage.redis import Command, RedisPipe

SCHEMA = b"1"  # of sessions and windows: others are not read
SESSION_SECONDS = 3600
WINDOW_SECONDS = 7200
ACTIVE_SECONDS = 300


class _Packed(msgspec.Struct, array_like=True):
    """A window as stored: messages as (seq, role, content, answers, author, notice)."""

    schema: bytes
    version: int
    messages: list[tuple[int, Role, str, int | None, str | None, bool]]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Packed)


class RedisCache:
    """Implements agent.ports.Cache."""

    def __init__(
        self,
        pipe: RedisPipe,
        window_messages: int = 20,
        limiter: RedisLimiter | None = None,
    ) -> None:
        self._pipe = pipe
        self._limiter = limiter
        self._limit = window_messages
        self._users: RecentIds[tuple[str, str]] = RecentIds()
        self._conversations: RecentIds[tuple[str, str, str]] = RecentIds()

    async def arrive(self, inbound: Said) -> Arrival:
        """One round trip: session, epoch, and the window of the conversation this process
        remembers.

        A wrong or missing hint costs one more, also when it is the limiter's.
        """
        key, account = inbound.address.key, (inbound.address.channel, inbound.user_id)
        hint, user = self._conversations.get(key), self._users.get(account)
        rules = await self._limiter.rules(inbound) if self._limiter else ()
        replies = await self._pipe.send(
            (
                "HMGET",
                _session_key(*account),
                "schema",
                "user_id",
                _field(key),
                "person_id",
            ),
            ("HGET", "features:global", "_epoch"),
            *([("GET", _window_key(hint))] if hint else []),
            *commands(rules),
        )
        reply = replies[-1] if replies else None
        if replies is None:
            return Arrival(user=user, limited=await self._judge(inbound, rules, reply))
        session, epoch = replies[0], _integer(replies[1])
        conversation = person = None
        if isinstance(session, list) and session[0] == SCHEMA:
            user, conversation, person = (
                _uuid(session[1]) or user,
                _uuid(session[2]),
                _uuid(session[3]),
            )
        packed, judging = (
            replies[2] if hint else None,
            self._judge(inbound, rules, reply, person),
        )
        if conversation in (None, hint):
            limited = await judging
        else:
            packed, limited = await asyncio.gather(self._window(conversation), judging)
        window = _unpack(packed)
        metrics.cache_reads.add("miss" if window is None else "hit")
        return Arrival(user, conversation or hint, window, epoch, limited)

    async def keep(self, session: Session, window: Window) -> None:
        self._users.put((session.key[0], session.account), session.user)
        self._conversations.put(session.key, session.conversation)
        if self._limiter and session.person:
            self._limiter.learn(session.key[0], session.account, session.person)
        name, active = (
            _session_key(session.key[0], session.account),
            f"active:{session.key[0]}",
        )
        await self._pipe.send(
            (
                "SET",
                _window_key(session.conversation),
                self._pack(window),
                "EX",
                WINDOW_SECONDS,
            ),
            (
                "HSET",
                name,
                "schema",
                SCHEMA,
                "user_id",
                str(session.user),
                "person_id",
                str(session.person or ""),
                _field(session.key),
                str(session.conversation),
                "model",
                session.model,
                "last_activity",
                int(time.time()),
            ),
            ("EXPIRE", name, SESSION_SECONDS),
            ("SADD", active, session.account),
            ("EXPIRE", active, ACTIVE_SECONDS),
        )

    async def _judge(
        self,
        inbound: Said,
        rules: Sequence[Rule],
        reply: Any,
        person: UUID | None = None,
    ) -> Limited | None:
        return (
            await self._limiter.verdict(inbound, rules, reply, person)
            if self._limiter and rules
            else None
        )

    async def _window(self, conversation: UUID) -> Any:
        command: Command = ("GET", _window_key(conversation))
        replies = await self._pipe.send(command)
        return replies[0] if replies else None

    def _pack(self, window: Window) -> bytes:
        """The newest by seq, as Postgres gives them back: no answer depends on what Redis
        still has.
        """
        newest = set(sorted(m.seq for m in window.messages)[-self._limit :])
        messages = [
            (m.seq, m.role, m.content, m.answers, m.author, m.notice)
            for m in window.messages
            if m.seq in newest
        ]
        return _encoder.encode(_Packed(SCHEMA, window.version, messages))


def _unpack(data: Any) -> Window | None:
    """A stored window; None when there is none, it is of another schema, or somebody else's
    bytes.
    """
    if not isinstance(data, bytes):
        return None
    try:
        packed = _decoder.decode(data)
    except msgspec.MsgspecError:
        return None
    if packed.schema != SCHEMA:
        return None
    return Window(
        packed.version, tuple(Message(*message) for message in packed.messages)
    )


def _session_key(channel: str, account: str) -> str:
    return f"session:{channel}:{account}"


def _window_key(conversation: UUID) -> str:
    return f"context:conv:{conversation}"


def _field(key: tuple[str, str, str]) -> str:
    """A person's session names a conversation for each chat the person is in."""
    return f"conversation_id:{key[1]}:{key[2]}"


def _uuid(value: Any) -> UUID | None:
    try:
        return UUID(value.decode()) if isinstance(value, bytes) else None
    except ValueError:
        return None


def _integer(value: Any) -> int:
    return int(value) if isinstance(value, bytes) and value.isdigit() else 0
