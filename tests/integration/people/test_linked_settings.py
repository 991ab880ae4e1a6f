"""What was set for a person still holds after that person became one with another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from agent.core.completion import Prompt, Usage
from storage.control.flag_rules import ValueCheck
from storage.control.flags import FlagAdmin
from storage.control.flags.named_targets import NamedTarget
from storage.control.live import RedisControl
from storage.control.targets import RuleTarget
from storage.limits.budget_admin import BudgetAdmin
from storage.limits.limit_admin import LimitAdmin
from storage.postgres import connect
from tests.support.engine_harness import EngineHarness, Instance
from tests.support.operators import ADA, OperatorModels
from tests.support.settings import run

MODEL = "test:model"

_WAITS = """
SELECT EXISTS (SELECT FROM pg_stat_activity
               WHERE datname = current_database() AND wait_event_type = 'Lock')
"""


@dataclass
class Two:
    """Ada and Bob have spoken. Once they are linked, Ada's person stays."""

    world: EngineHarness
    agent: Instance

    async def link(self) -> None:
        """Ada offers a code and Bob uses it."""
        seen = {
            chat: len(self.world.platform.screen(chat)) for chat in ("ada", "bob")
        }
        await self.agent.engine.accept(self.world.message("/link", chat="ada"))
        await self.shown("ada", seen["ada"] + 1)
        code = (
            self.world.platform.screen("ada")[-1].rpartition("/link ")[2].strip("`")
        )
        await self.agent.engine.accept(
            self.world.message(f"/link {code}", chat="bob")
        )
        await self.shown("bob", seen["bob"] + 1)

        assert "one now" in self.world.platform.screen("bob")[-1]

    async def shown(self, chat: str, count: int) -> None:
        await self.world.platform.until(
            lambda: len(self.world.platform.screen(chat)) == count
        )

    async def person(self, account: str) -> UUID:
        [row] = await self.rows(
            "SELECT person_id FROM users WHERE channel_user_id = $1", account
        )
        return UUID(str(row[0]))

    async def reserved(self, author: UUID) -> UUID:
        """A model call under way; the row of an account has the id of its first person."""
        call = await self.agent.ports.budgets.reserve(
            "test", author, MODEL, Prompt("", ())
        )

        assert call is not None

        return call

    async def rows(self, sql: str, *args: Any) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in await run(self.world.database_url, sql, *args)]

    async def log(self) -> list[tuple[Any, ...]]:
        """What the agent itself wrote."""
        return await self.rows(
            "SELECT action, subject FROM audit_log WHERE actor = 'agent' ORDER BY id"
        )

    @property
    def flags(self) -> FlagAdmin:
        return FlagAdmin(
            self.agent.database, self.agent.pipe, ValueCheck(OperatorModels())
        )

    @property
    def limits(self) -> LimitAdmin:
        return LimitAdmin(self.agent.database, self.agent.pipe)

    @property
    def budgets(self) -> BudgetAdmin:
        return BudgetAdmin(self.agent.database, self.agent.pipe)


@pytest.fixture
async def two(database_url: str, redis_url: str) -> AsyncIterator[Two]:
    world = EngineHarness(database_url, redis_url)
    async with world.instance() as agent:
        await world.ask(agent, "hello", chat="ada")
        await world.ask(agent, "hello", chat="bob")
        yield Two(world, agent)


async def test_a_rule_for_the_person_who_joins_holds_for_both_accounts(
    two: Two,
) -> None:
    """It is in force at once, on every instance, and the log says that the agent moved it."""
    await two.flags.set("replies", RuleTarget(person="test:bob"), False, ADA)
    ada, bob = await two.person("ada"), await two.person("bob")
    await two.link()

    assert {f"person:{ada}": False} == (await two.flags.get("replies")).rules

    seen = RedisControl(two.agent.database, two.agent.pipe)
    await seen.start()

    assert {f"person:{ada}": False} == seen.state.rules_of("replies")

    await two.agent.engine.accept(two.world.message("are you there?", chat="ada"))
    await two.shown("ada", 3)

    assert (
        "Answers are switched off at the moment."
        == two.world.platform.screen("ada")[-1]
    )

    [change] = await two.flags.history("replies", limit=1)

    assert (
        "flag.move",
        "agent",
        "account linking",
        {f"person:{bob}": False},
        {f"person:{ada}": False},
    ) == (
        change.action,
        change.actor,
        change.origin,
        change.before,
        change.after,
    )


