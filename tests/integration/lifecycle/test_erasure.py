"""After an erasure nothing names the person or holds their words, and others lose nothing."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from storage.control.audit import Author, verify
from storage.lifecycle import erasure, inventory
from storage.lifecycle.erasure import Stores
from storage.lifecycle.people import PeopleAdmin
from storage.postgres import connect
from storage.transaction import transaction
from tests.support.engine_harness import EngineHarness, Instance
from tests.support.erasures import (
    ID,
    NAME,
    WORDS,
    closed,
    dump,
    erase,
    everywhere,
    say,
    summed_up_and_indexed,
    to_the_end,
)
from tests.support.settings import OPERATOR, run


async def test_every_column_of_the_database_has_a_rule(database_url: str) -> None:
    rows = await run(
        database_url,
        "SELECT table_name, column_name FROM information_schema.columns "
        "JOIN information_schema.tables USING (table_schema, table_name) "
        "WHERE table_schema = current_schema() AND table_type = 'BASE TABLE' "
        "AND table_name !~ '^(search_)?messages_'",
    )
    known = {
        (table, column)
        for table, columns in inventory.COLUMNS.items()
        for column in columns
    }

    assert known == {(row[0], row[1]) for row in rows}


async def test_every_view_that_holds_rows_has_a_rule(database_url: str) -> None:
    rows = await run(
        database_url,
        "SELECT matviewname FROM pg_matviews WHERE schemaname = current_schema()",
    )

    assert set(inventory.VIEWS) == {row[0] for row in rows}


@pytest.fixture
def stores(agent: Instance, tmp_path: Path) -> Stores:
    return Stores(agent.database, agent.pipe, tmp_path)


@pytest.fixture(autouse=True)
def _settles_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasure, "SETTLE_SECONDS", 0.1)


async def test_nothing_is_left_of_a_person_and_the_others_keep_their_context(
    world: EngineHarness, agent: Instance, stores: Stores, database_url: str
) -> None:
    """In their own chat, in a group, in commands, titles, settings, sums, the log, and Redis."""
    world.model.said = lambda prompt: f"You said: {prompt.messages[-1][1]}"
    await say(world, agent, "hello", chat=ID)
    await operators_name_them(stores, ID)
    await say(world, agent, f"/new about {NAME}", chat=ID)
    await say(world, agent, f"/new about {NAME} and all", chat="g", user=ID)
    await say(world, agent, WORDS, chat=ID)
    await say(world, agent, "/history", chat=ID)
    await say(world, agent, "we meet on Monday at the station", chat="g", user="bob")
    await say(world, agent, f"{WORDS} again", chat="g", user=ID)
    await say(world, agent, f"> {WORDS} again\nthanks {NAME}", chat="g", user="bob")
    await say(world, agent, "/history", chat="g", user="bob")
    [row] = await run(
        database_url,
        "SELECT id, person_id FROM users WHERE channel_user_id = $1",
        ID,
    )
    await rules_name_them(database_url, str(row["person_id"]))
    await summed_up_and_indexed(database_url)
    before = await everywhere(database_url, agent)
    assert [] == [
        part for part, count in await kept_of(database_url, row) if not count
    ]

    await erase(stores)
    after = await everywhere(database_url, agent)

    assert [] == [part for part, count in await kept_of(database_url, row) if count]
    for each in (NAME, ID, WORDS, "wombat", str(row["id"]), str(row["person_id"])):
        assert each in before
        assert each not in after
    assert "we meet on Monday at the station" in after
    assert (await verify(agent.database)).troubles == ()

    await say(world, agent, "when do we meet?", chat="g", user="bob")
    prompt = world.model.prompts[-1].messages
    assert any("we meet on Monday" in text for _, text in prompt)
    assert not any(WORDS in text or NAME in text for _, text in prompt)


PARTS = {
    "hours of reports": "report_hours, who WHERE user_id = account",
    "words": "search_messages, who WHERE author = account",
    "titles": "conversations, who WHERE title IS NOT NULL",
    "budgets of months": "budgets, who WHERE subject = person AND period = 'month'",
    "counted in months": "budget_days, who WHERE subject = person AND period = 'month'",
    "rules": "feature_flags, who WHERE scope IN ('rule:alone', 'rule:chat')",
    "lists of rules": "feature_flags, who WHERE value->'people' ? person",
}
"""What a person leaves in tables that others are in as well."""


WHO = "WITH who AS (SELECT $1::uuid AS account, $2::text AS person)"


async def kept_of(database_url: str, person: Any) -> list[tuple[str, int]]:
    ids = (person["id"], str(person["person_id"]))
    found = []
    for part, where in PARTS.items():
        [row] = await run(database_url, f"{WHO} SELECT count(*) FROM {where}", *ids)
        found.append((part, row[0]))

    return found


NOBODY = "00000000-0000-0000-0000-0000000000b0"


async def rules_name_them(database_url: str, person: str) -> None:
    """Named rules: with others in the list, alone in it, and for the person's own chat."""
    rules = {
        "rule:both": {"value": False, "people": [NOBODY, person]},
        "rule:alone": {"value": False, "people": [person]},
        "rule:chat": {"value": False, "channels": ["test"], "chat": ID},
        "rule:all": {"value": False, "channels": ["test"]},
    }
    for scope, value in rules.items():
        await run(
            database_url,
            "INSERT INTO feature_flags (scope, name, value) VALUES ($1, 'tried', $2)",
            scope,
            json.dumps(value),
        )


