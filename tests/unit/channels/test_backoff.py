"""Pauses between attempts grow, and end nowhere."""

from __future__ import annotations

from itertools import islice

from channels.backoff import backoff, jittered


def test_pauses_double_up_to_a_maximum() -> None:
    assert [1.0, 2.0, 4.0, 5.0, 5.0] == [*islice(backoff(1.0, 5.0), 5)]


def test_jitter_takes_away_at_most_half() -> None:
    pauses = [jittered(8.0) for _ in range(1_000)]

    assert 4.0 <= min(pauses) < max(pauses) <= 8.0
