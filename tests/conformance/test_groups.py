"""Among people the agent answers when addressed, tells people apart, and stays in the right
place.
"""

from __future__ import annotations

import re

from agent.core.text import ASKS_BACK
from tests.conformance.channel_harness import ChannelHarness
from tests.conformance.platform_extras import (
    edit_into_mention,
    reply_to_agent,
    say_as_bot,
)


async def test_in_a_group_talk_among_people_is_not_answered(
    harness: ChannelHarness,
) -> None:
    """Without a mention the agent neither answers nor shows the model what was said."""
    town = harness.driver.group("town")
    async with harness.agent():
        await harness.driver.say(town, "lunch?", user="ada")
        await harness.driver.say(town, "yes", user="bob")
        await harness.ask(town, "where?", user="ada", mention=True)

    assert ["re: Ada: where?"] == [
        text.replace("ada:", "Ada:") for text in harness.screen(town)
    ]
    assert 1 == len(harness.asked())


async def test_a_reply_to_the_agent_is_meant_for_it(harness: ChannelHarness) -> None:
    """A reply to its message needs no mention."""
    town = harness.driver.group("town")
    async with harness.agent():
        await harness.ask(town, "hello", mention=True)
        await reply_to_agent(harness.driver, town, "and another thing")
        await harness.until(lambda: len(harness.model.prompts) == 2)
        await harness.settled()

    assert "and another thing" in harness.screen(town)[-1]
    assert 3 == len(harness.asked())


async def test_a_mention_is_not_part_of_the_question(harness: ChannelHarness) -> None:
    """The agent's own name is taken out of what the model reads."""
    town = harness.driver.group("town")
    async with harness.agent():
        await harness.ask(town, "what is this?", user="ada", mention=True)

    assert ["ada: what is this?"] == [text.lower() for text in harness.asked()]


async def test_a_bare_mention_asks_what_is_meant(harness: ChannelHarness) -> None:
    """The same sentence everywhere, and no model is asked."""
    town = harness.driver.group("town")
    async with harness.agent():
        await harness.ask(town, "", mention=True)

    assert [ASKS_BACK] == harness.screen(town)
    assert [] == harness.model.prompts


async def test_a_mention_that_an_edit_adds_counts(harness: ChannelHarness) -> None:
    """Once: later edits and deliveries of the message change nothing."""
    town = harness.driver.group("town")
    async with harness.agent():
        message = await harness.driver.say(town, "is it late?")
        await edit_into_mention(harness.driver, message, "is it late?")
        await harness.until(lambda: len(harness.model.prompts) == 1)
        await harness.settled()
        await edit_into_mention(harness.driver, message, "is it late now?")
        await harness.ask(town, "and then?", mention=True)

    assert 2 == len(harness.screen(town)) == len(harness.model.prompts)
    assert "is it late?" in harness.asked(0)[0]


def without_quotation(text: str) -> str:
    """On Slack, the first mention in a thread comes with what stands above it."""
    return re.sub(r"In reply to .*?\n\n", "", text, flags=re.DOTALL)


async def test_two_people_in_one_thread_share_a_conversation(
    harness: ChannelHarness,
) -> None:
    """They share one memory, and the prompt names the author of each message."""
    plans = harness.driver.thread(harness.driver.group("town"), "plans")
    async with harness.agent():
        await harness.ask(plans, "I like tea", user="ada", mention=True)
        await harness.ask(plans, "I like coffee", user="bob", mention=True)

    assert ["ada: i like tea", "re: ada: i like tea", "bob: i like coffee"] == [
        without_quotation(text).lower() for text in harness.asked()
    ]
    assert 1 == await harness.value("SELECT count(*) FROM conversations")


async def test_threads_are_conversations_of_their_own(
    harness: ChannelHarness,
) -> None:
    """What is said in one thread is not known in another, and each answer lands where it
    was asked.
    """
    town = harness.driver.group("town")
    plans = harness.driver.thread(town, "plans")
    jokes = harness.driver.thread(town, "jokes")

    async with harness.agent():
        await harness.ask(plans, "about plans", mention=True)
        await harness.ask(jokes, "about jokes", mention=True)
        assert 1 == len(harness.asked())
        assert ["about plans"] == [
            without_quotation(text).rpartition(": ")[2]
            for text in harness.screen(plans)
        ]
        assert ["about jokes"] == [
            without_quotation(text).rpartition(": ")[2]
            for text in harness.screen(jokes)
        ]
        assert [] == harness.screen(town)


async def test_answers_that_grow_at_the_same_time_stay_in_their_threads(
    harness: ChannelHarness,
) -> None:
    """Two threads that are answered side by side do not mix."""
    town = harness.driver.group("town")
    plans = harness.driver.thread(town, "plans")
    jokes = harness.driver.thread(town, "jokes")

    async with harness.agent():
        harness.model.hold()
        await harness.driver.say(plans, "alpha", mention=True)
        await harness.driver.say(jokes, "beta", user="bob", mention=True)
        await harness.until(lambda: len(harness.model.prompts) == 2)
        harness.model.release()
        await harness.until(lambda: "alpha" in "".join(harness.screen(plans)))
        await harness.until(lambda: "beta" in "".join(harness.screen(jokes)))
        await harness.settled()

    assert (1, 1) == (len(harness.screen(plans)), len(harness.screen(jokes)))


async def test_a_group_and_a_direct_chat_are_conversations_of_their_own(
    harness: ChannelHarness,
) -> None:
    """What somebody told the agent directly is not known among others."""
    ada, town = harness.driver.direct("ada"), harness.driver.group("town")
    async with harness.agent():
        await harness.ask(ada, "a secret", user="ada")
        await harness.ask(town, "what do you know?", user="ada", mention=True)

    assert 1 == len(harness.asked())
    assert "secret" not in "".join(harness.screen(town))


async def test_other_bots_and_the_agent_itself_are_ignored(
    harness: ChannelHarness,
) -> None:
    """Two bots must not talk to each other forever."""
    town = harness.driver.group("town")
    async with harness.agent():
        await say_as_bot(harness.driver, town, "beep")
        await harness.ask(town, "hello", mention=True)

    assert 1 == len(harness.model.prompts)
    assert "re: ada: hello" == harness.screen(town)[-1].lower()


async def test_a_command_in_a_thread_is_obeyed(harness: ChannelHarness) -> None:
    """Commands work where people are, also where the platform has none of its own."""
    plans = harness.driver.thread(harness.driver.group("town"), "plans")
    async with harness.agent():
        await harness.ask(plans, "remember this", mention=True)
        await harness.driver.command(plans, "new")
        await harness.until(
            lambda: "A new conversation begins" in "".join(harness.screen(plans))
        )
        await harness.ask(plans, "what do you remember?", mention=True)

    assert 1 == len(harness.asked())
