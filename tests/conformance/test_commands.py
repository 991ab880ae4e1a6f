"""Commands are the same on every channel, in the platform's own form."""

from __future__ import annotations

import pytest

from agent.core.commands import COMMANDS
from tests.conformance.channel_harness import ChannelHarness
from tests.conformance.platform_extras import is_streaming


async def test_help_names_every_command(harness: ChannelHarness) -> None:
    """The commands are listed where someone asks."""
    ada = harness.driver.direct("ada")
    async with harness.agent():
        await harness.driver.command(ada, "help")
        await harness.until(lambda: harness.screen(ada))
        await harness.settled()

    shown = "\n".join(harness.screen(ada))

    names = [command.name for command in COMMANDS if not command.by_flag]

    assert [] == [name for name in names if f"/{name}" not in shown]
    assert "/system" not in shown


async def test_a_command_is_answered_while_the_model_hangs(
    harness: ChannelHarness,
) -> None:
    """Commands wait for no answer."""
    ada = harness.driver.direct("ada")
    harness.model.hangs_on = "forever"

    async with harness.agent() as agent:
        await harness.driver.say(ada, "take forever")
        await harness.model.started.wait()
        await harness.driver.command(ada, "help")
        await harness.until(lambda: "/new" in "".join(harness.screen(ada)))
        await agent.crash()


async def test_stop_cuts_the_answer_and_keeps_what_was_written(
    harness: ChannelHarness,
) -> None:
    """The words so far stay, marked, and the next question is answered."""
    ada = harness.driver.direct("ada")
    async with harness.agent():
        harness.model.hold()
        await harness.driver.say(ada, "a long story")
        await harness.until(lambda: "re:" in "".join(harness.screen(ada)))
        await harness.driver.command(ada, "stop")
        await harness.settled()
        harness.model.release()
        shown = harness.screen(ada)
        assert 2 == len(shown)
        assert "Stopped." in shown
        assert any(text.startswith("re:") and "stopped" in text for text in shown)
        await harness.ask(ada, "and now")

    assert "re: and now" == harness.screen(ada)[-1]


@pytest.mark.parametrize("said", ["!stop", "stop"])
async def test_stop_cuts_an_answer_that_grows_in_a_thread(
    harness: ChannelHarness, said: str
) -> None:
    """Also where the platform streams by itself and shows no button. Nothing is left open."""
    driver = harness.driver
    place = driver.thread(driver.group("town"), "plans")
    async with harness.agent():
        harness.model.hold()
        await driver.say(place, "a long story", mention=True)
        await harness.until(lambda: "re:" in "".join(harness.screen(place)))
        assert is_streaming(driver) == (driver.name == "slack")
        await driver.say(place, said, mention=True)
        await harness.settled()
        harness.model.release()
        first, told = harness.screen(place)

    assert first.startswith("re:")
    assert "stopped" in first
    assert "Stopped." == told
    assert not is_streaming(driver)
    assert 1 == len(harness.model.prompts)


async def test_stop_without_an_answer_says_so(harness: ChannelHarness) -> None:
    """There is nothing to stop, and that is no error."""
    ada = harness.driver.direct("ada")
    async with harness.agent():
        await harness.ask(ada, "hello")
        await harness.driver.command(ada, "stop")
        await harness.shows(ada, "re: hello", "There is nothing to stop.")


async def test_new_begins_a_conversation_that_knows_nothing_of_the_old(
    harness: ChannelHarness,
) -> None:
    """The old one is kept, and no longer shown to the model."""
    ada = harness.driver.direct("ada")
    async with harness.agent():
        await harness.ask(ada, "my name is Ada")
        await harness.driver.command(ada, "new")
        await harness.until(lambda: len(harness.screen(ada)) == 2)
        await harness.ask(ada, "what is my name?")

    assert ["what is my name?"] == harness.asked()
    assert 2 == await harness.value("SELECT count(*) FROM conversations")


async def test_a_conversation_has_a_name_and_is_continued_by_its_number(
    harness: ChannelHarness,
) -> None:
    """The model sees what was said there, and nothing of the one that was left."""
    ada = harness.driver.direct("ada")
    async with harness.agent():
        await harness.ask(ada, "my name is Ada")
        await harness.driver.command(ada, "new", "Trip to Rome")
        await harness.until(lambda: len(harness.screen(ada)) == 2)
        assert "Trip to Rome" in harness.screen(ada)[-1]
        await harness.ask(ada, "where is the forum?")
        await harness.driver.command(ada, "conversations")
        await harness.until(lambda: len(harness.screen(ada)) == 4)
        listed = harness.screen(ada)[-1]
        assert "2: " in listed.splitlines()[0]
        assert "Trip to Rome" in listed.splitlines()[0]
        assert "my name is Ada" in listed.splitlines()[1]

        await harness.driver.command(ada, "conversations", "1")
        await harness.until(lambda: len(harness.screen(ada)) == 5)
        assert "my name is Ada" in harness.screen(ada)[-1]
        await harness.ask(ada, "what is my name?")

    seen = ["my name is Ada", "re: my name is Ada", "what is my name?"]
    assert seen == harness.asked()


