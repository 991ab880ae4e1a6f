"""A small crowd on three channels at once; `tests/benchmarks/crowd.py` measures the large one."""

from __future__ import annotations

from tests.benchmarks.crowd import Size, here


async def test_sixty_people_at_once_are_answered_in_order_and_once(
    database_url: str, redis_url: str
) -> None:
    """Everybody writes at the same moment and again as soon as answered; every screen is as
    it should be.
    """
    figures = await here(
        database_url,
        redis_url,
        Size(
            people=60,
            messages=3,
            seconds=0,
        ),
    )
    assert ((), 180, 180) == (figures.wrong, figures.rows, len(figures.waits))
