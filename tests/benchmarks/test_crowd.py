"""A thousand people on three channels at once."""

from __future__ import annotations

import pytest

from tests.benchmarks.crowd import Size, measure

P99_S = 0.5


@pytest.mark.benchmark
@pytest.mark.timeout(300)
@pytest.mark.parametrize(("messages", "seconds"), [(3, 30), (1, 0)])
async def test_a_thousand_people_are_answered_in_order_once_and_acknowledged_in_time(
    messages: int, seconds: float
) -> None:
    """Within half a minute or all in one instant; 99 of 100 messages are acknowledged in
    half a second.
    """
    figures = await measure(Size(people=1000, messages=messages, seconds=seconds))
    print(figures)
    count = 1000 * messages
    assert (0, count, count) == (len(figures.wrong), figures.rows, len(figures.waits))
    assert figures.wait(0.99) <= P99_S
