"""What commands do. Each command and its reply commit together, once."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from uuid import UUID

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
from agent.core.messages import Inbound, Pressed
from storage.connecting.connection import Connection
from storage.control.redis_copy import announce
from storage.conversation import STATEMENTS, conversations
from storage.conversation.chat import (
    chat_transaction,
    place_of,
    request_stop,
)
from storage.conversation.turns import encode_address
from storage.lifecycle import wishes
from storage.people import accounts as people
from storage.people import linking
from storage.postgres import Database
from storage.redis import RedisPipe


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
            said = {"turn": inbound.turn_id, "reply": _kept(effect, answer)}
            await connection.execute(STATEMENTS["reply_to_command"], said)

        if isinstance(effect, AcceptLink) and found:
            # It is done: without this, instances see the new epoch with their next heartbeat.
            with suppress(StoreUnavailable):
                await announce(self._database, self._pipe)

        return answer

    async def chat_context(self, inbound: Inbound) -> ChatContext:
        of_chat = STATEMENTS["chosen_in_chat"]
        known = STATEMENTS["model_and_person"]

        async with chat_transaction(self._database) as connection:
            chat = (await connection.execute(of_chat, place_of(inbound))).first()
            account = (
                await connection.execute(known, people.account_of(inbound))
            ).first()

        override, instruction, last = chat or (None, None, None)
        preferred, person = account or (None, None)

        return ChatContext(override, preferred, last, person, instruction)

    async def answer_state(self, press: Pressed, turn: UUID) -> AnswerState | None:
        channel, chat, _ = press.address.key
        asked = {
            "channel": channel,
            "chat": chat,
            "turn": turn,
            "press": press.turn_id,
        }

        async with chat_transaction(self._database) as connection:
            state = STATEMENTS["answer_state"]
            row = (await connection.execute(state, asked)).first()

        return AnswerState(*row) if row is not None else None


def _kept(effect: Effect | None, answer: str) -> str:
    """What may be stored of a reply."""
    return effect.KEPT if isinstance(effect, OfferLink | HandOver) else answer


async def _begin(connection: Connection, inbound: Inbound) -> bool:
    """Stores the command's turn; False: it was stored before."""
    new = {
        **place_of(inbound),
        "turn": inbound.turn_id,
        "platform_id": inbound.message_id,
        "address": encode_address(inbound.address, direct=inbound.direct),
    }
    stored = await connection.execute(STATEMENTS["begin_command"], new)

    return stored.first() is not None


async def _apply(
    connection: Connection,
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
            return await request_stop(connection, inbound)
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
    connection: Connection, inbound: Inbound, wish: ForgetMe | SetConsent
) -> Outcome:
    if isinstance(wish, ForgetMe):
        return await wishes.forget(connection, inbound)

    return await wishes.consent(connection, inbound, given=wish.given)


async def _choose_model(
    connection: Connection,
    inbound: Inbound,
    model: str | None,
) -> bool:
    user = await people.account(connection, inbound)

    if not inbound.direct and model is not None:
        await _keep(connection, inbound, user, model=model)
        return True

    # people before conversations, as everywhere: otherwise it deadlocks with `accept`
    if inbound.direct:
        accounts = await people.locked(connection, user)
        preferred = {"accounts": list(accounts), "model": model}
        await connection.execute(STATEMENTS["prefer_model"], preferred)
    await connection.execute(STATEMENTS["choose_no_model"], place_of(inbound))

    return True


async def _instruct(
    connection: Connection, inbound: Inbound, wish: str | None
) -> bool:
    if wish is None:
        forget = STATEMENTS["forget_instruction"]
        return await connection.scalar(forget, place_of(inbound)) is not None

    user = await people.account(connection, inbound)
    await _keep(connection, inbound, user, instruction=wish)

    return True


async def _keep(
    connection: Connection,
    inbound: Inbound,
    user: UUID,
    *,
    model: str | None = None,
    instruction: str | None = None,
) -> None:
    """Sets one of them for the active conversation, which begins now if there is none."""
    chosen = {"model": model, "instruction": instruction}
    new = {**place_of(inbound), "id": uuid7(), "user": user, **chosen}
    await connection.execute(STATEMENTS["choose_in_chat"], new)
