"""Values of Discord's interface: payloads, refusals, interactions, limits."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PAYLOADS = Path(__file__).parents[2] / "payloads" / "discord"
# 2015-01-01 in ms, https://docs.discord.com/developers/reference, Snowflakes
EPOCH = 1_420_070_400_000
GUILD = "10"
BOT = "1"


def payload(name: str, /, **changes: Any) -> dict[str, Any]:
    """The recorded payload of this name, with these fields instead of its own."""
    return {**json.loads((PAYLOADS / f"{name}.json").read_text()), **changes}


class Refused(Exception):
    """The answer to a call that is not taken: an HTTP status and Discord's own code."""

    def __init__(self, status: int, code: int, message: str) -> None:
        self.status = status
        self.body = payload("error", code=code, message=message)


class WrongForm(Refused):
    """A field of the body, or of the query, is not as it must be.

    Each field has a list of its own errors, as deep as the field lies:
    https://docs.discord.com/developers/reference, "Error Messages".
    """

    def __init__(self, field: str, code: str, message: str) -> None:
        super().__init__(400, 50035, "Invalid Form Body")
        errors: dict[str, Any] = {"_errors": [{"code": code, "message": message}]}
        for key in reversed(field.split(".")):
            errors = {key: errors}

        self.body["errors"] = errors


@dataclass(slots=True)
class Interaction:
    """One use of a command and how far its answer has come."""

    token: str
    channel: str
    sent_at: float
    acknowledged_at: float | None = None
    response: dict[str, Any] | None = None
    message: str | None = None


@dataclass(slots=True)
class Limit:
    """The next `times` calls are limited; until `until` none may come."""

    retry_after: float
    times: int
    until: float = 0.0
