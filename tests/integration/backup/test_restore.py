"""After a restore life goes on: nothing is lost, nothing is said twice, nothing old is believed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from storage import migrate
from storage.backup.create import create_backup
from storage.backup.manifest import Backup, open_backup
from storage.backup.restore import restore
from storage.control import audit
from storage.control.credentials import new_key
from storage.conversation.last_accepted import PostgresLastAccepted
from storage.postgres import connect, open_database
from tests.support.backups import fill, value
from tests.support.commands import Machine
from tests.support.engine_harness import EngineHarness, Platform
from tests.support.turns import asked, begun, closed

SPREAD = 25  # conversations that go on after the restore

COUNTS = """
SELECT array[(SELECT count(*) FROM users), (SELECT count(*) FROM conversations),
             (SELECT count(*) FROM messages),
             (SELECT count(*) FROM audit_log WHERE action <> 'schema.restore')]
"""


async def moved(
    world: EngineHarness, made: Backup, url: str, *, resume: bool = False
) -> EngineHarness:
    """The same people and platform on what was restored, with the Redis of before."""
    await restore(url, open_backup(made.folder, []), resume=resume)

    return replace(world, database_url=url)


@pytest.mark.parametrize(
    ("people", "each"),
    [(30, 100), pytest.param(1000, 100, marks=pytest.mark.slow)],
    ids=["3,000 messages", "100,000 messages"],
)
async def test_everything_is_there_and_conversations_go_on(
    machine: Machine,
    world: EngineHarness,
    database_url: str,
    own_postgres: object,
    people: int,
    each: int,
    tmp_path: Path,
) -> None:
    """Into another server: equal counts, an equal end of the audit log, the same window."""
    await fill(database_url, people, each)
    made = await create_backup(database_url, tmp_path / "one", secrets=[KEY])
    async with own_postgres.database() as url:  # type: ignore[attr-defined]
        ended = await machine.agent(
            *("backup", "restore", str(made.folder), "--into", url),
            settings={"ENCRYPTION_KEYS": KEY},
        )
        assert (0, "") == (ended.status, ended.err)
        assert await value(database_url, COUNTS) == await value(url, COUNTS)
        async with open_database(url) as database:
            verdict = await audit.verify(database, made.manifest.audit_head)
        assert (made.manifest.audit_rows + 1, ()) == (verdict.count, verdict.troubles)

        there = replace(world, database_url=url)
        async with there.instance() as agent:
            for number in range(1, SPREAD + 1):
                await there.ask(agent, "and now?", chat=f"chat{number}")
            prompt = there.model.prompts[-1].messages
            await closed(there)

    assert [[f"re: {'and now?'}"]] * SPREAD == [
        there.platform.screen(f"chat{number}") for number in range(1, SPREAD + 1)
    ]
    assert f"no {each}: " == prompt[-2][1][: len(f"no {each}: ")]
    assert len(prompt) >= 20


KEY = new_key()


async def test_what_was_open_is_closed_and_never_said(
    world: EngineHarness, empty_database_url: str, tmp_path: Path
) -> None:
    """An answer under way, one that waits behind it, and one that was not delivered yet."""
    async with world.instance() as agent:
        await world.ask(agent, "first")
        await closed(world)
        world.platform.takes_answers.clear()
        await agent.engine.accept(world.message("undelivered", chat="bob"))
        await _stored(world, "bob")
        held = world.message("held")
        world.model.hold()
        await agent.engine.accept(held)
        await agent.engine.accept(world.message("waits"))
        made = await create_backup(world.database_url, tmp_path / "one")
        world.platform.takes_answers.set()
        world.model.release()
        await closed(world)

    screens = {chat: world.platform.screen(chat) for chat in ("ada", "bob")}
    there = await moved(world, made, empty_database_url)
    async with there.instance() as agent:
        await agent.engine._worker.sweep()
        await there.ask(agent, "after", chat="ada")
        await there.ask(agent, "after", chat="bob")
        await closed(there)
        said = there.model.prompts[-2].messages

    assert {chat: [*was, "re: after"] for chat, was in screens.items()} == {
        chat: there.platform.screen(chat) for chat in screens
    }
    assert ["first", "re: first", "held", "waits", "after"] == [
        text for _, text in said
    ]
    states = "SELECT array_agg(DISTINCT state ORDER BY state) FROM turns"
    assert ["done", "restored"] == await asked(there, states)


async def _stored(world: EngineHarness, chat: str) -> None:
    import asyncio

    question = (
        "SELECT count(*) FROM messages m JOIN conversations c ON c.id = m.conversation_id "
        "WHERE c.chat_id = $1 AND m.role = 'assistant'"
    )
    async with asyncio.timeout(15):
        while not await asked(world, question, chat):
            await asyncio.sleep(0.02)


async def test_with_resume_what_was_open_goes_on(
    world: EngineHarness, empty_database_url: str, tmp_path: Path
) -> None:
    """For a move to another server: the agent did not run since the backup. The draft that stood
    becomes the answer to both messages.
    """
    async with world.instance() as agent:
        await begun(world, agent, "held")
        await agent.engine.accept(world.message("waits"))
        made = await create_backup(world.database_url, tmp_path / "one")
        await agent.crash()

    world.model.release()
    there = await moved(world, made, empty_database_url, resume=True)
    async with there.instance():
        await there.platform.until(
            lambda: ["re: waits"] == there.platform.screen("ada")
        )
        await closed(there)


async def test_an_old_redis_is_never_believed(
    world: EngineHarness, empty_database_url: str, tmp_path: Path
) -> None:
    """It remembers a life after the backup: people, conversations and versions of it."""
    async with world.instance() as agent:
        await world.ask(agent, "first")
        await closed(world)
        made = await create_backup(world.database_url, tmp_path / "one")
        await world.ask(agent, "lost")
        await world.ask(agent, "met later", chat="eve")
        await closed(world)

    there = await moved(world, made, empty_database_url)
    there = replace(there, platform=Platform())
    async with there.instance() as agent:
        # as many changes as the lost life had: the versions are the same again
        await there.ask(agent, "second")
        await there.ask(agent, "third")
        texts = [text for _, text in there.model.prompts[-1].messages]
        await there.ask(agent, "hello", chat="eve")
        await closed(there)

    assert ["first", "re: first", "second", "re: second", "third"] == texts
    assert ["re: hello"] == there.platform.screen("eve")
    assert 0 == await asked(
        there,
        "SELECT count(*) FROM messages m WHERE m.user_id IS NOT NULL "
        "AND NOT EXISTS (SELECT FROM users u WHERE u.id = m.user_id)",
    )


@pytest.mark.parametrize("resume", [False, True])
async def test_nothing_from_before_is_caught_up(
    world: EngineHarness, empty_database_url: str, tmp_path: Path, resume: bool
) -> None:
    """What platforms still show was answered in the life that the backup did not see."""
    async with world.instance() as agent:
        await world.ask(agent, "first")
        await closed(world)
        made = await create_backup(world.database_url, tmp_path / "one")

    there = await moved(world, made, empty_database_url, resume=resume)
    async with there.instance() as agent:
        before = await PostgresLastAccepted(agent.database)("test")
        await there.ask(agent, "second")
        after = await PostgresLastAccepted(agent.database)("test")

    assert (["ada"] if resume else []) == [*before]
    assert ["ada"] == [*after]


@pytest.mark.parametrize("revision", ["0001", "0004", "0008"])
async def test_a_backup_of_an_older_schema_is_restored_and_brought_up_to_date(
    machine: Machine,
    _postgres: object,
    empty_database_url: str,
    tmp_path: Path,
    revision: str,
) -> None:
    """Backups are made before an upgrade, too."""
    async with _postgres.database() as old:  # type: ignore[attr-defined]
        await migrate.upgrade(old, revision)
        connection = await connect(old)
        await connection.execute(OPEN_TURN)
        await connection.close()
        made = await create_backup(old, tmp_path / "one")

    ended = await machine.agent(
        "backup", "restore", str(made.folder), "--into", empty_database_url
    )
    assert ("", 0) == (ended.err, ended.status)
    assert "run agent db upgrade" in ended.out

    await migrate.upgrade(empty_database_url)
    assert [] == await migrate.differences(empty_database_url)
    assert "restored" == await value(empty_database_url, "SELECT state FROM turns")
    async with open_database(empty_database_url) as database:
        entries = await audit.list_entries(database, limit=1)
        verdict = await audit.verify(database)
    assert ["schema.restore"] == [entry.action for entry in entries]
    assert (1, ()) == (verdict.count, verdict.troubles)


async def test_the_restored_log_says_who_restored_what(
    machine: Machine, database_url: str, empty_database_url: str, tmp_path: Path
) -> None:
    """In the same transaction; the next steps are said, and no URL with its password."""
    await fill(database_url)
    odd = tmp_path / "it's $note$; DROP TABLE users; \\ :x %s"
    made = await create_backup(database_url, odd)
    ended = await machine.agent(
        *("backup", "restore", str(made.folder), "--into", empty_database_url),
        *("--as", "o'brien", "--reason", "the disk broke; \\ $note$"),
    )
    async with open_database(empty_database_url) as database:
        (entry,) = await audit.list_entries(database, limit=1)
        verdict = await audit.verify(database, made.manifest.audit_head)

    assert (0, "") == (ended.status, ended.err)
    assert "Next: stop every instance" in ended.out
    assert "set DATABASE_URL to the restored database" in ended.out
    assert empty_database_url not in ended.out
    assert ("o'brien", "schema.restore", "the disk broke; \\ $note$") == (
        entry.actor,
        entry.action,
        entry.reason,
    )
    assert entry.origin is not None
    assert entry.origin.startswith("command line on ")
    assert (str(made.folder), made.manifest.seal, 120, False) == (
        entry.after["backup"],
        entry.after["seal"],
        entry.after["rows"]["messages"],
        entry.after["resume"],
    )
    assert () == verdict.troubles


OPEN_TURN = """
INSERT INTO turns (id, channel_type, chat_id, platform_message_id, address)
VALUES (gen_random_uuid(), 'test', 'ada', 'p1', '{}')
"""


async def test_tables_may_stand_in_another_schema(
    _postgres: object, tmp_path: Path
) -> None:
    """What other programs keep in the same database is neither copied nor in the way."""
    async with (
        _postgres.database() as plain,  # type: ignore[attr-defined]
        _postgres.database() as plain_target,  # type: ignore[attr-defined]
    ):
        for url in (plain, plain_target):
            await value(url, "CREATE TABLE other (secret text)")
        await value(plain, 'CREATE SCHEMA "my agent"')
        own = "&options=-c%20search_path%3D%22my%5C%20agent%22"
        await migrate.upgrade(plain + own)
        await fill(plain + own)
        made = await create_backup(plain + own, tmp_path / "one")
        await restore(plain_target + own, open_backup(made.folder, []))
        rows = await value(plain_target, 'SELECT count(*) FROM "my agent".messages')

    assert (120, False) == (rows, "other" in made.manifest.tables)


async def test_verify_leaves_nothing_and_finds_a_broken_chain(
    machine: Machine, database_url: str, tmp_path: Path
) -> None:
    """A log that somebody rewrote before the backup is told."""
    await fill(database_url)
    made = await create_backup(database_url, tmp_path / "one")
    well = await machine.agent("backup", "verify", str(made.folder))
    await value(database_url, "UPDATE audit_log SET actor = 'eve' WHERE id = 3")
    made = await create_backup(database_url, tmp_path / "two")
    ended = await machine.agent("backup", "verify", str(made.folder))

    assert (0, "") == (well.status, well.err)
    assert "can be restored" in well.out
    assert (2, "") == (ended.status, ended.out)
    assert "Row 3 is not as it was written." in ended.err
    assert [] == list((machine.folder / "home" / "scratch").iterdir())


async def test_it_comes_back_into_the_embedded_store(
    machine: Machine, database_url: str, tmp_path: Path
) -> None:
    """A new AGENT_HOME gets it, and what is there is never written over."""
    await fill(database_url)
    made = await create_backup(database_url, tmp_path / "one")
    command = ("backup", "restore", str(made.folder), "--into", "embedded")
    first = await machine.agent(*command)
    second = await machine.agent(*command)
    embedded = {"DATABASE_URL": "", "REDIS_URL": ""}
    check = await machine.agent("audit", "verify", settings=embedded)

    assert (0, "") == (first.status, first.err)
    assert (2, True) == (second.status, "is not empty" in second.err)
    assert "13 entries, all as they were written." in check.out
    assert "start the agent with this AGENT_HOME" in first.out
