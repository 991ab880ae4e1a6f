"""Titles of conversations may hold a person's words, or their name in words of others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from storage.conversation import conversations
from storage.lifecycle import erasure
from storage.lifecycle.erasure import Stores
from tests.support.engine_harness import EngineHarness, Instance
from tests.support.erasures import ID, NAME, WORDS, erase, say
from tests.support.settings import run


@pytest.fixture
def stores(agent: Instance, tmp_path: Path) -> Stores:
    return Stores(agent.database, agent.pipe, tmp_path)


@pytest.fixture(autouse=True)
def _settles_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasure, "SETTLE_SECONDS", 0.1)


async def titles(database_url: str) -> list[str | None]:
    rows = await run(database_url, "SELECT title FROM conversations ORDER BY 1")

    return [row[0] for row in rows]


async def test_a_title_of_others_stays_without_the_name(
    world: EngineHarness, agent: Instance, stores: Stores, database_url: str
) -> None:
    await say(world, agent, f"/new trip with {NAME}", chat="g", user="bob")
    await say(world, agent, WORDS, chat="g", user=ID)
    await say(world, agent, "hello all of you here", chat="g", user="bob")
    await erase(stores)

    assert ["trip with [erased]"] == await titles(database_url)


async def test_a_title_of_theirs_goes_from_a_chat_of_others(
    world: EngineHarness, agent: Instance, stores: Stores, database_url: str
) -> None:
    await say(world, agent, "/new trip to the sea", chat="g", user=ID)
    await say(world, agent, "hello all of you here", chat="g", user="bob")
    await erase(stores)

    assert [None] == await titles(database_url)


async def test_it_is_theirs_also_if_a_message_began_the_conversation_meanwhile(
    world: EngineHarness,
    agent: Instance,
    stores: Stores,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The message of another stands where the new conversation would begin."""

    async def nothing_was_active(*_: Any) -> None: ...

    monkeypatch.setattr(conversations, "end", nothing_was_active)
    await say(world, agent, "hello all of you here", chat="g", user="bob")
    await say(world, agent, "/new trip to the sea", chat="g", user=ID)
    assert ["trip to the sea"] == await titles(database_url)
    await erase(stores)

    assert [None] == await titles(database_url)


async def test_an_instruction_goes_with_the_chat_of_its_person(
    world: EngineHarness, agent: Instance, stores: Stores, database_url: str
) -> None:
    """Also from a chat in which nothing was said yet."""
    await say(world, agent, "hello", chat="own", user=ID)
    await say(world, agent, "/new empty", chat="own", user=ID)
    await run(database_url, "UPDATE conversations SET instruction = $1", WORDS)
    await erase(stores)

    kept = await run(
        database_url, "SELECT FROM conversations WHERE instruction <> ''"
    )
    assert [] == list(kept)
