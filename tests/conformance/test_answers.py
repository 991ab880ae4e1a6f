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


def answering(stage: ChannelHarness, text: str) -> None:
    """The model says this to everything."""
    stage.model.said = lambda prompt: text


def words(texts: list[str]) -> list[str]:
    """Letters and digits only: formatting marks may be gone, words may not."""
    return re.findall(r"[^\W_]+", " ".join(texts))


async def test_a_question_is_answered(stage: ChannelHarness) -> None:
    """One message, one answer, in the place where it was asked."""
    ada = stage.driver.direct("ada")
    async with stage.agent():
        await stage.driver.say(ada, "hello there")
        await stage.shows(ada, "re: hello there")


async def test_a_conversation_is_remembered(stage: ChannelHarness) -> None:
    """The second question is asked with the first and its answer before it."""
    ada = stage.driver.direct("ada")
    async with stage.agent():
        await stage.ask(ada, "my name is Ada")
        await stage.ask(ada, "what did I say?")
    assert ["my name is Ada", "re: my name is Ada", "what did I say?"] == stage.asked()


async def test_people_have_conversations_of_their_own(stage: ChannelHarness) -> None:
    """What one person says is never shown to the model with another's."""
    ada, bob = stage.driver.direct("ada"), stage.driver.direct("bob")
    async with stage.agent():
        await stage.ask(ada, "I am Ada", user="ada")
        await stage.ask(bob, "who am I?", user="bob")
        assert ["who am I?"] == stage.asked()
        await stage.shows(ada, "re: I am Ada")
        await stage.shows(bob, "re: who am I?")


async def test_an_answer_appears_before_it_is_finished(stage: ChannelHarness) -> None:
    """The first words stand there while the model still writes, and the whole in the end, once."""
    ada = stage.driver.direct("ada")
    answering(stage, "once upon a time")
    async with stage.agent():
        stage.model.hold()
        await stage.driver.say(ada, "tell me a story")
        await stage.until(lambda: "once" in "".join(stage.screen(ada)))
        assert "upon" not in "".join(stage.screen(ada))
        stage.model.release()
        await stage.shows(ada, "once upon a time")


async def test_the_agent_shows_that_it_is_at_work(stage: ChannelHarness) -> None:
    """Before the first word there is a sign of life."""
    ada = stage.driver.direct("ada")
    async with stage.agent():
        stage.model.hesitates = True
        stage.model.hold()
        await stage.driver.say(ada, "think hard")
        await stage.until(lambda: stage.driver.typing(ada) > 0)
        assert [] == stage.screen(ada)
        stage.model.release()
        await stage.shows(ada, "re: think hard")


