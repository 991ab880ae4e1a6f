"""On a terminal, every character of an answer can be read, and code can be copied."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from channels.terminal.lines import LineReader
from channels.terminal.markdown import rendered


def shown(markdown: str) -> str:
    screen = io.StringIO()
    console = Console(file=screen, width=80, color_system=None)
    console.print(rendered(markdown))
    lines = (line.rstrip() for line in screen.getvalue().splitlines())

    return "\n".join(line for line in lines if line)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "see the [guide](https://e.org/a_(b))",
            "see the guide (https://e.org/a_(b))",
        ),
        ('[x](https://e.org "why")', 'x (https://e.org "why")'),
        ("[x](https://e.org/2*3*4)", "x (https://e.org/2*3*4)"),
        ("**[x](https://e.org)**, y", "x (https://e.org), y"),
        ("[bank.com](https://evil.com)", "bank.com (https://evil.com)"),
        ("<https://e.org/a_b> <bob@e.org>", "https://e.org/a_b bob@e.org"),
        ("[https://e.org](https://e.org)", "https://e.org"),
        ("[main.py](src/main.py) a[0](x)", "[main.py](src/main.py) a[0](x)"),
        ("![a cat](https://e.org/c.png)", "a cat (https://e.org/c.png)"),
        (
            "[![ok](https://e.org/b.svg)](https://e.org)",
            "ok (https://e.org/b.svg) (https://e.org)",
        ),
        ("[1]: https://e.org", "[1]: https://e.org"),
        (r"\(a_1*b_2*c\) and $x*y*z$", r"\(a_1*b_2*c\) and $x*y*z$"),
        ("2*3*4, *.py, __init__.py", "2*3*4, *.py, __init__.py"),
        ("**注意：**这", "注意：这"),
        ("List<String> <b>x</b> &amp; ~5", "List<String> <b>x</b> & ~5"),
        ("a\nb", "a\nb"),
        (
            "|a|b|\n|-|-|\n|1|2|lost?|",
            "a | b |\n--+---+------\n1 | 2 | lost?",
        ),
        (
            "|a|\n|-|\n|[x](https://e.org)|",
            " a\n ─────────────────\n x (https://e.org)",
        ),
        ("```py\nif x:\n    y\n```", "if x:\n    y"),
        ("```{.odd info='x'}\ny\n```", "y"),
        ("x\n\n    y", "x\ny"),
    ],
)
def test_what_is_written_can_be_read(text: str, expected: str) -> None:
    assert expected == shown(text)


async def test_a_mark_of_the_byte_order_is_no_part_of_the_first_line() -> None:
    """Windows begins text files with one."""
    reader = LineReader(io.BytesIO(b"\xef\xbb\xbf/new\r\n\xef\xbb\xbfx\n"))

    assert ["/new", "\ufeffx", None] == [await reader.line() for _ in range(3)]
