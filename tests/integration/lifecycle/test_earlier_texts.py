"""Earlier texts and prompts are kept where an operator wants that, and go with their messages."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest

from storage import postgres as postgres_module
from storage.lifecycle import erasure
from storage.lifecycle.erasure import Stores
from storage.lifecycle.people import PeopleAdmin
from storage.lifecycle.retention import retain
from storage.people.system_prompts import SystemPrompts
from storage.postgres import open_database
from storage.transaction import transaction
from tests.support.engine_harness import EngineHarness, Instance
from tests.support.erasures import ID, NAME, erase, say
from tests.support.exports import export_of
from tests.support.settings import OPERATOR, run
from tests.support.turns import begun, closed

ADA = "test:ada"
DIGEST = sha256(b"Be brief.").hexdigest()[:32]
PROMPT = "You are a helpful assistant."


@pytest.fixture(autouse=True)
def _settles_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasure, "SETTLE_SECONDS", 0.1)


async def switch(agent: Instance, *, on: bool) -> None:
    async with transaction(agent.database) as connection:
        await connection.execute(
            "INSERT INTO feature_flags (scope, name, value)"
            " VALUES ('global', 'keep_earlier_texts', to_jsonb(CAST(:value AS bool)))"
            " ON CONFLICT (scope, name) DO UPDATE SET value = excluded.value",
            {"value": on},
        )
        await connection.execute("UPDATE control_epoch SET epoch = epoch + 1")
    await agent.ports.control_updates.observe(-1)


async def change_one(world: EngineHarness, agent: Instance) -> None:
    """A message that is edited twice and then deleted, before it is answered."""
    first = await begun(world, agent, "wrong")
    await agent.engine.accept(first.edited("better"))
    await agent.engine.accept(first.edited("right"))
    await agent.engine.accept(first.deleted())
    world.model.release()
    await closed(world)
    await prompts_kept(world.database_url)


async def prompts_kept(url: str) -> None:
    """Once all prompts that answers name are stored: no answer waits for that."""
    missing = (
        "SELECT FROM messages WHERE metadata ? 'prompt'"
        " AND metadata->>'prompt' NOT IN (SELECT hash FROM system_prompts)"
    )
    async with asyncio.timeout(10):
        while await run(url, missing):
            await asyncio.sleep(0.02)


async def earlier(url: str) -> list[str]:
    rows = await run(url, "SELECT content FROM earlier_texts ORDER BY id")

    return [row[0] for row in rows]


async def test_nothing_is_kept_unless_an_operator_wants_it(
    world: EngineHarness, agent: Instance, database_url: str
) -> None:
    await change_one(world, agent)
    await switch(agent, on=True)
    await switch(agent, on=False)
    await world.ask(agent, "hello")

    assert [] == await earlier(database_url)
    assert [] == await run(database_url, "SELECT FROM system_prompts")
    assert [] == await run(
        database_url,
        "SELECT FROM messages WHERE metadata ?| ARRAY['kept', 'prompt', 'system_prompt']",
    )


async def test_what_was_kept_is_shown_audited_and_exported(
    world: EngineHarness, agent: Instance, database_url: str
) -> None:
    await switch(agent, on=True)
    await change_one(world, agent)
    await world.ask(agent, "hello")
    await prompts_kept(database_url)
    found = await PeopleAdmin(agent.database).earlier(ADA, OPERATOR)
    [person] = await run(database_url, "SELECT person_id FROM users")
    export = (await export_of(agent.database, person[0]))[1]
    [entry] = await run(
        database_url, "SELECT after::text FROM audit_log WHERE action = 'texts'"
    )

    assert ["wrong", "better", "right"] == [one["text"] for one in found.texts]
    assert [(PROMPT, 1)] == [(p["prompt"], p["answers"]) for p in found.prompts]
    assert ": better" in export
    assert '{"found": 3}' == entry[0]
    assert [] == await run(
        database_url, "SELECT FROM messages WHERE metadata ? 'kept'"
    )


async def test_an_answer_costs_the_same_statements_when_prompts_are_kept(
    world: EngineHarness, agent: Instance, database_url: str
) -> None:
    """A prompt that is known is not written again; a new one is, and no answer waits for it."""
    counted = []
    await run(database_url, "CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
    for on in (False, True):
        await switch(agent, on=on)
        await world.ask(agent, "hello")
        await prompts_kept(database_url)
        before = await calls(database_url)
        for _ in range(3):
            await world.ask(agent, "hello")
        after = await calls(database_url)
        counted.append({name: after[name] - before.get(name, 0) for name in after})

    for name in ("accept", "answer", "keep_prompt", "load"):
        assert counted[0].get(name, 0) == counted[1].get(name, 0), name
    assert 3 == counted[1]["answer"]
    assert 1 == (await calls(database_url))["keep_prompt"]


async def calls(url: str) -> dict[str, int]:
    """How often each of the agent's statements ran, by its name."""
    rows = await run(
        url,
        "SELECT substring(query FROM '/\\* (\\w+) \\*/') AS name, sum(calls)::int AS calls"
        " FROM pg_stat_statements s JOIN pg_database d ON d.oid = s.dbid"
        " WHERE d.datname = current_database() GROUP BY 1",
    )

    return {row["name"]: row["calls"] for row in rows if row["name"]}