async def test_a_list_of_people_names_the_one_who_stays(two: Two) -> None:
    """Also a list that names both; another rule is as it was."""
    both = ("test:ada", "test:bob")
    await two.flags.set("replies", NamedTarget("one", ("test:bob",)), False, ADA)
    await two.flags.set("replies", NamedTarget("two", both), False, ADA)
    await two.flags.set(
        "replies", NamedTarget("rest", channels=("slack",)), True, ADA
    )
    ada = await two.person("ada")
    await two.link()

    listed = {"value": False, "people": [str(ada)]}
    assert {
        "rule:one": listed,
        "rule:two": listed,
        "rule:rest": {"value": True, "channels": ["slack"]},
    } == (await two.flags.get("replies")).rules


async def test_the_rule_of_the_person_who_stays_stands(two: Two) -> None:
    """The other is removed, and the log keeps what it was; a flag that only one has is
    moved beside it.
    """
    await two.flags.set("streaming", RuleTarget(person="test:ada"), True, ADA)
    await two.flags.set("streaming", RuleTarget(person="test:bob"), False, ADA)
    await two.flags.set("overlap", RuleTarget(person="test:bob"), "queue", ADA)
    ada, bob = await two.person("ada"), await two.person("bob")
    await two.link()

    assert {f"person:{ada}": True} == (await two.flags.get("streaming")).rules
    assert {f"person:{ada}": "queue"} == (await two.flags.get("overlap")).rules

    [change] = await two.flags.history("streaming", limit=1)

    assert ("flag.unset", {f"person:{bob}": False}, {}) == (
        change.action,
        change.before,
        change.after,
    )


@pytest.mark.parametrize(
    ("adas", "bobs", "kept", "logged"),
    [
        (None, "5/hour", "5/hour", True),
        ("7/hour", None, "7/hour", True),
        ("7/hour", "5/hour", "7/hour", True),
        ("off", "5/hour", "off", True),
        ("5/hour", "5/hour", "5/hour", False),
        (None, None, None, False),
    ],
)
async def test_a_limit_holds_for_all_accounts(
    two: Two,
    adas: str | None,
    bobs: str | None,
    kept: str | None,
    logged: bool,
) -> None:
    """Of the person who stays, else of the one who joins; instances read it because the
    epoch moved.
    """
    await two.limits.set("test:ada", adas, ADA)
    await two.limits.set("test:bob", bobs, ADA)
    before = await two.rows("SELECT epoch FROM control_epoch")
    await two.link()

    assert [(kept,)] * 2 == await two.rows("SELECT metadata->>'limit' FROM users")

    moved = [("limit.move", f"person:{await two.person('ada')}")] if logged else []

    assert moved == await two.log()
    assert logged == (before != await two.rows("SELECT epoch FROM control_epoch"))


async def test_a_budget_goes_over_with_what_was_used_of_it(two: Two) -> None:
    """Also what a call under way has set aside: what it did not use comes back to the
    person who stays.
    """
    await two.budgets.set("person", "*", 90_000, None, ADA)
    await two.budgets.set("person", "test:bob", 50_000, None, ADA)
    await two.agent.ports.control_updates.observe(0)
    ada, bob = await two.person("ada"), await two.person("bob")

    for author, tokens in ((ada, 1), (bob, 10)):
        await two.agent.ports.budgets.settle(
            await two.reserved(author), Usage(MODEL, tokens, 0, Decimal(0))
        )

    under_way = await two.reserved(bob)
    await two.link()

    assert [("*", 90_000), (str(ada), 50_000)] == await two.rows(
        "SELECT subject, tokens FROM budgets ORDER BY 1"
    )

    await two.agent.ports.budgets.settle(under_way, Usage(MODEL, 60, 40, Decimal(0)))

    assert [(str(ada), 111)] == await two.rows(
        "SELECT subject, tokens FROM budget_days"
    )
    assert [("budget.move", f"budget:person:{ada}")] == await two.log()


