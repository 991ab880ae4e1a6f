"""Intervals as a picture: a line for each variant, around the control at zero. Numbers only;
the template draws them. Places across are in percent of the width, so that text keeps its size.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import (
    floor,
    isfinite,
    log10,
)

from msgspec import Struct

ROW = 46
"""Height of a line in px: its words above, its interval below."""

AXIS = 30
"""Height of the numbers at the bottom, in px."""

LEFT, RIGHT = 6.0, 94.0
"""Where the scale begins and ends, in percent of the width."""

ROOM = 1.15
"""The scale is so much wider than what it has to show."""


class Row(Struct, frozen=True):
    """A variant, relative to the control: 0.1 is a tenth more."""

    label: str
    mark: str
    value: float | None
    """None: nobody knows."""
    ends: tuple[float, float] | None
    text: str
    """The interval in words."""


class Drawn(Struct, frozen=True):
    """A line as it is drawn."""

    row: Row
    y: int
    low: float | None
    high: float | None
    value: float | None


class Plot(Struct, frozen=True):
    """All that the template needs."""

    lines: Sequence[Drawn]
    height: int
    zero: float
    band: tuple[float, float]
    """Begin and width of what is not worth knowing."""
    ticks: Sequence[tuple[float, str]]


def plot_of(
    rows: Sequence[Row],
    detect: float,
) -> Plot:
    """`detect`: the smallest relative difference worth knowing."""
    most = _most(rows, detect)
    low, high = _place(-detect, most), _place(detect, most)
    lines = [
        _drawn(
            row,
            number,
            most,
        )
        for number, row in enumerate(rows)
    ]
    ticks = [(_place(at, most), _percent(at)) for at in _ticks(most)]

    return Plot(
        lines,
        ROW * len(rows) + AXIS,
        _place(0.0, most),
        (low, round(high - low, 2)),
        ticks,
    )


def _most(
    rows: Sequence[Row],
    detect: float,
) -> float:
    """How far the scale goes to both sides."""
    shown = [abs(end) for row in rows for end in row.ends or () if isfinite(end)]
    shown += [abs(row.value) for row in rows if row.value is not None]
    known = [one for one in shown if isfinite(one)]

    return ROOM * max([detect, *known])


def _ticks(
    most: float,
) -> list[float]:
    """Zero, and one or two round numbers to each side."""
    power = 10.0 ** floor(log10(most))
    step = next(part * power for part in (5, 2, 1) if part * power <= most)

    return [-step, 0.0, step]


def _percent(
    share: float,
) -> str:
    return f"{100 * share:+.4g} %" if share else "0 %"


def _drawn(
    row: Row,
    number: int,
    most: float,
) -> Drawn:
    ends = [_place(end, most) for end in row.ends] if row.ends else [None, None]
    is_known = row.value is not None and isfinite(row.value)
    value = _place(row.value, most) if row.value is not None and is_known else None

    return Drawn(
        row,
        ROW * number,
        ends[0],
        ends[1],
        value,
    )


def _place(
    value: float,
    most: float,
) -> float:
    """In percent of the width; what is beyond the scale stands at its end."""
    share = (max(-most, min(most, value)) + most) / (2 * most)

    return round(LEFT + (RIGHT - LEFT) * share, 2)
