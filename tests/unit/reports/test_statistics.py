"""The report's statistics against those of statsmodels, which computes them in its own way."""

from __future__ import annotations

from array import array
from math import isnan, log, sqrt

import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import norm
from statsmodels.stats.gof import chisquare
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.proportion import confint_proportions_2indep
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from agent.reports import statistics
from agent.reports.statistics import POWER, TIGHTEST_AT, Interval, Sample

CONTROL = array("d", [3.0, 4.5, 1.0, 7.25, 2.0, 12.0, 0.5, 3.5])
VARIANT = array("d", [5.0, 9.5, 3.0, 6.25, 40.0, 8.0])
ALPHAS = (0.05, 0.05 / 3, 0.001)


def close(found: Interval | None, expected: tuple[float, float]) -> bool:
    assert found is not None

    return expected == pytest.approx((found.low, found.high), abs=1e-9, rel=1e-9)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_the_fixed_interval_is_welchs(alpha: float) -> None:
    compared = CompareMeans(DescrStatsW(VARIANT), DescrStatsW(CONTROL))

    assert close(
        statistics.welch(CONTROL, VARIANT, alpha),
        compared.tconfint_diff(alpha, usevar="unequal"),
    )


def test_a_group_of_equal_people_has_an_interval_next_to_one_that_is_not() -> None:
    alike = array("d", [4.0] * 5)
    compared = CompareMeans(DescrStatsW(VARIANT), DescrStatsW(alike))

    assert close(
        statistics.welch(alike, VARIANT, 0.05),
        compared.tconfint_diff(0.05, usevar="unequal"),
    )


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize(
    ("control", "variant"),
    [((3, 40), (9, 50)), ((0, 40), (2, 30)), ((40, 40), (30, 30))],
)
def test_the_fixed_interval_of_proportions_is_newcombes(
    control: tuple[int, int], variant: tuple[int, int], alpha: float
) -> None:
    """Also where nobody or everybody does it."""
    groups = [
        array("d", [1.0] * yes + [0.0] * (people - yes))
        for yes, people in (control, variant)
    ]
    expected = confint_proportions_2indep(
        *variant, *control, method="newcomb", alpha=alpha
    )

    assert close(statistics.newcombe(groups[0], groups[1], alpha), expected)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_a_difference_reaches_as_many_standard_errors_as_it_is_told(
    alpha: float,
) -> None:
    """With the reach of a fixed interval it is the z interval."""
    compared = CompareMeans(DescrStatsW(VARIANT), DescrStatsW(CONTROL))
    samples = statistics.sample_of(CONTROL), statistics.sample_of(VARIANT)
    found = statistics.difference(*samples, norm.isf(alpha / 2))

    assert close(found, compared.zconfint_diff(alpha, usevar="unequal"))


def test_the_relative_interval_ends_where_the_difference_from_the_scaled_control_does() -> (
    None
):
    reach = norm.isf(0.05 / 2)
    found = statistics.relative_difference(
        statistics.sample_of(CONTROL), statistics.sample_of(VARIANT), reach
    )

    assert found is not None

    for end, side in ((found.low, 0), (found.high, 1)):
        scaled = DescrStatsW([(1 + end) * value for value in CONTROL])
        ends = CompareMeans(DescrStatsW(VARIANT), scaled).zconfint_diff(
            0.05, usevar="unequal"
        )

        assert pytest.approx(0, abs=1e-9) == ends[side]


def test_nothing_is_relative_to_a_control_that_may_be_zero() -> None:
    assert (
        statistics.relative_difference(
            Sample(100, 0.01, 0.01), Sample(100, 0.5, 0.25), 3.0
        )
        is None
    )
    assert (
        statistics.relative_difference(
            Sample(100, 0.0, 0.0), Sample(100, 0.5, 0.25), 3.0
        )
        is None
    )


@pytest.mark.parametrize("alpha", ALPHAS)
def test_sequential_intervals_are_tightest_where_they_are_meant_to_be(
    alpha: float,
) -> None:
    """At the minimum that a search finds, and never as tight as a fixed one, which holds for
    one look.
    """
    found = minimize_scalar(
        lambda people: statistics.sequential_reach(people, alpha),
        bounds=(10, 1e5),
        method="bounded",
    )

    assert pytest.approx(TIGHTEST_AT, rel=1e-3) == found.x
    assert found.fun > norm.isf(alpha / 2)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_next_to_a_larger_group_that_varies_more_the_variance_is_that_of_both(
    alpha: float,
) -> None:
    """Student's interval, which is wider than Welch's there."""
    small = CONTROL
    large = array("d", [*VARIANT, 1.0, 20.0, 9.0])
    compared = CompareMeans(DescrStatsW(large), DescrStatsW(small))
    groups = statistics.cautious(
        statistics.sample_of(small), statistics.sample_of(large)
    )
    found = statistics.difference(*groups, norm.isf(alpha / 2))

    assert close(found, compared.zconfint_diff(alpha, usevar="pooled"))
    assert found.low < compared.zconfint_diff(alpha, usevar="unequal")[0]


