"""Where people stand in a split: the same on every instance, and in every release."""

from __future__ import annotations

from functools import lru_cache
from hashlib import sha256
from uuid import UUID

BUCKETS = 100_000
"""A bucket is a thousandth of a percent of all people."""

REMEMBERED = 16_384
"""Buckets at hand, about 4 MB: people who write are asked about again with their next message."""


@lru_cache(REMEMBERED)
def bucket_of(salt: str, person: UUID) -> int:
    """The bucket of a person: 8 bytes of SHA-256 of `salt:person`, modulo 100,000.

    They are its first 8 bytes, big-endian; `person` is written as in RFC 9562, lower case and
    with hyphens. Two salts split independently of each other.
    """
    digest = sha256(f"{salt}:{person}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % BUCKETS


def edge(share: float) -> int:
    """Buckets below this one are inside the share, in percent. A growing share loses nobody."""
    return round(share * BUCKETS / 100)
