"""The audit log is a chain: whatever is changed in it afterwards shows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from agent import metrics
from storage.control import audit
from storage.control.audit import Author
from storage.conversation.deliveries import PostgresDeliveries
from storage.migrate import downgrade, upgrade
from storage.postgres import Database, connect, open_database
from storage.transaction import transaction
from tests.support.engine_harness import EngineHarness


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    async with open_database(database_url) as database:
        yield database


async def write(database: Database, count: int) -> None:
    for number in range(count):
        async with transaction(database) as connection:
            await audit.record(
                connection,
                Author("ada", "a test", 'ünï \\ "x"'),
                "did",
                f"thing:{number}",
                before='{"b": 1.50, "a": null}',
                after=None,
                epoch=number,
            )


async def tamper(database: Database, sql: str) -> None:
    """As a person with all permissions would, who cannot compute the chain again."""
    async with transaction(database) as connection:
        await connection.execute("ALTER TABLE audit_log DISABLE TRIGGER audit_chain")
        await connection.execute(sql)
        await connection.execute("ALTER TABLE audit_log ENABLE TRIGGER audit_chain")


async def test_an_untouched_log_is_whole(database: Database) -> None:
    """Empty or not; its head is the last row's hash."""
    assert audit.ChainVerdict(0, "00" * 32, ()) == await audit.verify(database)

    await write(database, 3)
    verdict = await audit.verify(database)
    [newest] = await audit.list_entries(database, limit=1)

    assert audit.ChainVerdict(3, newest.hash.hex(), ()) == verdict


@pytest.mark.parametrize(
    ("sql", "trouble"),
    [
        (
            "UPDATE audit_log SET actor = 'eve' WHERE id = 2",
            "Row 2 is not as it was written.",
        ),
        (
            "UPDATE audit_log SET before = '{}' WHERE id = 2",
            "Row 2 is not as it was written.",
        ),
        (
            "UPDATE audit_log SET reason = NULL WHERE id = 2",
            "Row 2 is not as it was written.",
        ),
        (
            "UPDATE audit_log SET at = at + interval '1 microsecond' WHERE id = 2",
            "Row 2 is not as it was written.",
        ),
        (
            "UPDATE audit_log SET epoch = NULL WHERE id = 2",
            "Row 2 is not as it was written.",
        ),
        (
            "DELETE FROM audit_log WHERE id = 2",
            "Between row 1 and row 3, rows are missing or too many.",
        ),
        (
            "DELETE FROM audit_log WHERE id = 1",
            "Between row 0 and row 2, rows are missing or too many.",
        ),
        ("DELETE FROM audit_log WHERE id >= 2", "After row 1, 2 rows are missing."),
        ("DELETE FROM audit_log", "After row 0, 3 rows are missing."),
        (
            "INSERT INTO audit_log (id, actor, action, subject, hash) VALUES (4, "
            "'eve', 'x', 'x', '')",
            "After row 3, rows were added past the chain.",
        ),
        (
            "UPDATE audit_log SET hash = '\\x00' WHERE id = 3",
            "Row 3 is not as it was written.",
        ),
        (
            "DELETE FROM audit_head",
            "The head of the chain is missing: its row in audit_head was removed.",
        ),
    ],
)
async def test_whatever_is_changed_shows(
    database: Database,
    sql: str,
    trouble: str,
) -> None:
    await write(database, 3)
    await tamper(database, sql)

    assert trouble in (await audit.verify(database)).troubles


async def test_how_far_the_chain_is_is_noted_outside(
    database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    await write(database, 3)
    await audit.note_head(database)

    assert metrics.audit_entries.values == {(): 3}
    assert (await audit.verify(database)).head in capsys.readouterr().out


async def test_a_rewritten_log_is_found_by_a_noted_head(database: Database) -> None:
    """Somebody computes all hashes again: a hash that was noted elsewhere tells."""
    await write(database, 3)
    noted = (await audit.verify(database)).head
    await write(database, 1)

    assert () == (await audit.verify(database, noted)).troubles

    async with transaction(database) as connection:
        await connection.execute("DELETE FROM audit_log")
        await connection.execute(
            "UPDATE audit_head SET id = 0, hash = decode(repeat('00', 32), 'hex')"
        )

    await write(database, 4)

    assert ("The noted hash is not in the chain: the log was rewritten since.",) == (
        await audit.verify(database, noted)
    ).troubles


async def test_whoever_writes_is_in_the_chain(
    database: Database,
    database_url: str,
    redis_url: str,
) -> None:
    """Also what the agent sets aside by itself, which knows nothing of hashes."""
    world = EngineHarness(database_url, redis_url)
    async with world.instance() as agent:
        await agent.engine.accept(world.message("hello"))
        await world.answered("ada", "re: hello")
        turn = world.message("x", message_id="never").turn_id
        await PostgresDeliveries(agent.database).done(
            [([turn], None)], failed="the chat is gone"
        )

    assert (1, ()) == (
        (verdict := await audit.verify(database)).count,
        verdict.troubles,
    )


async def test_writers_at_once_make_one_chain(database: Database) -> None:
    await asyncio.gather(*(write(database, 5) for _ in range(10)))
    assert (50, ()) == (
        (verdict := await audit.verify(database)).count,
        verdict.troubles,
    )


async def test_what_is_rolled_back_leaves_no_gap(database: Database) -> None:
    await write(database, 1)

    with pytest.raises(ZeroDivisionError):
        async with transaction(database) as connection:
            await audit.record(
                connection,
                Author("eve", "x"),
                "did",
                "x",
                before=None,
                after=None,
                epoch=None,
            )
            raise ZeroDivisionError

    await write(database, 1)

    assert [2, 1] == [entry.id for entry in await audit.list_entries(database)]
    assert () == (await audit.verify(database)).troubles


async def test_the_log_can_be_searched(database: Database) -> None:
    await write(database, 3)

    async with transaction(database) as connection:
        await audit.record(
            connection,
            Author("bob", "x"),
            "did",
            "thing:1",
            before=None,
            after="{}",
            epoch=None,
        )

    by_subject = await audit.list_entries(database, subject="thing:1")

    assert [("bob", 4), ("ada", 2)] == [
        (entry.actor, entry.id) for entry in by_subject
    ]
    assert [4] == [
        entry.id for entry in await audit.list_entries(database, actor="bob")
    ]


async def test_rows_from_before_the_chain_are_taken_into_it(
    empty_database_url: str,
) -> None:
    """The migration numbers and chains what is there; going down and up again keeps every row."""
    await upgrade(empty_database_url, "0001")
    connection = await connect(empty_database_url)

    for number in range(5):
        await connection.execute(
            "INSERT INTO audit_log (actor, action, subject) VALUES ('a', 'b', $1)",
            str(number),
        )

    await connection.execute("DELETE FROM audit_log WHERE subject = '1'")
    await upgrade(empty_database_url)

    async with open_database(empty_database_url) as database:
        assert (4, ()) == (
            (verdict := await audit.verify(database)).count,
            verdict.troubles,
        )
        await write(database, 1)

    await downgrade(empty_database_url, "0001")
    await connection.execute(
        "INSERT INTO audit_log (actor, action, subject) VALUES ('a', 'b', 'later')"
    )
    await upgrade(empty_database_url)

    async with open_database(empty_database_url) as database:
        assert (6, ()) == (
            (verdict := await audit.verify(database)).count,
            verdict.troubles,
        )
        assert "later" == (await audit.list_entries(database, limit=1))[0].subject

    await connection.close()
