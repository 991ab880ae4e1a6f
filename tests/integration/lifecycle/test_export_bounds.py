"""An export takes little of the service, however long a history is and however many ask."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AsyncExitStack
from tempfile import SpooledTemporaryFile
from typing import Any, TypeVar
from uuid import UUID, uuid4

import pytest
from starlette.requests import ClientDisconnect

from agent.core.errors import Conflict, Refused, Rejected
from agent.web.exports import ExportResponse
from storage.conversation.records import IN_PART, PostgresChatRecords
from storage.lifecycle.export import making, package
from storage.lifecycle.export.kinds import Row
from storage.lifecycle.export.making import BUSY, ERASED, NO_ROOM, UNDER_WAY
from storage.lifecycle.export.package import (
    JSON,
    TEXT,
    THE_WHOLE,
    Bound,
    ExportFile,
    Package,
)
from storage.lifecycle.people import PeopleAdmin
from storage.postgres import Database, open_database
from tests.support.exports import content, export_of
from tests.support.settings import OPERATOR, run

T = TypeVar("T")

ACCOUNT = """
INSERT INTO users (id, person_id, channel_type, channel_user_id)
VALUES ($1, $1, 'test', CAST(CAST($1 AS uuid) AS text))
"""
CONVERSATION = """
INSERT INTO conversations (id, user_id, channel_type, chat_id)
VALUES ($1, $1, 'test', CAST(CAST($1 AS uuid) AS text))
"""
MESSAGES = """
INSERT INTO messages (conversation_id, "timestamp", seq, id, role, content, user_id)
SELECT $1, now() - n * interval '1 second', n, gen_random_uuid(), 'user', 'text ' || n, $1
FROM generate_series(1, $2) n
"""
USED = """
INSERT INTO budget_days (scope, subject, period, day, tokens, usd)
SELECT 'person', CAST(CAST($1 AS uuid) AS text), 'month', make_date(2026, n, 1), n, 0
FROM generate_series(1, 3) n
"""
COUNTED = """
INSERT INTO report_hours
SELECT make_timestamptz(2026, n, 1, 4, 0, 0, 'UTC'), 'test', 'a:b', $1,
       n, 0, n, 0, 0, 0, 1, 0, 1, 0, 0, 0, '{}'
FROM generate_series(1, 3) n
"""
TAKEN = "SELECT FROM audit_log WHERE action = 'person.export' AND subject = $1"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with open_database(database_url) as opened:
        yield opened


async def somebody(database: Database, messages: int = 0) -> UUID:
    """With one conversation. `text 1` is the newest message."""
    person = uuid4()
    await run(database.url, ACCOUNT, person)
    await run(database.url, CONVERSATION, person)
    await run(database.url, MESSAGES, person, messages)

    return person


class Packing:
    """Watches how many rows are handed over at a time; may stop at the first."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pages: list[int] = []
        self.reached = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()
        self._loop = asyncio.get_running_loop()
        add = Package.add

        def held(package: Package, rows: Sequence[Row]) -> bool:
            self._hold(rows)

            return add(package, rows)

        monkeypatch.setattr(Package, "add", held)

    def _hold(self, rows: Sequence[Row]) -> None:
        """In the thread that packs."""
        self.pages.append(len(rows))
        self._loop.call_soon_threadsafe(self.reached.set)
        waiting = asyncio.run_coroutine_threadsafe(self.go_on.wait(), self._loop)
        waiting.result(20)


async def held(
    packing: Packing, making_one: Coroutine[Any, Any, T]
) -> asyncio.Task[T]:
    """An export that waits with its first rows until `packing` goes on."""
    packing.go_on.clear()
    task = asyncio.create_task(making_one)
    await packing.reached.wait()

    return task


@pytest.fixture
async def packing(monkeypatch: pytest.MonkeyPatch) -> Packing:
    return Packing(monkeypatch)


