"""Blocking a person: all their accounts, in one change, or nothing."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from agent.core.errors import Conflict, Rejected
from storage.people.blocking import BlockAdmin
from storage.postgres import open_database
from storage.redis import open_redis
from tests.support.operators import ADA
from tests.support.settings import run

PEOPLE = """
INSERT INTO users (id, person_id, channel_type, channel_user_id)
SELECT md5(kind)::uuid, md5('discord')::uuid, kind, kind || '1'
FROM unnest($1::text[]) kind
"""
SET = "SELECT channel_type, settings FROM channel_configs ORDER BY channel_type"
WHO = "discord:discord1"


@pytest.fixture
async def admin(database_url: str, redis_url: str) -> AsyncIterator[BlockAdmin]:
    async with open_database(database_url) as database, open_redis(redis_url) as pipe:
        yield BlockAdmin(database, pipe)


async def denied(database_url: str) -> dict[str, list[str]]:
    rows = await run(database_url, SET)

    return {name: json.loads(settings).get("deny", []) for name, settings in rows}


async def test_channels_that_are_no_more_are_passed_over(
    admin: BlockAdmin, database_url: str
) -> None:
    await run(database_url, PEOPLE, ["discord", "slack", "gone"])
    blocked = await admin.set(WHO, ADA, blocked=True)
    lists = await denied(database_url)
    opened = await admin.set(WHO, ADA, blocked=False)

    assert {"discord:discord1", "slack:slack1"} == {*blocked.blocked}
    assert 3 == len(blocked.accounts)
    assert {"discord": ["discord1"], "slack": ["slack1"]} == lists
    assert () == tuple(opened.blocked)


async def test_nobody_is_blocked_where_no_channel_is_left(
    admin: BlockAdmin, database_url: str
) -> None:
    await run(database_url, PEOPLE, ["discord"])
    await run(database_url, "UPDATE users SET channel_type = 'gone'")
    with pytest.raises(Rejected, match="are no more"):
        await admin.set("gone:discord1", ADA, blocked=True)


@pytest.mark.parametrize("expected", [{"discord": 0, "slack": 7}, {"discord": 0}, {}])
async def test_a_version_that_is_no_more_changes_nothing_on_any_channel(
    admin: BlockAdmin, database_url: str, expected: dict[str, int]
) -> None:
    await run(database_url, PEOPLE, ["discord", "slack"])
    with pytest.raises(Conflict):
        await admin.set(WHO, ADA, blocked=True, expected=expected)

    assert {} == await denied(database_url)
    await admin.set(WHO, ADA, blocked=True, expected={"discord": 0, "slack": 0})
    assert 2 == len(await denied(database_url))


async def test_a_list_that_is_full_is_a_sentence(
    admin: BlockAdmin, database_url: str
) -> None:
    await run(database_url, PEOPLE, ["discord"])
    full = json.dumps({"deny": [str(number) for number in range(10_000)]})
    await run(
        database_url,
        "INSERT INTO channel_configs (id, channel_type, settings)"
        " VALUES (gen_random_uuid(), 'discord', $1)",
        full,
    )
    with pytest.raises(Rejected, match="at most 10000 entries"):
        await admin.set(WHO, ADA, blocked=True)
