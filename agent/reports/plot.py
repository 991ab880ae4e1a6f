"""A report as a picture: one SVG of bars, with nothing loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import ceil, floor, log10

from msgspec import Struct

WIDTH, HEIGHT = 960, 360
LEFT, RIGHT, TOP, BOTTOM = 80, 20, 50, 60
MAX_LABELS = 12
LABEL_CHARS = 24
CHAR_WIDTH = 7
STEPS = 4
"""Lines across, besides the one at zero."""


class Bar(Struct, frozen=True):
    """One bar. None: not known, which is drawn as a mark and never as zero."""

    label: str
    value: float | None
    note: str = ""
    """What the value leaves out, such as answers of unknown price. The bar is marked."""


def svg_plot(title: str, unit: str, bars: Sequence[Bar]) -> str:
    """The picture, readable by people who cannot see it: every bar has its title."""
    top = _round_up(max((bar.value or 0.0 for bar in bars), default=0.0))
    shapes = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="bars" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'role="img" font-family="sans-serif" font-size="12">',
        f"<title>{_text(title)}</title>",
        f'<rect class="ground" width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="24" font-size="16">{_text(title)}</text>',
        *_lines_across(top, unit),
        *_bars(bars, top),
        "</svg>",
    ]

    return "\n".join(shapes) + "\n"


def _lines_across(top: float, unit: str) -> list[str]:
    shapes = []
    for step in range(STEPS + 1):
        value = top * step / STEPS
        y = _y(value, top)
        shapes.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ccc"/>'
        )
        shapes.append(
            f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>'
        )

    return [
        *shapes,
        f'<text x="{LEFT}" y="{TOP - 8}" fill="#555">{_text(unit)}</text>',
    ]


def _bars(bars: Sequence[Bar], top: float) -> list[str]:
    room = (WIDTH - LEFT - RIGHT) / max(len(bars), 1)
    every = max(-(-len(bars) // MAX_LABELS), ceil(_label_width(bars) / room))
    shapes, labelled = [], 0.0
    for number, bar in enumerate(bars):
        x = LEFT + room * number
        shapes.append(_bar(bar, x, room, top))
        if number % every == 0:
            label, half = _short(bar.label), _width(bar) / 2
            middle = min(max(x + room / 2, half), WIDTH - half)  # none is cut off
            if middle - half >= labelled:
                labelled = middle + half
                shapes.append(
                    f'<text x="{middle:.1f}" y="{HEIGHT - BOTTOM + 20}" '
                    f'text-anchor="middle">{_text(label)}</text>'
                )

    return shapes


def _label_width(bars: Sequence[Bar]) -> float:
    """Of the longest one, so that none stands on another."""
    return max(map(_width, bars), default=0.0)


def _width(bar: Bar) -> float:
    return float(CHAR_WIDTH * len(_short(bar.label)))


def _short(label: str) -> str:
    return label if len(label) <= LABEL_CHARS else f"{label[: LABEL_CHARS - 1]}…"


def _bar(bar: Bar, x: float, room: float, top: float) -> str:
    if bar.value is None:
        return (
            f'<text x="{x + room / 2:.1f}" y="{_y(0, top) - 4:.1f}" text-anchor="middle">?'
            f"<title>{_text(bar.label)}: unknown</title></text>"
        )

    y = _y(bar.value, top)
    title = f"{_text(bar.label)}: {bar.value:g}{_text(bar.note)}"
    shape = (
        f'<rect x="{x + room * 0.1:.1f}" y="{y:.1f}" width="{room * 0.8:.1f}" '
        f'height="{_y(0, top) - y:.1f}" fill="#3b6ea5"><title>{title}</title></rect>'
    )
    if not bar.note:
        return shape

    return (
        f'{shape}<text x="{x + room / 2:.1f}" y="{y - 4:.1f}" text-anchor="middle">+?'
        f"<title>{title}</title></text>"
    )


def _y(value: float, top: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / top


def _round_up(value: float) -> float:
    """The next number that begins with 1, 2, 4, 6 or 8 and ends with zeros."""
    if value <= 0:
        return 1.0

    power = 10.0 ** floor(log10(value))
    return next(
        first * power for first in (1, 2, 4, 6, 8, 10, 20) if first * power >= value
    )


def _text(text: str) -> str:
    """Escaped, without the characters that XML has no place for."""
    return escape("".join(char for char in text if char.isprintable()), quote=False)
