"""`agent doctor` names each thing at the edges that is wrong, and says what mends it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from storage.redis import open_redis
from storage.reports.channels import RedisUnreadable
from tests.support.backups import value
from tests.support.commands import CLOSED, Machine
from tests.support.servers import Postgres
from tests.support.serving import Platforms


async def findings(machine: Machine, **settings: str) -> list[str]:
    """Each finding as a line."""
    ended = await machine.agent("doctor", "--json", settings=settings)
    assert (1, "") == (ended.status, ended.err)

    return [
        f"{one['part']}: {one['problem']} {one['remedy']}"
        for one in json.loads(ended.out)["findings"]
    ]


async def assert_named(machine: Machine, said: str, **settings: str) -> None:
    found = await findings(machine, **settings)
    assert [said in line for line in found].count(True) == 1, found
    for secret in settings.values():
        assert len(secret) < 12 or "://" in secret or secret not in str(found)


@pytest.mark.parametrize("channel", ["discord", "telegram", "slack"])
async def test_events_that_could_not_be_read_lately(
    machine: Machine, channel: str
) -> None:
    """By kind and number, whichever instance met them."""
    async with open_redis(machine.variables["REDIS_URL"]) as pipe:
        unreadable = RedisUnreadable(pipe)
        for kind in ("message", "message", "poll"):
            unreadable.note(channel, kind)
        await asyncio.gather(*unreadable._sending)

    await assert_named(
        machine,
        f"{channel}: 3 events could not be read in the last two days: message (2), poll (1).",
    )


PROXIES: dict[str, tuple[dict[str, str], str]] = {
    "only for http": (
        {
            "HTTP_PROXY": f"http://{CLOSED}",
            "DISCORD_TOKEN": "MTIz.abc.def",
            "DISCORD_API_URL": "https://discord.invalid/api/v10",
        },
        "No proxy is used for DISCORD_API_URL: HTTP_PROXY is for http:// alone.",
    ),
    "two spellings": (
        {"HTTPS_PROXY": f"http://{CLOSED}", "https_proxy": "http://127.0.0.1:2"},
        "HTTPS_PROXY is not obeyed: https_proxy says something else, and wins.",
    ),
    "two spellings of the exceptions": (
        {"NO_PROXY": "a.example", "no_proxy": "b.example"},
        "NO_PROXY is not obeyed: no_proxy says something else, and wins.",
    ),
    "an exception that is none": (
        {"HTTPS_PROXY": f"http://{CLOSED}", "NO_PROXY": "10.0.0.0/99"},
        "NO_PROXY has 10.0.0.0/99, which is no host, address or range.",
    ),
}


@pytest.mark.parametrize(("settings", "said"), PROXIES.values(), ids=PROXIES)
async def test_a_proxy_that_is_not_obeyed(
    machine: Machine, settings: dict[str, str], said: str
) -> None:
    await assert_named(machine, said, **settings)


SECRETS: dict[str, tuple[dict[str, str], str]] = {
    "Discord, a client secret": ({"DISCORD_TOKEN": "x" * 32}, "DISCORD_TOKEN"),
    "Telegram, without its number": (
        {"TELEGRAM_TOKEN": "AAF" * 12},
        "TELEGRAM_TOKEN",
    ),
    "Slack, the two exchanged": (
        {
            "SLACK_BOT_TOKEN": "xapp-1-A-2-secret",
            "SLACK_APP_TOKEN": "xoxb-1-2-secret",
        },
        "SLACK_BOT_TOKEN",
    ),
    "Slack, a token as signing secret": (
        {
            "SLACK_BOT_TOKEN": "xoxb-1-2-secret",
            "SLACK_SIGNING_SECRET": "xoxb-1-2-secret",
            "PUBLIC_URL": "https://agent.example",
        },
        "SLACK_SIGNING_SECRET",
    ),
    "OpenAI, letters that no header carries": (
        {
            "OPENAI_API_KEY": "sk-“quoted”-secret",
            "DEFAULT_MODEL": "openai:gpt-5-mini",
        },
        "OPENAI_API_KEY",
    ),
    "Anthropic, a line's end inside": (
        {
            "ANTHROPIC_API_KEY": "sk-ant-one\nsk-ant-two",
            "DEFAULT_MODEL": "anthropic:claude",
        },
        "ANTHROPIC_API_KEY",
    ),
    "a key that is none": ({"ENCRYPTION_KEYS": "a pass phrase"}, "ENCRYPTION_KEYS"),
}


@pytest.mark.parametrize(("settings", "name"), SECRETS.values(), ids=SECRETS)
async def test_a_secret_of_the_wrong_form(
    machine: Machine, platforms: Platforms, settings: dict[str, str], name: str
) -> None:
    """Without repeating it. Of Discord's own, only Discord can tell."""
    machine.variables["DISCORD_API_URL"] = platforms.settings["DISCORD_API_URL"]
    found = await findings(machine, **settings)

    assert 1 == sum(name in line for line in found), found
    assert [] == [
        secret
        for key, secret in settings.items()
        if key == name and secret in str(found)
    ]


@pytest.fixture
async def odd_database(_postgres: Postgres) -> AsyncIterator[str]:
    """A database that keeps no Unicode."""
    name = f"test_{uuid4().hex}"
    await _postgres.execute(
        f"CREATE DATABASE {name} TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'"
    )
    yield _postgres.url(name)
    await _postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")


async def test_an_encoding_that_a_store_lacks(
    machine: Machine, odd_database: str
) -> None:
    await assert_named(
        machine, "This database keeps SQL_ASCII", DATABASE_URL=odd_database
    )


@pytest.mark.parametrize(
    ("taken", "said"),
    [
        (
            "REVOKE CREATE ON SCHEMA public FROM lesser, PUBLIC",
            "GRANT USAGE, CREATE ON SCHEMA public TO lesser;",
        ),
        (
            "REVOKE UPDATE ON messages FROM lesser",
            "may not read and write",
        ),
        ("REVOKE ALL ON turns FROM lesser", "may not read and write"),
    ],
)
async def test_rights_that_a_store_lacks(
    machine: Machine, database_url: str, _postgres: Postgres, taken: str, said: str
) -> None:
    await _postgres.execute("DROP ROLE IF EXISTS lesser; CREATE ROLE lesser LOGIN")
    grants = (
        "GRANT USAGE, CREATE ON SCHEMA public TO lesser",
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO lesser",
        taken,
    )
    for grant in grants:
        await value(database_url, grant)
    lesser = database_url.replace("postgres@", "lesser@")
    try:
        await assert_named(machine, said, DATABASE_URL=lesser)
    finally:
        await value(database_url, "DROP OWNED BY lesser")
