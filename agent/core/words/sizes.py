"""Sizes and amounts as people write them."""

from __future__ import annotations

from decimal import Decimal

_KIB = 1024


def in_words(size: int) -> str:
    """A size for people, such as `12.3 MiB`."""
    amount, unit = float(size), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < _KIB:
            break
        amount, unit = amount / _KIB, larger

    return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"


def dollars(amount: Decimal | float, digits: int = 4, sign: str = "$") -> str:
    """An amount in US dollars. What is more than nothing never looks like nothing."""
    written = f"{amount:.{digits}f}"
    if amount > 0 and not float(written):
        return f"<{sign}{10**-digits:.{digits}f}"

    return f"{sign}{written}"


def plain(amount: Decimal) -> str:
    """All its digits, for programs: Python writes nothing, to eight places, as 0E-8."""
    return f"{amount:f}"


def exact_dollars(amount: Decimal) -> str:
    """An amount that somebody set, in US dollars: with cents, and all that is set."""
    if amount == round(amount, 2):
        return f"${amount:,.2f}"

    return f"${amount.normalize():,f}"
