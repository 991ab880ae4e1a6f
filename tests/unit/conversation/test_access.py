"""Who may talk to the agent, and what may answer."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.conversation.access import (
    default_model,
    is_blocked,
    is_unlisted,
    model_refusal,
    permits,
)
from agent.core.channel import ChannelSettings
from agent.core.messages import Address, Said

ADA = Said(Address("test", "ada"), "1", "ada", "hello")


@pytest.mark.parametrize(
    ("allow", "deny", "barred", "told"),
    [
        ([], [], False, True),
        (["ada"], [], False, True),
        (["bob"], [], True, True),
        ([], ["ada"], True, False),
        (["ada"], ["ada"], True, False),
    ],
)
def test_the_deny_list_is_stronger_and_an_empty_allow_list_is_everybody(
    allow: list[str], deny: list[str], barred: bool, told: bool
) -> None:
    settings = ChannelSettings(allow=frozenset(allow), deny=frozenset(deny))
    assert is_blocked(settings, ADA) == barred
    assert is_unlisted(settings, ADA) == told


def test_strangers_in_a_group_are_not_told() -> None:
    settings = ChannelSettings(allow=frozenset({"bob"}))
    assert not is_unlisted(settings, replace(ADA, direct=False))


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
    assert not permits(settings, "test:c")
    assert "test:c may not be used here; allowed: test:a, test:b." in model_refusal(
        settings, "test:c"
    )
