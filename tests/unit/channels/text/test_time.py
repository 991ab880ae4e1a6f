"""No text takes long: eight times the text takes about eight times as long."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from channels.discord.text import pieces_of as on_discord
from channels.slack.text import pieces_of as on_slack
from channels.telegram.text import render

SMALL, LARGE = 1_000, 8_000
MAX_RATIO = 32  # a quadratic text would take 64 times as long
NOISE_S = 0.05

UNITS = [
    *("word ", "x", "*a ", "**b ", "`", "`a ", "[", "[a](", "> ", "> > > a\n", "$a "),
    *(
        "||a ",
        "|a|b|\n",
        "- a\n",
        "~",
        "<",
        "\\",
        "日本",
        "👩🏽‍🚀",
        "```\nx\n",
        " ",
        "\n",
    ),
    *("@name ", "[1]: ", "**注意：**这", "\\(a ", "$$ ", "\\<", "]("),
]


@pytest.mark.slow
@pytest.mark.parametrize("convert", [on_discord, on_slack, render])
@pytest.mark.parametrize("unit", UNITS)
def test_time_grows_with_the_length_of_a_text(
    convert: Callable[[str, int], object], unit: str
) -> None:
    small, large = (_seconds(convert, unit, size) for size in (SMALL, LARGE))

    assert large <= MAX_RATIO * max(small, NOISE_S)


def _seconds(convert: Callable[[str, int], object], unit: str, size: int) -> float:
    """Of this process, so that other work does not count."""
    text = unit * (size // len(unit))
    began = time.process_time()
    convert(text, 500)

    return time.process_time() - began
