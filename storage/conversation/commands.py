"""What commands do. Rare, so plain SQLAlchemy; each command and its reply commit together,
once.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import UUID

import msgspec
from sqlalchemy import select, text, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection
from uuid_utils.compat import uuid7

from agent.core.effects import (
    AcceptLink,
    AnswerState,
    ChatContext,
    ChooseModel,
    ContinueConversation,
    Effect,
    ForgetMe,
    HandOver,
    NewConversation,
    OfferLink,
    Outcome,
    SetConsent,
    SetInstruction,
    StopAnswer,
)
from agent.core.errors import StoreUnavailable
from agent.core.messages import Inbound
from storage.control.redis_copy import announce
from storage.conversation import STATEMENTS, conversations
from storage.conversation.chat import (
    chat_transaction,
    is_account,
    is_active,
    request_stop,
    within_lifetime,
)
from storage.conversation.turns import encode_address
from storage.lifecycle import wishes
from storage.people import accounts as people
from storage.people import linking
from storage.postgres import Database
from storage.redis import RedisPipe
from storage.tables import Conversation, MessageRow, TurnRow, User

MOVED = {"version": Conversation.version + 1}
"""No window that was cached before is used after it."""


class PostgresChatCommands:
    """Implements agent.ports.ChatCommands."""

    def __init__(self, database: Database, pipe: RedisPipe) -> None:
        self._database = database
        self._pipe = pipe

    async def once(
        self,
        inbound: Inbound,
        effect: Effect | None,
        reply: Callable[[Outcome], str],
    ) -> str | None:
        async with chat_transaction(self._database) as connection:
            if not await _begin(connection, inbound):
                return None

            found = await _apply(connection, inbound, effect)
            answer = reply(found)
            await connection.execute(
                update(TurnRow)
                .where(TurnRow.id == inbound.turn_id)
                .values(reply=_kept(effect, answer))
            )

        if isinstance(effect, AcceptLink) and found:
            # It is done: without this, instances see the new epoch with their next heartbeat.
            with suppress(StoreUnavailable):
                await announce(self._database, self._pipe)

        return answer

    async def chat_context(self, inbound: Inbound) -> ChatContext:
        last_text = (
            select(MessageRow.content)
            .where(
                MessageRow.conversation_id == Conversation.id,
                MessageRow.role == "user",
            )
            .where(within_lifetime())
            .order_by(MessageRow.timestamp.desc())
            .limit(1)
            .scalar_subquery()
        )
        of_chat = select(
            Conversation.model_override, Conversation.instruction, last_text
        ).where(is_active(inbound))
        of_account = select(User.preferred_model, User.person_id).where(
            is_account(inbound)
        )

        async with chat_transaction(self._database) as connection:
            chat = (await connection.execute(of_chat)).first()
            account = (await connection.execute(of_account)).first()

        override, instruction, last = chat or (None, None, None)
        preferred, person = account or (None, None)

        return ChatContext(override, preferred, last, person, instruction)

    async def answer_state(self, inbound: Inbound, turn: UUID) -> AnswerState | None:
        channel, chat, _ = inbound.address.key
        asked = {"channel": channel, "chat": chat, "turn": turn}

        async with chat_transaction(self._database) as connection:
            state = text(STATEMENTS["answer_state"])
            row = (await connection.execute(state, asked)).first()

        return AnswerState(*row) if row is not None else None


def _kept(effect: Effect | None, answer: str) -> str:
    """What may be stored of a reply."""
    return effect.KEPT if isinstance(effect, OfferLink | HandOver) else answer


async def _begin(connection: AsyncConnection, inbound: Inbound) -> bool:
    """Stores the command's turn; False: it was stored before."""
    address = inbound.address
    rest = encode_address(address, direct=inbound.direct)
    new = (
        insert(TurnRow)
        .values(
            id=inbound.turn_id,
            channel_type=address.channel,
            chat_id=address.chat,
            thread_id=address.thread,
            platform_message_id=inbound.message_id,
            address=msgspec.json.decode(rest),
            reply="",
        )
        .on_conflict_do_nothing()
        .returning(TurnRow.id)
    )

    return (await connection.execute(new)).first() is not None


async def _apply(
    connection: AsyncConnection,
    inbound: Inbound,
    effect: Effect | None,
) -> Outcome:
    match effect:
        case None | HandOver():
            return True
        case NewConversation(title):
            return await conversations.begin(connection, inbound, title)
        case ContinueConversation(conversation):
            return await conversations.go_on(connection, inbound, conversation)
        case StopAnswer():
            return await request_stop(connection, is_active(inbound))
        case ChooseModel(model):
            return await _choose_model(connection, inbound, model)
        case SetInstruction(wish):
            return await _instruct(connection, inbound, wish)
        case OfferLink(code):
            return await linking.offer(
                connection, await people.account(connection, inbound), inbound, code
            )
        case AcceptLink(code):
            return await linking.accept(connection, inbound, code)
        case ForgetMe() | SetConsent():
            return await _heed(connection, inbound, effect)


async def _heed(
    connection: AsyncConnection, inbound: Inbound, wish: ForgetMe | SetConsent
) -> Outcome:
    if isinstance(wish, ForgetMe):
        return await wishes.forget(connection, inbound)

    return await wishes.consent(connection, inbound, given=wish.given)


async def _changed(
    connection: AsyncConnection,
    inbound: Inbound,
    **values: Any,
) -> bool:
    changed = (
        update(Conversation)
        .where(is_active(inbound))
        .values(**values)
        .returning(Conversation.id)
    )

    return (await connection.execute(changed)).first() is not None


async def _choose_model(
    connection: AsyncConnection,
    inbound: Inbound,
    model: str | None,
) -> bool:
    """A choice moves the version: no window cached before it can be used after it."""
    user = await people.account(connection, inbound)

    if not inbound.direct and model is not None:
        await _keep(connection, inbound, user, model_override=model)
        return True

    # people before conversations, as everywhere: otherwise it deadlocks with `accept`
    if inbound.direct:
        accounts = await people.locked(connection, user)
        await connection.execute(
            update(User).where(User.id.in_(accounts)).values(preferred_model=model)
        )
    await _changed(connection, inbound, model_override=None, **MOVED)

    return True


async def _instruct(
    connection: AsyncConnection, inbound: Inbound, wish: str | None
) -> bool:
    if wish is None:
        return await _changed(connection, inbound, instruction=None, **MOVED)

    user = await people.account(connection, inbound)
    await _keep(connection, inbound, user, instruction=wish)

    return True


async def _keep(
    connection: AsyncConnection, inbound: Inbound, user: UUID, **values: Any
) -> None:
    """Sets something of the active conversation, which begins now if there is none."""
    channel, chat, thread = inbound.address.key
    new = insert(Conversation).values(
        id=uuid7(),
        user_id=user,
        channel_type=channel,
        chat_id=chat,
        thread_id=thread,
        **values,
    )
    await connection.execute(
        new.on_conflict_do_update(
            index_elements=["channel_type", "chat_id", "thread_id"],
            index_where=text("is_active"),
            set_={**values, **MOVED},
        )
    )
