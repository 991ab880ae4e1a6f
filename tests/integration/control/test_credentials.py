"""Credentials at rest: encrypted, in no dump and no log, and moved to a newer key while the
agent reads them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from cryptography.fernet import Fernet
from pydantic import SecretStr
from redis.asyncio import Redis

from agent.core.errors import ConfigurationError, Rejected
from agent.operations.credentials import with_stored_credentials
from agent.operations.remedies import described
from agent.settings import Settings
from storage.control.channels import ChannelAdmin, stored_credentials
from storage.control.credentials import Rotation, Secrets, new_key, rotate
from storage.postgres import Database, open_database
from storage.redis import open_redis
from tests.support.engine_harness import EngineHarness
from tests.support.settings import OPERATOR, run

TOKEN = "xoxb-not-a-real-token-7061"
OLD, NEW = new_key(), new_key()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with open_database(database_url) as opened:
        yield opened


@pytest.fixture
async def channels(database: Database, redis_url: str) -> AsyncIterator[ChannelAdmin]:
    async with open_redis(redis_url) as pipe:
        yield ChannelAdmin(database, pipe, lambda model: None)


async def test_a_credential_comes_back_as_the_setting_it_stands_for(
    database: Database,
    channels: ChannelAdmin,
) -> None:
    secrets = Secrets([OLD])
    await channels.set_credential("slack", "bot_token", TOKEN, OPERATOR, secrets)
    await channels.set_credential(
        "slack", "signing_secret", "s3cret", OPERATOR, secrets
    )

    assert await stored_credentials(database, secrets) == {
        "slack_bot_token": TOKEN,
        "slack_signing_secret": "s3cret",
    }

    await channels.set_credential("slack", "bot_token", None, OPERATOR, secrets)

    assert await stored_credentials(database, secrets) == {
        "slack_signing_secret": "s3cret"
    }


async def test_stored_tokens_serve_where_the_environment_names_none(
    database: Database,
    channels: ChannelAdmin,
    database_url: str,
) -> None:
    for channel, value in (("telegram", "stored"), ("discord", "stored-too")):
        await channels.set_credential(
            channel, "token", value, OPERATOR, Secrets([OLD])
        )

    given = Settings(
        _env_file=None,
        database_url=SecretStr(database_url),
        encryption_keys=[SecretStr(OLD)],
        telegram_token=SecretStr("7061:from-the-environment"),
    )
    settings = await with_stored_credentials(given)
    tokens = [
        token.get_secret_value()
        for token in (settings.telegram_token, settings.discord_token)
        if token
    ]

    assert tokens == ["7061:from-the-environment", "stored-too"]


@pytest.mark.parametrize(
    ("value", "stored", "action"),
    [
        ("new", {"slack_bot_token": "new"}, "channel.credential.set"),
        (None, {}, "channel.credential.remove"),
    ],
)
async def test_what_no_key_opens_any_more_can_be_replaced_and_removed(
    database: Database,
    channels: ChannelAdmin,
    database_url: str,
    value: str | None,
    stored: dict[str, str],
    action: str,
) -> None:
    """The channel's other credentials are lost as well, and the log says it."""
    await channels.set_credential(
        "slack", "bot_token", TOKEN, OPERATOR, Secrets([OLD])
    )
    await channels.set_credential(
        "slack", "app_token", TOKEN, OPERATOR, Secrets([OLD])
    )

    with pytest.raises(
        ConfigurationError
    ) as refused:  # it may be the key that is wrong
        await channels.set_credential(
            "slack", "bot_token", value, OPERATOR, Secrets([NEW])
        )
    assert "--forget" in described(refused.value)

    await channels.set_credential(
        "slack", "bot_token", value, OPERATOR, Secrets([NEW]), forget=True
    )

    assert stored == await stored_credentials(database, Secrets([NEW]))

    [*_, entry] = await run(
        database_url, "SELECT action, before, after FROM audit_log ORDER BY id"
    )

    assert (
        action,
        '{"credentials": "no key opens them"}',
        '{"credential": "bot_token"}',
    ) == tuple(entry)