async def test_a_rule_that_named_nobody_else_goes_and_is_not_for_everybody(
    world: EngineHarness, agent: Instance, stores: Stores, database_url: str
) -> None:
    await say(world, agent, WORDS, chat=ID)
    [row] = await run(database_url, "SELECT person_id FROM users")
    await rules_name_them(database_url, str(row[0]))
    await erase(stores)
    left = await run(
        database_url,
        "SELECT scope, value->'people' FROM feature_flags WHERE scope LIKE 'rule:%' ORDER BY 1",
    )

    assert [("rule:all", None), ("rule:both", f'["{NOBODY}"]')] == [*map(tuple, left)]


async def operators_name_them(stores: Stores, name: str) -> None:
    from storage.limits.budget_admin import BudgetAdmin
    from storage.limits.limit_admin import LimitAdmin

    author = Author("grace", "tests", f"because {NAME} asked")
    named = f"test:{name}"
    await LimitAdmin(stores.database, stores.pipe).set(named, "60/minute", author)
    budgets = BudgetAdmin(stores.database, stores.pipe)
    await budgets.set("person", named, 1_000_000, None, author)
    await budgets.set("person", named, 9_000_000, None, author, period="month")


async def test_the_receipt_names_nobody_and_stands_in_the_log(
    world: EngineHarness, agent: Instance, stores: Stores, database_url: str
) -> None:
    await say(world, agent, WORDS, chat=ID)
    await erase(stores)
    [row] = await run(
        database_url,
        "SELECT actor, action, after->'messages' AS messages FROM audit_log "
        "WHERE action = 'person.erase'",
    )

    assert ("grace", "person.erase", "2") == tuple(row)


async def test_a_row_of_the_log_that_was_changed_otherwise_is_still_found(
    world: EngineHarness, agent: Instance, stores: Stores, database_url: str
) -> None:
    """Only what the chain itself says a row became is believed."""
    await say(world, agent, WORDS, chat=ID)
    await operators_name_them(stores, ID)
    await erase(stores)
    connection = await connect(database_url)
    await connection.execute(
        "UPDATE audit_log SET reason = 'for fun' WHERE action = 'limit.set'"
    )
    await connection.close()

    troubles = (await verify(agent.database)).troubles

    assert ("Row 1 is not as it was written.",) == troubles


