"""Pauses grow to a limit, and can be spread."""

from __future__ import annotations

from itertools import islice

import pytest

from agent.core.background import backoff


@pytest.mark.parametrize(
    ("first", "maximum", "expected"),
    [
        (1.0, 60.0, [1, 2, 4, 8, 16, 32, 60, 60]),
        (0.25, 8.0, [0.25, 0.5, 1, 2, 4, 8, 8, 8]),
        (5.0, 5.0, [5] * 8),
        (9.0, 4.0, [4] * 8),
    ],
)
def test_each_pause_is_twice_the_one_before_up_to_the_maximum(
    first: float, maximum: float, expected: list[float]
) -> None:
    assert expected == list(islice(backoff(first, maximum), 8))


def test_spread_pauses_stay_between_half_of_it_and_all_of_it() -> None:
    whole = list(islice(backoff(1.0, 60.0), 200))
    spread = list(islice(backoff(1.0, 60.0, spread=True), 200))

    assert all(
        most / 2 <= pause <= most for pause, most in zip(spread, whole, strict=True)
    )
    assert 1 < len(set(spread[10:]))
