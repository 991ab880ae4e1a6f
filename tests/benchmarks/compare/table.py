"""Laps as a table: medians, and ratios of neighbouring laps with their quartiles."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence

from tests.benchmarks.compare.laps import Lap

HEAD = (
    "conversations",
    "contender",
    "turns/s",
    "ours ÷ it (quartiles)",
    "p50 / p99 ms",
    "CPU µs a turn: client, Postgres, Redis",
    "statements, transactions, Redis commands a turn",
)


def table(laps: Sequence[Lap]) -> str:
    """In Markdown, a row for each contender and number of conversations."""
    rows = [HEAD, tuple("---" for _ in HEAD)]
    for people in sorted({lap.conversations for lap in laps}):
        here = [lap for lap in laps if lap.conversations == people]
        names = dict.fromkeys(lap.contender for lap in here)
        rows.extend(_row(people, name, here) for name in names)

    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _row(people: int, name: str, laps: Sequence[Lap]) -> tuple[str, ...]:
    own = [lap for lap in laps if lap.contender == name]

    def a_turn(amount: Callable[[Lap], float]) -> float:
        return statistics.median(amount(lap) / lap.turns for lap in own)

    return (
        str(people),
        name,
        f"{statistics.median(lap.rate for lap in own):,.0f}",
        _ratio(ratios(laps, name)),
        f"{_milliseconds(lap.p50 for lap in own)} / {_milliseconds(lap.p99 for lap in own)}",
        ", ".join(
            f"{a_turn(amount) * 1e6:,.0f}" for amount in (_client, _postgres, _redis)
        ),
        ", ".join(
            f"{a_turn(amount):.2f}" for amount in (_statements, _commits, _commands)
        ),
    )


def ratios(laps: Sequence[Lap], name: str) -> list[float]:
    """Turns per second of ours over those of this one, round by round."""
    ours = {lap.round: lap.rate for lap in laps if lap.contender == "ours"}

    return [
        ours[lap.round] / lap.rate
        for lap in laps
        if lap.contender == name and lap.round in ours
    ]


def _ratio(values: Sequence[float]) -> str:
    if len(values) < 2:
        return "–"

    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")

    return f"{middle:.2f} ({low:.2f}–{high:.2f})"


def _milliseconds(seconds: Iterable[float]) -> str:
    return f"{statistics.median(seconds) * 1000:.2f}"


def _client(lap: Lap) -> float:
    return lap.client


def _postgres(lap: Lap) -> float:
    return lap.postgres


def _redis(lap: Lap) -> float:
    return lap.redis


def _statements(lap: Lap) -> float:
    return lap.statements


def _commits(lap: Lap) -> float:
    return lap.commits


def _commands(lap: Lap) -> float:
    return lap.commands
