"""Whatever people write is stored exactly or refused in a sentence; nothing ends the channel."""

from __future__ import annotations

import pytest

from tests.conformance.channel_harness import ChannelHarness

ODD = {
    "emoji": "👩‍👩‍👧‍👦 ✅ 🏳️‍🌈",
    "right to left": "מה שלומך? \u200fطيب",
    "combining": "Z̷a̸l̶g̴o̷ é",
    "astral": "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐍈",
    "control": "bell\x07 and escape\x1b[31m",
    "sql": "Robert'); DROP TABLE messages;--",
    "redis": "*3\r\n$3\r\nSET",
}


@pytest.mark.parametrize("kind", ODD)
async def test_odd_text_is_stored_exactly(harness: ChannelHarness, kind: str) -> None:
    """The model reads what the person wrote, character for character."""
    ada = harness.driver.direct("ada")
    harness.model.said = lambda prompt: "well"
    async with harness.agent():
        await harness.ask(ada, ODD[kind])

    assert [ODD[kind]] == harness.asked()
    assert ODD[kind] == await harness.value(
        "SELECT content FROM messages WHERE role = 'user'"
    )


async def test_a_message_that_is_too_long_is_refused_with_the_limit(
    harness: ChannelHarness,
) -> None:
    """Nothing of it is stored, and the next one is answered."""
    ada = harness.driver.direct("ada")
    async with harness.agent():
        await harness.driver.say(ada, "x" * 32_001)
        await harness.until(lambda: harness.screen(ada))
        assert "32001" in harness.screen(ada)[0]
        assert "32000" in harness.screen(ada)[0]
        assert 0 == await harness.value("SELECT count(*) FROM messages")
        await harness.ask(ada, "shorter")

    assert "re: shorter" == harness.screen(ada)[-1]


async def test_a_message_of_a_megabyte_is_refused(harness: ChannelHarness) -> None:
    """However long: one sentence, no crash."""
    ada = harness.driver.direct("ada")
    async with harness.agent():
        await harness.driver.say(ada, "word " * 200_000)
        await harness.until(lambda: "32000" in "".join(harness.screen(ada)))
        await harness.ask(ada, "shorter")

    assert "re: shorter" == harness.screen(ada)[-1]


async def test_a_nul_character_is_refused_in_a_sentence(
    harness: ChannelHarness,
) -> None:
    """Postgres cannot store it, and the answer says so."""
    ada = harness.driver.direct("ada")
    async with harness.agent():
        await harness.driver.say(ada, "a\0b")
        await harness.until(lambda: "NUL" in "".join(harness.screen(ada)))
        await harness.ask(ada, "without")

    assert "re: without" == harness.screen(ada)[-1]


async def test_half_a_surrogate_pair_does_not_stop_the_channel(
    harness: ChannelHarness,
) -> None:
    """It is refused or repaired, and the next message is answered."""
    ada = harness.driver.direct("ada")
    async with harness.agent():
        await harness.driver.say(ada, "half \ud83d a pair")
        await harness.until(lambda: harness.screen(ada))
        await harness.ask(ada, "whole")

    assert "re: whole" == harness.screen(ada)[-1]


async def test_only_white_space_is_not_answered_by_the_model(
    harness: ChannelHarness,
) -> None:
    """There is no question in it."""
    ada = harness.driver.direct("ada")
    async with harness.agent():
        await harness.driver.say(ada, " \n\t ")
        await harness.ask(ada, "a question")

    assert [["a question"]] == [
        [text for _, text in prompt.messages] for prompt in harness.model.prompts
    ]
