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
        ("the norm ||x|| of x", r"the norm \|\|x|| of x"),
        ("Use a || b || c.", r"Use a \|\| b || c."),
        ("a || b\n\nc || d", "a || b\n\nc \\|\\| d"),
        ("a || b\n\n||c d e||", "a || b\n\n\\|\\|c d e\\|\\|"),
        ("||x y z|| `a || b || c`", "||x y z|| `a || b || c`"),
        ("```\na || b || c\n```", "```\na || b || c\n```"),
        ("call __init__ of x", r"call \_\_init\_\_ of x"),
        ("`__init__` and https://e.org/__init__.py", None),
        (
            "[__init__](https://e.org/__init__)",
            r"[\_\_init\_\_](https://e.org/__init__)",
        ),
        ("2*3*4 and 2**8 or 2**9", r"2\*3\*4 and 2\*\*8 or 2\*\*9"),
        ("take *.py and **/*.js", r"take \*.py and \*\*/\*.js"),
        (r"open \\server\share", r"open \\\\server\share"),
        (r"\(a_1 * b_2\) and $x*y$", r"\\(a\_1 \* b\_2\\) and $x\*y$"),
        ("**bold** *it* __u__ de**bug**ger", "**bold** *it* __u__ de**bug**ger"),
    ],
)
def test_tables_fences_and_links_are_made_what_discord_knows(
    text: str, message: str | None
) -> None:
    """Without a message it is sent as it is."""
    assert [message or text] == pieces_of(text, 2_000)
