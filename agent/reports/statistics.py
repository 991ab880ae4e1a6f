"""How sure a comparison of two groups of people can be. Pure; scipy is imported when needed.

There are two kinds of interval for a difference of means. The fixed one holds for one look at
the numbers: Welch's, for proportions Newcombe's. The sequential one holds however often
somebody looks, all looks together. It is an asymptotic confidence sequence with the boundary
of a normal mixture.

Source: Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, Time-uniform central limit theory and
asymptotic confidence sequences, Annals of Statistics 52, 2024, theorem 2.2. Two groups are
compared as in section 3, with each group's mean as the regression: the variance is Welch's.
`cautious` widens it where groups are unequal. No maintained library offers it.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from functools import cache
from math import ceil, e, exp, log, sqrt
from typing import Any
from warnings import catch_warnings, simplefilter

from msgspec import Struct
from msgspec.structs import replace

from agent.core.errors import ConfigurationError

TIGHTEST_AT = 1_000
"""People in both groups at which sequential intervals are tightest. Fixed beforehand: if it
were chosen after a look at the data, the intervals would not hold. At a tenth of it they are
26 % wider (in standard errors), at twenty times 10 %."""

POWER = 0.8
"""The probability with which a difference is found once no more people are missing."""

MAX_PEOPLE = 1e12
"""More people than that are not predicted."""


class Interval(Struct, frozen=True):
    """From where to where a difference lies, at the confidence that was asked for."""

    low: float
    high: float


class Sample(Struct, frozen=True):
    """What is known of a group."""

    count: int
    mean: float
    """nan without people."""
    variance: float
    """Of one person, unbiased; nan with fewer than two people."""

    @property
    def error(self) -> float:
        """The squared standard error of the mean."""
        return self.variance / self.count


def need_scipy() -> None:
    """Raises ConfigurationError if scipy is not installed."""
    try:
        import scipy  # noqa: F401
    except ImportError:
        raise ConfigurationError(_NO_SCIPY) from None


_NO_SCIPY = (
    'The report needs scipy: run `pip install ".[reports]"` in the '
    "folder of the source, or `uv run --extra reports`."
)


def sample_of(values: array[float]) -> Sample:
    """One value of each person."""
    import numpy

    nan = float("nan")
    if not values:
        return Sample(0, nan, nan)

    count = len(values)
    if min(values) == max(values):
        # Rounding would turn this into a tiny variance.
        return Sample(count, values[0], nan if count == 1 else 0.0)

    mean, variance = numpy.mean(values), numpy.var(values, ddof=1)
    return Sample(count, float(mean), float(variance))


def measurable(control: Sample, variant: Sample) -> bool:
    """Whether chance can be measured: at least two people in each group, not all alike."""
    is_enough = min(control.count, variant.count) > 1
    return is_enough and control.variance + variant.variance > 0


def welch(control: array[float], variant: array[float], alpha: float) -> Interval:
    """The fixed interval of variant − control. The groups are `measurable`."""
    from scipy.stats import ttest_ind

    with catch_warnings():
        # All people of one group may be alike.
        simplefilter("ignore", RuntimeWarning)
        test = ttest_ind(variant, control, equal_var=False)
        found = test.confidence_interval(1 - alpha)

    return Interval(float(found.low), float(found.high))


def newcombe(control: array[float], variant: array[float], alpha: float) -> Interval:
    """The fixed interval of variant − control where values are 0 or 1 (Newcombe 1998)."""
    first, second = _wilson(control, alpha), _wilson(variant, alpha)
    at, other = sum(control) / len(control), sum(variant) / len(variant)
    to_low = sqrt((other - second.low) ** 2 + (first.high - at) ** 2)
    to_high = sqrt((second.high - other) ** 2 + (at - first.low) ** 2)

    return Interval(other - at - to_low, other - at + to_high)


def _wilson(values: array[float], alpha: float) -> Interval:
    from scipy.stats import binomtest

    test = binomtest(int(sum(values)), len(values))
    found = test.proportion_ci(1 - alpha, method="wilson")

    return Interval(float(found.low), float(found.high))


def sequential_reach(people: float, alpha: float) -> float:
    """How many standard errors a sequential interval reaches to each side.

    `people` is their number in both groups together.
    """
    mixed = _mixture(alpha) * people / TIGHTEST_AT
    return sqrt((mixed + 1) / mixed * log((mixed + 1) / alpha**2))


@cache
def _mixture(alpha: float) -> float:
    """The mixture's variance times the number of people at which the boundary is tightest."""
    from scipy.special import lambertw

    return float(-lambertw(-(alpha**2) / e, -1).real - 1)


