"""What Redis remembers of people and conversations: hints that are checked before use.

A window carries the version of its conversation at which it is true. It may be used only if
it is one version behind a new message. So a stale window is always recognised, no matter
when and by which instance it was written.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import msgspec
from asyncpg.pgproto import pgproto

from agent import metrics
from agent.core.limits import Limited, Rule
from agent.core.messages import Message, Said, Window
from agent.core.turns import Arrival, Session
from storage.connecting.redis_connection import Command
from storage.limits.limiter import RedisLimiter, commands
from storage.limits.recent_ids import RecentIds
from storage.people import active_people
from storage.redis import RedisPipe

SCHEMA = b"2"
"""Schema of sessions and windows, before the name of their database; those of another are not
read. After a restore the versions of a lost life come again: they alone prove nothing.
"""

SESSION_SECONDS = 3600
"""How long a session lives after the person's last message."""

WINDOW_SECONDS = 7200
"""How long a window lives after the last change of its conversation."""


class _Packed(msgspec.Struct, array_like=True):
    """A window as stored."""

    schema: bytes
    version: int
    messages: tuple[Message, ...]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Packed)


class RedisCache:
    """Implements agent.ports.Cache."""

    def __init__(
        self,
        pipe: RedisPipe,
        window_messages: int = 20,
        limiter: RedisLimiter | None = None,
        lineage: Callable[[], str] = str,
    ) -> None:
        """`lineage` names the database: what belongs to another one is not read."""
        self._lineage = lineage
        self._pipe = pipe
        self._limiter = limiter
        self._limit = window_messages
        self._users: RecentIds[tuple[str, str], UUID] = RecentIds()
        self._conversations: RecentIds[tuple[str, str, str], UUID] = RecentIds()
        self._held: RecentIds[tuple[str, ...], Session] = RecentIds()
        """Sessions as Redis had them when they were read last."""
        self._noted: RecentIds[tuple[str, str], float] = RecentIds()
        """When accounts were noted as active last, in seconds since 1970."""

    async def arrive(self, inbound: Said) -> Arrival:
        """One round trip: session, epoch, window and verdict of the limits.

        The window is that of the conversation this process remembers. A wrong or missing
        hint costs one more round trip, also when it is the limiter's.
        """
        key = inbound.address.key
        account = (inbound.address.channel, inbound.user_id)
        hint, user = self._conversations.get(key), self._users.get(account)
        rules = await self._limiter.rules(inbound) if self._limiter else ()

        replies = await self._pipe.send(
            ("HMGET", _session_key(*account), *_session_fields(key)),
            ("HGET", "features:global", "_epoch"),
            *([("GET", _window_key(hint))] if hint else []),
            *commands(rules),
        )
        if replies is None:
            self._held.forget((*key, inbound.user_id))
            return Arrival(user=user, limited=await self._judge(inbound, rules, None))

        epoch, schema = _integer(replies[1]), self._schema
        known = self._read_session(replies[0], key, inbound.user_id)
        user, conversation, person = known[0] or user, known[1], known[2]

        packed = replies[2] if hint else None
        judging = self._judge(inbound, rules, replies[-1], person)
        if conversation in (None, hint):
            limited = await judging
        else:
            packed, limited = await asyncio.gather(
                self._window(conversation), judging
            )

        window = _unpack(packed, schema)
        metrics.cache_reads.add("miss" if window is None else "hit")

        return Arrival(user, conversation or hint, window, epoch, limited)

    async def keep(self, session: Session, window: Window) -> None:
        channel, account = session.key[0], session.account
        self._users.put((channel, account), session.user)
        self._conversations.put(session.key, session.conversation)
        if self._limiter and session.person:
            self._limiter.learn(channel, account, session.person)

        name, schema = _session_key(channel, account), self._schema
        window_name = _window_key(session.conversation)
        packed = self._pack(window, schema)
        activity = self._activity(channel, account)
        changed = self._held.get((*session.key, account)) != session
        replies = await self._pipe.send(
            ("SET", window_name, packed, "EX", WINDOW_SECONDS),
            *activity,
            *([("HSET", name, *_session_values(session, schema))] if changed else []),
            ("EXPIRE", name, SESSION_SECONDS),
        )

        if activity and replies and active_people.mistaken(replies[1]):
            self._noted.forget((channel, account))
            await active_people.forget(self._pipe, channel)

    def _read_session(
        self, reply: Any, key: tuple[str, str, str], account: str
    ) -> tuple[UUID | None, UUID | None, UUID | None]:
        """Whose it is, the conversation and the person, as Redis has them; all of it is
        remembered, so that only what changes is written again.
        """
        place = (*key, account)
        user = conversation = person = None
        if isinstance(reply, list) and reply[0] == self._schema:
            user, conversation, person = map(_uuid, reply[1:])

        if user and conversation:
            self._held.put(place, Session(key, account, user, conversation, person))
        else:
            self._held.forget(place)

        return user, conversation, person

    def _activity(self, channel: str, account: str) -> Sequence[Command]:
        """Notes the account as active, if that was not done just now."""
        now, place = time.time(), (channel, account)
        if now - (self._noted.get(place) or 0.0) < active_people.NOTED_SECONDS:
            return ()

        self._noted.put(place, now)
        return active_people.noted(channel, account, now)

    @property
    def _schema(self) -> bytes:
        return SCHEMA + self._lineage().encode()

    async def _judge(
        self,
        inbound: Said,
        rules: Sequence[Rule],
        reply: Any,
        person: UUID | None = None,
    ) -> Limited | None:
        if not self._limiter or not rules:
            return None

        return await self._limiter.verdict(inbound, rules, reply, person)

    async def _window(self, conversation: UUID) -> Any:
        command: Command = ("GET", _window_key(conversation))
        replies = await self._pipe.send(command)

        return replies[0] if replies else None

    def _pack(self, window: Window, schema: bytes) -> bytes:
        """Keeps the newest messages by seq, as Postgres returns them.

        So no answer depends on what Redis still has.
        """
        messages = window.messages
        if len(messages) > self._limit:
            oldest = sorted([message.seq for message in messages])[-self._limit]
            messages = tuple([each for each in messages if each.seq >= oldest])

        return _encoder.encode(_Packed(schema, window.version, messages))


