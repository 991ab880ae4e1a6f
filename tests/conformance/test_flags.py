"""Every flag is obeyed on every channel, from the next turn on, and its return as well."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import pytest

from agent.control.flags import SWITCHED_OFF
from agent.core.completion import UNTUNED, Tuning, Usage
from storage.control.flags import FlagAdmin
from storage.control.targets import RuleTarget
from tests.conformance.channel_harness import ChannelHarness
from tests.conformance.expectations import (
    SPARE,
    Broken,
    Scenario,
    answers_burst,
    answers_hello,
    asks,
    bears_buttons,
    bears_no_buttons,
    comes_whole,
    gets_titled,
    grows,
    leaves_untitled,
    names_prompt,
    offers_commands,
    offers_system,
    says,
    shows,
    tunes,
    withholds_commands,
    withholds_system,
)
from tests.support.engine_harness import MODEL
from tests.support.operators import ADA, EVERYBODY, operator

NOT_HERE = "I am being repaired."

FLAGS: Mapping[str, Scenario] = {
    "replies": Scenario(
        False, answers_hello("re: hello"), answers_hello(SWITCHED_OFF)
    ),
    "maintenance_message": Scenario(
        NOT_HERE,
        answers_hello(SWITCHED_OFF),
        answers_hello(NOT_HERE),
        always={"replies": False},
    ),
    "streaming": Scenario(False, grows, comes_whole),
    "overlap": Scenario(
        "queue",
        answers_burst("re: one", "re: three"),
        answers_burst("re: one", "re: two", "re: three"),
    ),
    "max_conversation_length": Scenario(
        2, shows("one", "re: one", "two"), shows("re: one", "two")
    ),
    "enable_slash_commands": Scenario(False, offers_commands, withholds_commands),
    "buttons": Scenario(True, bears_no_buttons, bears_buttons),
    "default_model": Scenario("test:other", asks(MODEL), asks("test:other")),
    "fallback_model": Scenario(SPARE, asks(MODEL), asks(MODEL, SPARE), model=Broken),
    "system_prompt": Scenario(
        "Be brief.", says("You are a helpful assistant."), says("Be brief.")
    ),
    "own_instructions": Scenario(True, withholds_system, offers_system),
    "titles": Scenario(True, leaves_untitled, gets_titled),
    "temperature": Scenario(0.2, tunes(UNTUNED), tunes(Tuning(temperature=0.2))),
    "reasoning_effort": Scenario("low", tunes(UNTUNED), tunes(Tuning(effort="low"))),
    "answer_tokens": Scenario(500, tunes(UNTUNED), tunes(Tuning(answer=500))),
    "request_fields": Scenario(
        {"seed": 7}, tunes(UNTUNED), tunes(Tuning(fields={"seed": 7}))
    ),
    "keep_earlier_texts": Scenario(True, names_prompt(False), names_prompt(True)),
}


@pytest.fixture
async def admin(harness: ChannelHarness) -> AsyncIterator[FlagAdmin]:
    """An operator in another process: the running agent learns of it through the stores."""
    async with operator(harness.database_url, harness.redis_url) as admin:
        yield admin


async def test_every_flag_is_obeyed_and_its_return(
    harness: ChannelHarness, admin: FlagAdmin, flag_name: str
) -> None:
    """Set and removed for everybody while the agent runs: as usual, changed, as usual again."""
    assert flag_name in FLAGS, (
        "Say in FLAGS what people meet with and without this flag."
    )
    scenario = FLAGS[flag_name]
    harness.model = scenario.model()
    ada = harness.driver.direct("ada")
    for name, value in scenario.always.items():
        await admin.set(name, EVERYBODY, value, ADA)

    async with harness.agent():
        await scenario.usual(harness, ada)
        await admin.set(flag_name, EVERYBODY, scenario.value, ADA)
        await scenario.changed(harness, ada)
        await admin.unset(flag_name, EVERYBODY, ADA)
        await scenario.usual(harness, ada)


async def test_what_was_said_while_replies_were_off_is_known_afterwards(
    harness: ChannelHarness, admin: FlagAdmin
) -> None:
    """It is kept, and not answered later; the model never sees what was said instead."""
    ada = harness.driver.direct("ada")
    async with harness.agent():
        await admin.set("replies", EVERYBODY, False, ADA)
        await harness.ask(ada, "anybody there?")
        await admin.unset("replies", EVERYBODY, ADA)
        await harness.ask(ada, "and now?")
        await harness.shows(ada, SWITCHED_OFF, "re: and now?")
        assert ["anybody there?", "and now?"] == harness.asked()


async def test_without_a_maintenance_message_nothing_is_said(
    harness: ChannelHarness, admin: FlagAdmin
) -> None:
    """Messages are kept, their turns are closed, and nobody hears anything until replies
    are on again.
    """
    ada = harness.driver.direct("ada")
    await admin.set("maintenance_message", EVERYBODY, "", ADA)

    async with harness.agent():
        await admin.set("replies", EVERYBODY, False, ADA)
        await harness.ask(ada, "anybody there?")
        await harness.shows(ada)
        assert [] == harness.model.prompts
        await admin.unset("replies", EVERYBODY, ADA)
        await harness.ask(ada, "and now?")
        await harness.shows(ada, "re: and now?")
        assert ["anybody there?", "and now?"] == harness.asked()


async def test_what_a_person_chose_goes_before_the_default_model(
    harness: ChannelHarness, admin: FlagAdmin
) -> None:
    """Until they take it back; `/model` tells them which default is theirs."""
    ada = harness.driver.direct("ada")
    async with harness.agent():
        await harness.ask(ada, "one")
        account = await harness.value(
            "SELECT channel_type || ':' || channel_user_id FROM users"
        )
        await admin.set(
            "default_model", RuleTarget(person=account), "test:other", ADA
        )
        await harness.ask(ada, "/model test:mine")
        await harness.ask(ada, "two")
        await harness.ask(ada, "/model default")
        assert "From now on the default is used: test:other." == harness.screen(ada)[
            -1
        ].replace("`", "")
        await harness.ask(ada, "/model")
        assert "The default is used: test:other." in harness.screen(ada)[-1].replace(
            "`", ""
        )
        await harness.ask(ada, "three")
        assert [MODEL, "test:mine", "test:other"] == harness.model.asked


async def test_without_a_fallback_the_person_is_told_what_is_wrong(
    harness: ChannelHarness, admin: FlagAdmin
) -> None:
    """With one they are answered, and the stored answer names it and not the model that failed."""
    ada = harness.driver.direct("ada")
    harness.model = Broken()

    async with harness.agent():
        await harness.ask(ada, "one")
        await admin.set("fallback_model", EVERYBODY, SPARE, ADA)
        await harness.ask(ada, "two")

    assert ["The model is down.", "re: two"] == harness.screen(ada)
    assert Usage(SPARE, 10, 5).model == await harness.value(
        "SELECT model_used FROM messages WHERE role = 'assistant' AND model_used IS NOT NULL"
    )
