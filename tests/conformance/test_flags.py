"""Every flag is obeyed on every channel, from the next turn on, and its return as well."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from agent.errors import ModelError
from agent.flags import SWITCHED_OFF
from agent.models import Prompt, Usage
from storage.flag_targets import Target
from storage.flags import FlagDesk
from tests.conformance.stage import Speaker, Stage
from tests.desk import ADA, EVERYBODY, operator
from tests.world import MODEL

NOT_HERE = "I am being repaired."


@pytest.fixture
async def desk(stage: Stage) -> AsyncIterator[FlagDesk]:
    """An operator in another process: the running agent is not told but by Redis."""
    async with operator(stage.database_url, stage.redis_url) as desk:
        yield desk


async def test_replies_can_be_switched_off_and_on(stage: Stage, desk: FlagDesk) -> None:
    """While off, the person is told so; what comes afterwards is answered, and knows of what was said."""
    ada = stage.driver.direct("ada")
    async with stage.agent():
        await desk.set("replies", EVERYBODY, False, ADA)
        await stage.ask(ada, "anybody there?")
        await stage.shows(ada, SWITCHED_OFF)
        assert [] == stage.model.prompts
        await desk.unset("replies", EVERYBODY, ADA)
        await stage.ask(ada, "and now?")
        await stage.shows(ada, SWITCHED_OFF, "re: and now?")
        assert ["anybody there?", "and now?"] == stage.asked()


async def test_without_a_maintenance_message_nothing_is_said(stage: Stage, desk: FlagDesk) -> None:
    """Messages are kept, their turns are closed, and nobody hears anything until replies are on again."""
    ada = stage.driver.direct("ada")
    await desk.set("maintenance_message", EVERYBODY, "", ADA)
    async with stage.agent():
        await desk.set("replies", EVERYBODY, False, ADA)
        await stage.ask(ada, "anybody there?")
        await stage.shows(ada)
        assert [] == stage.model.prompts
        await desk.unset("replies", EVERYBODY, ADA)
        await stage.ask(ada, "and now?")
        await stage.shows(ada, "re: and now?")
        assert ["anybody there?", "and now?"] == stage.asked()


async def test_a_maintenance_message_is_said_instead_of_an_answer(stage: Stage, desk: FlagDesk) -> None:
    """Only while replies are off; the model never sees it."""
    ada = stage.driver.direct("ada")
    await desk.set("maintenance_message", EVERYBODY, NOT_HERE, ADA)
    async with stage.agent():
        await stage.ask(ada, "one")
        await desk.set("replies", Target(channel=stage.driver.name), False, ADA)
        await stage.ask(ada, "two")
        await desk.undo("replies", ADA)
        await stage.ask(ada, "three")
        await stage.shows(ada, "re: one", NOT_HERE, "re: three")
        assert ["one", "re: one", "two", "three"] == stage.asked()


async def test_streaming_can_be_switched_off_and_on(stage: Stage, desk: FlagDesk) -> None:
    """While off an answer arrives whole, in one state; on again, its first words stand there before the rest."""
    ada = stage.driver.direct("ada")
    stage.model.said = lambda prompt: "once upon a time"
    await desk.set("streaming", EVERYBODY, False, ADA)
    async with stage.agent():
        stage.model.hold()
        await stage.driver.say(ada, "a story")
        await stage.model.started.wait()
        stage.model.release()
        await stage.shows(ada, "once upon a time")
        await stage.settled()
        assert 1 == stage.driver.revisions(ada)
        await desk.unset("streaming", EVERYBODY, ADA)
        stage.model.hold()
        await stage.driver.say(ada, "another")
        await stage.until(lambda: stage.screen(ada)[1:] and "once" in stage.screen(ada)[-1])
        assert "upon" not in stage.screen(ada)[-1]
        stage.model.release()
        await stage.shows(ada, "once upon a time", "once upon a time")


async def burst(stage: Stage) -> list[str]:
    """Three messages during an answer; what the agent says after it."""
    ada = stage.driver.direct("ada")
    before = len(stage.screen(ada))
    stage.model.hold()
    await stage.driver.say(ada, "one")
    await stage.model.started.wait()
    counted = await stage.value("SELECT count(*) FROM turns")
    for text in ("two", "three"):
        await stage.driver.say(ada, text)
    while await stage.value("SELECT count(*) FROM turns") < counted + 2:
        await stage.value("SELECT pg_sleep(0.005)")
    stage.model.release()
    await stage.settled()
    return stage.screen(ada)[before:]


async def test_overlap_decides_what_happens_to_messages_during_an_answer(stage: Stage, desk: FlagDesk) -> None:
    """The flag over the channel's setting, which returns when the flag is removed."""
    async with stage.agent():
        assert ["re: one", "re: three"] == await burst(stage)
        await desk.set("overlap", EVERYBODY, "queue", ADA)
        assert ["re: one", "re: two", "re: three"] == await burst(stage)
        await desk.unset("overlap", EVERYBODY, ADA)
        assert ["re: one", "re: three"] == await burst(stage)


