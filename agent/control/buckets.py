"""Where people stand in a split: the same on every instance, in every language and in every
release.
"""

from __future__ import annotations

from hashlib import sha256
from uuid import UUID

BUCKETS = 100_000
"""A share has steps of a thousandth of a percent."""


def bucket_of(salt: str, person: UUID) -> int:
    """Where a person stands among 100,000: the first 8 bytes of SHA-256 of `salt:person`,
    big-endian, modulo 100,000.

    `person` is written as in RFC 9562: lower case, with hyphens. Two salts split
    independently of each other.
    """
    digest = sha256(f"{salt}:{person}".encode()).digest()
    return int.from_bytes(digest[:8], "big") % BUCKETS


def edge(share: float) -> int:
    """Buckets below it are inside a share in percent: one that grows never loses anybody."""
    return round(share * BUCKETS / 100)
