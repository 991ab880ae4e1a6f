"""Moving house: everything arrives, goes on there alone, and the old store is kept."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from storage import migrate
from storage.backup.content import read_tables
from storage.backup.manifest import Table
from storage.control import audit
from storage.embedded.servers import embedded
from storage.postgres import connect, open_database
from tests.support.backups import fill, tables, value
from tests.support.commands import Ended, Machine
from tests.support.engine_harness import EngineHarness, Platform
from tests.support.servers import Postgres
from tests.support.turns import asked, begun, closed

EMBEDDED = {"DATABASE_URL": ""}
LIVES = ("control_epoch", "instances")
"""What belongs to one life of a database, and begins again in the next."""

CHATS = [f"chat{number}" for number in (1, 2, 7)]


@pytest.fixture
def home(machine: Machine) -> Path:
    return machine.folder / "home"


@asynccontextmanager
async def store(home: Path) -> AsyncIterator[str]:
    """The embedded store, running."""
    async with embedded(home, redis=False) as stores:
        yield stores.database_url


async def filled(home: Path, people: int = 10, each: int = 20) -> None:
    async with store(home) as url:
        await migrate.upgrade(url)
        await fill(url, people, each)


async def move(machine: Machine, to: str, *more: str, url: str = "") -> Ended:
    """`agent db move` on a machine whose DATABASE_URL is `url`; "": the embedded store."""
    command = ("db", "move", "--to", to, *more)

    return await machine.agent(*command, settings={"DATABASE_URL": url})


async def contents(url: str) -> dict[str, Table]:
    """Rows and digest of each table."""
    connection = await connect(url)
    try:
        await connection.execute("SET TimeZone = 'UTC'")
        names = [
            row["relname"]
            for row in await connection.fetch(
                "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace "
                "AND relkind IN ('r', 'p') AND NOT relispartition"
            )
        ]

        return await read_tables(
            connection, "public", [x for x in names if x not in LIVES], ""
        )
    finally:
        await connection.close()


async def chain(url: str) -> tuple[int, str, tuple[str, ...]]:
    """The audit log: its entries, its end, and what is wrong with it."""
    async with open_database(url) as database:
        verdict = await audit.verify(database)

    return verdict.count, verdict.head, tuple(verdict.troubles)


async def next_answers(world: EngineHarness, url: str) -> list[object]:
    """What the model is given next, and what the chats then show."""
    there = replace(world, database_url=url, platform=Platform())
    there.model.prompts.clear()
    async with there.instance() as agent:
        for chat in CHATS:
            await there.ask(agent, "and now?", chat=chat)
        await closed(there)

    prompts = [prompt.messages for prompt in there.model.prompts]

    return [*prompts, *(there.platform.screen(chat) for chat in CHATS)]


async def test_ten_thousand_messages_go_to_a_server_and_back(
    machine: Machine, world: EngineHarness, home: Path, empty_database_url: str
) -> None:
    """Each time contents, the chain's head and the next answers are equal."""
    await filled(home, people=100, each=100)
    async with store(home) as url:
        old, old_chain = await contents(url), await chain(url)

    there = await move(machine, empty_database_url)
    assert (0, "") == (there.status, there.err)
    assert "10000 of them messages" in there.out
    assert (old, old_chain) == (
        await contents(empty_database_url),
        await chain(empty_database_url),
    )

    async with store(home) as url:
        assert (old, old_chain) == (await contents(url), await chain(url))
        given = await next_answers(world, url)
    assert given == await next_answers(world, empty_database_url)
    assert "no 100: " == given[0][-2][1][:8]  # type: ignore[index]

    grown = await contents(empty_database_url)
    back = await move(machine, "embedded", "--json", url=empty_database_url)
    assert (0, "") == (back.status, back.err)
    assert Path(json.loads(back.out)["kept"]).parent == home / "postgres"
    async with store(home) as url:
        assert (grown, old_chain) == (await contents(url), await chain(url))
        given = await next_answers(world, url)
    assert given == await next_answers(world, empty_database_url)
    assert 10_006 == grown["messages"].rows


async def test_what_was_open_is_answered_once_and_by_the_new_store_alone(
    machine: Machine, world: EngineHarness, database_url: str, own_postgres: Postgres
) -> None:
    """One answer under way, and one message that waits behind it."""
    async with world.instance() as agent:
        await begun(world, agent, "held")
        await agent.engine.accept(world.message("waits"))
        await agent.crash()
    await value(database_url, "DELETE FROM instances")  # its lease is over
    world.model.release()

    async with own_postgres.database() as url:
        ended = await move(machine, url, url=database_url)
        assert (0, "") == (ended.status, ended.err)

        async with world.instance() as old:
            await old.engine._worker.sweep()
            await world.ask(old, "hello", chat="bob")
        assert ["re:"] == world.platform.screen("ada")

        there = replace(world, database_url=url)
        async with there.instance():
            await there.platform.until(
                lambda: ["re: waits"] == there.platform.screen("ada")
            )
            await closed(there)

    states = "SELECT array_agg(DISTINCT state ORDER BY state) FROM turns"
    assert ["done", "restored"] == await asked(world, states)


