"""Flags: what an operator changes while the agent runs. A new one is a declaration here,
and the code that obeys it.
"""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from sys import float_info
from typing import Any, Generic, TypeVar

from agent.core.errors import Rejected
from agent.core.messages import Overlap
from agent.core.text import is_unicode, shown_name

T = TypeVar("T")

NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
LONGEST_TEXT = 20_000
"""Characters of a string or of a JSON text: a long system prompt, and still little for
every instance to keep.
"""

LARGEST = 2**53
"""Beyond it JSON readers of other languages are not exact: RFC 8259, 6."""

_WORDS = {
    "true": True,
    "on": True,
    "yes": True,
    "false": False,
    "off": False,
    "no": False,
}


class Kind(enum.StrEnum):
    """What a flag's values are."""

    BOOL = "bool"
    INT = "int"
    FLOAT = "float"
    STRING = "string"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class Flag(Generic[T]):
    """One flag. `default` None: where nobody set it, the channel's or the environment's
    setting stands.
    """

    name: str
    kind: Kind
    default: T | None
    meaning: str  # one line
    choices: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    names_model: bool = (
        False  # `provider:model`; "": none, or the setting where `default` is None
    )

    def accepts(self, value: object) -> bool:
        """Whether this is a value of the flag, and one that can be kept."""
        if not self.fits(value):
            return False
        try:
            return _storable(json.dumps(value, ensure_ascii=False, allow_nan=False))
        except (ValueError, TypeError, RecursionError):
            return False

    def fits(self, value: object) -> bool:
        """Whether this is a value of the flag: what an evaluation asks, whatever the
        value's length.
        """
        match self.kind:
            case Kind.BOOL:
                return isinstance(value, bool)
            case Kind.STRING:
                return isinstance(value, str) and (
                    not self.choices or value in self.choices
                )
            case Kind.INT:
                whole = isinstance(value, int) and not isinstance(value, bool)
                return whole and abs(value) <= LARGEST and self._in_range(value)  # type: ignore[arg-type]
            case Kind.FLOAT:
                number = isinstance(value, int | float) and not isinstance(value, bool)
                return number and abs(value) <= float_info.max and self._in_range(value)  # type: ignore[arg-type]
            case Kind.JSON:
                return isinstance(value, dict | list)

    def _in_range(self, value: float) -> bool:
        return (self.least is None or value >= self.least) and (
            self.most is None or value <= self.most
        )

    def checked(self, value: object) -> T:
        """The value as it is stored. Raises Rejected with a sentence that names what is allowed."""
        if not self.accepts(value):
            raise Rejected(f"{self.name} takes {self.allowed}.")
        return float(value) if self.kind is Kind.FLOAT else value  # type: ignore[arg-type, return-value]

    def parsed(self, text: str) -> T:
        """The value that an operator typed. Raises Rejected with a sentence that names what
        is allowed.
        """
        try:
            return self.checked(_READERS[self.kind](text))
        except (ValueError, KeyError, RecursionError):
            raise Rejected(f"{self.name} takes {self.allowed}.") from None

    @property
    def allowed(self) -> str:
        """What its values are, for people."""
        if self.choices:
            return " or ".join((", ".join(self.choices[:-1]), self.choices[-1]))
        if self.names_model:
            return (
                "a model as provider:model, or an empty text for "
                f"{_SETTING if self.default is None else 'none'}"
            )
        if self.least is not None and self.most is not None:
            return f"{_ALLOWED[self.kind]} from {self.least:g} to {self.most:g}"
        return _ALLOWED[self.kind] + (
            f" from {-LARGEST} to {LARGEST}" if self.kind is Kind.INT else ""
        )


_SETTING = "what the channel or the environment says"
_ALLOWED = {
    Kind.BOOL: "true or false",
    Kind.INT: "a whole number",
    Kind.FLOAT: "a number",
    Kind.STRING: f"a text in UTF-8 of at most {LONGEST_TEXT} characters",
    Kind.JSON: "a JSON object or list",
}
_READERS: Mapping[Kind, Callable[[str], Any]] = {
    Kind.BOOL: lambda text: _WORDS[text.strip().lower()],
    Kind.INT: int,
    Kind.FLOAT: float,
    Kind.STRING: str,
    Kind.JSON: json.loads,
}


