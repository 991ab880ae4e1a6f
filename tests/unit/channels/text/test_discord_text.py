"""What Discord is sent, so that it shows what is meant."""

from __future__ import annotations

import pytest

from channels.discord.text import pieces_of


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("|a|b|\n|-|-|\n|1|2|", "```\na | b\n--+--\n1 | 2\n```"),
        ("> |a|b|\n> |-|-|\n> |1|2|", "> ```\n> a | b\n> --+--\n> 1 | 2\n> ```"),
        ("|a|b|\n|-|-|\n|1|2|3|", "```\na | b |\n--+---+--\n1 | 2 | 3\n```"),
        ("~~~py\n__init__\n~~~", "```py\n__init__\n```"),
        ("- x\n  ~~~~\n  y\n  ~~~~~", "- x\n  ```\n  y\n  ```"),
        ("````\n```\n````", "````\n```\n````"),
        ("[bank.com](https://evil.com)", "bank.com (https://evil.com)"),
        (
            "[main.py](src/main.py) ||x y z|| a || b",
            "[main.py](src/main.py) ||x y z|| a || b",
        ),
        ("  \n", "…"),
    ],
)
def test_tables_fences_and_links_are_made_what_discord_knows(
    text: str, message: str
) -> None:
    assert [message] == pieces_of(text, 2_000)