async def test_env_names_the_new_store_where_that_is_asked_for(
    machine: Machine, home: Path, empty_database_url: str
) -> None:
    """A URL is quoted, since shells read `.env`, too. The rest of it stays."""
    await filled(home)
    env = machine.folder / ".env"
    env.write_text("# mine\nLOG_LEVEL=error\n")
    del machine.variables["DATABASE_URL"]

    said = await machine.agent("db", "move", "--to", empty_database_url)
    assert "Next: set DATABASE_URL in .env" in said.out
    assert "DATABASE_URL" not in env.read_text()

    await value(empty_database_url, "DROP SCHEMA public CASCADE")
    await value(empty_database_url, "CREATE SCHEMA public")
    moved = await machine.agent(
        "db", "move", "--to", empty_database_url, "--write-env"
    )
    assert (0, "") == (moved.status, moved.err)
    assert (
        f"# mine\nLOG_LEVEL=error\nDATABASE_URL='{empty_database_url}'\n"
        == env.read_text()
    )

    used = await machine.agent("db", "stats")
    assert (0, "") == (used.status, used.err)
    back = await machine.agent("db", "move", "--to", "embedded", "--write-env")
    assert (0, "") == (back.status, back.err)
    assert "# mine\nLOG_LEVEL=error\nDATABASE_URL=''\n" == env.read_text()


async def test_it_refuses_while_an_instance_lives(
    machine: Machine,
    world: EngineHarness,
    database_url: str,
    home: Path,
    empty_database_url: str,
) -> None:
    """On a server it is named; the embedded store is in use."""
    async with world.instance():
        named = await move(machine, empty_database_url, url=database_url)
    assert (2, "") == (named.status, named.out)
    assert "Running now: " in named.err
    assert "--force" not in named.err

    async with store(home):
        used = await move(machine, empty_database_url)
        taken = await move(machine, "embedded", url=database_url)
    assert [2, 2] == [used.status, taken.status]
    assert "Another process uses the embedded store" in used.err
    assert "Another process uses the embedded store" in taken.err
    assert 0 == await tables(empty_database_url)


REFUSED: dict[str, tuple[list[str], str]] = {
    "no store": (["--to", "nowhere"], "--to takes the URL of a database"),
    "no URL": (["--to", "embedded", "--from", "x"], "--from takes the URL"),
    "nothing there": (["--to", "{empty}"], "There is nothing to move"),
    "an empty source": (["--from", "{empty}", "--to", "embedded"], "is empty"),
    "a full target": (["--from", "{full}", "--to", "{full}"], "is not empty"),
    "an unreadable URL": (["--to", "mysql://x"], "--to"),
    "a pooler": (
        ["--from", "{full}", "--to", "{empty}&pooled=true"],
        "through a pooler",
    ),
    "nobody listens": (
        ["--from", "{full}", "--to", "{closed}"],
        "No Postgres answers",
    ),
}


@pytest.mark.parametrize(("words", "said"), REFUSED.values(), ids=REFUSED)
async def test_what_cannot_be_moved_is_one_sentence_and_nothing_changes(
    machine: Machine,
    database_url: str,
    empty_database_url: str,
    words: list[str],
    said: str,
) -> None:
    urls = {
        "empty": empty_database_url,
        "full": database_url,
        "closed": "postgresql://a@127.0.0.1:1/a",
    }
    before = await contents(database_url)
    ended = await machine.agent(
        "db", "move", *(word.format(**urls) for word in words), settings=EMBEDDED
    )

    assert (2, "") == (ended.status, ended.out)
    assert ended.err.startswith("agent: ")
    assert said in ended.err
    assert 1 == ended.err.count("\n")
    assert 0 == await tables(empty_database_url)
    assert before == await contents(database_url)


async def test_only_its_owner_can_move_a_database(
    machine: Machine,
    database_url: str,
    _postgres: Postgres,
    empty_database_url: str,
) -> None:
    """The agent's own role may write every row and still not hold the tables still."""
    await _postgres.execute("DROP ROLE IF EXISTS lesser_mover")
    await _postgres.execute("CREATE ROLE lesser_mover LOGIN")
    await value(
        database_url,
        "GRANT SELECT ON ALL TABLES IN SCHEMA public TO lesser_mover",
    )
    lesser = database_url.replace("postgres@", "lesser_mover@")
    ended = await move(machine, empty_database_url, url=lesser)

    assert (2, "") == (ended.status, ended.out)
    assert "run this with the DATABASE_URL of the owner" in ended.err
    await value(database_url, "DROP OWNED BY lesser_mover")
    await _postgres.execute("DROP ROLE lesser_mover")


async def test_only_operators_may_where_there_are_some(
    machine: Machine, database_url: str, empty_database_url: str
) -> None:
    added = await machine.agent("operators", "add", "grace", "--yes", "--as", "grace")
    assert 0 == added.status, added.err
    ended = await move(machine, empty_database_url, "--as", "eve", url=database_url)

    assert (2, "") == (ended.status, ended.out)
    assert "eve" in ended.err
    assert 0 == await tables(empty_database_url)
