"""Laps as bars: turns per second of each contender, on a logarithmic scale."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from tests.benchmarks.compare.laps import Lap

BAR, GAP, LEFT, WIDTH = 18, 8, 120, 420
COLOURS = {"ours": "#c2410c", "floor": "#64748b"}
OTHERS = "#94a3b8"


def plot(laps: Sequence[Lap], conversations: int) -> str:
    """An SVG of the medians at this number of conversations, the fastest first."""
    here = [lap for lap in laps if lap.conversations == conversations]
    names = dict.fromkeys(lap.contender for lap in here)
    rates = {name: _median(here, name) for name in names}
    ranked = sorted(rates, key=rates.__getitem__, reverse=True)
    height = len(ranked) * (BAR + GAP) + 30
    most = math.log10(max(rates.values()))
    bars = [_bar(place, name, rates[name], most) for place, name in enumerate(ranked)]
    title = f"Turns per second, {conversations} conversations (logarithmic)"

    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 80}"'
        f' height="{height}" font-family="sans-serif" font-size="12">'
        f'<text x="0" y="14" font-weight="bold">{title}</text>{"".join(bars)}</svg>\n'
    )


def _bar(place: int, name: str, rate: float, most: float) -> str:
    y = 26 + place * (BAR + GAP)
    width = max(2.0, WIDTH * math.log10(max(rate, 1.1)) / most)
    colour = COLOURS.get(name, OTHERS)

    return (
        f'<text x="0" y="{y + 13}">{name}</text>'
        f'<rect x="{LEFT}" y="{y}" width="{width:.0f}" height="{BAR}" fill="{colour}"/>'
        f'<text x="{LEFT + width + 6:.0f}" y="{y + 13}">{rate:,.0f}</text>'
    )


def _median(laps: Sequence[Lap], name: str) -> float:
    return statistics.median(lap.rate for lap in laps if lap.contender == name)
