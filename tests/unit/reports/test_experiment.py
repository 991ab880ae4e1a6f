"""What the report says of a variant, and when it says nothing."""

from __future__ import annotations

import builtins
from array import array
from datetime import UTC, datetime
from typing import Any

import pytest
from msgspec.structs import replace

from agent.control.experiments import Experiment, Variant
from agent.core.errors import ConfigurationError
from agent.reports.experiment import (
    METRICS,
    MIN_PEOPLE,
    Figures,
    Group,
    MetricName,
    Report,
    ReportVerdict,
    judge,
    people_lacking,
    report_of,
)
from agent.reports.statistics import Sample, need_scipy
from agent.reports.winner import winner_of

BEGUN = datetime(2026, 3, 1, tzinfo=UTC)
ANSWERS = METRICS["answers"]
COST = METRICS["cost"]
CONTROL = Sample(2_000, 5.0, 4.0)


def figures(
    *weights: float, people: tuple[int, ...], **values: tuple[list[float], ...]
) -> Figures:
    """Variants a, b, … of these weights and numbers of people; each metric's values come by
    variant.
    """
    names = "abcd"[: len(weights)]
    variants = tuple(
        Variant(name, weight) for name, weight in zip(names, weights, strict=True)
    )
    groups = {
        name: Group(people=count) for name, count in zip(names, people, strict=True)
    }

    for metric, of_variants in values.items():
        for name, of_variant in zip(names, of_variants, strict=True):
            groups[name].values[metric] = array("d", of_variant)  # type: ignore[index]

    return Figures(
        Experiment("shorter", "system_prompt", "shorter", variants),
        BEGUN,
        None,
        groups,
        0,
    )


def verdicts(report: Report, metric: MetricName) -> dict[str, ReportVerdict | None]:
    return {
        compared.variant: compared.verdict
        for compared in report.comparisons
        if compared.metric.name == metric
    }


@pytest.mark.parametrize(
    ("mean", "variance", "more", "fewer"),
    [
        (5.5, 4.0, ReportVerdict.BETTER, ReportVerdict.WORSE),
        (4.5, 4.0, ReportVerdict.WORSE, ReportVerdict.BETTER),
        (5.0, 4.0, ReportVerdict.NO_DIFFERENCE, ReportVerdict.NO_DIFFERENCE),
        (5.2, 40.0, ReportVerdict.NOT_YET, ReportVerdict.NOT_YET),
        (5.5, 4_000.0, ReportVerdict.NOT_YET, ReportVerdict.NOT_YET),
    ],
)
def test_a_verdict_needs_an_interval_on_one_side_of_zero_or_within_what_is_worth_knowing(
    mean: float, variance: float, more: ReportVerdict, fewer: ReportVerdict
) -> None:
    """Of answers more is better, of cost it is worse."""
    variant = Sample(2_000, mean, variance)
    assert more == judge(CONTROL, variant, ANSWERS, 0.1, 0.05)
    assert fewer == judge(CONTROL, variant, COST, 0.1, 0.05)


def test_no_verdict_before_a_hundred_people() -> None:
    """However large the difference is; from then on it is told."""
    few, enough = (
        judge(CONTROL, Sample(n, 50.0, 4.0), ANSWERS, 0.1, 0.05)
        for n in (MIN_PEOPLE - 1, MIN_PEOPLE)
    )

    assert ReportVerdict.NOT_YET == few
    assert ReportVerdict.BETTER == enough
    assert (
        judge(
            Sample(MIN_PEOPLE - 1, 5.0, 4.0),
            Sample(2_000, 50.0, 4.0),
            ANSWERS,
            0.1,
            0.05,
        )
        is ReportVerdict.NOT_YET
    )


def test_a_few_people_without_an_event_are_no_difference_yet() -> None:
    """Nor is it said that fewer are missing because those few are all alike."""
    many = Sample(900, 0.05, 0.05)
    few = Sample(100, 0.0, 0.0)

    assert (
        judge(many, few, METRICS["thumbs_down"], 0.1, 0.05) is ReportVerdict.NOT_YET
    )

    pooled = 899 * 0.05 / 998
    expected = people_lacking(
        replace(many, variance=pooled), replace(few, variance=pooled), 0.1, 0.1, 0.05
    )

    assert expected is not None
    assert expected == people_lacking(many, few, 0.1, 0.1, 0.05)


def test_people_that_are_all_alike_are_no_measure_of_chance() -> None:
    alike = Sample(500, 1.0, 0.0)
    other = Sample(500, 2.0, 0.0)

    assert judge(alike, other, ANSWERS, 0.1, 0.05) is ReportVerdict.NOT_YET
    assert people_lacking(alike, other, 0.1, 0.5, 0.05) is None
    assert (
        people_lacking(Sample(40, 1.0, 0.0), other, 0.1, 0.5, 0.05) == MIN_PEOPLE - 40
    )


