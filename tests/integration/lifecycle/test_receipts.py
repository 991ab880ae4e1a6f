"""A restored backup forgets again whoever was erased since."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest

from storage import migrate
from storage.backup.create import create_backup
from storage.backup.manifest import open_backup
from storage.backup.restore import restore
from storage.lifecycle import receipts
from storage.lifecycle.erasure import Stores, work
from storage.lifecycle.people import PeopleAdmin
from storage.lifecycle.settings import NOBODY
from storage.postgres import open_database
from tests.support.engine_harness import EngineHarness, Instance
from tests.support.erasures import summed_up_and_indexed
from tests.support.settings import OPERATOR, run


@pytest.fixture(autouse=True)
def _settles_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.lifecycle.erasure.SETTLE_SECONDS", 0.0)


@pytest.mark.parametrize("older", [False, True])
async def test_a_restored_backup_forgets_again(
    world: EngineHarness,
    agent: Instance,
    database_url: str,
    empty_database_url: str,
    tmp_path: Path,
    older: bool,
) -> None:
    """Also a backup of a schema that knew no erasures yet."""
    await world.ask(agent, "my cat is grey")
    await world.ask(agent, "my dog is red", chat="bob")
    people = await run(database_url, "SELECT id FROM users")
    await summed_up_and_indexed(database_url)
    backed_up = await counted_and_found(database_url)
    if older:
        await migrate.downgrade(database_url, "0018")
    made = await create_backup(database_url, tmp_path / "one", secrets=[])
    if older:
        await migrate.upgrade(database_url)

    await PeopleAdmin(agent.database).erase("test:ada", OPERATOR)
    while await work(Stores(agent.database, agent.pipe)):
        pass
    await receipts.note(agent.database, tmp_path)

    await restore(empty_database_url, open_backup(made.folder, []))
    await migrate.upgrade(empty_database_url)
    async with open_database(empty_database_url) as database:
        while await work(Stores(database, agent.pipe)):
            pass
    left = await run(
        empty_database_url, "SELECT content FROM messages WHERE role = 'user'"
    )

    assert 2 == len(people)
    assert 2 == len(backed_up)
    assert 1 == len(await counted_and_found(empty_database_url) & backed_up)
    assert ["my dog is red"] == [row[0] for row in left]
    assert [] == await migrate.differences(empty_database_url)


async def counted_and_found(url: str) -> set[UUID]:
    """Accounts that reports count, and those whose words are found: the same."""
    hours = await run(
        url, f"SELECT user_id FROM report_hours WHERE user_id <> '{NOBODY}'"
    )
    words = await run(url, "SELECT author FROM search_messages")
    assert {row[0] for row in hours} == {row[0] for row in words}

    return {row[0] for row in words}


async def test_without_receipts_a_restore_changes_nobody(tmp_path: Path) -> None:
    (tmp_path / receipts.FILE).write_text("'; DROP TABLE users; --\nabc\n")

    assert [] == receipts.erase_again(tmp_path)