async def test_fifty_thousand_messages_are_read_a_page_at_a_time(
    database: Database, packing: Packing
) -> None:
    """What stands in memory does not grow with the history, and nothing is missing."""
    person = await somebody(database, 50_000)
    shown, read = await export_of(database, person)
    found = json.loads(shown)

    assert max(packing.pages) <= making.PAGE
    assert 50_000 <= sum(packing.pages)
    assert 50_000 == len({one["text"] for one in found["messages"]})
    assert ("text 1", "text 50000") == (
        found["messages"][0]["text"],
        found["messages"][-1]["text"],
    )
    assert [] == found["missing"]
    assert 50_000 == read.count(" test: text ")


async def test_what_does_not_fit_is_named_with_the_way_to_all_of_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest is in it, the file fits, and the person is told."""
    monkeypatch.setattr(package, "PENDING", 50_000)
    person = await somebody(database, 3_000)
    await run(database.url, "UPDATE messages SET content = content || md5(content)")
    records = PostgresChatRecords(database)
    async with records.export_file(person, 100_000) as sent:
        assert len(sent.content) <= 100_000
        assert IN_PART == sent.remark

    shown, read = await export_of(database, person, Bound(size=100_000))
    found = json.loads(shown)

    assert found["messages"][0]["text"].startswith("text 1")
    assert 100 < len(found["messages"]) < 3_000
    assert found["missing"][0].startswith("Your messages: what is older than 20")
    assert read.startswith(f"Not in here:\n- {found['missing'][0]}\n{THE_WHOLE}")


async def test_a_part_of_each_list_is_named_too(database: Database) -> None:
    shown, _ = await export_of(database, await somebody(database, 5), Bound(rows=3))
    found = json.loads(shown)

    assert ["text 1", "text 2", "text 3"] == [m["text"] for m in found["messages"]]
    assert 1 == len(found["missing"])


async def test_of_each_list_the_newest_stays(database: Database) -> None:
    person = await somebody(database)
    await run(database.url, USED, person)
    await run(database.url, COUNTED, person)
    shown, _ = await export_of(database, person, Bound(rows=1))
    found = json.loads(shown)

    assert ["2026-03-01"] == [one["day"] for one in found["budget_days"]]
    assert ["2026-03"] == [one["month"] for one in found["usage"]]


async def test_of_somebody_without_a_message_it_says_none(database: Database) -> None:
    shown, read = await export_of(database, await somebody(database))

    assert [] == json.loads(shown)["messages"]
    assert "Your messages:\n- none\n" in read


async def test_one_is_made_at_a_time_and_each_person_has_one(
    database: Database, packing: Packing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another waits for a bounded time, then a sentence says what to do. Then all goes on."""
    ada, bob = await somebody(database, 1), await somebody(database, 1)
    first = await held(packing, export_of(database, ada))
    with pytest.raises(Refused, match=UNDER_WAY):
        await PeopleAdmin(database).export(str(ada), OPERATOR)

    monkeypatch.setattr(making, "WAIT_SECONDS", 0.05)
    with pytest.raises(Refused, match=BUSY):
        await export_of(database, bob)

    assert 1 == len(packing.pages)
    monkeypatch.setattr(making, "WAIT_SECONDS", 20.0)
    waiting = asyncio.create_task(export_of(database, bob))
    await asyncio.sleep(0)
    packing.go_on.set()
    of_ada, of_bob = await first, await waiting

    assert (str(ada) in of_ada[0], str(bob) in of_bob[0]) == (True, True)
    assert str(ada) not in of_bob[0]


async def test_only_what_was_made_is_a_row_of_the_audit_log(
    database: Database, packing: Packing
) -> None:
    person, admin = await somebody(database, 1), PeopleAdmin(database)
    first = await held(packing, admin.export(str(person), OPERATOR))
    with pytest.raises(Refused, match=UNDER_WAY):
        await admin.export(str(person), OPERATOR)

    packing.go_on.set()
    (await first).close()

    assert 1 == len(await run(database.url, TAKEN, f"person:{person}"))


async def test_an_operator_who_is_removed_meanwhile_gets_nothing(
    database: Database, packing: Packing
) -> None:
    person = await somebody(database, 1)
    task = await held(packing, PeopleAdmin(database).export(str(person), OPERATOR))
    await run(
        database.url, "INSERT INTO operators (name, role) VALUES ('x', 'admin')"
    )
    packing.go_on.set()
    with pytest.raises(Rejected, match="is not a registered operator"):
        await task

    assert [] == await files_left()
    assert [] == await run(database.url, TAKEN, f"person:{person}")


