"""A forecast holds what it says, and its picture and files are whole."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from decimal import Decimal
from random import Random
from xml.etree import ElementTree as ET

import pytest
from scipy.stats import t

from agent.reports.export import to_csv
from agent.reports.forecast import forecast, month_end, student_quantile
from agent.reports.plot import Bar, svg_plot

TENTH = datetime(2026, 11, 10, tzinfo=UTC)


@pytest.mark.parametrize("freedom", range(6, 28))
def test_the_quantile_is_students(freedom: int) -> None:
    assert float(t.ppf(0.975, freedom)) == pytest.approx(
        student_quantile(0.975, freedom), rel=0.002
    )


def test_95_of_100_months_end_within_the_interval() -> None:
    """Twenty of its days are known, and the others come out by chance."""
    chance, held = Random(5), 0
    for _ in range(1_000):
        days = [Decimal(chance.gauss(10, 3)) for _ in range(20)]
        rest = sum(Decimal(chance.gauss(10, 3)) for _ in range(21))
        found = forecast(TENTH, Decimal(90), days)
        assert found is not None
        held += found.low <= 90 + rest <= found.high

    assert 930 <= held <= 970


def test_days_that_are_all_alike_leave_no_doubt() -> None:
    found = forecast(TENTH, Decimal(9), [Decimal(1)] * 28)
    assert found is not None
    assert (Decimal(30), Decimal(30), Decimal(30)) == (
        found.low,
        found.expected,
        found.high,
    )


def test_a_forecast_takes_seven_days() -> None:
    assert forecast(TENTH, Decimal(9), [Decimal(1)] * 6) is None


def test_a_year_ends_too() -> None:
    assert datetime(2027, 1, 1, tzinfo=UTC) == month_end(
        datetime(2026, 12, 31, 5, tzinfo=UTC)
    )


@pytest.mark.parametrize("count", [0, 1, 500])
def test_a_picture_is_whole_and_shows_what_is_unknown(count: int) -> None:
    bars = [Bar(f"<&{n}>\x00", None if n % 2 else n * 1.5) for n in range(count)]
    root = ET.fromstring(svg_plot("a & b", "$", bars))
    titles = [
        title.text or "" for title in root.iter() if title.tag.endswith("title")
    ]

    assert count + 1 == len(titles)
    assert count // 2 == sum(title.endswith("unknown") for title in titles)


def test_a_name_is_no_formula() -> None:
    record = {"name": '=HYPERLINK("x")', "cost_usd": None}
    rows = list(
        csv.reader(io.StringIO(to_csv(["name", "cost_usd"], [record]).decode()))
    )

    assert [["name", "cost_usd"], ['\'=HYPERLINK("x")', ""]] == rows
