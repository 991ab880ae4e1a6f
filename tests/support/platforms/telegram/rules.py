"""What Telegram refuses, in its own words. Source of each rule:
https://core.telegram.org/bots/api.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support.platforms.telegram.state import Json

MAX_TEXT = 4096  # UTF-16 units, sendMessage
_TOKEN = re.compile(r"\d+:[\w-]{10,}")
_ENTITIES = re.compile(
    "mention|hashtag|cashtag|bot_command|url|email|phone_number|bold|italic|underline|"
    "strikethrough|spoiler|"
    "(expandable_)?blockquote|code|pre|text_link|text_mention|custom_emoji|date_time"
)


class ApiError(Exception):
    """An answer with ok = false."""

    def __init__(self, code: int, description: str, **parameters: Any) -> None:
        super().__init__(description)
        self.code, self.description, self.parameters = code, description, parameters

    def body(self) -> Json:
        """The answer's JSON."""
        extra = {"parameters": self.parameters} if self.parameters else {}
        return {
            "ok": False,
            "error_code": self.code,
            "description": self.description,
            **extra,
        }


def bad(description: str) -> ApiError:
    """400."""
    return ApiError(400, f"Bad Request: {description}")


def check_token(found: str, token: str) -> None:
    """What is no token is not found; a token that is not the bot's is unauthorized."""
    if not _TOKEN.fullmatch(found):
        raise ApiError(404, "Not Found")
    if found != token:
        raise ApiError(401, "Unauthorized")


def number(
    fields: Mapping[str, str],
    name: str,
    default: int | None = None,
) -> int:
    """An Integer parameter; required without a default."""
    if name not in fields:
        if default is None:
            raise bad(f"{name} is empty")

        return default

    try:
        return int(fields[name])
    except ValueError:
        raise bad(f"{name} must be an integer") from None


def units(text: str) -> int:
    """Length in UTF-16 code units."""
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def text_of(fields: Mapping[str, str], *, least: int = 1) -> str:
    """A message's text: 1 to 4096 units."""
    text = fields.get("text", "").rstrip()
    if units(text.strip()) < least:
        raise bad("message text is empty")
    if units(text) > MAX_TEXT:
        raise bad("message is too long")

    return text


def entities_of(fields: Mapping[str, str], text: str) -> list[Json]:
    """The entities, each inside the text and not through the middle of a character."""
    try:
        entities = json.loads(fields.get("entities", "[]"))
        for entity in entities:
            _check_entity(entity, fields.get("text", text))
    except (ValueError, TypeError, KeyError) as error:
        raise bad(f"can't parse entities: {error}") from None

    return list(entities)


def keyboard_of(fields: Mapping[str, str]) -> list[list[Json]]:
    """The rows of an inline keyboard. Each button here carries 1 to 64 bytes."""
    try:
        rows = json.loads(fields.get("reply_markup", "{}")).get("inline_keyboard", [])
        keys = [key for row in rows for key in row]
        sizes = [len(key["callback_data"].encode()) for key in keys]
        are_named = all(key["text"] for key in keys)
    except (ValueError, TypeError, KeyError, AttributeError):
        raise bad("can't parse inline keyboard button") from None

    if not are_named or not all(1 <= size <= 64 for size in sizes):
        raise bad("BUTTON_DATA_INVALID")

    return list(rows)


def _check_entity(entity: Json, text: str) -> None:
    start, end = int(entity["offset"]), int(entity["offset"]) + int(entity["length"])
    if not _ENTITIES.fullmatch(entity["type"]):
        raise ValueError("unsupported type of an entity")
    if not 0 <= start < end <= units(text):
        raise ValueError("an entity is outside of the text")

    for at in (start, end):
        # UnicodeDecodeError is a ValueError
        text.encode("utf-16-le")[: 2 * at].decode("utf-16-le")

    if entity["type"] == "text_link" and not entity["url"]:
        raise ValueError("a link leads nowhere")


@dataclass
class Penalty:
    """A chat that is refused with 429 for its next `times` calls, each time for `seconds`."""

    seconds: float
    times: int
    until: float = 0.0


@dataclass
class Flood:
    """The limits on messages and edits: how many in how many seconds (bots FAQ: 1/s a chat,
    20/min a group).

    Telegram lets short bursts pass; so does this, by a longer span for private chats.
    """

    clock: Callable[[], float]
    direct: tuple[int, float] = (60, 60.0)
    group: tuple[int, float] = (20, 60.0)
    calls: dict[int, deque[float]] = field(default_factory=dict)

    def check(self, chat: int) -> None:
        """Raises 429 when this call is one too many."""
        count, seconds = self.direct if chat > 0 else self.group
        now, calls = self.clock(), self.calls.setdefault(chat, deque())
        while calls and calls[0] <= now - seconds:
            calls.popleft()

        if len(calls) >= count:
            raise too_many(calls[0] + seconds - now)

        calls.append(now)


def too_many(seconds: float) -> ApiError:
    """429. Telegram names whole seconds; tests may ask for less."""
    wait = int(seconds) if seconds == int(seconds) else seconds
    return ApiError(429, f"Too Many Requests: retry after {wait}", retry_after=wait)
