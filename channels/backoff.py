"""Pauses between attempts."""

from __future__ import annotations

import random
from collections.abc import Iterator


def backoff(first: float, maximum: float) -> Iterator[float]:
    """Endless pauses in seconds, each twice as long as the one before, up to `maximum`."""
    pause = first
    while True:
        yield pause
        pause = min(2 * pause, maximum)


def jittered(pause: float) -> float:
    """Between half of it and all of it, so that instances do not keep time with each other."""
    return pause * random.uniform(0.5, 1.0)  # noqa: S311  spreads retries, guards nothing
