"""A flag's rules over the channel's settings over the environment."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from agent.control.flags import DEFAULT_MODEL, FALLBACK_MODEL, Flag
from agent.control.rules import Audience
from agent.conversation.policy import PolicyEvaluator
from agent.core.channel import ChannelSettings
from agent.core.options import Options

ADA = Audience(None, "test", "ada")


@dataclass
class Operators:
    """What they set: flags for everybody, and one channel. Implements agent.ports.Flags and
    Control.
    """

    flags: Mapping[str, Any] = field(default_factory=dict)
    settings: ChannelSettings = field(default_factory=ChannelSettings)
    epoch: int = 1

    def value(self, flag: Flag[Any], who: Audience, setting: Any = None) -> Any:
        default = setting if flag.default is None else flag.default
        return self.flags.get(flag.name, default)

    def variants(
        self, who: Audience, unasked: Collection[str] = ()
    ) -> Mapping[str, str]:
        return {}

    def channel(self, name: str) -> ChannelSettings:
        return self.settings

    async def observe(self, epoch: int | None) -> None:
        """Nothing changes."""

    async def miss(self) -> None:
        """Nothing changes."""


@pytest.mark.parametrize(
    ("flags", "channel", "model"),
    [
        ({}, None, "test:environment"),
        ({"default_model": ""}, None, "test:environment"),
        ({"default_model": ""}, "test:channel", "test:channel"),
        ({"default_model": "test:flag"}, "test:channel", "test:flag"),
    ],
)
def test_an_empty_default_model_is_the_setting(
    flags: dict[str, str], channel: str | None, model: str
) -> None:
    """It is no name of a model: nobody could be asked."""
    operators = Operators(flags, ChannelSettings(default_model=channel))
    steering = PolicyEvaluator(operators, operators, Options("test:environment"))
    assert (model, model) == (steering.model(ADA), steering.terms(ADA, None).model)


def test_what_an_empty_model_means_is_said() -> None:
    assert DEFAULT_MODEL.allowed.endswith(
        "an empty text for what the channel or the environment says"
    )
    assert FALLBACK_MODEL.allowed.endswith("an empty text for none")