def test_more_people_are_missing_for_a_smaller_difference_and_when_they_vary_more() -> (
    None
):
    """First until a difference is usually found; if they are there already, until a verdict is
    certain.
    """
    young = Sample(200, 5.0, 25.0)
    lacking = [
        people_lacking(young, young, detect, 0.5, 0.05) for detect in (0.5, 0.2, 0.1)
    ]

    assert None not in lacking
    assert lacking == sorted(lacking, key=int)  # type: ignore[arg-type]

    wild = people_lacking(young, Sample(200, 5.0, 100.0), 0.1, 0.5, 0.05)
    assert wild is not None
    assert lacking[-1] is not None
    assert wild > lacking[-1] > 0

    found = Sample(200 + lacking[-1], 5.0, 25.0)
    assert (people_lacking(found, found, 0.1, 0.5, 0.05) or 0) > 0


def test_one_extreme_person_decides_nothing() -> None:
    """They move the mean, and the range of chance with it."""
    usual = [float(n % 7) for n in range(500)]
    report = report_of(
        figures(1, 1, people=(500, 500), answers=(usual, [*usual[1:], 1e9]))
    )

    assert {"b": ReportVerdict.NOT_YET} == verdicts(report, "answers")


USUAL = [float(n % 7) for n in range(500)]
MORE = [value + 2 for value in USUAL]
MOST = [value + 3 for value in USUAL]


@pytest.mark.parametrize(
    ("answers", "winner"),
    [
        ((USUAL, MORE), "b"),
        ((USUAL, MORE, MOST), "c"),
        ((MORE, USUAL), "a"),
        ((MORE, USUAL, USUAL), "a"),
        ((USUAL, USUAL), None),
        ((MORE, USUAL, MORE), None),
    ],
)
def test_the_winner_is_the_variant_that_is_better_or_the_control_of_worse_ones(
    answers: tuple[list[float], ...], winner: str | None
) -> None:
    weights, people = (1.0,) * len(answers), (500,) * len(answers)

    report = report_of(figures(*weights, people=people, answers=answers))
    assert winner == winner_of(report)


def test_a_wrong_split_has_no_winner() -> None:
    report = report_of(figures(1, 1, people=(100, 500), answers=(USUAL[:100], MORE)))

    assert report.split.wrong
    assert winner_of(report) is None


def test_the_error_rate_is_shared_among_variants() -> None:
    usual = [float(n % 7) for n in range(500)]
    two = report_of(figures(1, 1, people=(500, 500), answers=(usual, usual)))
    four = report_of(figures(1, 1, 1, 1, people=(500,) * 4, answers=(usual,) * 4))

    assert pytest.approx([0.95, 1 - 0.05 / 3]) == [two.confidence, four.confidence]

    narrow, wide = (report.comparisons[0].sequential for report in (two, four))
    assert narrow is not None
    assert wide is not None
    assert wide.high > narrow.high


def test_the_primary_metric_comes_first_and_every_metric_once() -> None:
    shown = [
        compared.metric.name
        for compared in report_of(figures(1, 1, people=(0, 0)), "cost").comparisons
    ]

    assert "cost" == shown[0]
    assert sorted(METRICS) == sorted(shown)


@pytest.mark.parametrize(
    ("people", "weights", "wrong"),
    [
        ((500, 500), (1, 1), False),
        ((5_100, 4_900), (1, 1), False),  # p = 0.046
        ((5_300, 4_700), (1, 1), True),
        ((2_700, 300), (9, 1), False),
        ((2_700, 300), (1, 1), True),
        ((50_090_000, 49_910_000), (1, 1), False),  # p < 0.001, but 0.09 %
        ((50_110_000, 49_890_000), (1, 1), True),  # 0.11 %
        ((4, 0), (1, 1), False),  # too few to tell
        ((0, 0), (1, 1), False),
        ((400, 400, 250), (1, 1, 1), True),
    ],
)
def test_a_split_that_chance_does_not_make_is_wrong(
    people: tuple[int, ...], weights: tuple[float, ...], wrong: bool
) -> None:
    """A wrong split leaves the numbers, and takes every verdict away."""
    report = report_of(figures(*weights, people=people))
    assert wrong == report.split.wrong
    assert wrong == all(compared.verdict is None for compared in report.comparisons)


def test_without_scipy_one_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usual = builtins.__import__

    def without(name: str, *rest: Any, **named: Any) -> Any:
        if name.partition(".")[0] == "scipy":
            raise ImportError(name)

        return usual(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", without)

    with pytest.raises(ConfigurationError, match=r'run `pip install ".\[reports\]"`'):
        need_scipy()
