"""Flags: what an operator changes while the agent runs.

A new one is declared here, in `DECLARED` as well; CONTRIBUTING.md lists all that belongs to it.
"""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Callable, Mapping
from sys import float_info
from typing import Any, Generic, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from agent.core.errors import Rejected
from agent.core.messages import Overlap
from agent.core.text import is_storable_json, is_text, shown_name

T = TypeVar("T")

NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
MAX_TEXT_CHARS = 20_000
"""Characters of a string or a JSON text: a long system prompt, still little to keep in memory."""
MAX_JSON_CHARS = MAX_TEXT_CHARS + 2  # with its quotes

MAX_MEANING_CHARS = 200
"""Characters of a flag's meaning."""

LARGEST = 2**53
"""The largest integer. JSON readers of other languages are not exact beyond it: RFC 8259, 6."""

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


class Flag(Struct, Generic[T], frozen=True):
    """One flag, and the values that it takes."""

    name: str
    kind: Kind
    default: T | None
    """None: where nobody set it, the channel's or the environment's setting applies."""
    meaning: str
    """One line."""
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    names_model: bool = False
    """`provider:model`. "": no model, or the setting if `default` is None."""

    def accepts(self, value: object) -> bool:
        """Whether this is a value of the flag, and one that can be kept."""
        if not self.fits(value):
            return False

        try:
            written = json.dumps(value, ensure_ascii=False, allow_nan=False)
            return is_storable_json(written, MAX_JSON_CHARS)
        except (ValueError, TypeError, RecursionError):
            return False

    def fits(self, value: object) -> bool:
        """Whether this is a value of the flag. Evaluations ask this: its length does not matter."""
        match value:
            case bool():
                return self.kind is Kind.BOOL
            case str():
                is_choice = not self.choices or value in self.choices
                return self.kind is Kind.STRING and is_choice
            case int() | float():
                return self._is_number(value)
            case dict() | list():
                return self.kind is Kind.JSON
            case _:
                return False

    def _is_number(self, value: float) -> bool:
        if self.kind is Kind.INT:
            return isinstance(value, int) and self._is_within(value, LARGEST)

        return self.kind is Kind.FLOAT and self._is_within(value, float_info.max)

    def _is_within(self, value: float, largest: float) -> bool:
        minimum = -largest if self.minimum is None else self.minimum
        maximum = largest if self.maximum is None else self.maximum

        return abs(value) <= largest and minimum <= value <= maximum

    def checked(self, value: object) -> T:
        """The value as it is stored. Raises Rejected with a sentence that says what is allowed."""
        if not self.accepts(value):
            raise Rejected(f"{self.name} takes {self.allowed}.")

        if self.kind is Kind.FLOAT:
            value = float(value)  # type: ignore[arg-type]
        return value  # type: ignore[return-value]

    def parsed(self, text: str) -> T:
        """The value that an operator typed.

        Raises Rejected with a sentence that says what is allowed.
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
            empty = _SETTING if self.default is None else "none"
            return f"a model as provider:model, or an empty text for {empty}"

        kind = _ALLOWED[self.kind]
        if self.minimum is not None and self.maximum is not None:
            return f"{kind} from {self.minimum:.16g} to {self.maximum:.16g}"

        return (
            f"{kind} from {-LARGEST} to {LARGEST}" if self.kind is Kind.INT else kind
        )


_SETTING = "what the channel or the environment says"
_ALLOWED = {
    Kind.BOOL: "true or false",
    Kind.INT: "a whole number",
    Kind.FLOAT: "a number",
    Kind.STRING: f"a text in UTF-8 of at most {MAX_TEXT_CHARS} characters",
    Kind.JSON: "a JSON object or list",
}
_READERS: Mapping[Kind, Callable[[str], Any]] = {
    Kind.BOOL: lambda text: _WORDS[text.strip().lower()],
    Kind.INT: int,
    Kind.FLOAT: float,
    Kind.STRING: str,
    Kind.JSON: json.loads,
}


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
    minimum=1,
    maximum=200,
)
ENABLE_SLASH_COMMANDS: Flag[bool] = Flag(
    "enable_slash_commands",
    Kind.BOOL,
    True,
    "Offer the commands in the channel's own menu.",
)
BUTTONS: Flag[bool] = Flag(
    "buttons",
    Kind.BOOL,
    False,
    "Put buttons under answers where the platform has them: retry, stop, thumbs, models.",
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

OWN_INSTRUCTIONS: Flag[bool] = Flag(
    "own_instructions",
    Kind.BOOL,
    False,
    "Let people add an instruction of their own to the system prompt, with /system.",
)
TITLES: Flag[bool] = Flag(
    "titles",
    Kind.BOOL,
    False,
    "Have the model title a new conversation after its first answer; it costs tokens.",
)
TEMPERATURE: Flag[float] = Flag(
    "temperature",
    Kind.FLOAT,
    None,
    "How freely the model chooses its words; a model that refuses it is asked without.",
    minimum=0,
    maximum=2,
)
REASONING_EFFORT: Flag[str] = Flag(
    "reasoning_effort",
    Kind.STRING,
    "",
    "How much the model thinks, in its provider's word, such as low; empty: as MODELS says.",
)
ANSWER_TOKENS: Flag[int] = Flag(
    "answer_tokens",
    Kind.INT,
    None,
    "The longest answer in tokens, thinking included.",
    minimum=16,
    maximum=1_000_000,
)
REQUEST_FIELDS: Flag[Any] = Flag(
    "request_fields",
    Kind.JSON,
    None,
    "Further fields of the request to the model, as its provider knows them.",
)
KEEP_EARLIER_TEXTS: Flag[bool] = Flag(
    "keep_earlier_texts",
    Kind.BOOL,
    False,
    "Keep what edited and deleted messages said before, and the prompts of answers.",
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
        BUTTONS,
        DEFAULT_MODEL,
        FALLBACK_MODEL,
        SYSTEM_PROMPT,
        OWN_INSTRUCTIONS,
        TITLES,
        TEMPERATURE,
        REASONING_EFFORT,
        ANSWER_TOKENS,
        REQUEST_FIELDS,
        KEEP_EARLIER_TEXTS,
    )
}


def new_flag(name: str, kind: str, meaning: str) -> Flag[Any]:
    """A flag that is not declared, without its default. Raises Rejected."""
    if not NAME.fullmatch(name):
        raise Rejected(
            "A flag's name is a-z, 0-9 and _, begins with a letter and "
            "has at most 63 characters."
        )
    if kind not in tuple(Kind):
        raise Rejected(f"A flag's type is one of {', '.join(Kind)}.")

    meaning = " ".join(meaning.split())
    if not 0 < len(meaning) <= MAX_MEANING_CHARS or not is_text(meaning):
        raise Rejected(
            f"A flag has a meaning of one line, at most {MAX_MEANING_CHARS} characters."
        )

    return Flag(name, Kind(kind), None, meaning)


def made_by_operator(name: str, definition: Mapping[str, Any]) -> Flag[Any]:
    """A flag from its definition. Raises Rejected if this version cannot read it."""
    try:
        flag = new_flag(name, definition["type"], definition["meaning"])
        return replace(flag, default=flag.checked(definition["default"]))
    except (Rejected, KeyError, TypeError, AttributeError):
        raise Rejected(
            f"The flag {shown_name(name)} is of another version, or was written by hand. "
            "Use the version that made it, or correct its row in feature_flags."
        ) from None


def definition_of(flag: Flag[Any]) -> dict[str, Any]:
    """What is stored of a flag that an operator made."""
    return {"type": flag.kind.value, "default": flag.default, "meaning": flag.meaning}
