"""Updates as Telegram sends them, as files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from telegram import User

PAYLOADS = Path(__file__).parents[2] / "payloads" / "telegram"
ME = User(700000001, "Simple Agent", is_bot=True, username="simple_agent_bot")
"""The bot to which they are sent."""


def load(name: str) -> dict[str, Any]:
    payload: dict[str, Any] = json.loads(
        (PAYLOADS / f"{name}.json").read_text(encoding="utf-8")
    )
    return payload