async def test_the_budget_of_the_person_who_stays_stands(two: Two) -> None:
    await two.budgets.set("person", "test:ada", 1_000, None, ADA)
    await two.budgets.set("person", "test:bob", 2_000, None, ADA)
    ada, bob = await two.person("ada"), await two.person("bob")
    await two.link()

    assert [(str(ada), 1_000)] == await two.rows(
        "SELECT subject, tokens FROM budgets"
    )
    assert [("budget.unset", f"budget:person:{bob}")] == await two.log()


async def test_where_nothing_was_set_nothing_is_logged(two: Two) -> None:
    """Nor does the epoch move; to link again what is one already changes nothing either."""
    before = await two.rows("SELECT epoch FROM control_epoch")
    await two.link()
    await two.link()

    assert before == await two.rows("SELECT epoch FROM control_epoch")
    assert [] == await two.log()


async def test_a_registered_operator_is_not_asked_for(two: Two) -> None:
    """Linking is the agent's own work, even where only operators may change things."""
    await two.flags.set("streaming", RuleTarget(person="test:bob"), False, ADA)
    await run(two.world.database_url, "INSERT INTO operators (name) VALUES ('ada')")
    await two.link()

    assert [("flag.move", "flag:streaming")] == await two.log()


@pytest.mark.parametrize("by_operator", [False, True])
async def test_accounts_of_a_person_are_locked_in_the_order_of_turns(
    two: Two,
    by_operator: bool,
) -> None:
    """Whoever waits for the first of them holds no other, or they and a flush of turns
    would wait in a circle.
    """
    await two.link()
    later = """UPDATE users SET metadata = '{"later": true}' WHERE channel_user_id = 'ada'"""
    await two.rows(
        later
    )  # in the table and its indexes, her row stands behind the other now
    changes: dict[bool, Callable[[], Awaitable[object]]] = {
        True: lambda: two.limits.set("test:bob", "5/hour", ADA),
        False: lambda: two.agent.engine.accept(
            two.world.message("/model test:other", chat="bob")
        ),
    }
    flush = await connect(two.world.database_url)

    async with flush.transaction():
        await flush.execute(
            "SELECT FROM users WHERE channel_user_id = 'ada' FOR UPDATE"
        )
        change = asyncio.ensure_future(changes[by_operator]())

        while not await flush.fetchval(_WAITS):
            await flush.execute("SELECT pg_sleep(0.01)")

        await flush.execute(
            "SELECT FROM users WHERE channel_user_id = 'bob' FOR UPDATE NOWAIT"
        )

    await flush.close()
    await change


@pytest.mark.chaos
async def test_linking_operators_and_turns_never_wait_for_each_other_in_a_circle(
    two: Two,
) -> None:
    """All touch the same people at once; a circle would be an error of one of them, and
    fail this.
    """
    for number in range(30):
        chats = [f"{name} {number}" for name in ("ada", "bob", "cleo")]

        for chat in chats:
            await two.world.ask(two.agent, "hello", chat=chat)

        await asyncio.gather(
            *(
                two.agent.engine.accept(two.world.message("/link", chat=chat))
                for chat in chats
            ),
        )

        for chat in chats:
            await two.shown(chat, 2)

        codes = [
            two.world.platform.screen(chat)[-1].rpartition("/link ")[2].strip("`")
            for chat in chats
        ]
        links = zip(chats, [*codes[1:], codes[0]], strict=True)
        await asyncio.gather(
            *(
                two.agent.engine.accept(two.world.message(f"/link {code}", chat=chat))
                for chat, code in links
            ),
            *(
                two.limits.set(f"test:{chat}", f"{number + 100}/hour", ADA)
                for chat in chats
            ),
            *(
                two.agent.engine.accept(two.world.message("meanwhile", chat=chat))
                for chat in chats * 3
            ),
        )

        assert [(1,)] == await two.rows(
            "SELECT count(DISTINCT person_id) FROM users WHERE channel_user_id = ANY($1)",
            chats,
        )