@pytest.mark.parametrize(
    "variant", [Sample(100, 1.0, 9.0), Sample(90, 1.0, 9.0), Sample(110, 1.0, 2.0)]
)
def test_groups_of_equal_size_and_small_ones_that_vary_more_keep_their_variances(
    variant: Sample,
) -> None:
    control = Sample(100, 1.0, 3.0)
    assert (control, variant) == statistics.cautious(control, variant)


@pytest.mark.parametrize(
    ("people", "alpha"), [(50, 0.05), (1_000, 0.05), (250_000, 0.01)]
)
def test_the_boundary_is_that_of_the_paper(people: int, alpha: float) -> None:
    """Theorem 2.2 as printed, of a sum with variance 1: √(2 (tρ² + 1) / (t²ρ²) · ln(√(tρ² +
    1) / α)), times √t.
    """
    rho2 = statistics._mixture(alpha) / TIGHTEST_AT
    printed = sqrt(
        2
        * (people * rho2 + 1)
        / (people**2 * rho2)
        * log(sqrt(people * rho2 + 1) / alpha)
    )

    assert pytest.approx(
        printed * sqrt(people), rel=1e-12
    ) == statistics.sequential_reach(people, alpha)


@pytest.mark.parametrize("share", [0.5, 0.2])
def test_people_are_missing_until_a_difference_is_found_with_the_promised_power(
    share: float,
) -> None:
    """statsmodels' power at that size and at the error rate of that one look is the
    promised one.
    """
    control = Sample(100, 5.0, 25.0)
    variant = Sample(100, 5.2, 25.0)
    people = statistics.people_to_find(control, variant, 0.5, share, 0.05)

    assert people is not None

    at_one_look = 2 * norm.sf(statistics.sequential_reach(people, 0.05))
    power = NormalIndPower().power(
        0.5 / 5.0, people * (1 - share), at_one_look, ratio=share / (1 - share)
    )

    assert pytest.approx(POWER, abs=1e-9) == power


def test_the_verdict_is_sure_where_zero_and_the_difference_no_longer_fit_into_one_interval() -> (
    None
):
    control = Sample(100, 5.0, 25.0)
    variant = Sample(100, 5.2, 30.0)
    people = statistics.people_to_settle(control, variant, 0.5, 0.25, 0.05)

    assert people is not None

    grown = (
        Sample(round(0.75 * people), 5.0, 25.0),
        Sample(round(0.25 * people), 5.2, 30.0),
    )
    interval = statistics.difference(
        *grown, statistics.sequential_reach(people, 0.05)
    )

    assert pytest.approx(0.5, rel=1e-4) == interval.high - interval.low


def test_what_takes_more_people_than_there_are_is_not_told() -> None:
    control = Sample(100, 5.0, 25.0)
    variant = Sample(100, 5.0, 25.0)

    assert statistics.people_to_find(control, variant, 1e-9, 0.5, 0.05) is None
    assert statistics.people_to_settle(control, variant, 1e-9, 0.5, 0.05) is None


def test_the_group_that_lacks_more_people_counts() -> None:
    control = Sample(100, 1.0, 1.0)
    variant = Sample(20, 1.0, 1.0)

    assert (80, 0, 300) == tuple(
        statistics.missing(control, variant, people, 0.5)
        for people in (200.0, 40.0, 640.0)
    )


def test_the_split_is_judged_by_pearsons_chi_square() -> None:
    counts = [5_100, 4_800, 110]
    weights = [50.0, 49.0, 1.0]
    expected = [sum(counts) * weight / 100 for weight in weights]

    assert pytest.approx(
        chisquare(counts, expected)[1], rel=1e-9
    ) == statistics.split_p_value(counts, weights)


def test_a_sample_is_what_is_known() -> None:
    nobody = statistics.sample_of(array("d"))
    one = statistics.sample_of(array("d", [3.0]))

    assert 0 == nobody.count
    assert isnan(nobody.mean)
    assert isnan(nobody.variance)
    assert 1 == one.count
    assert 3.0 == one.mean
    assert isnan(one.variance)

    # Not what rounding leaves.
    assert Sample(3, 0.1, 0.0) == statistics.sample_of(array("d", [0.1] * 3))

    described = DescrStatsW(CONTROL)
    expected = (len(CONTROL), described.mean, described.std_ddof(1) ** 2)
    found = statistics.sample_of(CONTROL)

    assert pytest.approx(expected, rel=1e-9) == (
        found.count,
        found.mean,
        found.variance,
    )
    assert not statistics.measurable(nobody, found)
    assert not statistics.measurable(one, found)
    assert not statistics.measurable(Sample(3, 0.1, 0.0), Sample(4, 0.2, 0.0))
