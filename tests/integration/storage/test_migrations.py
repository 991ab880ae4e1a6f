"""Migrations and models agree, and every migration goes down and up again."""

from __future__ import annotations

import asyncio

import pytest
from alembic.script import ScriptDirectory

from agent.core.errors import SchemaError
from storage import migrate
from storage.migrate.running import alembic_config
from storage.postgres import connect


async def test_models_and_migrations_agree(database_url: str) -> None:
    assert await migrate.differences(database_url) == []


def test_head_names_the_newest_migration() -> None:
    scripts = ScriptDirectory.from_config(alembic_config())

    assert scripts.get_current_head() == migrate.HEAD


def revisions() -> list[str]:
    scripts = ScriptDirectory.from_config(alembic_config())
    return [script.revision for script in reversed(list(scripts.walk_revisions()))]


@pytest.mark.parametrize("revision", revisions())
async def test_a_migration_goes_down_and_up_again_on_data(
    empty_database_url: str,
    revision: str,
) -> None:
    await migrate.upgrade(empty_database_url, revision)
    connection = await connect(empty_database_url)
    await connection.execute(
        "INSERT INTO users (id, person_id, channel_type, channel_user_id)"
        " VALUES (gen_random_uuid(), gen_random_uuid(), 't', 'ada');"
        "INSERT INTO conversations (id, user_id, channel_type, chat_id)"
        " SELECT gen_random_uuid(), id, 't', 'ada' FROM users;"
        "INSERT INTO messages (conversation_id, seq, id, role, content)"
        " SELECT id, 1, gen_random_uuid(), 'user', 'hello' FROM conversations;"
    )
    await connection.close()
    await migrate.downgrade(empty_database_url, "-1")
    await migrate.upgrade(empty_database_url)

    assert await migrate.current_revision(empty_database_url) == migrate.HEAD
    assert await migrate.differences(empty_database_url) == []


async def test_instances_that_migrate_at_once_do_it_once(
    empty_database_url: str,
) -> None:
    await asyncio.gather(*(migrate.upgrade(empty_database_url) for _ in range(4)))
    assert await migrate.current_revision(empty_database_url) == migrate.HEAD


async def test_an_old_schema_is_refused_with_the_command_to_give(
    empty_database_url: str,
) -> None:
    with pytest.raises(SchemaError, match="Run: agent db upgrade"):
        await migrate.check_schema(empty_database_url)


async def test_messages_of_the_next_months_have_their_partition(
    database_url: str,
) -> None:
    connection = await connect(database_url)
    months = await connection.fetchval(
        "SELECT count(*) FROM pg_inherits WHERE inhparent = 'messages'::regclass"
    )
    await connection.close()

    assert months == 4 + 1  # this month, three more, and the default