async def test_twenty_at_once_take_one_connection_at_a_time(
    database: Database, packing: Packing
) -> None:
    people = [await somebody(database, 1) for _ in range(20)]
    taken: list[int] = []
    pool = database.pool
    packing.go_on.clear()
    tasks = [asyncio.create_task(export_of(database, one)) for one in people]
    await packing.reached.wait()
    taken.append(pool.get_size() - pool.get_idle_size())
    packing.go_on.set()
    made = await asyncio.gather(*tasks)

    assert [1] == taken
    assert 20 == len({one[0] for one in made})


async def test_one_that_is_cancelled_leaves_nothing_behind(
    database: Database, packing: Packing
) -> None:
    """The next is made at once, and the temporary files are closed."""
    person = await somebody(database, 3)
    task = await held(packing, export_of(database, person))
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    packing.go_on.set()
    shown, _ = await export_of(database, person)

    assert task.cancelled()
    assert 3 == len(json.loads(shown)["messages"])
    assert [] == await files_left()
    assert database.pool.get_size() == database.pool.get_idle_size()


async def files_left() -> list[object]:
    """Once the thread that packs is done."""
    await making.export_queue().pack(int)

    return [
        one
        for one in gc.get_objects()
        if isinstance(one, SpooledTemporaryFile) and not one.closed
    ]


async def test_slow_chats_hold_back_other_chats_alone(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files on their way stand in memory, so they are few. A chat that fails frees its place."""
    monkeypatch.setattr(making, "WAIT_SECONDS", 0.05)
    people = [await somebody(database) for _ in range(making.SENT_AT_ONCE)]
    another, records = await somebody(database), PostgresChatRecords(database)
    with pytest.raises(ZeroDivisionError):
        async with AsyncExitStack() as slow:
            for one in people:
                await slow.enter_async_context(records.export_file(one, 10**6))

            with pytest.raises(Refused, match=BUSY):
                await slow.enter_async_context(records.export_file(another, 10**6))
            await export_of(database, people[0])
            raise ZeroDivisionError

    async with records.export_file(another, 10**6) as sent:
        assert sent.content


async def test_somebody_who_is_erased_meanwhile_is_not_handed_out(
    database: Database, packing: Packing
) -> None:
    person = await somebody(database, 3)
    task = await held(packing, export_of(database, person))
    await PeopleAdmin(database).erase(str(person), OPERATOR)
    packing.go_on.set()
    with pytest.raises(Conflict, match=ERASED):
        await task

    assert [] == await files_left()


async def test_a_full_disk_is_said_and_not_called_postgres(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = await somebody(database, 3)

    def full(*_: object) -> bool:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Package, "add", full)
        with pytest.raises(Refused, match=NO_ROOM):
            await export_of(database, person)

    assert [] == await files_left()
    assert "text 3" in (await export_of(database, person))[0]


async def test_a_browser_that_goes_in_the_middle_leaves_no_file(
    database: Database,
) -> None:
    """An address that is gone is no reason to keep anything."""
    person = await somebody(database, 3)
    file = await PeopleAdmin(database).export(str(person), OPERATOR)

    async def gone(_: object) -> None:
        raise ConnectionResetError

    async def never() -> dict[str, str]:
        return await asyncio.Future()

    answer = ExportResponse(file, JSON, "application/json")
    with pytest.raises((ConnectionResetError, ClientDisconnect, ExceptionGroup)):
        await answer({"type": "http"}, never, gone)

    assert [] == await files_left()


async def test_a_file_outlives_the_making_and_goes_when_closed(
    database: Database,
) -> None:
    file = await PeopleAdmin(database).export(
        str(await somebody(database, 2)), OPERATOR
    )
    other = await export_of(database, await somebody(database))

    assert isinstance(file, ExportFile)
    assert "text 2" in content(file, TEXT)
    assert "text 2" in content(file, JSON)
    assert "text 2" not in other[0]
    file.close()
    assert [] == await files_left()
