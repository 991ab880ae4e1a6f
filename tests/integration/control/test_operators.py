"""Operators may change what the agent does: everybody until somebody is registered, then only
registered ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal

import pytest

from agent.control.flags import Kind, new_flag
from agent.control.permissions import Role
from agent.core.errors import Conflict, Rejected
from agent.operations.remedies import described
from storage.control.channels import ChannelAdmin
from storage.control.credentials import Secrets, new_key, rotate
from storage.control.flag_rules import ValueCheck
from storage.control.flags import FlagAdmin
from storage.control.operators.admin import OperatorAdmin, consequence
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
class Admins:
    """Everything that an operator can change."""

    database: Database
    pipe: RedisPipe

    @property
    def operators(self) -> OperatorAdmin:
        return OperatorAdmin(self.database, self.pipe)

    @property
    def flags(self) -> FlagAdmin:
        return FlagAdmin(self.database, self.pipe, ValueCheck(OperatorModels()))

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
async def admins(database_url: str, redis_url: str) -> AsyncIterator[Admins]:
    async with open_database(database_url) as database, open_redis(redis_url) as pipe:
        yield Admins(database, pipe)


async def everything(admins: Admins) -> list[str]:
    """All that operators can change, row by row."""
    selects = (
        f"SELECT '{table} ' || to_jsonb(t)::text AS row FROM {table} t"
        for table in TABLES
    )
    return sorted(
        row["row"]
        for row in await run(admins.database.url, " UNION ALL ".join(selects))
    )


async def prepared(admins: Admins) -> None:
    """Something of each kind is there to be changed, ada is registered and her account has
    a limit that is used.
    """
    async with talking(admins):
        await admins.flags.create(
            new_flag("test_flag", Kind.BOOL, "tests"), False, ADA
        )
        await admins.flags.set("replies", EVERYBODY, False, ADA)
        await admins.channels.set_credential(
            "slack", "bot_token", "xoxb-1", ADA, SECRETS
        )
        await admins.budgets.set("channel", "slack", 5, None, ADA)
        await admins.limits.set("test:ada", "5/hour", ADA)
        await admins.operators.add("ada", ADA)
        await admins.pipe.send(("SET", "rate:user:test:ada:hour", "7"))


@asynccontextmanager
async def talking(admins: Admins) -> AsyncIterator[None]:
    world = EngineHarness(admins.database.url, "redis://127.0.0.1:1")
    async with world.instance() as agent:
        await world.ask(agent, "hello")
        yield


CHANGES: dict[str, Callable[[Admins], Awaitable[object]]] = {
    "flags set": lambda admins: admins.flags.set(
        "replies", RuleTarget(channel="slack"), True, BOB
    ),
    "flags unset": lambda admins: admins.flags.unset("replies", EVERYBODY, BOB),
    "flags undo": lambda admins: admins.flags.undo("replies", BOB),
    "flags create": lambda admins: admins.flags.create(
        new_flag("other", Kind.BOOL, "tests"), False, BOB
    ),
    "flags remove": lambda admins: admins.flags.remove("test_flag", BOB),
    "channels set": lambda admins: admins.channels.set(
        "slack", {"overlap": "queue"}, BOB
    ),
    "channels credential": lambda admins: admins.channels.set_credential(
        "slack", "app_token", "xapp-1", BOB, SECRETS
    ),
    "limits set": lambda admins: admins.limits.set("test:ada", "off", BOB),
    "limits unset": lambda admins: admins.limits.set("test:ada", None, BOB),
    "limits reset": lambda admins: admins.limits.reset("test:ada", BOB),
    "budgets set": lambda admins: admins.budgets.set(
        "channel", "slack", None, Decimal(1), BOB
    ),
    "budgets unset": lambda admins: admins.budgets.unset("channel", "slack", BOB),
    "db rotate-keys": lambda admins: rotate(
        admins.database, Secrets([new_key()]), BOB
    ),
    "operators add": lambda admins: admins.operators.add("bob", BOB),
    "operators remove": lambda admins: admins.operators.remove("ada", BOB),
}


@pytest.mark.parametrize("name", CHANGES)
async def test_once_somebody_is_registered_nobody_else_changes_anything(
    admins: Admins,
    name: str,
) -> None:
    """Refused in a sentence that says what to do; every table, the log and Redis stay as
    they were.
    """
    await prepared(admins)
    before = await everything(admins)

    with pytest.raises(Rejected) as refused:
        await CHANGES[name](admins)

    assert described(refused.value) == (
        "bob is not a registered operator and can change nothing. "
        "Say who you are with --as or AGENT_OPERATOR. `agent operators list` shows who may."
    )
    assert before == await everything(admins)
    assert [b"7"] == await admins.pipe.send(("GET", "rate:user:test:ada:hour"))


@pytest.mark.parametrize(
    "name",
    [name for name in CHANGES if name not in ("operators add", "operators remove")],
)
async def test_as_long_as_nobody_is_registered_everybody_changes_everything(
    admins: Admins,
    name: str,
) -> None:
    """The same changes that are refused above; each is in the log under the name that was given."""
    await prepared(admins)
    await admins.operators.remove("ada", ADA, agreed=consequence(["ada"], [], "ada"))
    await CHANGES[name](admins)
    last = await run(
        admins.database.url, "SELECT actor FROM audit_log ORDER BY id DESC LIMIT 1"
    )

    assert ["bob"] == [row["actor"] for row in last]


async def test_registered_operators_go_on_and_what_the_agent_sets_aside_is_logged_as_before(
    admins: Admins,
) -> None:
    await prepared(admins)

    assert ("ada", "bob") == (await admins.operators.add("bob", ADA)).after

    await admins.flags.unset("replies", EVERYBODY, BOB)
    turns = await run(admins.database.url, "SELECT id FROM turns")
    await PostgresDeliveries(admins.database).done(
        [([turns[0]["id"]], None)], failed="gone"
    )
    log = await run(
        admins.database.url,
        "SELECT actor, action FROM audit_log ORDER BY id DESC LIMIT 3",
    )

    assert [
        ("agent", "turn.failed"),
        ("bob", "flag.unset"),
        ("ada", "operator.add"),
    ] == [tuple(row) for row in log]


async def test_adding_and_removing_say_who_is_registered_before_and_after(
    admins: Admins,
) -> None:
    await admins.operators.add("ada", ADA)
    await admins.operators.add("bob", ADA)

    assert ("ada", "bob") == (
        await admins.operators.add("bob", ADA)
    ).after  # is so already: no change

    await admins.operators.remove("bob", ADA)

    assert ["ada"] == [view.name for view in await admins.operators.list()]

    log = await run(
        admins.database.url,
        "SELECT action, subject, before::text, after::text FROM audit_log ORDER BY id",
    )

    assert [
        ("operator.add", "operator:ada", "[]", '["ada"]'),
        ("operator.add", "operator:bob", '["ada"]', '["ada", "bob"]'),
        ("operator.remove", "operator:bob", '["ada", "bob"]', '["ada"]'),
    ] == [tuple(row) for row in log]


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
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
    before: list[str],
    after: list[str],
    sentence: str,
) -> None:
    assert sentence == consequence(before, after, "ada")


async def test_what_was_agreed_to_for_others_is_not_done(admins: Admins) -> None:
    """Ada agreed to nothing; meanwhile she became the last one. Her removal would open
    everything: it is refused.
    """
    await admins.operators.add("ada", ADA)

    with pytest.raises(Conflict, match="Then no operator is left"):
        await admins.operators.remove("ada", ADA)

    with pytest.raises(Conflict, match="Then no operator is left"):
        await admins.operators.remove(
            "ada", ADA, agreed=consequence(["ada", "bob"], ["bob"], "ada")
        )

    assert ["ada"] == [view.name for view in await admins.operators.list()]


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
async def test_the_last_admin_stays_one(admins: Admins, role: Role) -> None:
    """Whether they are demoted, removed, or never were."""
    with pytest.raises(Rejected, match="no admin is left"):
        await admins.operators.add("ada", ADA, role=role)
    await admins.operators.add("ada", ADA)
    await admins.operators.add("bob", ADA, role=role)
    with pytest.raises(Rejected, match="no admin is left"):
        await admins.operators.add("ada", ADA, role=role)
    agreed = consequence(["ada", "bob"], ["bob"], "ada")
    with pytest.raises(Rejected, match="no admin is left"):
        await admins.operators.remove("ada", ADA, agreed=agreed)

    assert [("ada", Role.ADMIN), ("bob", role)] == [
        (view.name, view.role) for view in await admins.operators.list()
    ]


OPERATES = ("flags", "channels set", "limits", "budgets")
"""What operators may; the rest is for admins."""


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
async def test_each_role_changes_what_it_may(admins: Admins, role: Role) -> None:
    """The same on the command line as in the console."""
    await prepared(admins)
    await admins.operators.add("bob", ADA, role=role)
    refused = [
        name
        for name in CHANGES
        if role is Role.VIEWER or not name.startswith(OPERATES)
    ]
    before = await everything(admins)

    for name in refused:
        with pytest.raises(Rejected, match=f"bob has the role {role} and may not"):
            await CHANGES[name](admins)
    assert before == await everything(admins)
    for name in (name for name in CHANGES if name not in refused):
        await CHANGES[name](admins)


async def test_two_first_operators_at_once_are_one(admins: Admins) -> None:
    """Each registers themselves; the second is refused like anybody else."""
    made = await asyncio.gather(
        admins.operators.add("ada", ADA),
        admins.operators.add("bob", BOB),
        return_exceptions=True,
    )

    assert 1 == sum(isinstance(one, Rejected) for one in made)
    assert 1 == len(await admins.operators.list())


@pytest.mark.parametrize("name", ["", " ", "ada ", "a\0b", "a\nb", "x" * 101])
async def test_what_can_be_nobodys_name_is_not_registered(
    admins: Admins,
    name: str,
) -> None:
    with pytest.raises(
        Rejected, match="1 to 100 printable characters and no blank at its ends"
    ):
        await admins.operators.add(name, ADA)
    assert [] == await admins.operators.list()
