"""What is made when it is first asked for something."""

from __future__ import annotations

import pytest

from agent.core.imports import on_demand


class Desk:
    """Counts itself."""

    made = 0

    def __init__(self) -> None:
        Desk.made += 1
        self.name = "desk"


def test_it_is_made_once_and_not_before() -> None:
    Desk.made = 0
    desk = on_demand(Desk)

    assert 0 == Desk.made
    assert ("desk", "desk", 1) == (desk.name, desk.name, Desk.made)


def test_what_keeps_it_from_being_made_is_said_and_it_is_tried_again() -> None:
    """A module that lacks a name, such as one of another version, raises AttributeError."""
    failures = [AttributeError("module has no attribute"), ImportError("no module")]

    def make() -> Desk:
        if failures:
            raise failures.pop()
        return Desk()

    desk = on_demand(make)
    with pytest.raises(ImportError, match="no module"):
        print(desk.name)
    with pytest.raises(AttributeError, match="module has no attribute"):
        print(desk.name)
    assert "desk" == desk.name
