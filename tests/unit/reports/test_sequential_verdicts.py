"""Simulated: early looks do not raise the error rate, and promised differences are found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
import pytest
from scipy.stats import binom, ttest_ind_from_stats

from agent.reports.experiment import (
    ERROR_RATE,
    METRICS,
    ReportVerdict,
    judge,
    people_lacking,
)
from agent.reports.statistics import POWER, Sample

pytestmark = pytest.mark.slow

EXPERIMENTS = 2_000
LOOKS = 20
AT_ONCE = 100
"""People that join a group between two looks."""
MORE_POWER = 0.86  # where groups are unequal, and the interval is wider than chance alone makes it
Draw = Callable[[Any, tuple[int, ...]], Any]
Looks = tuple[
    Any, Any, Any
]  # count by look, mean and variance by experiment and look

DISTRIBUTIONS: dict[str, Draw] = {
    "answers of a person": lambda random, shape: random.geometric(0.2, shape),
    "cost, most of it by a few": lambda random, shape: random.lognormal(
        0.0, 1.0, shape
    ),
    "thumbs down, which are rare": lambda random, shape: random.random(shape) < 0.05,
}
EXTREME: dict[str, Draw] = {
    "cost, nearly all of it by very few": lambda random, shape: random.lognormal(
        0.0, 2.0, shape
    ),
    "thumbs down of one in 200": lambda random, shape: random.random(shape) < 0.005,
}


def looks(values: Any, at_once: int = AT_ONCE) -> Looks:
    """What is known of one group at each look, from its values by experiment and person."""
    parts = values.reshape(len(values), -1, at_once).astype(float)
    counts: Any = at_once * numpy.arange(1, parts.shape[1] + 1)
    means = parts.sum(axis=2).cumsum(axis=1) / counts
    squares = (parts**2).sum(axis=2).cumsum(axis=1) / counts

    return counts, means, (squares - means**2) * counts / (counts - 1)


def samples(group: Looks) -> list[list[Sample]]:
    """By experiment and look."""
    counts, means, variances = (part.tolist() for part in group)
    return [
        list(map(Sample, counts, mean, variance))
        for mean, variance in zip(means, variances, strict=True)
    ]


def verdicts(control: Looks, variant: Looks) -> list[list[ReportVerdict]]:
    """By experiment and look."""
    return [
        [
            judge(first, second, METRICS["answers"], 0.1, ERROR_RATE)
            for first, second in zip(*pair, strict=True)
        ]
        for pair in zip(samples(control), samples(variant), strict=True)
    ]


def alarms(found: list[list[ReportVerdict]]) -> int:
    """Experiments that were called better or worse at any look."""
    return sum(
        not {ReportVerdict.BETTER, ReportVerdict.WORSE}.isdisjoint(at_looks)
        for at_looks in found
    )


def naive_alarms(control: Looks, variant: Looks) -> int:
    """Experiments whose interval for one look excluded zero at any look."""
    described = [
        (means, numpy.sqrt(variances), counts)
        for counts, means, variances in (control, variant)
    ]
    p = ttest_ind_from_stats(*described[0], *described[1], equal_var=False)

    return int((p.pvalue < ERROR_RATE).any(axis=1).sum())


def at_most(rate: float, experiments: int = EXPERIMENTS) -> int:
    """More alarms than this are no accident (one in a thousand) when they come at this rate."""
    return int(binom.isf(0.001, experiments, rate))


@pytest.mark.parametrize("what", DISTRIBUTIONS)
def test_looking_twenty_times_raises_no_false_alarm(what: str) -> None:
    """Of 2,000 experiments without a difference at most 5 % are ever called one; naively many
    more.
    """
    random = numpy.random.default_rng(1)
    control, variant = (
        looks(DISTRIBUTIONS[what](random, (EXPERIMENTS, LOOKS * AT_ONCE)))
        for _ in range(2)
    )

    assert alarms(verdicts(control, variant)) <= at_most(ERROR_RATE)
    assert naive_alarms(control, variant) > 2 * at_most(ERROR_RATE)


@pytest.mark.parametrize("what", EXTREME)
@pytest.mark.parametrize("weights", [(9, 1), (1, 9), (4, 1)])
def test_a_small_group_in_which_nothing_happened_yet_raises_none_either(
    what: str, weights: tuple[int, int]
) -> None:
    """Next to a large one, its own variance suggests that chance can do little."""
    random = numpy.random.default_rng(4)
    experiments = EXPERIMENTS // 4
    sizes = [weight * AT_ONCE for weight in weights]
    control, variant = (
        looks(EXTREME[what](random, (experiments, LOOKS * size)), size)
        for size in sizes
    )

    assert alarms(verdicts(control, variant)) <= at_most(ERROR_RATE, experiments)


def test_people_that_go_on_writing_raise_none_either() -> None:
    """The same 400 people write more from look to look: nobody is new, yet the numbers move."""
    random = numpy.random.default_rng(2)
    temper = random.gamma(1.0, 1.0, (EXPERIMENTS, 2, 200))
    total = numpy.zeros(temper.shape)
    at_looks = []

    for _ in range(LOOKS):
        total += random.poisson(temper)
        at_looks.append((total.mean(axis=2), total.var(axis=2, ddof=1)))

    means, variances = (
        numpy.stack(part, axis=2) for part in zip(*at_looks, strict=True)
    )
    counts = numpy.full(LOOKS, 200)
    control, variant = (
        (counts, means[:, group], variances[:, group]) for group in range(2)
    )

    assert alarms(verdicts(control, variant)) <= at_most(ERROR_RATE)


@pytest.mark.parametrize("weight", [1, 9])
@pytest.mark.parametrize(
    ("mean", "called"), [(5.5, ReportVerdict.BETTER), (4.5, ReportVerdict.WORSE)]
)
def test_a_difference_is_found_at_the_promised_size(
    weight: int, mean: float, called: ReportVerdict
) -> None:
    """With the people said to be missing, as often as promised or a bit more; it is seldom
    denied.
    """
    # Geometric, as below.
    first = Sample(weight * AT_ONCE, 5.0, 20.0)
    second = Sample(AT_ONCE, mean, mean * (mean - 1))
    lacking = people_lacking(first, second, 0.1, 1 / (weight + 1), ERROR_RATE)

    assert lacking is not None

    # In the variant: the control lacks `weight` times as many.
    people = round(1 + lacking / weight / AT_ONCE) * AT_ONCE
    random = numpy.random.default_rng(3)
    experiments = EXPERIMENTS // 4
    control = looks(
        random.geometric(1 / 5.0, (experiments, weight * people)), weight * AT_ONCE
    )
    found = verdicts(
        control, looks(random.geometric(1 / mean, (experiments, people)))
    )
    at_the_end = sum(at_looks[-1] is called for at_looks in found)

    assert (
        binom.ppf(0.001, experiments, POWER)
        <= at_the_end
        <= binom.isf(0.001, experiments, MORE_POWER)
    )
    assert at_the_end <= alarms(found)

    wrong = {
        ReportVerdict.BETTER,
        ReportVerdict.WORSE,
        ReportVerdict.NO_DIFFERENCE,
    } - {called}

    assert (
        sum(not wrong.isdisjoint(at_looks) for at_looks in found)
        <= at_most(ERROR_RATE) // 4
    )