def _unpack(data: Any, schema: bytes) -> Window | None:
    """A stored window; None for anything else, a window of another schema included."""
    if not isinstance(data, bytes):
        return None

    try:
        packed = _decoder.decode(data)
    except msgspec.MsgspecError:
        return None
    if packed.schema != schema:
        return None

    return Window(packed.version, packed.messages)


def _session_key(channel: str, account: str) -> str:
    return f"session:{channel}:{account}"


def _window_key(conversation: UUID) -> str:
    return f"context:conv:{conversation}"


def _session_fields(key: tuple[str, str, str]) -> tuple[str, ...]:
    return ("schema", "user_id", _conversation_field(key), "person_id")


def _session_values(session: Session, schema: bytes) -> tuple[bytes | str, ...]:
    """Names and values of a session's fields, in turn."""
    return (
        *("schema", schema),
        *("user_id", str(session.user)),
        *("person_id", str(session.person or "")),
        *(_conversation_field(session.key), str(session.conversation)),
    )


def _conversation_field(key: tuple[str, str, str]) -> str:
    """A person's session names a conversation for each chat the person is in."""
    return f"conversation_id:{key[1]}:{key[2]}"


def _uuid(value: Any) -> UUID | None:
    try:
        # the driver's, which is read, compared and hashed in C
        return pgproto.UUID(value.decode()) if isinstance(value, bytes) else None
    except ValueError:
        return None


def _integer(value: Any) -> int:
    return int(value) if isinstance(value, bytes) and value.isdigit() else 0