async def test_a_conversation_that_is_not_there_is_said_in_a_sentence(
    harness: ChannelHarness,
) -> None:
    """The one of this moment goes on."""
    ada = harness.driver.direct("ada")
    async with harness.agent():
        await harness.ask(ada, "hello")
        await harness.driver.command(ada, "conversations", "7")
        await harness.until(
            lambda: "no conversation of this number" in harness.screen(ada)[-1]
        )
        await harness.ask(ada, "and now?")

    assert ["hello", "re: hello", "and now?"] == harness.asked()


async def test_model_chooses_who_answers_and_default_goes_back(
    harness: ChannelHarness,
) -> None:
    """A choice holds from the next message on, also after a restart, until it is taken back."""
    ada = harness.driver.direct("ada")
    async with harness.agent():
        await harness.driver.command(ada, "model", "test:clever")
        await harness.until(lambda: len(harness.screen(ada)) == 1)
        await harness.ask(ada, "one")

    async with harness.agent():
        await harness.ask(ada, "two")
        await harness.driver.command(ada, "model", "default")
        await harness.until(lambda: len(harness.screen(ada)) == 4)
        await harness.ask(ada, "three")

    assert ["test:clever", "test:clever", "test:model"] == harness.model.asked


async def test_history_shows_what_was_said(harness: ChannelHarness) -> None:
    """Both sides, oldest first."""
    ada = harness.driver.direct("ada")
    async with harness.agent():
        await harness.ask(ada, "what a day")
        await harness.driver.command(ada, "history", "5")
        await harness.until(lambda: len(harness.screen(ada)) == 2)

    lines = harness.screen(ada)[-1].splitlines()

    assert ["what a day", "re: what a day"] == [
        line.partition(": ")[2] for line in lines
    ]


async def test_usage_counts_tokens(harness: ChannelHarness) -> None:
    """What the model reported is what the person sees."""
    ada = harness.driver.direct("ada")
    async with harness.agent():
        await harness.ask(ada, "one")
        await harness.ask(ada, "two")
        await harness.driver.command(ada, "usage")
        await harness.until(lambda: len(harness.screen(ada)) == 3)

    assert "2 answers, 20 tokens read, 10 written" in harness.screen(ada)[-1]


async def test_retry_answers_the_last_message_again(harness: ChannelHarness) -> None:
    """The same question, another answer."""
    ada = harness.driver.direct("ada")
    async with harness.agent():
        await harness.ask(ada, "roll a die")
        harness.model.said = lambda prompt: "six"
        await harness.driver.command(ada, "retry")
        await harness.shows(ada, "re: roll a die", "six")


async def test_an_argument_that_makes_no_sense_is_refused_in_a_sentence(
    harness: ChannelHarness,
) -> None:
    """The answer lists what is possible."""
    ada = harness.driver.direct("ada")
    async with harness.agent():
        await harness.driver.command(ada, "history", "everything")
        await harness.until(
            lambda: "A number from 1 to 50" in "".join(harness.screen(ada))
        )


async def test_what_only_looks_like_a_command_is_an_ordinary_message(
    harness: ChannelHarness,
) -> None:
    """People write paths."""
    ada = harness.driver.direct("ada")
    async with harness.agent():
        await harness.driver.say(ada, "/etc/hosts is a file")
        await harness.shows(ada, "re: /etc/hosts is a file")


@pytest.mark.parametrize("text", ["/new", "!new"])
async def test_a_typed_command_is_one_too(harness: ChannelHarness, text: str) -> None:
    """A typed command does the same as one chosen from the menu."""
    ada = harness.driver.direct("ada")
    async with harness.agent():
        await harness.driver.say(ada, text)
        await harness.until(
            lambda: "A new conversation begins" in "".join(harness.screen(ada))
        )

    assert [] == harness.model.prompts


async def test_search_finds_ones_own_words_and_marks_them(
    harness: ChannelHarness,
) -> None:
    ada = harness.driver.direct("ada")
    async with harness.agent():
        await harness.ask(ada, "where is the zebra")
        await harness.driver.command(ada, "search", "zeb*")
        await harness.until(lambda: len(harness.screen(ada)) == 2)
        await harness.driver.command(ada, "search", "-zebra")
        await harness.until(lambda: len(harness.screen(ada)) == 3)
    found, refused = harness.screen(ada)[-2:]

    assert 2 == found.count("where is the")
    assert 2 == len(found.splitlines())
    assert "A minus only leaves out" in refused
