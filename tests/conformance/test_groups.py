"""Among people the agent speaks when it is meant, knows who is who, and stays in the right
place.
"""

from __future__ import annotations

from tests.conformance.channel_harness import ChannelHarness
from tests.conformance.platform_extras import reply_to_agent, say_as_bot


async def test_in_a_group_talk_among_people_is_not_answered(
    stage: ChannelHarness,
) -> None:
    """Without a mention the agent neither answers nor shows the model what was said."""
    town = stage.driver.group("town")
    async with stage.agent():
        await stage.driver.say(town, "lunch?", user="ada")
        await stage.driver.say(town, "yes", user="bob")
        await stage.ask(town, "where?", user="ada", mention=True)
    assert ["re: Ada: where?"] == [
        text.replace("ada:", "Ada:") for text in stage.screen(town)
    ]
    assert 1 == len(stage.asked())


async def test_a_reply_to_the_agent_is_meant_for_it(stage: ChannelHarness) -> None:
    """Nobody has to mention it again who answers to its message."""
    town = stage.driver.group("town")
    async with stage.agent():
        await stage.ask(town, "hello", mention=True)
        await reply_to_agent(stage.driver, town, "and another thing")
        await stage.until(lambda: len(stage.model.prompts) == 2)
        await stage.settled()
    assert "and another thing" in stage.screen(town)[-1]
    assert 3 == len(stage.asked())


async def test_a_mention_is_not_part_of_the_question(stage: ChannelHarness) -> None:
    """The agent's own name is taken out of what the model reads."""
    town = stage.driver.group("town")
    async with stage.agent():
        await stage.ask(town, "what is this?", user="ada", mention=True)
    assert ["ada: what is this?"] == [text.lower() for text in stage.asked()]


async def test_two_people_in_one_thread_share_a_conversation(
    stage: ChannelHarness,
) -> None:
    """Both are answered from one memory, and the prompt says who said what."""
    plans = stage.driver.thread(stage.driver.group("town"), "plans")
    async with stage.agent():
        await stage.ask(plans, "I like tea", user="ada", mention=True)
        await stage.ask(plans, "I like coffee", user="bob", mention=True)
    assert ["ada: i like tea", "re: ada: i like tea", "bob: i like coffee"] == [
        text.lower() for text in stage.asked()
    ]
    assert 1 == await stage.value("SELECT count(*) FROM conversations")


async def test_threads_are_conversations_of_their_own(stage: ChannelHarness) -> None:
    """What is said in one thread is not known in another, and each answer lands where it
    was asked.
    """
    town = stage.driver.group("town")
    plans, jokes = (
        stage.driver.thread(town, "plans"),
        stage.driver.thread(town, "jokes"),
    )
    async with stage.agent():
        await stage.ask(plans, "about plans", mention=True)
        await stage.ask(jokes, "about jokes", mention=True)
        assert 1 == len(stage.asked())
        assert ["about plans"] == [
            text.rpartition(": ")[2] for text in stage.screen(plans)
        ]
        assert ["about jokes"] == [
            text.rpartition(": ")[2] for text in stage.screen(jokes)
        ]
        assert [] == stage.screen(town)


async def test_answers_that_grow_at_the_same_time_stay_in_their_threads(
    stage: ChannelHarness,
) -> None:
    """Two threads that are answered side by side do not mix."""
    town = stage.driver.group("town")
    plans, jokes = (
        stage.driver.thread(town, "plans"),
        stage.driver.thread(town, "jokes"),
    )
    async with stage.agent():
        stage.model.hold()
        await stage.driver.say(plans, "alpha", mention=True)
        await stage.driver.say(jokes, "beta", user="bob", mention=True)
        await stage.until(lambda: len(stage.model.prompts) == 2)
        stage.model.release()
        await stage.until(lambda: "alpha" in "".join(stage.screen(plans)))
        await stage.until(lambda: "beta" in "".join(stage.screen(jokes)))
        await stage.settled()
    assert (1, 1) == (len(stage.screen(plans)), len(stage.screen(jokes)))


async def test_a_group_and_a_direct_chat_are_conversations_of_their_own(
    stage: ChannelHarness,
) -> None:
    """What somebody told the agent directly is not known among others."""
    ada, town = stage.driver.direct("ada"), stage.driver.group("town")
    async with stage.agent():
        await stage.ask(ada, "a secret", user="ada")
        await stage.ask(town, "what do you know?", user="ada", mention=True)
    assert 1 == len(stage.asked())
    assert "secret" not in "".join(stage.screen(town))


async def test_other_bots_and_the_agent_itself_are_ignored(
    stage: ChannelHarness,
) -> None:
    """Two bots must not talk to each other forever."""
    town = stage.driver.group("town")
    async with stage.agent():
        await say_as_bot(stage.driver, town, "beep")
        await stage.ask(town, "hello", mention=True)
    assert 1 == len(stage.model.prompts)
    assert "re: ada: hello" == stage.screen(town)[-1].lower()


async def test_a_command_in_a_thread_is_obeyed(stage: ChannelHarness) -> None:
    """Commands work where people are, also where the platform has none of its own."""
    plans = stage.driver.thread(stage.driver.group("town"), "plans")
    async with stage.agent():
        await stage.ask(plans, "remember this", mention=True)
        await stage.driver.command(plans, "new")
        await stage.until(
            lambda: "A new conversation begins" in "".join(stage.screen(plans))
        )
        await stage.ask(plans, "what do you remember?", mention=True)
    assert 1 == len(stage.asked())
