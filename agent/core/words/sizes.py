"""Sizes as people write them."""

from __future__ import annotations

_KIB = 1024


def in_words(size: int) -> str:
    """A size for people, such as `12.3 MiB`."""
    amount, unit = float(size), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < _KIB:
            break
        amount, unit = amount / _KIB, larger

    return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
