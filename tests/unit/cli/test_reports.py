"""How reports are shown."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from agent.cli.reports.options import Wanted
from agent.cli.reports.views import show
from agent.reports.table import View, most_first
from agent.reports.usage import Line, Scope

MONDAY, TUESDAY = (datetime(2026, 3, day, tzinfo=UTC) for day in (2, 3))
SCOPE = Scope(MONDAY, TUESDAY)


@pytest.mark.parametrize(
    ("amount", "expected"),
    [("answers", ["b", "a", "c"]), ("cost_usd", ["c", "a", "b"])],
)
def test_in_each_period_the_most_stands_first(
    amount: str, expected: list[str]
) -> None:
    """Else models stand by their names, and people by ids that nobody sees."""
    lines = [
        Line(period, name, answers=answers, cost_usd=Decimal(cost))
        for period in (MONDAY, TUESDAY)
        for name, answers, cost in (("a", 2, "0.5"), ("b", 9, "0.1"), ("c", 1, "3"))
    ]
    found = [(line.period, line.subject) for line in most_first(lines, amount)]

    assert found == [
        (period, name) for period in (MONDAY, TUESDAY) for name in expected
    ]


def test_lines_with_the_same_amount_keep_their_order() -> None:
    lines = [Line(None, name, answers=1) for name in ("b", "a", "c")]

    assert lines == most_first(lines, "answers")


def test_what_there_is_to_say_is_said_of_an_empty_report_too(
    capsys: pytest.CaptureFixture[str],
) -> None:
    view = View(
        "retention", SCOPE, MONDAY, ("people",), [], "people", notes=("Why.",)
    )
    show(view, Wanted())

    assert ["Nothing happened in this time.", "Why."] == (
        capsys.readouterr().out.splitlines()[1:]
    )
