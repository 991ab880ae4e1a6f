"""Buttons under a message as Discord's components, and what comes when one is pressed.

https://docs.discord.com/developers/components/reference
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agent.core.messages import Address, Pressed
from agent.core.words.buttons import Act, Button, buttons_of, read_press
from channels.discord.reading.content import name_of
from channels.discord.reading.fields import Payload, digits, needed, part, string

_ROW, _BUTTON, _MENU = 1, 2, 3  # types of components
_GREY = 2  # a button's style
_MOST_IN_A_ROW, _MOST_IN_A_MENU = 5, 25
_MENU_ID = "choices"


def components(text: str) -> list[dict[str, Any]]:
    """What stands under this text: a row of buttons, or a menu where there are many."""
    buttons = buttons_of(text)
    if not buttons:
        return []
    if len(buttons) > _MOST_IN_A_ROW:
        return [{"type": _ROW, "components": [_menu(buttons)]}]

    return [{"type": _ROW, "components": [_button(one) for one in buttons]}]


def _button(button: Button) -> dict[str, Any]:
    return {
        "type": _BUTTON,
        "style": _GREY,
        "label": button.label,
        "custom_id": button.data,
    }


def _menu(buttons: Sequence[Button]) -> dict[str, Any]:
    options = [
        {"label": one.label, "value": one.data} for one in buttons[:_MOST_IN_A_MENU]
    ]

    return {"type": _MENU, "custom_id": _MENU_ID, "options": options}


def pressed(payload: Payload) -> Pressed | None:
    """A press of one of our buttons, with what its answer needs. None: of something else.

    Raises ValueError when something is missing without which it cannot be answered.
    """
    data, member = part(payload, "data"), part(payload, "member")
    values = data.get("values")
    chosen = values[0] if isinstance(values, list) and values else None
    carried = chosen if isinstance(chosen, str) else string(data, "custom_id")
    if read_press(carried) is None:
        return None

    id, token = needed(payload, "id"), string(payload, "token")
    if not token:
        raise ValueError("no token")

    user = part(member, "user") or part(payload, "user")
    extra = {
        "interaction": id,
        "token": token,
        "application": needed(payload, "application_id"),
    }

    return Pressed(
        Address("discord", needed(payload, "channel_id"), extra=extra),
        id,
        needed(user, "id"),
        carried,
        needed(part(payload, "message"), "id"),
        username=name_of(user, member),
        direct=not digits(payload, "guild_id"),
    )


def is_answered_alone(inbound: Pressed) -> bool:
    """Whether only the person who pressed sees what is said: all but an answer of the model."""
    press = read_press(inbound.data)

    return press is not None and press.act is not Act.RETRY