async def test_max_conversation_length_limits_what_the_model_sees(stage: Stage, desk: FlagDesk) -> None:
    """The last messages of it; without the flag the whole window again."""
    ada = stage.driver.direct("ada")
    async with stage.agent():
        for text in ("one", "two"):
            await stage.ask(ada, text)
        await desk.set("max_conversation_length", EVERYBODY, 2, ADA)
        await stage.ask(ada, "three")
        assert ["re: two", "three"] == stage.asked()
        await desk.unset("max_conversation_length", EVERYBODY, ADA)
        await stage.ask(ada, "four")
        assert ["one", "re: one", "two", "re: two", "three", "re: three", "four"] == stage.asked()


async def test_default_model_answers_where_nobody_chose_one(stage: Stage, desk: FlagDesk) -> None:
    """For one person only; what the person chose goes before it."""
    ada = stage.driver.direct("ada")
    async with stage.agent():
        await stage.ask(ada, "one")
        account = await stage.value("SELECT channel_type || ':' || channel_user_id FROM users")
        await desk.set("default_model", Target(person=account), "test:other", ADA)
        await stage.ask(ada, "two")
        await stage.ask(ada, "/model test:mine")
        await stage.ask(ada, "three")
        await stage.ask(ada, "/model default")
        await desk.unset("default_model", Target(person=account), ADA)
        await stage.ask(ada, "four")
        assert [MODEL, "test:other", "test:mine", MODEL] == stage.model.asked


class Broken(Speaker):
    """Only `test:spare` answers."""

    async def stream(self, model: str, prompt: Prompt):  # type: ignore[no-untyped-def]
        if model != "test:spare":
            self.asked.append(model)
            raise ModelError("The model is down.")
        async for piece in super().stream(model, prompt):
            yield piece


async def test_fallback_model_is_asked_when_the_model_fails_before_its_first_word(stage: Stage, desk: FlagDesk) -> None:
    """Without it the person is told what is wrong."""
    ada = stage.driver.direct("ada")
    stage.model = Broken()
    await desk.set("fallback_model", EVERYBODY, "test:spare", ADA)
    async with stage.agent():
        await stage.ask(ada, "one")
        await desk.unset("fallback_model", EVERYBODY, ADA)
        await stage.ask(ada, "two")
        await stage.shows(ada, "re: one", "The model is down.")
        assert [MODEL, "test:spare", MODEL] == stage.model.asked


async def test_system_prompt_has_variants(stage: Stage, desk: FlagDesk) -> None:
    """For everybody (a share of 100 %), then for nobody (0 %), then as it was."""
    ada = stage.driver.direct("ada")
    async with stage.agent():
        for share in (100, 0):
            await desk.set("system_prompt", Target(percentage=share), "Be brief.", ADA)
            await stage.ask(ada, f"at {share}")
        await desk.unset("system_prompt", Target(percentage=0), ADA)
        await stage.ask(ada, "none")
        default = "You are a helpful assistant."
        assert ["Be brief.", default, default] == [prompt.system for prompt in stage.model.prompts]


async def test_the_model_is_charged_for_what_answered(stage: Stage, desk: FlagDesk) -> None:
    """The stored answer names the fallback, not the model that failed."""
    ada = stage.driver.direct("ada")
    stage.model = Broken()
    await desk.set("fallback_model", EVERYBODY, "test:spare", ADA)
    async with stage.agent():
        await stage.ask(ada, "one")
    assert Usage("test:spare", 10, 5).model == await stage.value(
        "SELECT model_used FROM messages WHERE role = 'assistant'"
    )
