"""What a person gets: whole, in order, readable, and as soon as it is there."""

from __future__ import annotations

import re

import pytest

from agent.core.completion import Prompt
from tests.conformance.channel_harness import ChannelHarness
from tests.conformance.platform_extras import (
    break_streaming,
    let_stream_die,
    pings,
    refuse_formatting,
)

LONGEST = 20_000  # characters; a terminal has no limit of its own
ODD_ANSWERS = {
    "emoji": "👩‍👩‍👧‍👦🏳️‍🌈 ✅",
    "right to left": "שלום, מה שלומך?",
    "combining": "Zalgo h̷e̸ c̶o̴m̵e̷s",
    "signs of markup": "a < b && c > d, 5 & 6; <b>not bold</b>",
    "a lone backslash": "C:\\new\\table",
}
BROKEN_MARKDOWN = {
    "emphasis": "this **never ends and _neither does this",
    "fence": "look:\n```\nprint(1) never closed",
    "link": "see [this](http://example.org and [that",
    "table": "| a | b |\n|---|\n| only one",
    "brackets": "*[_`**~~||>#+-=|{}.!",
}


def answering(harness: ChannelHarness, text: str) -> None:
    """The model says this to everything."""
    harness.model.said = lambda prompt: text


def words(texts: list[str]) -> list[str]:
    """Letters and digits only: formatting marks may be gone, words may not."""
    return re.findall(r"[^\W_]+", " ".join(texts))


async def test_a_question_is_answered(harness: ChannelHarness) -> None:
    """One message, one answer, in the place where it was asked."""
    ada = harness.driver.direct("ada")
    async with harness.agent():
        await harness.driver.say(ada, "hello there")
        await harness.shows(ada, "re: hello there")


async def test_a_conversation_is_remembered(harness: ChannelHarness) -> None:
    """The second question is asked with the first and its answer before it."""
    ada = harness.driver.direct("ada")
    async with harness.agent():
        await harness.ask(ada, "my name is Ada")
        await harness.ask(ada, "what did I say?")

    assert [
        "my name is Ada",
        "re: my name is Ada",
        "what did I say?",
    ] == harness.asked()


async def test_people_have_conversations_of_their_own(
    harness: ChannelHarness,
) -> None:
    """What one person says is never shown to the model with another's."""
    ada, bob = harness.driver.direct("ada"), harness.driver.direct("bob")
    async with harness.agent():
        await harness.ask(ada, "I am Ada", user="ada")
        await harness.ask(bob, "who am I?", user="bob")
        assert ["who am I?"] == harness.asked()
        await harness.shows(ada, "re: I am Ada")
        await harness.shows(bob, "re: who am I?")


async def test_an_answer_appears_before_it_is_finished(
    harness: ChannelHarness,
) -> None:
    """The first words are shown while the model still writes; in the end the whole, once."""
    ada = harness.driver.direct("ada")
    answering(harness, "once upon a time")

    async with harness.agent():
        harness.model.hold()
        await harness.driver.say(ada, "tell me a story")
        await harness.until(lambda: "once" in "".join(harness.screen(ada)))
        assert "upon" not in "".join(harness.screen(ada))
        harness.model.release()
        await harness.shows(ada, "once upon a time")


async def test_the_agent_shows_that_it_is_at_work(harness: ChannelHarness) -> None:
    """Before the first word there is a sign of life."""
    ada = harness.driver.direct("ada")
    async with harness.agent():
        harness.model.hesitates = True
        harness.model.hold()
        await harness.driver.say(ada, "think hard")
        await harness.until(lambda: harness.driver.typing(ada) > 0)
        assert [] == harness.screen(ada)
        harness.model.release()
        await harness.shows(ada, "re: think hard")