async def test_without_a_key_nothing_counts_as_lost(
    database: Database,
    channels: ChannelAdmin,
) -> None:
    await channels.set_credential(
        "slack", "bot_token", TOKEN, OPERATOR, Secrets([OLD])
    )
    with pytest.raises(ConfigurationError) as refused:
        await channels.set_credential(
            "slack", "bot_token", None, OPERATOR, Secrets([]), forget=True
        )
    assert "agent db new-key" in described(refused.value)

    assert {"slack_bot_token": TOKEN} == await stored_credentials(
        database, Secrets([OLD])
    )


async def test_only_a_channel_that_needs_what_no_key_opens_stops_the_start(
    channels: ChannelAdmin,
    database_url: str,
) -> None:
    await channels.set_credential(
        "telegram", "token", "lost", OPERATOR, Secrets([OLD])
    )
    lacking = Settings(
        _env_file=None,
        database_url=SecretStr(database_url),
        encryption_keys=[SecretStr(NEW)],
    )

    with pytest.raises(ConfigurationError, match="credentials of telegram"):
        await with_stored_credentials(lacking)

    complete = lacking.model_copy(
        update={"telegram_token": SecretStr("7061:from-the-environment")}
    )

    assert complete == await with_stored_credentials(complete)


async def test_no_dump_and_no_log_holds_a_credential(
    world: EngineHarness,
    channels: ChannelAdmin,
) -> None:
    async with world.instance() as agent:
        await channels.set_credential(
            "slack", "bot_token", TOKEN, OPERATOR, Secrets([OLD])
        )
        await agent.ports.control_updates.observe(0)
        await world.ask(agent, "hello")

    dumped = await dump(world.database_url) + await redis_dump(world.redis_url)

    assert "hello" in dumped  # the dump is one
    assert TOKEN not in dumped

    [entry] = await run(world.database_url, "SELECT action, after FROM audit_log")

    assert tuple(entry) == ("channel.credential.set", '{"credential": "bot_token"}')


async def dump(database_url: str) -> str:
    tables = await run(
        database_url, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    )
    rows = [
        await run(database_url, f"SELECT t::text FROM {row['tablename']} t")
        for row in tables
    ]
    return "\n".join(row["t"] for table in rows for row in table)


async def redis_dump(redis_url: str) -> str:
    async with Redis.from_url(redis_url) as client:
        keys = await client.keys("*")
        return repr([await client.dump(key) for key in keys])


