"""What an operator sets for a channel is what people meet there, without a restart, and its
return as well.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import pytest

from agent.core.words.retention import FOREVER
from storage.control.channels import ChannelAdmin
from storage.postgres import open_database
from storage.redis import open_redis
from tests.conformance.channel_harness import ChannelHarness
from tests.conformance.expectations import (
    HER_ID,
    Scenario,
    answered_in_a_new_conversation,
    answers_burst,
    answers_hello,
    asks,
    chooses,
    hears_nothing,
    is_a_stranger,
    is_refused_a_model,
    keeps_for,
    says,
)
from tests.support.engine_harness import MODEL
from tests.support.operators import ADA

BOTH = answers_hello("re: hello", "re: hello")


def too_fast(what: str) -> Scenario:
    """One message an hour: the second is held off."""
    sentence = f"{what} Please try again in 60 minutes."
    return Scenario("1/hour", BOTH, answers_hello("re: hello", sentence))


SETTINGS: Mapping[str, Scenario] = {
    "default_model": Scenario("test:other", asks(MODEL), asks("test:other")),
    "system_prompt": Scenario(
        "Be brief.", says("You are a helpful assistant."), says("Be brief.")
    ),
    "overlap": Scenario(
        "queue",
        answers_burst("re: one", "re: three"),
        answers_burst("re: one", "re: two", "re: three"),
    ),
    "greeting": Scenario(
        "I am a robot.",
        answered_in_a_new_conversation("re: hello"),
        answered_in_a_new_conversation("I am a robot.\n\nre: hello"),
    ),
    "allowed_models": Scenario(
        "test:a,test:b", chooses, is_refused_a_model("test:a", "test:b")
    ),
    "allow": Scenario("somebody", answers_hello("re: hello"), is_a_stranger),
    "deny": Scenario(HER_ID, answers_hello("re: hello"), hears_nothing),
    "retention": Scenario("180d", keeps_for(FOREVER), keeps_for(180)),
    "user_limit": too_fast("You are sending messages too quickly."),
    "chat_limit": too_fast("This chat is over its limit."),
    "channel_limit": too_fast("This channel is over its limit."),
}


@pytest.fixture
async def admin(harness: ChannelHarness) -> AsyncIterator[ChannelAdmin]:
    """An operator in another process: the running agent learns of it through the stores."""
    async with (
        open_database(harness.database_url) as database,
        open_redis(harness.redis_url) as pipe,
    ):
        yield ChannelAdmin(database, pipe, harness.model.check)


async def test_every_setting_is_obeyed_and_its_return(
    harness: ChannelHarness, admin: ChannelAdmin, setting_name: str
) -> None:
    """Set and taken back while the agent runs: as usual, changed, as usual again."""
    assert setting_name in SETTINGS, (
        "Say in SETTINGS what people meet with and without this setting."
    )
    scenario, ada = SETTINGS[setting_name], harness.driver.direct("ada")

    async with harness.agent():
        await scenario.usual(harness, ada)
        value = scenario.value
        if value == HER_ID:
            value = await harness.value("SELECT channel_user_id FROM users")

        await admin.set(harness.driver.name, {setting_name: value}, ADA)
        await harness.applied()
        await scenario.changed(harness, ada)
        await admin.set(harness.driver.name, {setting_name: None}, ADA)
        await harness.applied()
        await scenario.usual(harness, ada)
