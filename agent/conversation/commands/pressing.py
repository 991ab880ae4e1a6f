"""What a press of a button stands for, and when it is too late for it."""

from __future__ import annotations

from agent.core.messages import Pressed
from agent.core.words.buttons import THUMBS, Act, Press
from agent.ports.chat import ChatCommands

NOTED = "Noted, thank you."
GONE = "That answer is no longer kept, so its buttons do nothing any more."
GONE_ON = (
    "The conversation has gone on since that answer. "
    "`/retry` answers its last message again."
)
WRITTEN = "That answer is not being written any more."


def wording(press: Press) -> str:
    """The command that does the same. "": a thumb, for which there is none."""
    match press.act:
        case Act.RETRY | Act.STOP:
            return f"/{press.act}"
        case Act.MODEL:
            return f"/model {press.model}"
        case _:
            return ""


async def objection(
    press: Press, pressed: Pressed, commands: ChatCommands
) -> str | None:
    """Why this button does nothing any more, as a sentence; "": it still does.

    None: a thumb that was taken before. Meanwhile the person may have pressed the other one.
    """
    if press.turn is None:
        return ""

    state = await commands.answer_state(pressed, press.turn)
    if state is None:
        return GONE
    if press.act in THUMBS and state.is_repeated:
        return None
    if press.act is Act.RETRY and not state.is_last:
        return GONE_ON
    if press.act is Act.STOP and not state.is_written:
        return WRITTEN

    return ""
