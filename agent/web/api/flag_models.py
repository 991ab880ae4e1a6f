"""What the API takes and tells about flags."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, Field

from agent.web.api.protocol.paging import Asked, Reason, Sent, Text

MANY = 500
"""People of one rule."""


class FlagOut(BaseModel):
    """A flag, and how far its last change has spread."""

    name: str
    kind: str
    meaning: str
    default: Any = Field(
        description="null: what the channel or the environment says."
    )
    allowed: str = Field(description="Its values, in words.")
    rules: dict[str, Any] = Field(description="What operators set, by scope.")
    owner: str | None
    tags: list[str]
    declared: bool = Field(description="By the code; others were made by operators.")
    experiment: str | None = Field(description="The one that runs on it.")
    version: int = Field(description="Of its last change; 0: never changed.")
    applied: int = Field(
        description="Instances on which its last change is in force."
    )
    instances: int = Field(description="Instances that live.")


class RuleIn(Sent):
    """A rule: a value, and for whom it is. All conditions must hold; none: everybody."""

    value: Any = Field(description="null with `kill`: the default.")
    people: Annotated[
        list[Text],
        Field(
            max_length=MANY, description="Accounts as channel:id, or ids of people."
        ),
    ] = Field(default_factory=list)
    channels: Annotated[list[Text], Field(max_length=MANY)] = Field(
        default_factory=list
    )
    chat: Text | None = Field(default=None, description="On the only channel.")
    percentage: float | None = Field(default=None, description="Of all people.")
    salt: Text | None = None
    kill: bool = Field(default=False, description="Whatever the other rules say.")
    rule: Text | None = Field(default=None, description="The name of a named rule.")
    starts: Text | None = None
    ends: Text | None = None
    lasting: Annotated[
        Text | None, Field(alias="for", description="Instead of `ends`: 30m, 2d12h.")
    ] = None
    force: bool = Field(default=False, description="Also a model nobody lists.")
    everybody: bool = Field(default=False, description="I know it is for everybody.")
    reason: Reason = None


class Consent(Asked):
    """What goes with removing a rule."""

    everybody: bool = Field(default=False, description="I know it is for everybody.")
    reason: Reason = None


class UndoIn(Sent):
    """Which change to take back."""

    change: int | None = Field(
        default=None,
        ge=1,
        lt=2**63,
        description="Its number in the log; null: the last.",
    )
    everybody: bool = Field(default=False, description="I know it is for everybody.")
    reason: Reason = None


class ChangedOut(BaseModel):
    """What a change did."""

    name: str
    changed: bool = Field(description="false: everything was so already.")
    before: dict[str, Any]
    after: dict[str, Any]
    epoch: int | None
    version: int


class Whom(Asked):
    """Whom a question is about."""

    person: Text | None = None
    channel: Text | None = None
    chat: Text | None = None
    at: Text | None = Field(default=None, description="A past moment; null: now.")


class StepOut(BaseModel):
    """A rule, and why it decides or does not."""

    rule: str
    scope: str
    why: str
    value: Any
    decides: bool


class WhyOut(BaseModel):
    """What somebody gets, and why."""

    flag: str
    value: Any = Field(description="null: what the channel or the environment says.")
    rule: str
    at: datetime | None
    steps: list[StepOut]
