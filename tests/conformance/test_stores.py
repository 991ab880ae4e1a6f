"""Redis may forget or be gone, Postgres may be away for a while: nobody's answer changes."""

from __future__ import annotations

from storage.migrate import upgrade
from tests.conformance.channel_harness import ChannelHarness
from tests.conformance.driver import Driver
from tests.support.servers import Postgres, Valkey

TURNS = 4


async def conversation(stage: ChannelHarness, before_each: object) -> None:
    """Several turns, something happening before each; the model must have seen all that was
    said.
    """
    assert callable(before_each)
    ada = stage.driver.direct("ada")
    async with stage.agent():
        for number in range(TURNS):
            before_each()
            await stage.ask(ada, f"message {number}")
    said = [
        text
        for number in range(TURNS)
        for text in (f"message {number}", f"re: message {number}")
    ]
    assert said[:-1] == stage.asked()
    assert [f"re: message {number}" for number in range(TURNS)] == stage.screen(ada)


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
    stage = ChannelHarness(own_postgres.url(), redis_url, [driver])
    ada = driver.direct("ada")
    async with stage.agent() as agent:
        await stage.ask(ada, "before")
        await stage.until(lambda: driver.unacknowledged() == 0)
        own_postgres.kill()
        await driver.say(ada, "meanwhile")
        await stage.until(lambda: agent.offered > agent.accepted)
        assert (
            driver.unacknowledged() > 0 or driver.name == "discord"
        )  # which has no acknowledgement
        own_postgres.start()
        await stage.shows(ada, "re: before", "re: meanwhile")
        await stage.until(lambda: driver.unacknowledged() == 0)
        await stage.settled()
    assert 2 == await stage.value("SELECT count(*) FROM messages WHERE role = 'user'")
