"""What people can see, refuse and take back by themselves."""

from __future__ import annotations

import json
from uuid import UUID

import pytest

from storage.lifecycle.erasure import Stores, work
from tests.support.engine_harness import EngineHarness, Instance
from tests.support.exports import export_of
from tests.support.settings import run, set_channel

EXPERIMENT = "INSERT INTO experiments (name, definition) VALUES ('cats', $1::jsonb)"


async def answer_to(world: EngineHarness, agent: Instance, text: str) -> str:
    before = len(world.platform.screen("ada"))
    await agent.engine.accept(world.message(text))
    await world.platform.until(lambda: len(world.platform.screen("ada")) > before)

    return world.platform.screen("ada")[-1]


async def test_an_export_shows_what_was_said_and_nothing_of_others(
    world: EngineHarness, agent: Instance
) -> None:
    await world.ask(agent, "my cat is grey")
    await world.ask(agent, "my dog is red", chat="bob")
    shown = await answer_to(world, agent, "/export")

    assert "test: my cat is grey" in shown
    assert "- test: ada" in shown
    assert "dog" not in shown


async def test_an_export_has_titles_consent_budgets_and_what_reports_count(
    world: EngineHarness, agent: Instance, database_url: str
) -> None:
    """Of another person nothing, also where both are named."""
    await answer_to(world, agent, "/new the cat")
    await answer_to(world, agent, "/consent on")
    for chat in ("ada", "bob"):
        await world.ask(agent, f"my pet is of {chat}", chat=chat)
    rows = await run(
        database_url, "SELECT channel_user_id, person_id, id FROM users ORDER BY 1"
    )
    for name, person, account in rows:
        await made_for(database_url, str(person), account, name)
    await set_channel(database_url, "test", allow=["ada", "bob"], deny=["bob"])
    await run(database_url, EXPERIMENT, json.dumps({"audience": str(rows[0][1])}))
    written, shown = await export_of(agent.database, rows[0][1])

    for part in (
        "- test: ada (ada), consents to training",
        "budget of a month: tokens 77",
        "- month of 2026-02-01: 11 tokens, $0.5000",
        "- 2026-02 test a:ada: 3 messages, 2 answers, 9 tokens, $0.2500",
        "- test: the cat",
        "tried: True",
        "allow of test: ada",
        "audience of an experiment: cats",
        "test: my pet is of ada\n  answer: re: my pet is of ada",
    ):
        assert part in shown
    for other in ("bob", *map(str, rows[1][1:])):
        assert other not in shown + written


async def made_for(url: str, person: str, account: UUID, name: str) -> None:
    """A budget of a month and its use, a closed hour, and a named rule."""
    await run(
        url,
        "INSERT INTO budgets VALUES ('person', $1, 77, NULL, now(), 'month')",
        person,
    )
    await run(
        url,
        "INSERT INTO budget_days (scope, subject, period, day, tokens, usd)"
        " VALUES ('person', $1, 'month', '2026-02-01', 11, 0.5)",
        person,
    )
    await run(
        url,
        "INSERT INTO report_hours VALUES"
        " ('2026-02-03 04:00+00', 'test', $2, $1, 3, 0, 2, 0, 0, 0, 4, 0, 5, 0.25, 0, 0, '{}')",
        account,
        f"a:{name}",
    )
    await run(
        url,
        "INSERT INTO feature_flags (scope, name, value) VALUES ('rule:pets', 'tried',"
        " jsonb_build_object('value', true, 'people', jsonb_build_array($1::text)))"
        " ON CONFLICT (scope, name) DO UPDATE SET"
        " value = jsonb_insert(feature_flags.value, '{people,0}', to_jsonb($1::text))",
        person,
    )


async def test_forgetting_asks_first(
    world: EngineHarness, agent: Instance, database_url: str
) -> None:
    await world.ask(agent, "my cat is grey")
    shown = await answer_to(world, agent, "/forget me")

    assert "/forget me now" in shown
    assert [] == await run(database_url, "SELECT FROM erasures")


async def test_forgetting_begins_and_ends_an_erasure(
    world: EngineHarness,
    agent: Instance,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("storage.lifecycle.erasure.SETTLE_SECONDS", 0.0)
    await world.ask(agent, "my cat is grey")
    shown = await answer_to(world, agent, "/forget me now")
    while await work(Stores(agent.database, agent.pipe)):
        pass
    left = await run(database_url, "SELECT FROM messages UNION ALL SELECT FROM users")

    assert shown.startswith("I am erasing you now")
    assert [] == left


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/forget", "I ask once more before."),
        ("/forget everything", "I ask once more before."),
        ("/forget me now", "There is nothing to erase"),
        ("/consent", "Write `/consent on` if"),
        ("/consent maybe", "Write `/consent on` if"),
        ("/export", "Nothing is kept of you."),
    ],
)
async def test_what_cannot_be_done_is_a_sentence(
    world: EngineHarness, agent: Instance, text: str, expected: str
) -> None:
    assert expected in await answer_to(world, agent, text)


async def test_in_a_group_nothing_about_one_person_is_shown(
    world: EngineHarness, agent: Instance
) -> None:
    await agent.engine.accept(world.message("/export", chat="g", user="ada"))
    await world.platform.until(lambda: bool(world.platform.screen("g")))

    assert "in a direct message" in world.platform.screen("g")[0]


@pytest.mark.parametrize(("words", "given"), [(["on"], True), (["on", "off"], False)])
async def test_consent_is_given_and_taken_back(
    world: EngineHarness,
    agent: Instance,
    database_url: str,
    words: list[str],
    given: bool,
) -> None:
    for word in words:
        await answer_to(world, agent, f"/consent {word}")
    [row] = await run(
        database_url, "SELECT metadata @> '{\"consent\": true}' FROM users"
    )

    assert given == row[0]
