"""Reports in a hurry are few at once and end; and a replica of no use is passed over."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import pytest
from structlog.testing import capture_logs

from agent.core.errors import StoreUnavailable
from agent.settings import Settings
from storage.postgres import Database, open_database
from storage.reports.models import models_named, started_experiments
from storage.reports.reading import bounded as bounds
from storage.reports.reading import replica
from storage.reports.reading.bounded import bounded
from storage.reports.reading.replica import Place, place_of
from storage.reports.reading.snapshot import snapshot
from storage.reports.status import (
    control_in_force,
    live_instances,
    open_turns,
    stray_messages,
)
from tests.support.commands import CLOSED
from tests.support.settings import run

RUNNING = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE query LIKE '%pg_sleep(47%' AND pid <> pg_backend_pid()"
)


@pytest.fixture(autouse=True)
def _nothing_known(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(bounds, "WAIT_SECONDS", 0.1)
    monkeypatch.setattr(replica, "ASK_SECONDS", 1.0)
    replica._passed_over.clear()
    yield
    replica._passed_over.clear()


async def test_a_report_too_many_is_told_so_and_the_next_one_is_made() -> None:
    async with AsyncExitStack() as others:
        for _ in range(bounds.AT_ONCE):
            await others.enter_async_context(bounded(5))

        async with bounded(None):
            pass  # the command line waits for nobody
        with pytest.raises(StoreUnavailable, match="Reports are busy"):
            await others.enter_async_context(bounded(5))

    async with bounded(5):
        pass


async def test_a_report_that_fails_gives_its_place_back() -> None:
    for _ in range(bounds.AT_ONCE + 1):
        with pytest.raises(KeyError):
            async with bounded(5):
                raise KeyError


async def test_a_report_that_takes_too_long_ends_at_the_server_too(
    database_url: str,
) -> None:
    with pytest.raises(StoreUnavailable, match=r"took longer than 0\.3 s"):
        async with snapshot(database_url, 0.3) as connection:
            await connection.execute("SELECT pg_sleep(47)")

    async with snapshot(database_url) as connection:
        assert 0 == await connection.fetchval(RUNNING)


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        (
            "SET LOCAL statement_timeout = 10; SELECT pg_sleep(9)",
            "broke the report off",
        ),
        ("SELECT * FROM there_is_none", "agent db upgrade"),
        ("SELECT pg_terminate_backend(pg_backend_pid())", "cannot be reached"),
        (
            "SET LOCAL ROLE pg_read_all_stats; SELECT * FROM report_hours",
            "does not permit",
        ),
    ],
)
async def test_what_stops_a_report_is_a_sentence(
    database_url: str, statement: str, sentence: str
) -> None:
    with pytest.raises(StoreUnavailable, match=sentence):
        async with snapshot(database_url) as connection:
            await connection.execute(statement)


@asynccontextmanager
async def answering(code: str | None) -> AsyncIterator[str]:
    """The address of a server that refuses everybody with this SQLSTATE; None: it hangs."""

    async def refuse(
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        handlers.append(asyncio.current_task())
        size = int.from_bytes(await reader.readexactly(4))
        await reader.readexactly(size - 4)
        if code is not None:
            fields = f"SFATAL\0VFATAL\0C{code}\0Mno\0\0".encode()
            writer.write(b"E" + (len(fields) + 4).to_bytes(4) + fields)
        else:
            await reader.read()  # until the other side gives up
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    handlers: list[asyncio.Task[None] | None] = []
    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"postgresql://me:secret@127.0.0.1:{port}/reports?sslmode=disable"
    finally:
        server.close()
        await asyncio.gather(*filter(None, handlers))


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        ("28P01", "refused user or password"),
        ("28000", "refused user or password"),
        ("3D000", "does not exist"),
        ("57P03", "No Postgres answers there"),
        ("53300", "has no connection left"),
        ("57P01", "No Postgres answers there"),
        ("XX000", "cannot be used"),
        (None, "does not answer"),
    ],
)
async def test_a_replica_of_no_use_is_passed_over_and_not_asked_by_each(
    code: str | None, sentence: str
) -> None:
    async with answering(code) as url:
        settings = Settings(_env_file=None, database_replica_url=url)
        with capture_logs() as logs:
            found = await place_of(settings, "postgresql://main")

    again = await place_of(settings, "postgresql://main")
    told = [entry["event"] for entry in logs]

    assert ("postgresql://main", again) == (found.url, found)
    assert re.search(sentence, found.notice), found
    assert "The main database was read instead." in found.notice
    assert 1 == len(told)
    assert sentence in told[0]
    assert "secret" not in found.notice + told[0]


async def test_a_replica_that_went_away_while_it_was_asked_is_passed_over(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And so is one that is no replica of this agent, and one that is far behind."""
    settings = Settings(_env_file=None, database_replica_url=database_url)
    for broken, sentence in (
        (lambda _: asyncio.sleep(9), "does not answer"),
        (lambda _: run(database_url, "SELECT * FROM there_is_none"), "refuses"),
        (lambda _: asyncio.sleep(0, 3_600.0), "3600 s behind"),
    ):
        replica._passed_over.clear()
        with monkeypatch.context() as patched:
            patched.setattr(replica, "replica_lag", broken)
            found = await place_of(settings, "postgresql://main")
        assert "postgresql://main" == found.url
        assert sentence in found.notice

    replica._passed_over.clear()
    assert Place(database_url) == await place_of(settings, "postgresql://main")


@pytest.mark.parametrize(
    "read",
    [
        live_instances,
        open_turns,
        control_in_force,
        stray_messages,
        started_experiments,
        models_named,
    ],
)
async def test_what_pages_read_besides_is_a_sentence_while_postgres_is_away(
    read: Callable[[Database], Awaitable[object]],
) -> None:
    async with open_database(f"postgresql://me@{CLOSED}/nothing") as database:
        with pytest.raises(StoreUnavailable, match="Postgres cannot be reached"):
            await read(database)
