"""Looking early does not raise the error rate, and a difference is found at the size that was promised: simulated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
import pytest
from scipy.stats import binom, ttest_ind_from_stats

from agent.confidence import POWER, Sample, people_to_find
from agent.report import ERROR_RATE, METRICS, Verdict, judge

EXPERIMENTS = 2_000
LOOKS = 20
AT_ONCE = 100  # people who join each group between two looks
Draw = Callable[[Any, tuple[int, ...]], Any]

DISTRIBUTIONS: dict[str, Draw] = {
    "answers of a person": lambda random, shape: random.geometric(0.2, shape),
    "cost, most of it by a few": lambda random, shape: random.lognormal(0.0, 1.0, shape),
    "thumbs down, which are rare": lambda random, shape: random.random(shape) < 0.05,
}


def looks(values: Any) -> tuple[Any, Any, Any]:
    """Count, mean and variance at each look, of values by experiment, group and person."""
    parts = values.reshape(*values.shape[:2], -1, AT_ONCE).astype(float)
    counts: Any = AT_ONCE * numpy.arange(1, parts.shape[2] + 1)
    means = parts.sum(axis=3).cumsum(axis=2) / counts
    squares = (parts**2).sum(axis=3).cumsum(axis=2) / counts
    return counts, means, (squares - means**2) * counts / (counts - 1)


def verdicts(counts: Any, means: Any, variances: Any, alpha: float = ERROR_RATE) -> list[list[Verdict]]:
    """By experiment and look."""
    sizes = [int(count) for count in counts]
    return [
        [
            judge(Sample(n, m[0], v[0]), Sample(n, m[1], v[1]), METRICS["answers"], 0.1, alpha)
            for n, m, v in zip(sizes, mean.T.tolist(), variance.T.tolist(), strict=True)
        ]
        for mean, variance in zip(means, variances, strict=True)
    ]


def alarms(found: list[list[Verdict]]) -> int:
    """Experiments that were called better or worse at any look."""
    return sum(not {Verdict.BETTER, Verdict.WORSE}.isdisjoint(at_looks) for at_looks in found)


def naive_alarms(counts: Any, means: Any, variances: Any) -> int:
    """Experiments whose interval for one look excluded zero at any look."""
    errors = numpy.sqrt(variances)
    p = ttest_ind_from_stats(means[:, 0], errors[:, 0], counts, means[:, 1], errors[:, 1], counts, equal_var=False)
    return int((p.pvalue < ERROR_RATE).any(axis=1).sum())


def at_most(rate: float) -> int:
    """More alarms than this are no accident (one in a thousand) when they come at this rate."""
    return int(binom.isf(0.001, EXPERIMENTS, rate))


@pytest.mark.parametrize("what", DISTRIBUTIONS)
def test_looking_twenty_times_raises_no_false_alarm(what: str) -> None:
    """2,000 experiments without a difference: at most 5 % are ever called one, of looks for one look clearly more."""
    values = DISTRIBUTIONS[what](numpy.random.default_rng(1), (EXPERIMENTS, 2, LOOKS * AT_ONCE))
    figures = looks(values)
    assert alarms(verdicts(*figures)) <= at_most(ERROR_RATE)
    assert naive_alarms(*figures) > 2 * at_most(ERROR_RATE)


def test_people_who_go_on_writing_raise_none_either() -> None:
    """The same 400 people, who write more from look to look: nobody new, yet the numbers move."""
    random = numpy.random.default_rng(2)
    temper = random.gamma(1.0, 1.0, (EXPERIMENTS, 2, 200))
    total = numpy.zeros(temper.shape)
    at_looks = []
    for _ in range(LOOKS):
        total += random.poisson(temper)
        at_looks.append((total.mean(axis=2), total.var(axis=2, ddof=1)))
    means, variances = (numpy.stack(part, axis=2) for part in zip(*at_looks, strict=True))
    assert alarms(verdicts(numpy.full(LOOKS, 200), means, variances)) <= at_most(ERROR_RATE)


def test_a_difference_is_found_at_the_promised_size() -> None:
    """With as many people as were said to be missing, as often as promised; and it is seldom denied."""
    control, variant = Sample(100, 5.0, 20.0), Sample(100, 5.5, 24.75)  # geometric, as below
    people = people_to_find(control, variant, 0.5, 0.5, ERROR_RATE)
    assert people is not None
    each = round(people / 2 / AT_ONCE) * AT_ONCE
    random = numpy.random.default_rng(3)
    experiments = EXPERIMENTS // 4
    values = numpy.stack([random.geometric(1 / mean, (experiments, each)) for mean in (5.0, 5.5)], axis=1)
    found = verdicts(*looks(values))
    at_the_end = sum(at_looks[-1] is Verdict.BETTER for at_looks in found)
    assert binom.ppf(0.001, experiments, POWER) <= at_the_end <= binom.isf(0.001, experiments, POWER)
    assert at_the_end <= alarms(found)
    assert sum(not {Verdict.WORSE, Verdict.NO_DIFFERENCE}.isdisjoint(a) for a in found) <= at_most(ERROR_RATE) // 4
