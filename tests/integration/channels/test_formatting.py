"""Whatever a model writes arrives on each platform: no letter lost, no message over the
limit, through its client.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from uuid import UUID

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.core.messages import Address
from channels.splitting import utf16_length
from tests.conformance.channels import DRIVERS

PLATFORMS = ("discord", "telegram", "slack")
MARKS = [
    *(
        "**",
        "_",
        "`",
        "~~",
        "```\n",
        "~~~\n",
        "\n",
        "\n\n",
        "# ",
        "- ",
        "1. ",
        "> ",
        "    ",
        "\\",
        "|",
        "||",
    ),
    *(
        "| a | b |\n|---|---|\n",
        "| one | two | three |\n",
        "<b>",
        "</think>",
        "&amp;",
        "<@U1>",
        "<!here>",
        "@everyone",
    ),
]
LONG = (
    "word " * 900,
    "x" * 2_500,
    "😀" * 1_100,
    "<&>" * 1_500,
    "line\n" * 800,
    "日本語" * 700,
)
REFERENCE = re.compile(r"&#?\w+;")
ANSWERS = st.lists(
    st.text(max_size=40)
    | st.sampled_from(MARKS)
    | st.sampled_from(MARKS)
    | st.sampled_from(LONG),
    max_size=14,
).map("".join)


def letters(texts: Sequence[str]) -> Counter[str]:
    """Marks of formatting may be gone, character references (`&amp;`) too; half a character
    may be replaced.
    """
    text = REFERENCE.sub("", "".join(texts).encode("utf-8", "replace").decode())
    return Counter(filter(str.isalnum, text))


@pytest.mark.parametrize("name", PLATFORMS)
@settings(max_examples=60, deadline=None)
@given(ANSWERS)
@example("half a pair \ud83d" + "word " * 5_000)
@example("```\n" + "line 😀\n" * 4_000)
async def test_whatever_a_model_writes_arrives_whole(name: str, text: str) -> None:
    driver = DRIVERS[name]()
    async with driver.start():
        place = driver.direct("ada")
        await (
            driver.channel()
            .reply(Address(name, place.chat), None, [UUID(int=7)])
            .finish(text)
        )
        shown = list(driver.screen(place))
    assert shown
    assert [] == [
        message
        for message in shown
        if utf16_length(message) > driver.limit or not message.strip()
    ]
    assert Counter() == letters([text]) - letters(shown)