async def test_a_long_answer_with_code_across_the_split_loses_nothing(
    stage: ChannelHarness,
) -> None:
    """Every line arrives once and in order, no message is over the limit, every fence is closed."""
    ada = stage.driver.direct("ada")
    size = max(9_000, 3 * min(stage.driver.limit, LONGEST) // 2)
    lines = [
        f"    line_{number:05} = compute({number:05})" for number in range(size // 40)
    ]
    answering(
        stage,
        "Here it is:\n\n```python\n" + "\n".join(lines) + "\n```\n\nThat was all.",
    )
    async with stage.agent():
        await stage.ask(ada, "write a program")
    shown = stage.screen(ada)
    assert [line.split()[0] for line in lines] == re.findall(
        r"line_\d{5}", "\n".join(shown)
    )
    assert max(map(len, shown)) <= stage.driver.limit
    assert [0] * len(shown) == [text.count("```") % 2 for text in shown]
    assert "That was all." in shown[-1]


async def test_a_long_answer_of_one_word_is_cut_somewhere_and_kept_whole(
    stage: ChannelHarness,
) -> None:
    """Where there is no good place to cut, it is cut all the same."""
    ada = stage.driver.direct("ada")
    text = "x" * (min(stage.driver.limit, LONGEST) * 2 + 10)
    answering(stage, text)
    async with stage.agent():
        await stage.ask(ada, "shout")
    assert text == "".join(stage.screen(ada))


@pytest.mark.parametrize("kind", BROKEN_MARKDOWN)
async def test_broken_markdown_arrives_all_the_same(
    stage: ChannelHarness, kind: str
) -> None:
    """No word of an answer is lost to its formatting."""
    ada = stage.driver.direct("ada")
    answering(stage, f"before {BROKEN_MARKDOWN[kind]} after")
    async with stage.agent():
        await stage.ask(ada, "format this")
    assert words([f"before {BROKEN_MARKDOWN[kind]} after"]) == words(stage.screen(ada))


async def test_an_answer_that_the_platform_can_not_format_arrives_plain(
    stage: ChannelHarness,
) -> None:
    """Refused formatting costs the looks, not the answer."""
    ada = stage.driver.direct("ada")
    answering(stage, "this is **bold** and `code`")
    refuse_formatting(stage.driver)
    async with stage.agent():
        await stage.ask(ada, "be fancy")
    assert words(["this is bold and code"]) == words(stage.screen(ada))


@pytest.mark.parametrize("kind", ODD_ANSWERS)
async def test_odd_characters_arrive_as_they_are(
    stage: ChannelHarness, kind: str
) -> None:
    """Emoji, other directions and signs of markup are text like any other."""
    ada = stage.driver.direct("ada")
    answering(stage, ODD_ANSWERS[kind])
    async with stage.agent():
        await stage.driver.say(ada, "be odd")
        await stage.shows(ada, ODD_ANSWERS[kind])


@pytest.mark.parametrize("text", ["", "   \n\n\t ", "\u200b"])
async def test_an_answer_of_nothing_is_said_in_words(
    stage: ChannelHarness, text: str
) -> None:
    """A person always hears something, and the next question is answered."""
    ada = stage.driver.direct("ada")
    answering(stage, text)
    async with stage.agent():
        await stage.ask(ada, "say nothing")
        assert 1 == len(stage.screen(ada))
        answering(stage, "well again")
        await stage.ask(ada, "and now")
    assert "well again" == stage.screen(ada)[-1]


async def test_a_model_can_not_alert_everyone(stage: ChannelHarness) -> None:
    """Mentions of everyone in an answer stay words."""
    town = stage.driver.group("town")
    answering(stage, "hey @everyone @here <!channel> <!here> <!everyone> wake up")
    async with stage.agent():
        await stage.ask(town, "wake them", mention=True)
    assert "wake up" in stage.screen(town)[-1]
    assert [] == pings(stage.driver)


async def test_a_platform_without_its_own_streaming_still_shows_growing_answers(
    stage: ChannelHarness,
) -> None:
    """Native streaming that is refused is replaced by edits; nothing is lost or doubled."""
    town = stage.driver.group("town")
    answering(stage, "once upon a time")
    break_streaming(stage.driver)
    async with stage.agent():
        stage.model.hold()
        await stage.driver.say(town, "tell me a story", mention=True)
        await stage.until(lambda: "once" in "".join(stage.screen(town)))
        stage.model.release()
        await stage.shows(town, "once upon a time")


async def test_a_stream_that_dies_in_the_middle_is_finished_by_edits(
    stage: ChannelHarness,
) -> None:
    """What the dead stream showed is completed in its place."""
    town = stage.driver.group("town")
    answering(stage, "once upon a time")
    async with stage.agent():
        stage.model.hold()
        await stage.driver.say(town, "tell me a story", mention=True)
        await stage.until(lambda: "once" in "".join(stage.screen(town)))
        await let_stream_die(stage.driver)
        stage.model.release()
        await stage.settled()
        assert ["once upon a time"] == stage.screen(town)


async def test_drafts_that_are_refused_cost_only_the_preview(
    stage: ChannelHarness,
) -> None:
    """In a direct chat the answer is edited into place instead."""
    ada = stage.driver.direct("ada")
    break_streaming(stage.driver)
    async with stage.agent():
        await stage.ask(ada, "one")
        await stage.ask(ada, "two")
    assert ["re: one", "re: two"] == stage.screen(ada)


async def test_a_model_that_fails_ends_in_a_sentence(stage: ChannelHarness) -> None:
    """The person hears why, and the next question is answered."""
    ada = stage.driver.direct("ada")
    answering(stage, "")
    stage.model.error = "The model is away."
    async with stage.agent():
        await stage.ask(ada, "one")
        assert ["The model is away."] == stage.screen(ada)
        stage.model.error = None
        answering(stage, "fine now")
        await stage.ask(ada, "two")
    assert "fine now" == stage.screen(ada)[-1]


async def test_an_answer_that_is_cut_in_the_middle_is_kept_and_marked(
    stage: ChannelHarness,
) -> None:
    """What the model wrote before it failed stays, with the reason below."""
    ada = stage.driver.direct("ada")
    answering(stage, "half an answer")
    stage.model.error = "The model broke off."
    async with stage.agent():
        await stage.ask(ada, "one")
    assert words(["half The model broke off"]) == words(stage.screen(ada))


async def test_a_table_stays_readable(stage: ChannelHarness) -> None:
    """All cells arrive, also where the platform has no tables."""
    ada = stage.driver.direct("ada")
    answering(stage, "| name | age |\n|---|---|\n| Ada | 36 |\n| Bob | 41 |")
    async with stage.agent():
        await stage.ask(ada, "make a table")
    assert words(["name age Ada 36 Bob 41"]) == words(stage.screen(ada))


async def test_the_prompt_holds_what_was_written_and_nothing_else(
    stage: ChannelHarness,
) -> None:
    """Signs that the platform writes its own way reach the model as the person typed them."""
    seen: list[Prompt] = stage.model.prompts
    ada = stage.driver.direct("ada")
    async with stage.agent():
        await stage.ask(ada, "if a < b & c > d: print('*x*') # `code` _y_")
    assert ("user", "if a < b & c > d: print('*x*') # `code` _y_") == seen[0].messages[
        -1
    ]