async def test_a_prompt_is_kept_once_and_answers_name_it(
    world: EngineHarness, agent: Instance, database_url: str
) -> None:
    await switch(agent, on=True)
    for chat in ("ada", "bob", "eve"):
        await world.ask(agent, "hello", chat=chat)
    await prompts_kept(database_url)
    rows = await run(database_url, "SELECT content FROM system_prompts")
    named = await run(
        database_url, "SELECT count(*) FROM messages WHERE metadata ? 'prompt'"
    )

    assert [PROMPT] == [row[0] for row in rows]
    assert 3 == named[0][0]


@pytest.mark.parametrize("prompt", ["Be brief.", "Be\0 brief."], ids=["plain", "NUL"])
async def test_a_prompt_is_kept_by_a_process_that_leaves_at_once(
    database_url: str, prompt: str
) -> None:
    """A chat of one line does, and its answer names the prompt."""
    async with open_database(database_url) as database:
        SystemPrompts(database).note(prompt)

    [kept] = await run(database_url, "SELECT content FROM system_prompts")

    assert "Be brief." == kept[0]


async def test_a_process_leaves_while_a_prompt_cannot_be_kept(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some rows are held, or Postgres is away."""
    monkeypatch.setattr(postgres_module, "CLOSING_SECONDS", 0.2)
    await run(
        database_url,
        "INSERT INTO system_prompts (hash, content, used_at)"
        " VALUES ($1, 'Be brief.', '2020-01-01')",
        DIGEST,
    )
    async with open_database(database_url) as other, transaction(other) as holding:
        await holding.execute("SELECT FROM system_prompts FOR UPDATE")
        async with asyncio.timeout(5), open_database(database_url) as database:
            assert DIGEST == SystemPrompts(database).note("Be brief.")


async def test_earlier_texts_go_with_their_message_and_old_prompts_with_the_last_month(
    world: EngineHarness, agent: Instance, database_url: str
) -> None:
    await switch(agent, on=True)
    await change_one(world, agent)
    await run(database_url, "UPDATE system_prompts SET used_at = '2020-01-01'")
    await run(
        database_url,
        "INSERT INTO system_prompts (hash, content) VALUES ('of today', 'in use')",
    )
    await retain(agent.database, 400, datetime.now(UTC))
    kept = await run(database_url, "SELECT hash FROM system_prompts")
    before = await earlier(database_url)
    await run(database_url, "DELETE FROM messages")

    assert ["of today"] == [row[0] for row in kept]
    assert ["wrong", "better", "right"] == before
    assert [] == await earlier(database_url)


async def test_erasure_leaves_no_earlier_text_of_a_group_and_no_name_in_a_prompt(
    world: EngineHarness, agent: Instance, tmp_path: Path, database_url: str
) -> None:
    """Others' earlier texts may quote the person."""
    await switch(agent, on=True)
    await say(world, agent, "hello", chat="group", user=ID)
    await say(world, agent, "hello", chat="group", user="bob")
    await run(
        database_url,
        "INSERT INTO earlier_texts (conversation_id, at, seq, author, content)"
        " SELECT conversation_id, timestamp, seq, user_id, 'as they said' FROM messages"
        " WHERE role = 'user'",
    )
    await prompts_kept(database_url)
    await run(
        database_url,
        f"UPDATE system_prompts SET content = 'Be kind to {NAME}, always.'",
    )
    await erase(Stores(agent.database, agent.pipe, tmp_path))
    [prompt] = await run(database_url, "SELECT content FROM system_prompts")

    assert [] == await earlier(database_url)
    assert "Be kind to [erased], always." == prompt[0]
