"""Laps in a file, one a line: a long comparison is made of short runs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import msgspec

from tests.benchmarks.compare.laps import Lap
from tests.benchmarks.compare.plots import plot
from tests.benchmarks.compare.table import table

PAGE = Path("docs/performance.md")
FIGURES = "<!-- figures -->"
"""Stands in the page before and after what is measured."""


def keep(lap: Lap, file: Path) -> None:
    """Adds a lap."""
    with file.open("ab") as lines:
        lines.write(msgspec.json.encode(asdict(lap)) + b"\n")


def kept(file: Path) -> list[Lap]:
    """All laps of a file."""
    lines = file.read_bytes().splitlines()

    return [msgspec.json.decode(line, type=Lap) for line in lines]


def write(laps: list[Lap], page: Path = PAGE) -> None:
    """Writes table and plots into the page and next to it."""
    images = page.parent / "images"
    images.mkdir(exist_ok=True)
    shown = []
    for people in sorted({lap.conversations for lap in laps}):
        name = f"turns-{people}.svg"
        (images / name).write_text(plot(laps, people), "utf-8")
        shown.append(f"![Turns per second, {people} conversations](images/{name})")

    before, _, after = page.read_text("utf-8").split(FIGURES)
    figures = "\n\n".join([table(laps), *shown])
    page.write_text(
        f"{before}{FIGURES}\n\n{figures}\n\n{FIGURES}{after}", encoding="utf-8"
    )
