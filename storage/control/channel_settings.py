"""What an operator can set for a channel: one model that checks what is written and reads
what is stored.

What is stored may be of another version or written by hand. A field that cannot be read
counts as not set, so that a mistake in it never takes the channel down. The exception are
the lists that keep people or models out: ignoring one would open a door.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any

import structlog
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from agent.core.channel import ChannelSettings
from agent.core.errors import Rejected, UnknownModel
from agent.core.limits import Allowance, Limit
from agent.core.messages import Overlap
from agent.core.text import did_you_mean
from agent.core.words.retention import parse_days, shown_days

CHANNELS = ("discord", "slack", "telegram", "terminal")
NOBODY = "-"
"""An id that no platform uses: if a list cannot be read, only this one may talk."""
DOORS = frozenset({"allow", "deny", "allowed_models"})
"""Lists that let everybody in, or every model, when they are not set."""
OVERLAPS = tuple(overlap.value for overlap in Overlap)

log = structlog.get_logger()


def _limit(value: object) -> object:
    if not isinstance(value, str):
        return value

    return "off" if value.strip().lower() == "off" else Limit.parse(value)


def _days(value: object) -> object:
    return parse_days(value) if isinstance(value, str) else value


def _parts(value: object) -> object:
    if not isinstance(value, str):
        return value

    return [part.strip() for part in value.split(",") if part.strip()]


def _storable(text: str) -> str:
    if "\0" in text:
        raise ValueError("it has a NUL character")

    return text


def _one_word(text: str) -> str:
    if not text or any(
        character.isspace() or character in "\0," for character in text
    ):
        raise ValueError("a name is one word without commas")

    return text


Text = Annotated[str, StringConstraints(max_length=20_000), AfterValidator(_storable)]
Name = Annotated[str, StringConstraints(max_length=255), AfterValidator(_one_word)]
Rate = Annotated[
    Allowance,
    BeforeValidator(_limit),
    PlainSerializer(lambda value: str(value) if value else None),
]
Days = Annotated[int | None, BeforeValidator(_days), PlainSerializer(shown_days)]
Names = Annotated[tuple[Name, ...], BeforeValidator(_parts), Field(max_length=10_000)]


class ChannelForm(BaseModel):
    """Everything that can be set for a channel. Lists are written with commas."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        arbitrary_types_allowed=True,  # values of ours: a limit
    )

    default_model: Annotated[
        Name | None, Field(description="What answers where nobody chose a model.")
    ] = None
    system_prompt: Annotated[
        Text | None, Field(description="What the model is told to be.")
    ] = None
    overlap: Annotated[
        Overlap, Field(description="Messages that arrive during an answer.")
    ] = Overlap.MERGE
    greeting: Annotated[
        Text, Field(description="Stands before the first answer of a conversation.")
    ] = ""
    allowed_models: Annotated[
        Names, Field(description="Models that may answer; none: all.")
    ] = ()
    allow: Annotated[
        Names, Field(description="Ids of those who may talk to the agent; none: all.")
    ] = ()
    deny: Annotated[
        Names, Field(description="Ids of those who may not; stronger than allow.")
    ] = ()
    user_limit: Annotated[
        Rate, Field(description="For each person: 60/minute, 5/10s, off.")
    ] = None
    chat_limit: Annotated[Rate, Field(description="For each chat.")] = None
    channel_limit: Annotated[Rate, Field(description="For all together.")] = None
    retention: Annotated[
        Days, Field(description="How long messages are kept: 180d, forever.")
    ] = None

    @model_validator(mode="after")
    def _default_is_allowed(self) -> ChannelForm:
        if not self.default_model or not self.allowed_models:
            return self
        if self.default_model in self.allowed_models:
            return self

        allowed = ", ".join(self.allowed_models)
        raise ValueError(f"default_model must be one of allowed_models: {allowed}")

    def stored(self) -> dict[str, Any]:
        """What `channel_configs.settings` holds: only what is set."""
        return self.model_dump(
            mode="json", exclude_defaults=True, exclude={"default_model"}
        )

    def settings(self) -> ChannelSettings:
        """The value that the core reads."""
        values = {name: getattr(self, name) for name in ChannelForm.model_fields}
        lists = {name: frozenset(values[name]) for name in ("allow", "deny")}

        return ChannelSettings(**values | lists)


