"""Small texts that models write, each as its platform is sent it through its client."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest

from agent.core.messages import Address
from channels.telegram.text import render
from tests.conformance.channels import DRIVERS

LINK = "[a label of several words](https://example.org/a/b)"
FAMILY = "👨\u200d👩\u200d👧\u200d👦"


async def sent(name: str, text: str) -> Sequence[str]:
    """The messages that stand on a platform in the end."""
    driver = DRIVERS[name]()
    async with driver.start():
        place = driver.direct("ada")
        reply = driver.channel().reply(Address(name, place.chat), None, [UUID(int=7)])
        await reply.finish(text)

        return list(driver.screen(place))


def marks(text: str) -> list[tuple[str, str]]:
    """What Telegram is told to format how."""
    (piece,) = render(text)
    units = piece.text.encode("utf-16-le")

    def covered(entity: Any) -> str:
        part = units[2 * entity.offset : 2 * (entity.offset + entity.length)]
        return part.decode("utf-16-le")

    return [(str(entity.type), covered(entity)) for entity in piece.entities]


@pytest.mark.parametrize(
    "text",
    [
        "Use a || b || c when the flag is off.",
        "if (a || b || c)",
        "the norm ||x|| of x",
        "from ~5 to ~10",
        "see <think>hm</think> and vector<int>",
    ],
)
async def test_telegram_shows_characters_that_are_no_marks(text: str) -> None:
    assert [text] == await sent("telegram", text)
    assert [] == marks(text)


@pytest.mark.parametrize(
    "link", ["[main.py](src/main.py)", "[you](tg://user?id=7)", "[x](javascript:y)"]
)
async def test_on_telegram_one_dead_link_costs_no_other_formatting(link: str) -> None:
    text = f"# Head\n\n**bold** {link}\n\n```py\nx = 1\n```"

    assert [f"Head\n\nbold {link}\n\nx = 1"] == await sent("telegram", text)
    assert marks(text) == [("bold", "Head"), ("bold", "bold"), ("pre", "x = 1")]


@pytest.mark.parametrize(
    "line", ["{0}. **Point {0}**: see [source {0}]({1}{0})", "`{0}` [x {0}]({1}{0})"]
)
def test_no_message_on_telegram_has_more_entities_than_are_kept(line: str) -> None:
    base = "https://example.org/"
    pieces = render("\n".join(line.format(n, base) for n in range(60)))

    assert [] == [piece for piece in pieces if len(piece.entities) > 100]
    assert [f"{base}{n}" for n in range(60)] == [
        entity.url for piece in pieces for entity in piece.entities if entity.url
    ]


@pytest.mark.parametrize(
    "kept",
    [
        LINK,
        "**some bold words to be kept together**",
        "`some code words to be kept together`",
        "~~some words that are struck through here~~",
        FAMILY * 6,
    ],
)
@pytest.mark.parametrize(("name", "limit"), [("discord", 2_000), ("slack", 12_000)])
async def test_a_cut_is_before_what_belongs_together(
    name: str, limit: int, kept: str
) -> None:
    before = ("word " * 3_000)[: limit - 20].rstrip()

    assert [before, kept] == await sent(name, f"{before} {kept}")


@pytest.mark.parametrize(("name", "limit"), [("discord", 2_000), ("slack", 12_000)])
async def test_a_quoted_fence_is_closed_and_opened_again(
    name: str, limit: int
) -> None:
    lines = "> x = 1\n" * (limit // 8)
    first, second = await sent(name, f"> ```py\n{lines}> y = 2\n> ```")

    assert first.startswith("> ```py\n")
    assert first.endswith("\n> ```")
    assert re.fullmatch(r"> ```py\n(> x = 1\n)*> y = 2\n> ```", second)


@pytest.mark.parametrize("word", ["@here", "@channel", "@everyone"])
@pytest.mark.parametrize(
    "form", ["`npm i {}/flexible-polyline`", "```sh\nnpm i {}/x\n```", "npm i {}/x"]
)
async def test_code_that_is_copied_from_slack_runs(form: str, word: str) -> None:
    assert [form.format(word)] == await sent("slack", form.format(word))


@pytest.mark.parametrize(
    "text",
    [
        "<!channel|<!here>>",
        "<@U1> look",
        "<!subteam^S1>",
        r"\<!here>",
        "<@U1|x> <!date^1^x|y>",
    ],
)
async def test_nothing_on_slack_is_a_token_of_slack(text: str) -> None:
    (message,) = await raw("slack", text)

    assert "<" not in message


async def raw(name: str, text: str) -> list[str]:
    """The Markdown as it is sent."""
    driver: Any = DRIVERS[name]()
    async with driver.start():
        place = driver.direct("ada")
        reply = driver.channel().reply(Address(name, place.chat), None, [UUID(int=7)])
        await reply.finish(text)
        found = driver.server.space.of_agent(place.chat)

        return [block["text"] for message in found for block in message.blocks]


@pytest.mark.parametrize("name", ["discord", "slack", "telegram"])
async def test_a_link_whose_words_name_another_address_shows_its_own(
    name: str,
) -> None:
    text = "See [bank.com](https://evil.com)."

    assert ["See bank.com (https://evil.com)."] == await sent(name, text)


def test_bold_is_what_people_mean_by_it_in_chinese() -> None:
    assert [("bold", "注意：")] == marks("**注意：**这很重要")
