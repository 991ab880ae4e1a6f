"""How long to wait between the tries of something that fails for a while."""

from __future__ import annotations

import random
from collections.abc import Iterator


def backoff(first: float, maximum: float, *, spread: bool = False) -> Iterator[float]:
    """Seconds to wait before each next try, without end: each twice the one before, at
    most `maximum`.

    With `spread`, each is a random share of that, at least half, so that many who fail
    together do not try again together.
    """
    pause = min(first, maximum)
    while True:
        yield pause * random.uniform(0.5, 1.0) if spread else pause  # noqa: S311
        pause = min(2 * pause, maximum)
