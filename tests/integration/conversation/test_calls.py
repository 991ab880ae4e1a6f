"""How much Python a warm turn is: a count, which no load of the machine changes much."""

from __future__ import annotations

import logging

import pytest
import structlog

from tests.benchmarks.compare.contenders import StoreUrls
from tests.benchmarks.compare.contenders.ours import open_contender
from tests.benchmarks.compare.laps import calls_per_turn

uvloop = pytest.importorskip("uvloop")

CEILING = 840
"""Calls of Python and C functions a turn, at 16 conversations. On a busy machine it was 704 to 740
when this was written, and 774 to 851 before; a design with group commit and no promises needs 121.
"""


def test_a_warm_turn_makes_no_more_calls_than_it_did(
    database_url: str, redis_url: str
) -> None:
    stores = StoreUrls(database_url, redis_url, "", "")

    async def counted() -> float:
        async with open_contender(stores) as turn:
            return await calls_per_turn(turn)

    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING)
    )
    try:
        assert uvloop.run(counted()) < CEILING
    finally:
        structlog.reset_defaults()
