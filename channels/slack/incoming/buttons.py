"""Buttons under a message as Slack's blocks, and what comes when one is pressed.

https://docs.slack.dev/reference/block-kit/blocks/actions-block
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.core.messages import Address, Pressed
from agent.core.words.buttons import Act, Button, buttons_of, read_press
from channels.fields import items, mapping, required, text

MOST_IN_A_ROW = 5
"""More stand in a menu."""

_MOST_IN_A_MENU = 100


def blocks_of(said: str) -> list[dict[str, Any]]:
    """What shows this text, and its buttons."""
    return [{"type": "markdown", "text": str(said)}, *actions_of(said)]


def actions_of(said: str) -> list[dict[str, Any]]:
    """The buttons under this text, if there are any."""
    buttons = buttons_of(said)
    if not buttons:
        return []
    if len(buttons) <= MOST_IN_A_ROW:
        return [{"type": "actions", "elements": [_button(one) for one in buttons]}]

    menu = {
        "type": "static_select",
        "action_id": "choices",
        "placeholder": _plain("Choose"),
        "options": [
            {"text": _plain(one.label), "value": one.data}
            for one in buttons[:_MOST_IN_A_MENU]
        ],
    }

    return [{"type": "actions", "elements": [menu]}]


def _button(button: Button) -> dict[str, Any]:
    return {
        "type": "button",
        "text": _plain(button.label),
        "action_id": button.data,
        "value": button.data,
    }


def _plain(label: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": label, "emoji": True}


def pressed(body: Mapping[str, Any], team: str) -> Pressed | None:
    """A press of one of our buttons. None: of something else.

    An answer of the model is a message; the rest is said to the person alone. `team` is the
    agent's own, where Slack names none.
    """
    [action, *_] = items(body, "actions") or [{}]
    chosen = mapping(action, "selected_option")
    data = text(chosen, "value") or text(action, "value")
    press = read_press(data)
    if press is None:
        return None

    container, user = mapping(body, "container"), mapping(body, "user")
    chat, ts = required(container, "channel_id"), required(container, "message_ts")
    thread = text(mapping(body, "message"), "thread_ts")
    extra = {"user": required(user, "id"), "team": text(user, "team_id") or team}
    if press.act is not Act.RETRY:
        extra["press"] = "1"

    return Pressed(
        Address(
            "slack",
            chat,
            thread or text(container, "thread_ts"),
            ts,
            extra,
        ),
        required(body, "trigger_id"),
        extra["user"],
        data,
        ts,
        username=text(user, "username") or None,
        direct=chat.startswith("D"),
    )