def read_form(default_model: str | None, settings: Any) -> ChannelForm:
    """What is stored, as far as this version can read it.

    If it is no object at all, nobody may talk.
    """
    stored = settings if isinstance(settings, Mapping) else {"allow": [NOBODY]}
    values = {"default_model": default_model, **stored}
    known = {
        name: value
        for name, value in values.items()
        if name in ChannelForm.model_fields
    }

    while True:
        try:
            return ChannelForm.model_validate(known)
        except ValidationError as error:
            bad = _fields_of(error)
            log.warning(
                "channel settings not understood; they count as not set",
                names=sorted(bad),
            )
            known = {name: value for name, value in known.items() if name not in bad}
            if bad & DOORS:
                known["allow"] = [NOBODY]


def _fields_of(error: ValidationError) -> set[str]:
    """The fields that are wrong; the check of all together is about the default model."""
    named = {str(one["loc"][0]) for one in error.errors() if one["loc"]}

    return named or {"default_model"}


def read_settings(default_model: str | None, settings: Any) -> ChannelSettings:
    """What is stored, as the core reads it."""
    return read_form(default_model, settings).settings()


def changed_form(
    form: ChannelForm,
    changes: Mapping[str, str | None],
    check_model: Callable[[str], None],
) -> ChannelForm:
    """The form with these changes, written as a person writes them; None takes a setting back.

    Raises Rejected with one sentence that names what is possible. `check_model` raises
    UnknownModel.
    """
    check_names(changes)
    kept = {name: value for name, value in form if name not in changes}
    typed = {name: text for name, text in changes.items() if text is not None}

    try:
        new = ChannelForm.model_validate(kept | typed)
        for model in _models(new) - _models(form):
            check_model(model)
    except ValidationError as error:
        raise Rejected(_sentence(error)) from None
    except UnknownModel as error:
        raise Rejected(error.sentence) from None

    return new


def set_question(
    channel: str,
    changes: Iterable[str],
) -> str:
    """What is asked before these settings change."""
    return f"Change {', '.join(changes)} for everybody on {channel}?"


def shown_setting(value: object) -> str:
    """A setting as a person writes it; "": not set."""
    match value:
        case None:
            return ""
        case list():
            return ", ".join(map(str, value))
        case _:
            return str(value)


def check_names(names: Iterable[str]) -> None:
    """Raises Rejected for what is no setting of a channel; the sentence names what is near."""
    known = ChannelForm.model_fields
    for name in names:
        if name not in known:
            raise Rejected(
                f"There is no setting {name!r}.{did_you_mean(name, known)} "
                f"Settings: {', '.join(known)}."
            )


def _models(form: ChannelForm) -> set[str]:
    return {name for name in (form.default_model, *form.allowed_models) if name}


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False)[0]
    if not first["loc"]:
        return f"{_reason(first)}; nothing was changed."

    return f"{first['loc'][0]} is not valid: {_reason(first)}. Correct it; nothing was changed."


def _reason(error: ErrorDetails) -> str:
    """Pydantic's reason in words for people; this module's own checks already use such words."""
    match error["type"]:
        case "enum":
            return f"it is {', '.join(OVERLAPS[:-1])} or {OVERLAPS[-1]}"
        case "string_too_long":
            return f"a text has at most {error['ctx']['max_length']} characters"
        case "too_long":
            return f"a list has at most {error['ctx']['max_length']} entries"
        case _:
            return error["msg"].removeprefix("Value error, ").rstrip(".")
