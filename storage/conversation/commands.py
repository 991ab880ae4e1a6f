"""What commands do and read. Rare, so plain SQLAlchemy; each command and its reply commit
together, once.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import ColumnElement, case, func, select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from agent.core.effects import (
    AcceptLink,
    ChatContext,
    ChooseModel,
    Effect,
    HistoryEntry,
    NewConversation,
    OfferLink,
    Outcome,
    StopAnswer,
    UsageTotal,
)
from agent.core.errors import StoreUnavailable
from agent.core.messages import Deleted, Edited, Inbound, Reacted, Thumb
from storage.control.redis_copy import announce
from storage.conversation.statements import STATEMENTS
from storage.conversation.turns import encode_address
from storage.people import accounts as people
from storage.people import linking
from storage.postgres import WALK_INDEXES, Database
from storage.redis import RedisPipe
from storage.tables import Conversation, MessageRow, TurnRow, User
from storage.transaction import transaction

_VOTES = {Thumb.UP: 1, Thumb.DOWN: -1}
_AWAY = StoreUnavailable.__doc__ or ""  # for people, who can not mend it


class PostgresDesk:
    """Implements agent.ports.Desk."""

    def __init__(self, database: Database, pipe: RedisPipe) -> None:
        self._database = database
        self._pipe = pipe
        self._edit_line = database.line()
        self._vote_line = database.line(WALK_INDEXES)

    async def once(
        self, inbound: Inbound, effect: Effect | None, reply: Callable[[Outcome], str]
    ) -> str | None:
        address = inbound.address
        turn = {
            "id": inbound.turn_id,
            "channel_type": address.channel,
            "chat_id": address.chat,
            "thread_id": address.thread,
            "platform_message_id": inbound.message_id,
            "address": msgspec.json.decode(
                encode_address(address, direct=inbound.direct)
            ),
        }
        async with transaction(self._database, _AWAY) as connection:
            new = (
                insert(TurnRow)
                .values(reply="", **turn)
                .on_conflict_do_nothing()
                .returning(TurnRow.id)
            )
            if (await connection.execute(new)).first() is None:
                return None
            found = await _apply(connection, inbound, effect)
            answer = reply(found)
            await connection.execute(
                update(TurnRow)
                .where(TurnRow.id == inbound.turn_id)
                .values(reply=answer)
            )
        if isinstance(effect, AcceptLink) and found:
            with suppress(
                StoreUnavailable
            ):  # it is done; instances see a new epoch with their next heartbeat
                await announce(self._database, self._pipe)
        return answer

    async def standing(self, inbound: Inbound) -> ChatContext:
        last_text = (
            select(MessageRow.content)
            .where(
                MessageRow.conversation_id == Conversation.id, MessageRow.role == "user"
            )
            .where(
                MessageRow.timestamp.between(
                    Conversation.started_at, Conversation.last_activity
                )
            )
            .order_by(MessageRow.timestamp.desc())
            .limit(1)
            .scalar_subquery()
        )
        async with transaction(self._database, _AWAY) as connection:
            here = (
                await connection.execute(
                    select(Conversation.model_override, last_text).where(
                        _active(inbound)
                    )
                )
            ).first()
            account = select(User.preferred_model, User.person_id).where(
                _account(inbound)
            )
            who = (await connection.execute(account)).first()
        override, last = here or (None, None)
        preferred, person = who or (None, None)
        return ChatContext(override, preferred, last, person)

    async def history(self, inbound: Inbound, count: int) -> list[HistoryEntry]:
        last = (
            select(
                MessageRow.role,
                MessageRow.content,
                MessageRow.timestamp,
                MessageRow.meta,
            )
            .join(Conversation, Conversation.id == MessageRow.conversation_id)
            .where(_active(inbound))
            .where(
                MessageRow.timestamp.between(
                    Conversation.started_at, Conversation.last_activity
                )
            )
            .order_by(MessageRow.timestamp.desc(), MessageRow.seq.desc())
            .limit(count)
        )
        async with transaction(self._database, _AWAY) as connection:
            rows = (await connection.execute(last)).all()
        return [
            HistoryEntry(role, content, at, meta.get("author"))
            for role, content, at, meta in reversed(rows)
        ]

    async def usage(self, inbound: Inbound) -> tuple[UsageTotal, UsageTotal]:
        person = select(User.person_id).where(_account(inbound)).scalar_subquery()
        own = (
            select(Conversation.id)
            .join(User, User.id == Conversation.user_id)
            .where(User.person_id == person)
        )
        here = select(Conversation.id).where(_active(inbound))
        async with transaction(self._database, _AWAY) as connection:
            return (
                await _total(connection, MessageRow.conversation_id.in_(here)),
                await _total(
                    connection,
                    MessageRow.conversation_id.in_(own)
                    & (MessageRow.timestamp > func.now() - timedelta(days=30)),
                ),
            )

    async def edit(self, change: Edited | Deleted) -> UUID | None:
        if isinstance(change, Edited):
            content, meta = change.text, '{"edited": true}'
        else:
            content, meta = "", '{"deleted": true}'

        rows = await self._edit_line.fetch(
            STATEMENTS["edit"],
            change.turn_id,
            content,
            meta,
        )

        return rows[0]["id"] if rows else None

    async def vote(self, reaction: Reacted) -> bool:
        address = reaction.address
        rows = await self._vote_line.fetch(
            STATEMENTS["vote"],
            address.channel,
            address.chat,
            reaction.message_id,
            reaction.user_id,
            reaction.username,
            uuid7(),
            _VOTES[reaction.thumb],
            not reaction.taken_back,
        )
        return bool(rows[0]["settled"])


async def _apply(
    connection: AsyncConnection, inbound: Inbound, effect: Effect | None
) -> Outcome:
    match effect:
        case None:
            return True
        case NewConversation():
            return await _changed(connection, inbound, is_active=False)
        case StopAnswer():
            return await _changed(
                connection,
                inbound,
                Conversation.answering.is_not(None),
                stopping=Conversation.answering,
            )
        case ChooseModel(model):
            return await _choose_model(connection, inbound, model)
        case OfferLink(code):
            return await linking.offer(
                connection, await people.account(connection, inbound), inbound, code
            )
        case AcceptLink(code):
            return await linking.accept(connection, inbound, code)


async def _changed(
    connection: AsyncConnection,
    inbound: Inbound,
    *where: ColumnElement[bool],
    **values: Any,
) -> bool:
    changed = (
        update(Conversation)
        .where(_active(inbound), *where)
        .values(**values)
        .returning(Conversation.id)
    )
    return (await connection.execute(changed)).first() is not None


async def _choose_model(
    connection: AsyncConnection, inbound: Inbound, model: str | None
) -> bool:
    """A choice moves the version: no window cached before it can be used after it."""
    moved = {"version": Conversation.version + 1}
    user = await people.account(connection, inbound)
    if not inbound.direct and model is not None:
        new = insert(Conversation).values(
            id=uuid7(),
            user_id=user,
            channel_type=inbound.address.channel,
            chat_id=inbound.address.chat,
            thread_id=inbound.address.thread,
            model_override=model,
        )
        await connection.execute(
            new.on_conflict_do_update(
                index_elements=["channel_type", "chat_id", "thread_id"],
                index_where=text("is_active"),
                set_={"model_override": model, **moved},
            )
        )
        return True
    # people before conversations, as everywhere: otherwise it deadlocks with `accept`
    if inbound.direct:
        accounts = await people.locked(connection, user)
        await connection.execute(
            update(User).where(User.id.in_(accounts)).values(preferred_model=model)
        )
    await _changed(connection, inbound, model_override=None, **moved)
    return True


async def _total(connection: AsyncConnection, which: ColumnElement[bool]) -> UsageTotal:
    answered = MessageRow.model_used.is_not(None)
    sums: tuple[ColumnElement[Any], ...] = (
        func.count(),
        func.coalesce(func.sum(MessageRow.prompt_tokens), 0),
        func.coalesce(func.sum(MessageRow.token_count), 0),
        func.coalesce(func.sum(MessageRow.cost_usd), 0),
        func.count(case((MessageRow.cost_usd.is_(None), 1))),
        func.count(case((MessageRow.meta.has_key("estimated"), 1))),
        func.coalesce(func.array_agg(MessageRow.model_used.distinct()), []),
    )
    row = (
        await connection.execute(
            select(*sums).where(which, MessageRow.role == "assistant", answered)
        )
    ).one()
    return UsageTotal(
        row[0], int(row[1]), int(row[2]), row[3], row[4], row[5], tuple(row[6])
    )


def _active(inbound: Inbound) -> ColumnElement[bool]:
    channel, chat, thread = inbound.address.key
    return (
        (Conversation.channel_type == channel)
        & (Conversation.chat_id == chat)
        & (Conversation.thread_id == thread)
        & Conversation.is_active
    )


def _account(inbound: Inbound) -> ColumnElement[bool]:
    return (User.channel_type == inbound.address.channel) & (
        User.channel_user_id == inbound.user_id
    )
