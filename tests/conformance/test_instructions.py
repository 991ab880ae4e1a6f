"""`/system`: what a person asks for in every answer; and what `/start` says can be done."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from agent.conversation.commands.instruction import IN_DIRECT_CHATS, NONE, NOT_ALLOWED
from agent.core.channel import SendsFiles
from agent.core.commands import COMMANDS
from agent.core.effects import MAX_INSTRUCTION_CHARS
from storage.control.flags import FlagAdmin
from tests.conformance.channel_harness import ChannelHarness
from tests.conformance.driver import Place
from tests.conformance.files import files_in, unpacked
from tests.support.operators import ADA, EVERYBODY, operator

WISH = "Answer in rhymes."


@pytest.fixture
async def admin(harness: ChannelHarness) -> AsyncIterator[FlagAdmin]:
    """People may have instructions of their own."""
    async with operator(harness.database_url, harness.redis_url) as admin:
        await admin.set("own_instructions", EVERYBODY, True, ADA)
        yield admin


async def told(harness: ChannelHarness, place: Place, name: str, *words: str) -> str:
    """What the agent says to a command, without formatting marks."""
    count = len(harness.screen(place))
    await harness.driver.command(place, name, *words)
    await harness.until(lambda: len(harness.screen(place)) > count)
    await harness.settled()

    return harness.screen(place)[-1].replace("`", "")


async def test_an_instruction_of_ones_own_reaches_every_prompt(
    harness: ChannelHarness, admin: FlagAdmin
) -> None:
    """Set before the first message, shown, and taken back; it stays in its conversation."""
    ada = harness.driver.direct("ada")
    async with harness.agent():
        assert NONE.replace("`", "") == await told(harness, ada, "system")
        assert "from now on" in await told(harness, ada, "system", WISH)
        await harness.ask(ada, "hello")
        await harness.ask(ada, "and now?")
        seen = [prompt.system for prompt in harness.model.prompts]
        assert [True, True] == [one.endswith(WISH) for one in seen]
        assert seen[0].startswith("You are a helpful assistant.")
        assert WISH in await told(harness, ada, "system")

        assert "no longer" in await told(harness, ada, "system", "off")
        await harness.ask(ada, "plain, please")
        assert WISH not in harness.model.prompts[-1].system
        await told(harness, ada, "system", WISH)
        await told(harness, ada, "new")
        await harness.ask(ada, "a new one")

    assert WISH not in harness.model.prompts[-1].system


async def test_an_instruction_counts_only_where_the_flag_allows_it(
    harness: ChannelHarness, admin: FlagAdmin
) -> None:
    """It is kept, and taken back also where it is not allowed any more."""
    ada = harness.driver.direct("ada")
    async with harness.agent():
        await told(harness, ada, "system", WISH)
        await admin.unset("own_instructions", EVERYBODY, ADA)
        await harness.ask(ada, "hello")
        assert WISH not in harness.model.prompts[-1].system
        assert NOT_ALLOWED == await told(harness, ada, "system", WISH)
        assert "no longer" in await told(harness, ada, "system", "off")

    assert await harness.value("SELECT instruction FROM conversations") is None


async def test_an_instruction_that_is_too_long_is_not_kept(
    harness: ChannelHarness, admin: FlagAdmin
) -> None:
    """The sentence names the limit."""
    ada = harness.driver.direct("ada")
    long = "x" * (MAX_INSTRUCTION_CHARS + 1)
    async with harness.agent():
        assert str(MAX_INSTRUCTION_CHARS) in await told(harness, ada, "system", long)

    assert 0 == await harness.value("SELECT count(*) FROM conversations")


async def test_an_instruction_in_a_group_is_not_taken(
    harness: ChannelHarness, admin: FlagAdmin
) -> None:
    """It would be for everybody."""
    town = harness.driver.group("town")
    async with harness.agent():
        shown = await told(harness, town, "system", WISH)

    assert IN_DIRECT_CHATS.replace("`", "") == shown
    assert 0 == await harness.value("SELECT count(*) FROM conversations")


async def test_an_instruction_is_exported_and_erased(
    harness: ChannelHarness, admin: FlagAdmin
) -> None:
    """As all that a person said."""
    ada = harness.driver.direct("ada")
    async with harness.agent():
        await told(harness, ada, "system", WISH)
        shown = await told(harness, ada, "export")

    if isinstance(harness.driver.channel(), SendsFiles):
        [file] = files_in(harness.driver, ada)
        shown = unpacked(file)["export.txt"]

    assert WISH in shown


async def test_start_says_what_can_be_done_here(
    harness: ChannelHarness, admin: FlagAdmin
) -> None:
    """All commands that flags allow, in plain words; none where they are switched off."""
    ada = harness.driver.direct("ada")
    async with harness.agent():
        await harness.ask(ada, "/start")
        hello = harness.screen(ada)[-1]
        assert hello.startswith("Hello!")
        assert [] == [one.name for one in COMMANDS if one.summary not in hello]
        await admin.unset("own_instructions", EVERYBODY, ADA)
        await harness.applied()
        await harness.ask(ada, "/start")
        assert "/system" not in harness.screen(ada)[-1]
        await admin.set("enable_slash_commands", EVERYBODY, False, ADA)
        await harness.applied()
        await harness.ask(ada, "/start")

    assert "/new" not in harness.screen(ada)[-1]
    assert harness.screen(ada)[-1].startswith("Hello!")


async def test_a_greeting_of_operators_names_the_commands(
    harness: ChannelHarness,
) -> None:
    """Where they wrote `{commands}`; other braces are theirs."""
    ada = harness.driver.direct("ada")
    text = "Hi {you}! Here you can:\n\n{commands}"
    await harness.value(
        "INSERT INTO channel_configs (id, channel_type, settings) VALUES ("
        "gen_random_uuid(), $1, jsonb_build_object('greeting', $2::text))",
        harness.driver.name,
        text,
    )
    async with harness.agent():
        await harness.ask(ada, "hello")

    shown = harness.screen(ada)[0]
    assert "Hi {you}!" in shown
    assert "start a new conversation" in shown
    assert "/system" not in shown
