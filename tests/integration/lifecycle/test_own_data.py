"""What people can see, refuse and take back by themselves."""

from __future__ import annotations

import pytest

from storage.lifecycle.erasure import Stores, work
from tests.support.engine_harness import EngineHarness, Instance
from tests.support.settings import run


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
