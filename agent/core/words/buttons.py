"""Buttons under a message: what they are called, and what a press of one asks for.

A press does what a command or a reaction does. What a button carries fits into the 64 bytes
that Telegram takes (InlineKeyboardButton.callback_data).
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from uuid import UUID

from msgspec import Struct

from agent.core.messages import Notice, Thumb

MAX_DATA_BYTES = 64
"""https://core.telegram.org/bots/api#inlinekeyboardbutton"""


class Act(enum.StrEnum):
    """What a button does."""

    RETRY = "retry"
    STOP = "stop"
    UP = "up"
    DOWN = "down"
    MODEL = "model"


THUMBS = {Act.UP: Thumb.UP, Act.DOWN: Thumb.DOWN}


class Button(Struct, frozen=True):
    """One button."""

    label: str
    data: str
    """Comes back when somebody presses it."""


class Press(Struct, frozen=True):
    """What a pressed button stands for."""

    act: Act
    turn: UUID | None = None
    """The last turn of the answer under which it stood."""
    model: str = ""


class Offering(str):
    """A text with buttons under it. Where a platform has none, it is the text alone."""

    buttons: tuple[Button, ...] = ()


class OfferingNotice(Offering, Notice):
    """A notice with buttons under it."""


def offering(text: str, buttons: Sequence[Button]) -> Offering:
    """The text with these buttons, a notice if it was one."""
    kind = OfferingNotice if isinstance(text, Notice) else Offering
    made = kind(text)
    made.buttons = tuple(buttons)

    return made


def buttons_of(text: str) -> tuple[Button, ...]:
    """What stands under it; most texts have nothing there."""
    return text.buttons if isinstance(text, Offering) else ()


def under_last(pieces: Sequence[str], said: str) -> list[str]:
    """The parts of a text, its buttons under the last."""
    buttons = buttons_of(said)
    if not buttons:
        return list(pieces)

    return [*pieces[:-1], offering(pieces[-1], buttons)]


def is_same(shown: str | None, text: str) -> bool:
    """Whether what is shown needs no edit: neither the text nor the buttons under it."""
    return shown == text and buttons_of(shown or "") == buttons_of(text)


def answer_buttons(turn: UUID) -> tuple[Button, ...]:
    """Under a whole answer. `turn` is the last one that it answers."""
    return (
        _of_answer("🔁 Retry", Act.RETRY, turn),
        _of_answer("👍", Act.UP, turn),
        _of_answer("👎", Act.DOWN, turn),
    )


def retry_button(turn: UUID) -> tuple[Button, ...]:
    """Under a notice instead of an answer."""
    return (_of_answer("🔁 Retry", Act.RETRY, turn),)


def stop_button(turn: UUID) -> tuple[Button, ...]:
    """Under an answer that is being written."""
    return (_of_answer("⏹ Stop", Act.STOP, turn),)


def model_buttons(models: Sequence[str]) -> tuple[Button, ...]:
    """One for each model whose name is short enough for every platform."""
    made = (Button(model, f"{Act.MODEL}:{model}") for model in models)

    return tuple(one for one in made if len(one.data.encode()) <= MAX_DATA_BYTES)


def read_press(data: str) -> Press | None:
    """What a pressed button asks for. None: it is none of ours."""
    name, _, rest = data.partition(":")
    try:
        act = Act(name)
        if act is Act.MODEL:
            return Press(act, model=rest) if rest else None

        return Press(act, UUID(hex=rest))
    except ValueError:
        return None


def _of_answer(label: str, act: Act, turn: UUID) -> Button:
    return Button(label, f"{act}:{turn.hex}")
