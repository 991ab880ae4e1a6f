"""Who may change what the agent does: everybody until somebody is registered, then only who is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal

import pytest

from agent.control.flags import Kind, new_flag
from agent.core.errors import Conflict, Rejected
from storage.control.channels import ChannelAdmin
from storage.control.credentials import Secrets, new_key, rotate
from storage.control.flags import FlagAdmin
from storage.control.operators import OperatorAdmin, consequence
from storage.control.targets import RuleTarget
from storage.conversation.deliveries import PostgresDeliveries
from storage.limits.budget_admin import BudgetAdmin
from storage.limits.limit_admin import LimitAdmin
from storage.postgres import Database, open_database
from storage.redis import RedisPipe, open_redis
from tests.support.engine_harness import EngineHarness
from tests.support.operators import ADA, BOB, EVERYBODY, OperatorModels
from tests.support.settings import run

SECRETS = Secrets([new_key()])
TABLES = (
    "feature_flags",
    "channel_configs",
    "budgets",
    "users",
    "operators",
    "control_epoch",
    "audit_log",
    "audit_head",
)


@dataclass
class Desks:
    """Everything that an operator can work at."""

    database: Database
    pipe: RedisPipe

    @property
    def operators(self) -> OperatorAdmin:
        return OperatorAdmin(self.database, self.pipe)

    @property
    def flags(self) -> FlagAdmin:
        return FlagAdmin(self.database, self.pipe, OperatorModels())

    @property
    def channels(self) -> ChannelAdmin:
        return ChannelAdmin(self.database, self.pipe, OperatorModels().check)

    @property
    def limits(self) -> LimitAdmin:
        return LimitAdmin(self.database, self.pipe)

    @property
    def budgets(self) -> BudgetAdmin:
        return BudgetAdmin(self.database, self.pipe)


@pytest.fixture
async def desks(database_url: str, redis_url: str) -> AsyncIterator[Desks]:
    async with open_database(database_url) as database, open_redis(redis_url) as pipe:
        yield Desks(database, pipe)


async def everything(desks: Desks) -> list[str]:
    """All that operators can change, row by row."""
    selects = (
        f"SELECT '{table} ' || to_jsonb(t)::text AS row FROM {table} t"
        for table in TABLES
    )
    return sorted(
        row["row"] for row in await run(desks.database.url, " UNION ALL ".join(selects))
    )


async def prepared(desks: Desks) -> None:
    """Something of each kind is there to be changed, ada is registered and her account has
    a limit that is used.
    """
    async with talking(desks):
        await desks.flags.create(new_flag("test_flag", Kind.BOOL, "tests"), False, ADA)
        await desks.flags.set("replies", EVERYBODY, False, ADA)
        await desks.channels.set_credential(
            "slack", "bot_token", "xoxb-1", ADA, SECRETS
        )
        await desks.budgets.set("channel", "slack", 5, None, ADA)
        await desks.limits.set("test:ada", "5/hour", ADA)
        await desks.operators.add("ada", ADA)
        await desks.pipe.send(("SET", "rate:user:test:ada:hour", "7"))


@asynccontextmanager
async def talking(desks: Desks) -> AsyncIterator[None]:
    world = EngineHarness(desks.database.url, "redis://127.0.0.1:1")
    async with world.instance() as agent:
        await world.ask(agent, "hello")
        yield


CHANGES: dict[str, Callable[[Desks], Awaitable[object]]] = {
    "flags set": lambda desks: desks.flags.set(
        "replies", RuleTarget(channel="slack"), True, BOB
    ),
    "flags unset": lambda desks: desks.flags.unset("replies", EVERYBODY, BOB),
    "flags undo": lambda desks: desks.flags.undo("replies", BOB),
    "flags create": lambda desks: desks.flags.create(
        new_flag("other", Kind.BOOL, "tests"), False, BOB
    ),
    "flags remove": lambda desks: desks.flags.remove("test_flag", BOB),
    "channels set": lambda desks: desks.channels.set(
        "slack", {"overlap": "queue"}, BOB
    ),
    "channels credential": lambda desks: desks.channels.set_credential(
        "slack", "app_token", "xapp-1", BOB, SECRETS
    ),
    "limits set": lambda desks: desks.limits.set("test:ada", "off", BOB),
    "limits unset": lambda desks: desks.limits.set("test:ada", None, BOB),
    "limits reset": lambda desks: desks.limits.reset("test:ada", BOB),
    "budgets set": lambda desks: desks.budgets.set(
        "channel", "slack", None, Decimal(1), BOB
    ),
    "budgets unset": lambda desks: desks.budgets.unset("channel", "slack", BOB),
    "db rotate-keys": lambda desks: rotate(desks.database, Secrets([new_key()]), BOB),
    "operators add": lambda desks: desks.operators.add("bob", BOB),
    "operators remove": lambda desks: desks.operators.remove("ada", BOB),
}


@pytest.mark.parametrize("name", CHANGES)
async def test_once_somebody_is_registered_nobody_else_changes_anything(
    desks: Desks, name: str
) -> None:
    """Refused in a sentence that says what to do; every table, the log and Redis stay as
    they were.
    """
    await prepared(desks)
    before = await everything(desks)
    with pytest.raises(Rejected) as refused:
        await CHANGES[name](desks)
    assert refused.value.sentence == (
        "bob is not a registered operator and can change nothing. "
        "Say who you are with --as or AGENT_OPERATOR; `agent operators list` shows who may."
    )
    assert before == await everything(desks)
    assert [b"7"] == await desks.pipe.send(("GET", "rate:user:test:ada:hour"))


@pytest.mark.parametrize(
    "name",
    [name for name in CHANGES if name not in ("operators add", "operators remove")],
)
async def test_as_long_as_nobody_is_registered_everybody_changes_everything(
    desks: Desks, name: str
) -> None:
    """The same changes that are refused above; each is in the log under the name that was given."""
    await prepared(desks)
    await desks.operators.remove("ada", ADA, agreed=consequence(["ada"], [], "ada"))
    await CHANGES[name](desks)
    last = await run(
        desks.database.url, "SELECT actor FROM audit_log ORDER BY id DESC LIMIT 1"
    )
    assert ["bob"] == [row["actor"] for row in last]


async def test_who_is_registered_goes_on_and_what_the_agent_sets_aside_is_logged_as_before(
    desks: Desks,
) -> None:
    await prepared(desks)
    assert ("ada", "bob") == (await desks.operators.add("bob", ADA)).after
    await desks.flags.unset("replies", EVERYBODY, BOB)
    turns = await run(desks.database.url, "SELECT id FROM turns")
    await PostgresDeliveries(desks.database).done([turns[0]["id"]], None, failed="gone")
    log = await run(
        desks.database.url,
        "SELECT actor, action FROM audit_log ORDER BY id DESC LIMIT 3",
    )
    assert [
        ("agent", "turn.failed"),
        ("bob", "flag.unset"),
        ("ada", "operator.add"),
    ] == [tuple(row) for row in log]


async def test_adding_and_removing_say_who_is_registered_before_and_after(
    desks: Desks,
) -> None:
    await desks.operators.add("ada", ADA)
    await desks.operators.add("bob", ADA)
    assert ("ada", "bob") == (
        await desks.operators.add("bob", ADA)
    ).after  # is so already: no change
    await desks.operators.remove("bob", ADA)
    assert ["ada"] == [view.name for view in await desks.operators.list()]
    log = await run(
        desks.database.url,
        "SELECT action, subject, before::text, after::text FROM audit_log ORDER BY id",
    )
    assert [
        ("operator.add", "operator:ada", "[]", '["ada"]'),
        ("operator.add", "operator:bob", '["ada"]', '["ada", "bob"]'),
        ("operator.remove", "operator:bob", '["ada", "bob"]', '["ada"]'),
    ] == [tuple(row) for row in log]


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        (
            ["ada"],
            [],
            "Then no operator is left: anybody who can reach the database may change "
            "everything, under any name.",
        ),
        ([], ["bob"], "Then ada can change nothing: only bob can."),
        (
            ["ada", "bob"],
            ["bob"],
            "Then ada can change nothing: only bob can.",
        ),
        ([], ["ada"], None),
        (["ada"], ["ada", "bob"], None),
        (["ada", "bob"], ["ada"], None),
        (["ada"], ["ada"], None),
        (["bob"], ["bob", "eve"], None),  # not ada's to decide: it will be refused
    ],
)
def test_what_opens_everything_or_locks_oneself_out_is_told(
    before: list[str], after: list[str], told: str
) -> None:
    assert told == consequence(before, after, "ada")


async def test_what_was_agreed_to_for_others_is_not_done(desks: Desks) -> None:
    """Ada agreed to nothing; meanwhile she became the last one. Her removal would open
    everything: it is refused.
    """
    await desks.operators.add("ada", ADA)
    with pytest.raises(Conflict, match="Then no operator is left"):
        await desks.operators.remove("ada", ADA)
    with pytest.raises(Conflict, match="Then no operator is left"):
        await desks.operators.remove(
            "ada", ADA, agreed=consequence(["ada", "bob"], ["bob"], "ada")
        )
    assert ["ada"] == [view.name for view in await desks.operators.list()]


async def test_two_first_operators_at_once_are_one(desks: Desks) -> None:
    """Each registers themselves; who comes second is refused as anybody else."""
    made = await asyncio.gather(
        desks.operators.add("ada", ADA),
        desks.operators.add("bob", BOB),
        return_exceptions=True,
    )
    assert 1 == sum(isinstance(one, Rejected) for one in made)
    assert 1 == len(await desks.operators.list())


@pytest.mark.parametrize("name", ["", " ", "ada ", "a\0b", "a\nb", "x" * 101])
async def test_what_can_be_nobodys_name_is_not_registered(
    desks: Desks, name: str
) -> None:
    with pytest.raises(
        Rejected, match="1 to 100 printable characters and no blank at its ends"
    ):
        await desks.operators.add(name, ADA)
    assert [] == await desks.operators.list()
