"""A change has an author, and the account that runs the program is none."""

from __future__ import annotations

import pytest

from agent.cli.options import author
from agent.core.errors import Rejected
from agent.operations.remedies import described
from agent.settings import Settings


@pytest.mark.parametrize(
    ("account", "operator", "typed", "named"),
    [
        ("ada", None, None, "ada"),
        ("ada", "grace", None, "grace"),
        ("ada", "grace", "eve", "eve"),
        ("agent", "grace", None, "grace"),
        ("agent", None, "agent", "agent"),
    ],
)
def test_who_it_is(
    monkeypatch: pytest.MonkeyPatch,
    account: str,
    operator: str | None,
    typed: str | None,
    named: str,
) -> None:
    """What is typed, else the setting, else the system's user."""
    monkeypatch.setenv("LOGNAME", account)
    settings = Settings(_env_file=None, agent_operator=operator)

    assert named == author(settings, typed, None).name


def test_in_a_container_people_say_who_they_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """There everybody is the same account."""
    monkeypatch.setenv("LOGNAME", "agent")
    with pytest.raises(Rejected) as refusal:
        author(Settings(_env_file=None, agent_operator=None), None, None)

    assert described(refusal.value) == (
        "The account agent runs the program and is nobody's own. "
        "Say who you are with --as or AGENT_OPERATOR."
    )
