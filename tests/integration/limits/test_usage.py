"""`/usage` counts as budgets do: an answer is its last asker's, whoever began the conversation."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from decimal import Decimal

import pytest

from agent.core.completion import Prompt, Spent, Usage
from agent.core.effects import UsageTotal
from storage.conversation import STATEMENTS
from storage.limits.budget_admin import BudgetAdmin
from storage.transaction import transaction
from tests.support.engine_harness import EngineHarness, Instance, Script
from tests.support.settings import OPERATOR

GROUP = "the group"
PEOPLE = ("ada", "bob", "carol")


class Priced(Script):
    """Each answer uses and costs more than the one before, so that no two sums are equal."""

    calls = 0

    async def stream(
        self, model: str, prompt: Prompt
    ) -> AsyncGenerator[str | Usage | Spent]:
        async for piece in super().stream(model, prompt):
            if not isinstance(piece, Usage):
                yield piece
                continue

            self.calls += 1
            cost = Decimal(2**self.calls) / 1000
            yield Usage(model, 100 * 2**self.calls, 2**self.calls, cost)


@pytest.fixture
def world(database_url: str, redis_url: str) -> EngineHarness:
    return EngineHarness(database_url, redis_url, model=Priced())


@pytest.fixture
async def agent(world: EngineHarness) -> AsyncIterator[Instance]:
    """With a budget that binds each person and is never used up."""
    async with world.instance() as instance:
        admin = BudgetAdmin(instance.database, instance.pipe)
        await admin.set("person", "*", 10**9, None, OPERATOR)
        await instance.ports.control_updates.observe(0)
        yield instance


async def say(world: EngineHarness, agent: Instance, user: str, words: str) -> None:
    await agent.engine.accept(world.message(words, chat=GROUP, user=user))


async def merged(world: EngineHarness, agent: Instance, *users: str) -> None:
    """The first is answered alone; the others write meanwhile, and have one answer together."""
    before = len(world.platform.final)
    world.model.hold()
    await say(world, agent, users[0], "first")
    await world.model.started.wait()
    for user in users[1:]:
        await say(world, agent, user, "meanwhile")
    world.model.release()
    await world.platform.until(lambda: len(world.platform.final) == before + 2)


async def recent(world: EngineHarness, agent: Instance, user: str) -> UsageTotal:
    """The person's last 30 days."""
    inbound = world.message("/usage", chat=GROUP, user=user)

    return (await agent.ports.records.usage(inbound))[1]


async def charged(agent: Instance, user: str) -> tuple[int, Decimal]:
    """What budgets count of a person's day."""
    async with transaction(agent.database) as connection:
        found = await connection.execute(
            "SELECT tokens, usd FROM budget_days WHERE scope = 'person' AND subject ="
            " (SELECT person_id::text FROM users WHERE channel_user_id = :user)",
            {"user": user},
        )
        row = found.first()

    return (int(row.tokens), row.usd) if row else (0, Decimal(0))


async def settled(agent: Instance) -> None:
    """Returns once no reservation is open."""
    while True:
        async with transaction(agent.database) as connection:
            if not await connection.scalar(
                "SELECT count(*) FROM budget_reservations"
            ):
                return


async def test_usage_and_budgets_agree_over_a_group_with_merges(
    world: EngineHarness, agent: Instance
) -> None:
    await merged(world, agent, "ada", "bob", "carol", "bob")
    await merged(world, agent, "carol", "bob", "ada")
    await merged(world, agent, "bob", "ada")
    await world.ask(agent, "alone", chat="ada")
    await settled(agent)

    answers = {}
    for user in PEOPLE:
        total = await recent(world, agent, user)
        answers[user] = total.answers
        tokens = total.prompt_tokens + total.completion_tokens
        assert await charged(agent, user) == (tokens, total.cost_usd)

    assert {"ada": 4, "bob": 2, "carol": 1} == answers


async def test_the_group_as_a_whole_is_what_its_people_used(
    world: EngineHarness, agent: Instance
) -> None:
    await merged(world, agent, "ada", "bob", "carol", "bob")
    inbound = world.message("/usage", chat=GROUP, user="ada")
    here, _ = await agent.ports.records.usage(inbound)
    each = [await recent(world, agent, user) for user in PEOPLE]
    assert (here.answers, here.cost_usd) == (
        sum(total.answers for total in each),
        sum(total.cost_usd for total in each),
    )


async def test_linked_accounts_are_one_person(
    world: EngineHarness, agent: Instance
) -> None:
    """And what somebody asked in a conversation that is closed counts on."""
    await merged(world, agent, "ada", "bob")
    async with transaction(agent.database) as connection:
        await connection.execute("UPDATE conversations SET is_active = false")
        await connection.execute(
            "UPDATE users SET person_id = (SELECT min(person_id::text)::uuid FROM users)"
        )
    one, other = [await recent(world, agent, user) for user in ("ada", "bob")]
    assert (2, one) == (one.answers, other)


async def test_what_is_older_than_thirty_days_does_not_count(
    world: EngineHarness, agent: Instance
) -> None:
    await world.ask(agent, "alone", chat="ada")
    async with transaction(agent.database) as connection:
        await connection.execute(
            "UPDATE messages SET timestamp = timestamp - interval '31 days'"
        )
    assert 0 == (await recent(world, agent, "ada")).answers


async def test_a_person_who_never_wrote_has_used_nothing(
    world: EngineHarness, agent: Instance
) -> None:
    total = await recent(world, agent, "nobody")
    assert (0, Decimal(0), ()) == (total.answers, total.cost_usd, total.models)


async def test_a_persons_messages_are_found_by_the_index(
    world: EngineHarness, agent: Instance
) -> None:
    """However many others wrote meanwhile."""
    await merged(world, agent, "ada", "bob")
    async with transaction(agent.database) as connection:
        await connection.execute(OTHERS)
        await connection.execute("ANALYZE messages")
        await connection.execute(STATEMENTS["by_index"])
        values = {"channel": "test", "account": "ada", "days": 30}
        statement = f"EXPLAIN {STATEMENTS['usage_of_person']}"
        rows = await connection.execute(statement, values)
        plan = "\n".join(row[0] for row in rows)
    assert "user_id_timestamp_idx" in plan, plan
    walk = plan.partition("Limit")[2].splitlines()[1]
    assert "Merge Append" in walk, plan


OTHERS = """
INSERT INTO messages (conversation_id, seq, id, role, content, user_id)
    SELECT gen_random_uuid(), 1, gen_random_uuid(), 'user', 'hello', gen_random_uuid()
    FROM generate_series(1, 20000)
"""
