"""`/system`: what a person asks for in every answer of a conversation."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from agent.core.effects import (
    MAX_INSTRUCTION_CHARS,
    CommandOutcome,
    SetInstruction,
    say,
)
from agent.core.messages import Said
from agent.ports.chat import ChatCommands

NOT_ALLOWED = "Instructions of your own are switched off here."
IN_DIRECT_CHATS = (
    "Write `/system` to me in a direct message: in a group it would be for everybody."
)
NONE = "You have set none here. `/system TEXT` asks for something in all my answers."


async def instruction_outcome(
    argument: str,
    inbound: Said,
    commands: ChatCommands,
    is_allowed: Callable[[UUID | None], bool],
) -> CommandOutcome:
    """Shows it, sets it, or takes it back; the last also where it is not allowed any more."""
    if not inbound.direct:
        return say(IN_DIRECT_CHATS)
    if argument.lower() == "off":
        return CommandOutcome(_taken_back, SetInstruction(None))

    context = await commands.chat_context(inbound)
    if not is_allowed(context.person):
        return say(NOT_ALLOWED)
    if not argument:
        return say(_shown(context.instruction))
    if len(argument) > MAX_INSTRUCTION_CHARS:
        return say(
            f"This has {len(argument)} characters; at most {MAX_INSTRUCTION_CHARS} "
            "are possible. Please say it shorter."
        )

    return CommandOutcome(_set, SetInstruction(argument))


def _shown(instruction: str | None) -> str:
    if instruction is None:
        return NONE

    return f"You ask for this in all my answers here:\n\n{instruction}\n\n`/system off` ends it."


def _set(_: bool) -> str:
    return "I heed that from now on in this conversation. `/system off` ends it."


def _taken_back(found: bool) -> str:
    return "It no longer counts." if found else NONE
