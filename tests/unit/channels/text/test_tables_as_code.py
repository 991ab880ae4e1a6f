"""Tables become aligned code where a platform shows none."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.markdown.tables import tables_as_code

TABLE = """\
Before

| Name | Größe | n |
|:----:|-------|--:|
| **Ada** | `a\\|b` | 12 |
| 日本 | x |
after"""

DRAWN = """\
Before

```
Name | Größe |  n
-----+-------+---
Ada  | a|b   | 12
日本 | x     |
```
after"""


def test_a_table_becomes_an_aligned_code_block() -> None:
    assert tables_as_code(TABLE) == DRAWN


@pytest.mark.parametrize(
    "text",
    [
        "```\n| a | b |\n|---|---|\n| 1 | 2 |\n```",
        "a | b\n---\nc",
        "| a | b |\n|---|\n",
        "no table",
        "",
        "| a |",
    ],
)
def test_fenced_code_and_what_is_no_table_are_left_alone(text: str) -> None:
    assert text == tables_as_code(text)


def test_ticks_in_a_table_do_not_end_its_block() -> None:
    assert (
        tables_as_code("|a ```|b|\n|-|-|\n|1|2|")
        == "````\na ``` | b\n------+--\n1     | 2\n````"
    )


@given(
    st.lists(
        st.lists(st.text("ab|\\`* 日", max_size=6), min_size=2, max_size=4),
        min_size=2,
        max_size=5,
    )
)
def test_every_word_of_a_table_is_drawn(rows: list[list[str]]) -> None:
    lines = ["|" + "|".join(row) + "|" for row in rows]
    text = "\n".join([lines[0], "|-" * lines[0].count("|") + "|", *lines[1:]])
    kept = re.sub(r"[^ab日]", "", text)
    assert kept == re.sub(r"[^ab日]", "", tables_as_code(text))