def cautious(control: Sample, variant: Sample) -> tuple[Sample, Sample]:
    """The same groups with the pooled variance, where that makes the difference less sure.

    It does where the larger group varies more, usually because the smaller one has seen too
    little yet. Without any event its own variance is zero, and whatever the others do would
    be a difference. So an interval that excludes zero does so by Welch's variance and by the
    pooled one. The groups are `measurable`; those of equal size stay as they are.
    """
    if (control.count - variant.count) * (control.variance - variant.variance) <= 0:
        return control, variant

    first, second = control.count - 1, variant.count - 1
    pooled = (first * control.variance + second * variant.variance) / (first + second)

    return replace(control, variance=pooled), replace(variant, variance=pooled)


def difference(control: Sample, variant: Sample, reach: float) -> Interval:
    """Where variant − control lies, `reach` standard errors to each side."""
    to_each_side = reach * sqrt(control.error + variant.error)
    middle = variant.mean - control.mean

    return Interval(middle - to_each_side, middle + to_each_side)


def relative_difference(
    control: Sample, variant: Sample, reach: float
) -> Interval | None:
    """Where variant ÷ control − 1 lies (Fieller 1954).

    It holds each ratio by which the control may be scaled so that `difference` holds zero. So
    it excludes zero exactly where `difference` does. None: the control itself may be zero.
    """
    scale = control.mean**2 - reach**2 * control.error
    if not scale > 0:
        return None

    middle = control.mean * variant.mean
    spread = variant.mean**2 - reach**2 * variant.error
    root = sqrt(max(0.0, middle**2 - scale * spread))

    return Interval((middle - root) / scale - 1, (middle + root) / scale - 1)


def power(size: float, error: float, reach: float) -> float:
    """The probability that an interval excludes zero.

    The true difference is `size`, its standard error `error`.
    """
    from scipy.stats import norm

    errors = size / error
    return float(norm.sf(reach - errors) + norm.cdf(-reach - errors))


def people_to_find(
    control: Sample, variant: Sample, size: float, share: float, alpha: float
) -> float | None:
    """People in both groups with which a true difference of `size` is found with `POWER`.

    `share` of them are in the variant; both groups vary as they do now. None: too many to tell.
    """
    error = _error(control, variant, share)

    def surplus(people: float) -> float:
        return power(size, error(people), sequential_reach(people, alpha)) - POWER

    return _minimum(surplus)


def people_to_settle(
    control: Sample, variant: Sample, size: float, share: float, alpha: float
) -> float | None:
    """People in both groups with which the sequential interval cannot hold both zero and
    ± `size`.
    """
    error = _error(control, variant, share)

    def surplus(people: float) -> float:
        return size / 2 - sequential_reach(people, alpha) * error(people)

    return _minimum(surplus)


def _error(
    control: Sample, variant: Sample, share: float
) -> Callable[[float], float]:
    """The standard error of the difference, by the number of people in both groups."""
    of_one = control.variance / (1 - share) + variant.variance / share
    return lambda people: sqrt(of_one / people)


def _minimum(surplus: Callable[[float], float]) -> float | None:
    """The fewest people, at least two, with which `surplus` is not negative.

    It grows with people.
    """
    from scipy.optimize import brentq

    if surplus(2) >= 0:
        return 2.0
    if surplus(MAX_PEOPLE) < 0:
        return None

    def by_logarithm(logarithm: float) -> float:
        return surplus(exp(logarithm))

    return exp(brentq(by_logarithm, log(2), log(MAX_PEOPLE), xtol=1e-12))


def missing(control: Sample, variant: Sample, people: float, share: float) -> int:
    """How many more people each of the two groups needs until there are `people` in both.

    The group that needs more counts.
    """
    of_variant = ceil(people * share) - variant.count
    of_control = ceil(people * (1 - share)) - control.count

    return max(of_variant, of_control, 0)


def split_p_value(counts: list[int], weights: list[float]) -> float:
    """The probability that the weights alone split people at least this unevenly.

    Pearson's chi-square.
    """
    from scipy.stats import chisquare

    expected = [sum(counts) * weight / sum(weights) for weight in weights]
    result: Any = chisquare(counts, expected)

    return float(result.pvalue)
