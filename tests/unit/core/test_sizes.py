"""Amounts as people read them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from agent.core.words.sizes import dollars, in_words


@pytest.mark.parametrize(
    ("amount", "written"),
    [
        (Decimal(0), "$0.0000"),
        (0.0, "$0.0000"),
        (Decimal("0.00000001"), "<$0.0001"),
        (Decimal("0.00004"), "<$0.0001"),
        (0.00006, "$0.0001"),
        (Decimal("12.34567"), "$12.3457"),
    ],
)
def test_more_than_nothing_never_looks_like_nothing(
    amount: Decimal | float, written: str
) -> None:
    assert written == dollars(amount)


def test_digits_and_sign_are_chosen() -> None:
    assert ("<0.01", "0.50") == (dollars(0.001, 2, ""), dollars(0.5, 2, ""))


@pytest.mark.parametrize(
    ("size", "written"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1024, "1.0 KiB"), (5 << 30, "5.0 GiB")],
)
def test_sizes_have_a_unit(size: int, written: str) -> None:
    assert written == in_words(size)
