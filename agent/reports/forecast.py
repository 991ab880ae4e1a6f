"""What a month will have cost at its end, by the days before today."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from math import fsum, sqrt
from statistics import NormalDist, fmean, stdev

from msgspec import Struct

CONFIDENCE = 0.95
DAYS = 28
"""Full days that a forecast is made from: whole weeks, each weekday as often as the others."""

FEWEST_DAYS = 7
_FEWEST = "seven"


class Forecast(Struct, frozen=True):
    """The known costs of a month, in USD. What has no known price is not in it."""

    month_end: datetime
    so_far: Decimal
    expected: Decimal
    low: Decimal
    high: Decimal
    """With `low`: where 95 of 100 such months end, if days stay as they were."""
    days: int
    """So many full days it is made from."""


def forecast(
    now: datetime, so_far: Decimal, days: Sequence[Decimal]
) -> Forecast | None:
    """The month's end, in UTC. None: there are fewer than seven full days to judge by.

    `so_far`: of this month. `days`: of each full day before today, oldest first. The interval is
    Student's, for the sum of the days that remain; days are taken as independent.
    """
    known = [float(cost) for cost in days[-DAYS:]]
    if len(known) < FEWEST_DAYS:
        return None

    end = month_end(now)
    remaining = (end - now) / timedelta(days=1)
    mean, count = fmean(known), len(known)
    reach = (
        student_quantile((1 + CONFIDENCE) / 2, count - 1)
        * stdev(known)
        * sqrt(remaining + remaining**2 / count)
    )
    rest = mean * remaining

    return Forecast(
        end,
        so_far,
        so_far + _money(rest),
        so_far + _money(max(rest - reach, 0.0)),
        so_far + _money(rest + reach),
        count,
    )


def described(found: Forecast | None) -> str:
    """For people."""
    if found is None:
        return f"No forecast yet: it takes {_FEWEST} full days."

    return (
        f"This month so far: ${found.so_far:.2f}. At its end: ${found.expected:.2f} "
        f"(95 %: ${found.low:.2f} to ${found.high:.2f}), by the last {found.days} days. "
        "Replies of unknown price are not in it."
    )


def month_end(now: datetime) -> datetime:
    """The first moment of the next month."""
    first = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)

    return (first + timedelta(days=32)).replace(day=1)


def student_quantile(share: float, freedom: int) -> float:
    """Of Student's t distribution, by the expansion of Cornish and Fisher.

    From six degrees of freedom on it is off by less than 0.2 % at the 97.5th percentile
    (Abramowitz and Stegun, 26.7.5).
    """
    x = NormalDist().inv_cdf(share)
    terms = (
        x,
        (x**3 + x) / 4,
        (5 * x**5 + 16 * x**3 + 3 * x) / 96,
        (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384,
        (79 * x**9 + 776 * x**7 + 1482 * x**5 - 1920 * x**3 - 945 * x) / 92160,
    )

    return fsum(term / float(freedom**power) for power, term in enumerate(terms))


def _money(value: float) -> Decimal:
    return Decimal(value).quantize(Decimal("0.0001"))
