"""A thousand people on three channels at once."""

from __future__ import annotations

import pytest

from tests.benchmarks.crowd import Size, measure

P99_S = 0.5


@pytest.mark.benchmark
@pytest.mark.timeout(300)
async def test_a_thousand_people_are_answered_in_order_once_and_acknowledged_in_time() -> None:
    """Each writes three messages within half a minute; 99 of 100 are acknowledged in half a second."""
    figures = await measure(Size(people=1000, messages=3, seconds=30))
    print(figures)
    assert (0, 3000, 3000) == (len(figures.wrong), figures.rows, len(figures.waits))
    assert figures.wait(0.99) <= P99_S
