"""What the agent charges to budgets: each call to a model has a reservation of its own,
settled with what it used.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from functools import partial
from typing import cast

from msgspec.structs import replace

from agent.core.completion import Prompt, Spent, Usage
from agent.llm.prices.bound import most_prompt_tokens, worst_case
from agent.llm.router import open_models
from agent.ports import Ports
from agent.settings import ModelSpec, Settings
from storage.limits.budgets import PostgresBudgets, WorstCase
from storage.postgres import open_database
from tests.support.engine_harness import MODEL, EngineHarness, Instance, Script
from tests.support.model_server import Answer, model_server
from tests.support.settings import run, set_channel


def hundred(model: str, prompt: Prompt) -> Usage:
    """100 tokens and a cent."""
    return Usage(model, 60, 40, Decimal("0.01"))


@asynccontextmanager
async def agent_with_budgets(
    world: EngineHarness,
    worst: WorstCase = hundred,
) -> AsyncIterator[Instance]:
    """An agent whose calls may take so much at most."""

    def priced(ports: Ports) -> Ports:
        return replace(ports, budgets=PostgresBudgets(database, ports.control, worst))

    async with (
        open_database(world.database_url) as database,
        world.instance(priced) as agent,
    ):
        yield agent


async def day(database_url: str) -> list[tuple[str, int, str]]:
    rows = await run(
        database_url, "SELECT scope, tokens, usd FROM budget_days ORDER BY scope"
    )
    return [(row["scope"], row["tokens"], f"{row['usd']:.2f}") for row in rows]


async def budget(
    agent: Instance,
    database_url: str,
    tokens: int,
) -> None:
    await run(
        database_url,
        "INSERT INTO budgets (scope, subject, tokens) VALUES ('person', '*', $1)",
        tokens,
    )
    await run(database_url, "UPDATE control_epoch SET epoch = epoch + 1")
    await agent.ports.control_updates.observe(0)


async def test_an_answer_counts_with_what_it_really_used(
    database_url: str,
    redis_url: str,
) -> None:
    world = EngineHarness(database_url, redis_url)
    async with agent_with_budgets(world) as agent:
        await budget(agent, database_url, 1000)
        await world.ask(agent, "hello")

    assert await day(database_url) == [
        ("person", 15, "0.01")
    ]  # the script knows tokens, and no price


async def test_a_budget_that_is_used_up_is_said_and_the_model_is_not_asked(
    database_url: str,
    redis_url: str,
) -> None:
    world = EngineHarness(database_url, redis_url)
    async with agent_with_budgets(world) as agent:
        await budget(agent, database_url, 99)
        await world.ask(agent, "hello")
        [said] = world.platform.screen("ada")

        assert said.startswith(
            "Your budget for today (99 tokens) does not have room for another answer."
        )
        assert world.model.prompts == []

        await world.ask(agent, "/help")  # commands cost nothing

    assert len(world.platform.screen("ada")) == 2


async def test_a_call_that_failed_before_its_first_word_counts_nothing(
    database_url: str,
    redis_url: str,
) -> None:
    world = EngineHarness(database_url, redis_url)
    world.model.error, world.model.said = "The model is away.", lambda prompt: ""

    async with agent_with_budgets(world) as agent:
        await budget(agent, database_url, 1000)
        await world.ask(agent, "hello")

        assert world.platform.screen("ada") == ["The model is away."]

    assert await day(database_url) == [("person", 0, "0.00")]


async def test_what_an_instance_had_set_aside_when_it_died_stays_counted(
    database_url: str,
    redis_url: str,
) -> None:
    world = EngineHarness(database_url, redis_url, lease=1.0, beat=0.1, streams=False)
    world.model.hold()

    async with agent_with_budgets(world) as dying, agent_with_budgets(world) as other:
        for agent in (dying, other):
            await agent.ports.control_updates.observe(0)

        await budget(dying, database_url, 1000)
        await other.ports.control_updates.observe(0)
        await dying.engine.accept(world.message("hello"))
        await world.model.started.wait()
        await dying.crash()
        world.model.release()
        await world.answered("ada", "re: hello")

    assert await day(database_url) == [("person", 100 + 15, "0.02")]


# --- calls that ended before there was any text


async def test_a_call_that_may_have_to_be_paid_keeps_its_reservation_and_the_next_has_its_own(
    database_url: str,
    redis_url: str,
) -> None:
    world = EngineHarness(database_url, redis_url)
    world.model.spent = [Spent(None, again=True), Spent(None, again=True)]

    async with agent_with_budgets(world) as agent:
        await budget(agent, database_url, 1000)
        await world.ask(agent, "hello")

        assert world.platform.screen("ada") == ["re: hello"]

    assert await day(database_url) == [("person", 100 + 100 + 15, "0.03")]


async def test_a_call_whose_usage_is_known_counts_with_it(
    database_url: str,
    redis_url: str,
) -> None:
    world = EngineHarness(database_url, redis_url)
    world.model.spent = [Spent(Usage(MODEL, 20, 10, Decimal("0.004")), again=True)]

    async with agent_with_budgets(world) as agent:
        await budget(agent, database_url, 1000)
        await world.ask(agent, "hello")

    assert await day(database_url) == [("person", 30 + 15, "0.01")]


async def test_no_second_call_is_made_that_does_not_fit(
    database_url: str,
    redis_url: str,
) -> None:
    world = EngineHarness(database_url, redis_url)
    world.model.spent = [Spent(None, again=True)]

    async with agent_with_budgets(world) as agent:
        await budget(agent, database_url, 199)
        await world.ask(agent, "hello")
        [said] = world.platform.screen("ada")

    assert said.startswith(
        "Your budget for today (199 tokens) does not have room for another answer."
    )
    assert world.model.prompts == []
    assert await day(database_url) == [("person", 100, "0.01")]


async def test_a_last_call_that_may_have_to_be_paid_counts_with_all_that_was_set_aside(
    database_url: str,
    redis_url: str,
) -> None:
    world = EngineHarness(database_url, redis_url)
    world.model.error, world.model.said = "The model is away.", lambda prompt: ""
    world.model.spent = [Spent(None, again=False)]

    async with agent_with_budgets(world) as agent:
        await budget(agent, database_url, 1000)
        await world.ask(agent, "hello")

        assert world.platform.screen("ada") == ["The model is away."]

    assert await day(database_url) == [("person", 100, "0.01")]


async def test_what_a_call_used_is_not_taken_for_the_next_one_that_broke_off(
    database_url: str,
    redis_url: str,
) -> None:
    """Neither by the budget nor in what is kept of the answer."""
    world = EngineHarness(database_url, redis_url)
    world.model.spent, world.model.error = (
        [Spent(Usage(MODEL, 20, 10, Decimal("0.004")), again=True)],
        "It fell silent.",
    )

    async with agent_with_budgets(world) as agent:
        await budget(agent, database_url, 1000)
        await world.ask(agent, "hello")

    assert [("person", 30 + 100, "0.01")] == await day(database_url)

    [answer] = await run(
        database_url,
        "SELECT content, prompt_tokens FROM messages WHERE role = 'assistant'",
    )

    assert ("re:", None) == tuple(answer)


async def test_an_answer_that_broke_off_counts_with_all_that_was_set_aside(
    database_url: str,
    redis_url: str,
) -> None:
    world = EngineHarness(database_url, redis_url)
    world.model.error = "The model fell silent."

    async with agent_with_budgets(world) as agent:
        await budget(agent, database_url, 1000)
        await world.ask(agent, "hello")

        assert world.platform.screen("ada") == ["re:\n\n*(The model fell silent.)*"]

    assert await day(database_url) == [("person", 100, "0.01")]


# --- a whole path: the real models, a server, Postgres


async def test_an_answer_that_fills_its_reservation_stays_within_it_and_says_where_it_was_cut(
    database_url: str,
    redis_url: str,
) -> None:
    specs = {"openai:gpt": ModelSpec(answer=16)}
    world = EngineHarness(database_url, redis_url)
    await set_channel(database_url, default_model="openai:gpt")

    async with (
        model_server() as server,
        open_models(
            Settings(_env_file=None, openai_base_url=server.url, models=specs)
        ) as models,
    ):
        world.model = cast(Script, models)
        async with agent_with_budgets(
            world, partial(worst_case, models=specs)
        ) as agent:
            prompt = Prompt("You are a helpful assistant.", (("user", "hello"),))
            await budget(agent, database_url, most_prompt_tokens(prompt) + 16)
            server.script(Answer("immeasurable " * 1000))
            await world.ask(agent, "hello")
            [said] = world.platform.screen("ada")

    note = "The answer ends here: 16 tokens are the most I may say at once. Ask me to go on."

    assert said == "immeasurable " * 16 + f"\n\n*({note})*"
    assert await day(database_url) == [("person", 6 + 16, "0.00")]
