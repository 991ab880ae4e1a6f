"""What reports count and searches find of people who are erased."""

from __future__ import annotations

from pathlib import Path

import pytest

from storage.lifecycle import erasure
from storage.lifecycle.erasure import Stores
from storage.lifecycle.people import PeopleAdmin
from storage.postgres import connect
from storage.reports.rollup import sum_up_again
from tests.support.engine_harness import EngineHarness, Instance
from tests.support.erasures import (
    ID,
    WORDS,
    erase,
    say,
    summed_up_and_indexed,
    to_the_end,
)
from tests.support.settings import OPERATOR, run


@pytest.fixture
def stores(agent: Instance, tmp_path: Path) -> Stores:
    return Stores(agent.database, agent.pipe, tmp_path)


@pytest.fixture(autouse=True)
def _settles_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasure, "SETTLE_SECONDS", 0.1)


async def test_what_they_used_stays_counted_also_when_hours_are_summed_up_again(
    world: EngineHarness, agent: Instance, stores: Stores, database_url: str
) -> None:
    """Their own chat is deleted, so its messages cannot be counted any more."""
    await say(world, agent, WORDS, chat=ID)
    await say(world, agent, "hello all of you here", chat="g", user="bob")
    await say(world, agent, WORDS, chat="g", user=ID)
    await summed_up_and_indexed(database_url)
    counts = "SELECT sum(messages), sum(answers), sum(failures), sum(tokens) FROM report_hours"
    before = await run(database_url, counts)
    await erase(stores)
    erased = await run(database_url, counts)
    await sum_up_again(database_url)

    assert (3, 3, 0) == tuple(before[0])[:3]
    assert before == erased == await run(database_url, counts)


async def test_an_erasure_waits_for_those_who_sum_up_or_read_words(
    world: EngineHarness, agent: Instance, stores: Stores, database_url: str
) -> None:
    """They read the messages before they were blanked, and store what they read after."""
    await say(world, agent, WORDS, chat=ID)
    [row] = await run(database_url, "SELECT id, person_id FROM users")
    reader = await connect(database_url)
    reading = reader.transaction()
    await reading.start()
    await reader.execute("SELECT FROM search_state FOR UPDATE")
    await PeopleAdmin(stores.database).erase(f"test:{ID}", OPERATOR)
    steps = []
    while (progress := await erasure.work(stores)) and progress.moved:
        steps.append(progress.step)
    assert "people" == steps[-1]
    assert progress

    await reader.execute(
        "INSERT INTO search_messages VALUES ($1, now(), 1, $1, 'wombat')", row["id"]
    )
    await reading.commit()
    await reader.close()
    await to_the_end(stores)

    assert [] == await run(database_url, "SELECT FROM search_messages")