async def test_an_answer_under_way_is_given_up_and_written_again_without_them(
    world: EngineHarness, agent: Instance, stores: Stores, database_url: str
) -> None:
    await say(world, agent, WORDS, chat="g", user=ID)
    world.model.hold()
    asked = world.message("what was said here?", chat="g", user="bob")
    await agent.engine.accept(asked)
    await world.model.started.wait()

    await PeopleAdmin(stores.database).erase(f"test:{ID}", OPERATOR)
    erasing = asyncio.create_task(to_the_end(stores))
    await world.platform.until(lambda: len(world.model.prompts) > 2)
    world.model.release()
    await erasing
    await world.platform.until(lambda: world.platform.finished[asked.turn_id] > 0)

    assert not any(WORDS in text for _, text in world.model.prompts[-1].messages)
    assert WORDS not in dump(database_url)


async def test_whoever_writes_again_is_somebody_new(
    world: EngineHarness, agent: Instance, stores: Stores, database_url: str
) -> None:
    """The instance still remembers the id that it knew them by."""
    await say(world, agent, "hello all of you here", chat="g", user="bob")
    await say(world, agent, WORDS, chat="g", user=ID)
    [old] = await run(
        database_url, "SELECT id FROM users WHERE channel_user_id = $1", ID
    )
    await erase(stores)
    await say(world, agent, "I am back", chat="g", user=ID)
    rows = await run(
        database_url, "SELECT id FROM users WHERE channel_user_id = $1", ID
    )
    written = await run(
        database_url, "SELECT user_id FROM messages WHERE content = 'I am back'"
    )

    assert 1 == len(rows)
    assert old["id"] != rows[0]["id"]
    assert [rows[0]["id"]] == [row[0] for row in written]


async def test_a_job_whose_worker_dies_between_any_two_steps_goes_on(
    world: EngineHarness, agent: Instance, stores: Stores, database_url: str
) -> None:
    """Redis is emptied on the way, too: nothing that is needed was only there."""
    await say(world, agent, WORDS, chat=ID)
    await say(world, agent, "hello all of you here", chat="g", user="bob")
    await say(world, agent, WORDS, chat="g", user=ID)
    await PeopleAdmin(stores.database).erase(f"test:{ID}", OPERATOR)

    pieces = 0
    while await dies_in_the_middle(stores):
        await agent.pipe.client.flushall()
        await erasure.work(stores)
        await asyncio.sleep(0.02)
        pieces += 1

    assert pieces > 5
    after = await everywhere(database_url, agent)
    assert not any(each in after for each in (NAME, ID, WORDS))


class _Died(Exception):
    """What takes a transaction back."""


async def dies_in_the_middle(stores: Stores) -> bool:
    """Does a piece whose transaction never commits. False: there was nothing to do."""

    from storage.lifecycle import jobs

    with suppress(_Died):
        async with transaction(stores.database) as connection:
            job = await jobs.next_job(connection)
            if job is None:
                return False
            await erasure._STEPS[job.step](stores, connection, job)
            await connection.execute("SELECT 1")
            raise _Died

    return True


async def test_erasing_under_load_ends_and_no_answer_of_others_is_lost(
    world: EngineHarness, agent: Instance, stores: Stores, database_url: str
) -> None:
    for index in range(6):
        await say(world, agent, f"{WORDS} {index}", chat=f"g{index}", user=ID)
    await PeopleAdmin(stores.database).erase(f"test:{ID}", OPERATOR)
    erasing = asyncio.create_task(to_the_end(stores))
    for n in range(60):
        text = f"question {n} of bob here"
        await agent.engine.accept(world.message(text, chat=f"g{n % 6}", user="bob"))
    await erasing
    await closed(database_url)
    kept = await run(
        database_url,
        "SELECT count(*) FROM messages WHERE content ~ '^question .* here$'",
    )

    assert 60 == kept[0][0]
    after = await everywhere(database_url, agent)
    assert not any(each in after for each in (NAME, WORDS))
    assert (await verify(agent.database)).troubles == ()
