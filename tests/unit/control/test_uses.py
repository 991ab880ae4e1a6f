"""Which flags were asked for, and whether they were always the same."""

from __future__ import annotations

from typing import Any

import pytest

from agent.control.uses import FlagUses


@pytest.mark.parametrize(
    ("values", "varied"),
    [
        ([True], False),
        ([True, True], False),
        ([True, False], True),
        ([None, None], False),
        ([None, "text"], True),
        ([{"a": [1]}, {"a": [1]}], False),
        ([{"a": [1]}, {"a": [2]}, {"a": [1]}], True),
        (["a\ud800"], False),
    ],
)
def test_a_flag_varied_if_not_all_its_values_were_the_same(
    values: list[Any], varied: bool
) -> None:
    uses = FlagUses()
    for value in values:
        uses.note("look", value)

    assert [("look", varied)] == [(use.name, use.varied) for use in uses.take()]


def test_what_was_taken_is_told_once() -> None:
    uses = FlagUses()
    uses.note("look", 1)

    assert ["look"] == [use.name for use in uses.take()]
    assert [] == uses.take()


def test_equal_values_of_two_processes_have_one_digest() -> None:
    digests = []
    for value in ({"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": 1}):
        uses = FlagUses()
        uses.note("look", value)
        digests += [use.digest for use in uses.take()]

    assert digests[0] == digests[1] != digests[2]