async def test_a_long_answer_with_code_across_the_split_loses_nothing(
    harness: ChannelHarness,
) -> None:
    """Every line arrives once and in order, within the limit, and every fence is closed."""
    ada = harness.driver.direct("ada")
    size = max(9_000, 3 * min(harness.driver.limit, LONGEST) // 2)
    lines = [
        f"    line_{number:05} = compute({number:05})" for number in range(size // 40)
    ]
    answering(
        harness,
        "Here it is:\n\n```python\n" + "\n".join(lines) + "\n```\n\nThat was all.",
    )
    async with harness.agent():
        await harness.ask(ada, "write a program")

    shown = harness.screen(ada)

    assert [line.split()[0] for line in lines] == re.findall(
        r"line_\d{5}", "\n".join(shown)
    )
    assert max(map(len, shown)) <= harness.driver.limit
    assert [0] * len(shown) == [text.count("```") % 2 for text in shown]
    assert "That was all." in shown[-1]


async def test_a_long_answer_of_one_word_is_cut_somewhere_and_kept_whole(
    harness: ChannelHarness,
) -> None:
    """It is split even where there is no good place for it."""
    ada = harness.driver.direct("ada")
    text = "x" * (min(harness.driver.limit, LONGEST) * 2 + 10)
    answering(harness, text)
    async with harness.agent():
        await harness.ask(ada, "shout")

    assert text == "".join(harness.screen(ada))


@pytest.mark.parametrize("kind", BROKEN_MARKDOWN)
async def test_broken_markdown_arrives_all_the_same(
    harness: ChannelHarness, kind: str
) -> None:
    """No word of an answer is lost to its formatting."""
    ada = harness.driver.direct("ada")
    answering(harness, f"before {BROKEN_MARKDOWN[kind]} after")
    async with harness.agent():
        await harness.ask(ada, "format this")

    assert words([f"before {BROKEN_MARKDOWN[kind]} after"]) == words(
        harness.screen(ada)
    )


async def test_an_answer_that_the_platform_cannot_format_arrives_plain(
    harness: ChannelHarness,
) -> None:
    """Refused formatting costs the looks, not the answer."""
    ada = harness.driver.direct("ada")
    answering(harness, "this is **bold** and `code`")
    refuse_formatting(harness.driver)
    async with harness.agent():
        await harness.ask(ada, "be fancy")

    assert words(["this is bold and code"]) == words(harness.screen(ada))


@pytest.mark.parametrize("kind", ODD_ANSWERS)
async def test_odd_characters_arrive_as_they_are(
    harness: ChannelHarness, kind: str
) -> None:
    """Emoji, other directions and signs of markup are text like any other."""
    ada = harness.driver.direct("ada")
    answering(harness, ODD_ANSWERS[kind])
    async with harness.agent():
        await harness.driver.say(ada, "be odd")
        await harness.shows(ada, ODD_ANSWERS[kind])


@pytest.mark.parametrize("text", ["", "   \n\n\t ", "\u200b"])
async def test_an_answer_of_nothing_is_said_in_words(
    harness: ChannelHarness, text: str
) -> None:
    """A person always hears something, and the next question is answered."""
    ada = harness.driver.direct("ada")
    answering(harness, text)

    async with harness.agent():
        await harness.ask(ada, "say nothing")
        assert 1 == len(harness.screen(ada))
        answering(harness, "well again")
        await harness.ask(ada, "and now")

    assert "well again" == harness.screen(ada)[-1]


async def test_a_model_cannot_alert_everyone(harness: ChannelHarness) -> None:
    """Mentions of everyone in an answer stay words."""
    town = harness.driver.group("town")
    answering(harness, "hey @everyone @here <!channel> <!here> <!everyone> wake up")
    async with harness.agent():
        await harness.ask(town, "wake them", mention=True)

    assert "wake up" in harness.screen(town)[-1]
    assert [] == pings(harness.driver)


async def test_a_platform_without_its_own_streaming_still_shows_growing_answers(
    harness: ChannelHarness,
) -> None:
    """Native streaming that is refused is replaced by edits; nothing is lost or doubled."""
    town = harness.driver.group("town")
    answering(harness, "once upon a time")
    break_streaming(harness.driver)

    async with harness.agent():
        harness.model.hold()
        await harness.driver.say(town, "tell me a story", mention=True)
        await harness.until(lambda: "once" in "".join(harness.screen(town)))
        harness.model.release()
        await harness.shows(town, "once upon a time")


async def test_a_stream_that_dies_in_the_middle_is_finished_by_edits(
    harness: ChannelHarness,
) -> None:
    """What the dead stream showed is completed in its place."""
    town = harness.driver.group("town")
    answering(harness, "once upon a time")

    async with harness.agent():
        harness.model.hold()
        await harness.driver.say(town, "tell me a story", mention=True)
        await harness.until(lambda: "once" in "".join(harness.screen(town)))
        await let_stream_die(harness.driver)
        harness.model.release()
        await harness.settled()
        assert ["once upon a time"] == harness.screen(town)


async def test_drafts_that_are_refused_cost_only_the_preview(
    harness: ChannelHarness,
) -> None:
    """In a direct chat the answer is edited into place instead."""
    ada = harness.driver.direct("ada")
    break_streaming(harness.driver)
    async with harness.agent():
        await harness.ask(ada, "one")
        await harness.ask(ada, "two")

    assert ["re: one", "re: two"] == harness.screen(ada)


async def test_a_model_that_fails_ends_in_a_sentence(harness: ChannelHarness) -> None:
    """The person hears why, and the next question is answered."""
    ada = harness.driver.direct("ada")
    answering(harness, "")
    harness.model.error = "The model is away."

    async with harness.agent():
        await harness.ask(ada, "one")
        assert ["The model is away."] == harness.screen(ada)
        harness.model.error = None
        answering(harness, "fine now")
        await harness.ask(ada, "two")

    assert "fine now" == harness.screen(ada)[-1]


async def test_an_answer_that_is_cut_in_the_middle_is_kept_and_marked(
    harness: ChannelHarness,
) -> None:
    """What the model wrote before it failed stays, with the reason below."""
    ada = harness.driver.direct("ada")
    answering(harness, "half an answer")
    harness.model.error = "The model broke off."
    async with harness.agent():
        await harness.ask(ada, "one")

    assert words(["half The model broke off"]) == words(harness.screen(ada))


async def test_a_table_stays_readable(harness: ChannelHarness) -> None:
    """All cells arrive, also where the platform has no tables."""
    ada = harness.driver.direct("ada")
    answering(harness, "| name | age |\n|---|---|\n| Ada | 36 |\n| Bob | 41 |")
    async with harness.agent():
        await harness.ask(ada, "make a table")

    assert words(["name age Ada 36 Bob 41"]) == words(harness.screen(ada))


async def test_the_prompt_holds_what_was_written_and_nothing_else(
    harness: ChannelHarness,
) -> None:
    """Signs that the platform writes its own way reach the model as the person typed them."""
    seen: list[Prompt] = harness.model.prompts
    ada = harness.driver.direct("ada")
    async with harness.agent():
        await harness.ask(ada, "if a < b & c > d: print('*x*') # `code` _y_")

    assert ("user", "if a < b & c > d: print('*x*') # `code` _y_") == seen[
        0
    ].messages[-1]