def _storable(text: str) -> bool:
    """Whether Postgres keeps this JSON in a jsonb: no NUL (which JSON writes so) and no
    half of a surrogate pair.
    """
    return (
        "\\u0000" not in text.replace("\\\\", "")
        and is_unicode(text)
        and len(text) <= LONGEST_TEXT + 2
    )


REPLIES: Flag[bool] = Flag(
    "replies",
    Kind.BOOL,
    True,
    "Answer messages. Off: they are kept, and maintenance_message is said instead.",
)
SWITCHED_OFF = "Answers are switched off at the moment."
MAINTENANCE_MESSAGE: Flag[str] = Flag(
    "maintenance_message",
    Kind.STRING,
    SWITCHED_OFF,
    "Said instead of an answer while replies is off; empty: nothing.",
)
STREAMING: Flag[bool] = Flag(
    "streaming",
    Kind.BOOL,
    True,
    "Show an answer while it is being written. Off: only when it is whole.",
)
OVERLAP: Flag[str] = Flag(
    "overlap",
    Kind.STRING,
    None,
    "What happens to messages that arrive during an answer.",
    choices=tuple(overlap.value for overlap in Overlap),
)
MAX_CONVERSATION_LENGTH: Flag[int] = Flag(
    "max_conversation_length",
    Kind.INT,
    None,
    "How many of a conversation's last messages the model is shown, at most WINDOW_MESSAGES.",
    least=1,
    most=200,
)
ENABLE_SLASH_COMMANDS: Flag[bool] = Flag(
    "enable_slash_commands",
    Kind.BOOL,
    True,
    "Offer the commands in the channel's own menu.",
)
DEFAULT_MODEL: Flag[str] = Flag(
    "default_model",
    Kind.STRING,
    None,
    "The model where neither conversation nor person chose one.",
    names_model=True,
)
FALLBACK_MODEL: Flag[str] = Flag(
    "fallback_model",
    Kind.STRING,
    "",
    "Asked when the model and FALLBACK_MODELS failed before the first word.",
    names_model=True,
)
SYSTEM_PROMPT: Flag[str] = Flag(
    "system_prompt", Kind.STRING, None, "The system prompt."
)

DECLARED: Mapping[str, Flag[Any]] = {
    flag.name: flag
    for flag in (
        REPLIES,
        MAINTENANCE_MESSAGE,
        STREAMING,
        OVERLAP,
        MAX_CONVERSATION_LENGTH,
        ENABLE_SLASH_COMMANDS,
        DEFAULT_MODEL,
        FALLBACK_MODEL,
        SYSTEM_PROMPT,
    )
}


def new_flag(name: str, kind: str, meaning: str) -> Flag[Any]:
    """A flag that is not declared, without its default. Raises Rejected."""
    if not NAME.fullmatch(name):
        raise Rejected(
            "A flag's name is a-z, 0-9 and _, begins with a letter and has at most 63 characters."
        )
    if kind not in tuple(Kind):
        raise Rejected(f"A flag's type is one of {', '.join(Kind)}.")
    meaning = " ".join(meaning.split())
    if not (
        0 < len(meaning) <= 200 and _storable(json.dumps(meaning, ensure_ascii=False))
    ):
        raise Rejected("A flag has a meaning of one line, at most 200 characters.")
    return Flag(name, Kind(kind), None, meaning)


def made_by_operator(name: str, definition: Mapping[str, Any]) -> Flag[Any]:
    """A flag as `definition_of` told it. Raises Rejected when this version can not read it."""
    try:
        flag = new_flag(name, definition["type"], definition["meaning"])
        return replace(flag, default=flag.checked(definition["default"]))
    except (Rejected, KeyError, TypeError, AttributeError):
        raise Rejected(
            f"The flag {shown_name(name)} is of another version, or was written by hand."
            " Use the version that made it, or correct its row in feature_flags."
        ) from None


def definition_of(flag: Flag[Any]) -> dict[str, Any]:
    """What is stored of a flag that an operator made."""
    return {"type": flag.kind.value, "default": flag.default, "meaning": flag.meaning}
