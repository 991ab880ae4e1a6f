"""A flag's rules over the channel's settings over the environment; lists over everything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from msgspec.structs import replace

from agent.control.flags import DEFAULT_MODEL, FALLBACK_MODEL, Flag
from agent.control.rules import Audience
from agent.conversation.policy import (
    PolicyEvaluator,
    default_model,
    is_blocked,
    is_unlisted,
    model_refusal,
    permits,
)
from agent.core.channel import ChannelSettings
from agent.core.messages import Address, Overlap, Said
from agent.core.options import Options

ADA = Audience(None, "test", "ada")
HELLO = Said(Address("test", "ada"), "1", "ada", "hello")


@dataclass
class Operators:
    """What operators set: flags for everybody, and one channel.

    Implements agent.ports.Flags and Control.
    """

    flags: Mapping[str, Any] = field(default_factory=dict)
    settings: ChannelSettings = field(default_factory=ChannelSettings)
    epoch: int = 1
    version: object | None = None

    def value(self, flag: Flag[Any], audience: Audience, default: Any = None) -> Any:
        fallback = default if flag.default is None else flag.default
        return self.flags.get(flag.name, fallback)

    def variants(
        self, audience: Audience, ignored_flags: Sequence[str] = ()
    ) -> Mapping[str, str]:
        return {}

    def channel(self, name: str) -> ChannelSettings:
        return self.settings


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
    policy = PolicyEvaluator(operators, operators, Options("test:environment"))

    assert model == policy.model(ADA)
    assert model == policy.answer_policy(ADA, None).model


def test_what_an_empty_model_means_is_said() -> None:
    assert DEFAULT_MODEL.allowed.endswith(
        "an empty text for what the channel or the environment says"
    )
    assert FALLBACK_MODEL.allowed.endswith("an empty text for none")


@pytest.mark.parametrize(
    ("allow", "deny", "is_barred", "is_told"),
    [
        ([], [], False, True),
        (["ada"], [], False, True),
        (["bob"], [], True, True),
        ([], ["ada"], True, False),
        (["ada"], ["ada"], True, False),
    ],
)
def test_the_deny_list_is_stronger_and_an_empty_allow_list_is_everybody(
    allow: list[str], deny: list[str], is_barred: bool, is_told: bool
) -> None:
    settings = ChannelSettings(allow=frozenset(allow), deny=frozenset(deny))

    assert is_blocked(settings, HELLO) == is_barred
    assert is_unlisted(settings, HELLO) == is_told


def test_unlisted_people_in_a_group_are_not_told() -> None:
    settings = ChannelSettings(allow=frozenset({"bob"}))
    assert not is_unlisted(settings, replace(HELLO, direct=False))


@pytest.mark.parametrize(
    ("chosen", "allowed", "model"),
    [
        (None, (), "test:everywhere"),
        ("test:own", (), "test:own"),
        (None, ("test:a", "test:b"), "test:a"),
        (None, ("test:a", "test:everywhere"), "test:everywhere"),
        ("test:b", ("test:a", "test:b"), "test:b"),
    ],
)
def test_the_default_is_always_an_allowed_model(
    chosen: str | None, allowed: tuple[str, ...], model: str
) -> None:
    settings = ChannelSettings(chosen, allowed_models=allowed)

    assert default_model(settings, "test:everywhere") == model
    assert permits(settings, model)


def test_a_refused_model_is_told_with_those_that_are_allowed() -> None:
    settings = ChannelSettings(allowed_models=("test:a", "test:b"))
    refusal = model_refusal(settings, "test:c")

    assert not permits(settings, "test:c")
    assert "test:c may not be used here; allowed: test:a, test:b." in refusal


@pytest.mark.parametrize(("version", "asked"), [(object(), 0), (None, 1)])
def test_nothing_is_evaluated_again_until_operators_change_something(
    version: object | None, asked: int
) -> None:
    """Hooks, which have no version, see each evaluation."""
    operators = Operators({"default_model": "test:a"}, version=version)
    policy = PolicyEvaluator(operators, operators, Options("test:environment"))
    first = policy.answer_policy(ADA, None), policy.overlap(ADA)
    operators.flags = {"default_model": "test:b", "overlap": "queue"}

    now = policy.answer_policy(ADA, None), policy.overlap(ADA)
    assert (first == now) == (asked == 0)

    operators.version = object()
    assert "test:b" == policy.answer_policy(ADA, None).model
    assert Overlap.QUEUE is policy.overlap(ADA)
    assert "test:own" == policy.answer_policy(ADA, "test:own").model
