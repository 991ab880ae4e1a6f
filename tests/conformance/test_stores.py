"""Redis may forget or be gone, Postgres may be away for a while: no answer changes."""

from __future__ import annotations

from storage.migrate import upgrade
from tests.conformance.channel_harness import ChannelHarness
from tests.conformance.driver import Driver
from tests.support.servers import Postgres, Valkey

TURNS = 4


async def conversation(harness: ChannelHarness, before_each: object) -> None:
    """Several turns, something happening before each; the model must have seen all that was
    said.
    """
    assert callable(before_each)
    ada = harness.driver.direct("ada")

    async with harness.agent():
        for number in range(TURNS):
            before_each()
            await harness.ask(ada, f"message {number}")

    said = [
        text
        for number in range(TURNS)
        for text in (f"message {number}", f"re: message {number}")
    ]

    assert said[:-1] == harness.asked()
    assert [f"re: message {number}" for number in range(TURNS)] == harness.screen(ada)


async def test_redis_flushed_between_any_two_turns_changes_no_answer(
    driver: Driver, database_url: str, own_redis: Valkey
) -> None:
    """What was forgotten is read again."""
    await conversation(
        ChannelHarness(database_url, own_redis.url, [driver]), own_redis.flush
    )


async def test_redis_gone_changes_no_answer(
    driver: Driver, database_url: str, own_redis: Valkey
) -> None:
    """It is only slower."""
    await conversation(
        ChannelHarness(database_url, own_redis.url, [driver]), own_redis.kill
    )


async def test_while_postgres_is_away_nothing_is_acknowledged_and_nothing_lost(
    driver: Driver, own_postgres: Postgres, redis_url: str
) -> None:
    """The platform keeps the message until it is stored; then it is answered, once."""
    await upgrade(own_postgres.url())
    harness = ChannelHarness(own_postgres.url(), redis_url, [driver])
    ada = driver.direct("ada")

    async with harness.agent() as agent:
        await harness.ask(ada, "before")
        await harness.until(lambda: driver.unacknowledged() == 0)
        own_postgres.kill()
        await driver.say(ada, "meanwhile")
        await harness.until(lambda: agent.offered > agent.accepted)
        # which has no acknowledgement
        assert driver.unacknowledged() > 0 or driver.name == "discord"
        own_postgres.start()
        await harness.shows(ada, "re: before", "re: meanwhile")
        await harness.until(lambda: driver.unacknowledged() == 0)
        await harness.settled()

    assert 2 == await harness.value(
        "SELECT count(*) FROM messages WHERE role = 'user'"
    )