async def test_without_a_key_nothing_is_stored(
    database_url: str,
    channels: ChannelAdmin,
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        await channels.set_credential(
            "slack", "bot_token", TOKEN, OPERATOR, Secrets([])
        )
    assert "agent db new-key" in described(refused.value)

    assert await run(database_url, "SELECT FROM channel_configs") == []
    assert await run(database_url, "SELECT FROM audit_log") == []


@pytest.mark.parametrize(
    ("channel", "name", "value", "sentence"),
    [
        (
            "slack",
            "token",
            "x",
            "slack has no credential 'token'. Did you mean bot_token? "
            "It has: bot_token, app_token, signing_secret.",
        ),
        (
            "irc",
            "token",
            "x",
            "irc has no credentials. Those that have: discord, slack, telegram.",
        ),
        ("discord", "token", "", "1 to 1000 printable characters"),
        ("discord", "token", "a\nb", "1 to 1000 printable characters"),
    ],
)
async def test_what_is_no_credential_is_refused(
    channels: ChannelAdmin,
    channel: str,
    name: str,
    value: str,
    sentence: str,
) -> None:
    with pytest.raises(Rejected) as error:
        await channels.set_credential(channel, name, value, OPERATOR, Secrets([OLD]))
    assert sentence in error.value.sentence


def test_a_key_that_is_none_is_named_without_being_shown() -> None:
    with pytest.raises(ConfigurationError) as error:
        Secrets(["hunter2"])

    assert error.value.sentence.startswith("ENCRYPTION_KEYS: each key is 32 bytes")
    assert "hunter2" not in error.value.sentence


def test_what_was_sealed_for_one_channel_opens_for_no_other() -> None:
    secrets = Secrets([OLD])
    sealed = secrets.seal("discord", {"token": "t"})

    assert secrets.open("discord", sealed) == {"token": "t"}

    with pytest.raises(ConfigurationError, match="credentials of slack"):
        secrets.open("slack", sealed)

    with pytest.raises(ConfigurationError, match="credentials of discord"):
        Secrets([NEW]).open("discord", sealed)


async def fill(
    database_url: str,
    secrets: Secrets,
    count: int,
) -> None:
    names = [f"c{number}" for number in range(count)]
    await run(
        database_url,
        "INSERT INTO channel_configs (id, channel_type, credentials)"
        " SELECT * FROM unnest($1::uuid[], $2::text[], $3::bytea[])",
        [uuid4() for _ in names],
        names,
        [secrets.seal(name, {"token": name}) for name in names],
    )


async def test_a_rotation_is_logged_and_once_done_has_nothing_to_do(
    database: Database,
    database_url: str,
) -> None:
    await fill(database_url, Secrets([OLD]), 7)

    assert await rotate(
        database, Secrets([NEW, OLD]), OPERATOR, at_once=3
    ) == Rotation(7, 7, ())
    assert await rotate(
        database, Secrets([NEW, OLD]), OPERATOR, at_once=3
    ) == Rotation(0, 7, ())

    rows = await run(database_url, "SELECT action, after FROM audit_log ORDER BY id")

    assert [row["action"] for row in rows] == ["keys.rotate"] * 2


async def test_what_no_key_opens_is_named_and_left_as_it_is(
    database: Database,
    database_url: str,
) -> None:
    await fill(database_url, Secrets([OLD]), 2)
    lost = Fernet(new_key()).encrypt(b"x")
    await run(
        database_url,
        "UPDATE channel_configs SET credentials = $1 WHERE channel_type = 'c1'",
        lost,
    )

    assert await rotate(database, Secrets([NEW, OLD]), OPERATOR) == Rotation(
        1, 1, ("c1",)
    )

    [row] = await run(
        database_url,
        "SELECT credentials FROM channel_configs WHERE channel_type = 'c1'",
    )

    assert bytes(row["credentials"]) == lost


@pytest.mark.parametrize(
    "count",
    [
        400,
        pytest.param(100_000, marks=[pytest.mark.chaos, pytest.mark.timeout(1800)]),
    ],
)
async def test_keys_are_rotated_while_agents_read_and_operators_write(
    database: Database,
    world: EngineHarness,
    count: int,
) -> None:
    """A reader never meets a row that does not open, and no write is lost."""
    both, old = Secrets([NEW, OLD]), Secrets([OLD])

    async with world.instance() as agent:
        await fill(world.database_url, old, count)
        rotation = asyncio.create_task(
            rotate(database, both, OPERATOR, at_once=max(20, count // 200))
        )
        read, line = 0, database.line(planner={})

        while not rotation.done():
            name = f"c{read % count}"
            [row] = await line.fetch(
                "SELECT credentials FROM channel_configs WHERE channel_type = $1",
                name,
            )
            assert both.open(name, row["credentials"])["token"] in (name, "new")
            if read % 10 == 0:  # an instance that does not have the new key yet
                changed = old.seal(name, {"token": "new"})
                await line.fetch(
                    "UPDATE channel_configs SET credentials = $1 WHERE channel_type = $2",
                    changed,
                    name,
                )
            read += 1

        await world.ask(agent, "hello")
        await rotate(database, both, OPERATOR)
        rows = await run(
            world.database_url,
            "SELECT channel_type, credentials FROM channel_configs",
        )

    only_new = Secrets([NEW])
    tokens = {
        row["channel_type"]: only_new.open(row["channel_type"], row["credentials"])[
            "token"
        ]
        for row in rows
    }
    written = {f"c{number % count}" for number in range(0, read, 10)}

    assert tokens == {
        f"c{n}": "new" if f"c{n}" in written else f"c{n}" for n in range(count)
    }
    assert (await rotation).lost == ()
