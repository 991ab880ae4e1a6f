"""Buttons and menus under messages, as Discord takes them
(https://docs.discord.com/developers/components/reference).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import count
from typing import Any

from tests.support.platforms.discord.values import WrongForm

ROW, BUTTON, MENU = 1, 2, 3


def checked(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The components of a message, with the numbers that Discord gives them."""
    ids = count(1)
    rows = body.get("components") or []
    if len(rows) > 5:
        raise _wrong("BASE_TYPE_MAX_LENGTH", "Must be 5 or fewer in length.")

    return [_row(row, ids) for row in rows]


def keys(rows: list[dict[str, Any]]) -> dict[str, str]:
    """What the buttons are called, or the choices of a menu, and what they carry."""
    return {
        one["label"]: one.get("custom_id") or one["value"]
        for row in rows
        for component in row["components"]
        for one in component.get("options", [component])
    }


def pressed(rows: list[dict[str, Any]], data: str) -> dict[str, Any]:
    """The data of the interaction in which this button was pressed, or this was chosen."""
    for row in rows:
        for component in row["components"]:
            if data in [one["value"] for one in component.get("options", ())]:
                return {
                    "component_type": MENU,
                    "custom_id": component["custom_id"],
                    "id": component["id"],
                    "values": [data],
                }

    return {"component_type": BUTTON, "custom_id": data, "id": 2}


def _row(row: Mapping[str, Any], ids: Iterator[int]) -> dict[str, Any]:
    inner = row.get("components") or []
    if row.get("type") != ROW or not 1 <= len(inner) <= 5:
        raise _wrong(
            "UNION_TYPE_CHOICES", 'Value of field "type" must be one of (1,).'
        )

    return {
        "type": ROW,
        "id": next(ids),
        "components": [_component(one, ids) for one in inner],
    }


def _component(one: Mapping[str, Any], ids: Iterator[int]) -> dict[str, Any]:
    if not 1 <= len(one.get("custom_id", "")) <= 100:
        raise _wrong("BASE_TYPE_BAD_LENGTH", "Must be between 1 and 100 in length.")
    if one["type"] == BUTTON and one["style"] in (1, 2, 3, 4):
        _check_length(one["label"], 80)
    elif one["type"] == MENU and 1 <= len(one["options"]) <= 25:
        for option in one["options"]:
            _check_length(option["label"], 100)
            _check_length(option["value"], 100)
    else:
        raise _wrong("BASE_TYPE_BAD_LENGTH", "This component cannot be.")

    return {**one, "id": next(ids)}


def _check_length(text: str, most: int) -> None:
    if not 1 <= len(text) <= most:
        raise _wrong(
            "BASE_TYPE_BAD_LENGTH", f"Must be between 1 and {most} in length."
        )


def _wrong(code: str, message: str) -> WrongForm:
    return WrongForm("components", code, message)
