"""Commands are the same on every channel, in the platform's own form."""

from __future__ import annotations

import pytest

from agent.core.commands import COMMANDS
from tests.conformance.channel_harness import ChannelHarness


async def test_help_names_every_command(stage: ChannelHarness) -> None:
    """What can be done is said where it is asked."""
    ada = stage.driver.direct("ada")
    async with stage.agent():
        await stage.driver.command(ada, "help")
        await stage.until(lambda: stage.screen(ada))
        await stage.settled()
    shown = "\n".join(stage.screen(ada))
    assert [] == [command.name for command in COMMANDS if command.name not in shown]


async def test_a_command_is_answered_while_the_model_hangs(
    stage: ChannelHarness,
) -> None:
    """Commands wait for no answer."""
    ada = stage.driver.direct("ada")
    stage.model.hangs_on = "forever"
    async with stage.agent() as agent:
        await stage.driver.say(ada, "take forever")
        await stage.model.started.wait()
        await stage.driver.command(ada, "help")
        await stage.until(lambda: "/new" in "".join(stage.screen(ada)))
        await agent.crash()


async def test_stop_cuts_the_answer_and_keeps_what_was_written(
    stage: ChannelHarness,
) -> None:
    """The words that stood there stay, marked, and the next question is answered."""
    ada = stage.driver.direct("ada")
    async with stage.agent():
        stage.model.hold()
        await stage.driver.say(ada, "a long story")
        await stage.until(lambda: "re:" in "".join(stage.screen(ada)))
        await stage.driver.command(ada, "stop")
        await stage.settled()
        stage.model.release()
        shown = stage.screen(ada)
        assert 2 == len(shown) and "Stopped." in shown
        assert any(text.startswith("re:") and "stopped" in text for text in shown)
        await stage.ask(ada, "and now")
    assert "re: and now" == stage.screen(ada)[-1]


async def test_stop_without_an_answer_says_so(stage: ChannelHarness) -> None:
    """There is nothing to stop, and that is no error."""
    ada = stage.driver.direct("ada")
    async with stage.agent():
        await stage.ask(ada, "hello")
        await stage.driver.command(ada, "stop")
        await stage.shows(ada, "re: hello", "There is nothing to stop.")


async def test_new_begins_a_conversation_that_knows_nothing_of_the_old(
    stage: ChannelHarness,
) -> None:
    """The old one is kept, and no longer shown to the model."""
    ada = stage.driver.direct("ada")
    async with stage.agent():
        await stage.ask(ada, "my name is Ada")
        await stage.driver.command(ada, "new")
        await stage.until(lambda: len(stage.screen(ada)) == 2)
        await stage.ask(ada, "what is my name?")
    assert ["what is my name?"] == stage.asked()
    assert 2 == await stage.value("SELECT count(*) FROM conversations")


async def test_model_chooses_who_answers_and_default_goes_back(
    stage: ChannelHarness,
) -> None:
    """A choice holds from the next message on, also after a restart, until it is taken back."""
    ada = stage.driver.direct("ada")
    async with stage.agent():
        await stage.driver.command(ada, "model", "test:clever")
        await stage.until(lambda: len(stage.screen(ada)) == 1)
        await stage.ask(ada, "one")
    async with stage.agent():
        await stage.ask(ada, "two")
        await stage.driver.command(ada, "model", "default")
        await stage.until(lambda: len(stage.screen(ada)) == 4)
        await stage.ask(ada, "three")
    assert ["test:clever", "test:clever", "test:model"] == stage.model.asked


async def test_history_shows_what_was_said(stage: ChannelHarness) -> None:
    """Both sides, oldest first."""
    ada = stage.driver.direct("ada")
    async with stage.agent():
        await stage.ask(ada, "what a day")
        await stage.driver.command(ada, "history", "5")
        await stage.until(lambda: len(stage.screen(ada)) == 2)
    lines = stage.screen(ada)[-1].splitlines()
    assert ["what a day", "re: what a day"] == [
        line.partition(": ")[2] for line in lines
    ]


async def test_usage_counts_tokens(stage: ChannelHarness) -> None:
    """What the model reported is what the person sees."""
    ada = stage.driver.direct("ada")
    async with stage.agent():
        await stage.ask(ada, "one")
        await stage.ask(ada, "two")
        await stage.driver.command(ada, "usage")
        await stage.until(lambda: len(stage.screen(ada)) == 3)
    assert "2 answers, 20 tokens read, 10 written" in stage.screen(ada)[-1]


async def test_retry_answers_the_last_message_again(stage: ChannelHarness) -> None:
    """The same question, another answer."""
    ada = stage.driver.direct("ada")
    async with stage.agent():
        await stage.ask(ada, "roll a die")
        stage.model.said = lambda prompt: "six"
        await stage.driver.command(ada, "retry")
        await stage.shows(ada, "re: roll a die", "six")


async def test_an_argument_that_makes_no_sense_is_refused_in_a_sentence(
    stage: ChannelHarness,
) -> None:
    """A person is told what is possible."""
    ada = stage.driver.direct("ada")
    async with stage.agent():
        await stage.driver.command(ada, "history", "everything")
        await stage.until(lambda: "A number from 1 to 50" in "".join(stage.screen(ada)))


async def test_what_only_looks_like_a_command_is_an_ordinary_message(
    stage: ChannelHarness,
) -> None:
    """People write paths."""
    ada = stage.driver.direct("ada")
    async with stage.agent():
        await stage.driver.say(ada, "/etc/hosts is a file")
        await stage.shows(ada, "re: /etc/hosts is a file")


@pytest.mark.parametrize("text", ["/new", "!new"])
async def test_a_typed_command_is_one_too(stage: ChannelHarness, text: str) -> None:
    """Whoever types it instead of choosing it from the menu gets the same."""
    ada = stage.driver.direct("ada")
    async with stage.agent():
        await stage.driver.say(ada, text)
        await stage.until(
            lambda: "A new conversation begins" in "".join(stage.screen(ada))
        )
    assert [] == stage.model.prompts
