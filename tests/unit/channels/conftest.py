"""A platform on a clock that only tests move."""

from __future__ import annotations

import pytest

from tests.support.paced_platform import FakeClock, Platform


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def platform(clock: FakeClock) -> Platform:
    return Platform(clock)
