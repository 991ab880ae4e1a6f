"""Two accounts on two channels become one person, and the conversation goes on there."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from agent.core.errors import ConfigurationError
from agent.core.messages import Inbound
from tests.conformance.channel_harness import ChannelHarness
from tests.conformance.channels import DRIVERS
from tests.conformance.driver import Driver
from tests.conformance.platform_extras import revoke_token

PAIRS = [
    ("discord", "telegram"),
    ("telegram", "slack"),
    ("slack", "terminal"),
    ("terminal", "discord"),
]


@pytest.fixture(params=PAIRS, ids="-".join)
async def both(
    request: pytest.FixtureRequest, database_url: str, redis_url: str
) -> AsyncIterator[ChannelHarness]:
    """Two platforms at once, one agent on both."""
    drivers = [DRIVERS[name]() for name in request.param]
    async with AsyncExitStack() as stack:
        for driver in drivers:
            await stack.enter_async_context(driver.start())

        yield ChannelHarness(database_url, redis_url, drivers)


async def code_from(harness: ChannelHarness, driver: Driver) -> str:
    """What `/link` answers there."""
    ada = driver.direct("ada")
    await driver.command(ada, "link")
    await harness.until(lambda: "/link " in "".join(harness.screen(ada, driver)))
    found = re.search(r"/link ([A-Z2-9]{8})", "".join(harness.screen(ada, driver)))
    assert found is not None

    return found[1]


async def test_a_code_joins_two_accounts_and_the_conversation_goes_on(
    both: ChannelHarness,
) -> None:
    """What was said on the first channel is known on the second, and the chosen model
    answers there too.
    """
    first, second = both.drivers
    async with both.agent():
        await both.ask(first.direct("ada"), "my cat is called Tom")
        await first.command(first.direct("ada"), "model", "test:clever")
        await both.until(lambda: len(both.screen(first.direct("ada"), first)) == 2)
        code = await code_from(both, first)
        there = second.direct("ada")
        await second.command(there, "link", code)
        await both.until(lambda: "one now" in "".join(both.screen(there, second)))
        await second.say(there, "what is it called?")
        await both.until(
            lambda: "re: what is it called?" in "".join(both.screen(there, second))
        )

    assert [
        "my cat is called Tom",
        "re: my cat is called Tom",
        "what is it called?",
    ] == both.asked()
    assert "test:clever" == both.model.asked[-1]
    assert 1 == await both.value("SELECT count(DISTINCT person_id) FROM users")


async def test_a_code_is_good_once_and_a_wrong_one_never(
    both: ChannelHarness,
) -> None:
    """A code that was used, or never existed, joins nobody."""
    first, second = both.drivers
    there = second.direct("ada")

    async with both.agent():
        await second.command(there, "link", "AAAAAAAA")
        await both.until(lambda: "not valid" in "".join(both.screen(there, second)))
        code = await code_from(both, first)

        for answer in ("one now", "not valid"):
            known = len(both.screen(there, second))
            await second.command(there, "link", code)
            await both.until(
                lambda known=known: len(both.screen(there, second)) > known  # type: ignore[misc]
            )
            assert answer in both.screen(there, second)[-1]


async def test_two_channels_answer_side_by_side(both: ChannelHarness) -> None:
    """Each answer lands on the channel where it was asked."""
    first, second = both.drivers
    here, there = first.direct("ada"), second.direct("ada")

    async with both.agent():
        both.model.hold()
        await first.say(here, "alpha")
        await second.say(there, "beta")
        await both.until(lambda: len(both.model.prompts) == 2)
        both.model.release()
        await both.shows(here, "re: alpha", driver=first)
        await both.shows(there, "re: beta", driver=second)


async def test_a_token_that_is_refused_is_named_in_a_sentence(driver: Driver) -> None:
    """The channel ends and names the setting to fix, without its value."""

    async def accept(inbound: Inbound) -> bool:
        raise AssertionError("nobody wrote")

    channel = driver.channel()
    token = revoke_token(driver)
    with pytest.raises(ConfigurationError) as caught:
        await channel.run(accept)

    assert "TOKEN" in caught.value.sentence
    assert token not in caught.value.sentence
