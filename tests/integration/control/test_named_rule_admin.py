"""Rules with several conditions, a start or an end, as an operator sets them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from agent.control.about import About
from agent.control.evaluation import RuleFlags
from agent.control.flags import REPLIES
from agent.control.rules import Audience
from agent.core.errors import Rejected
from storage.control.flags import FlagAdmin
from storage.control.flags.named_targets import NamedTarget, end_after
from storage.control.live import RedisControl
from storage.control.targets import RuleTarget
from storage.postgres import open_database
from storage.redis import open_redis
from tests.support.control import untouched
from tests.support.operators import ADA
from tests.support.settings import run

HOUR = timedelta(hours=1)


@pytest.fixture
async def person(database_url: str) -> UUID:
    [row] = await run(
        database_url,
        "INSERT INTO users (id, person_id, channel_type, channel_user_id) "
        "VALUES (gen_random_uuid(), gen_random_uuid(), 'slack', 'U1') RETURNING person_id",
    )

    return UUID(str(row[0]))


async def test_the_rule_is_in_force_on_instances_until_its_end_without_a_write(
    flags: FlagAdmin, database_url: str, redis_url: str
) -> None:
    """Two instances, one by Postgres and one by the copy in Redis; each has its own clock."""
    now = datetime.now(UTC)
    target = NamedTarget(channels=("slack", "discord"), ends=now + HOUR)
    await flags.set("replies", target, False, ADA)
    seen = []

    async with open_database(database_url) as database, open_redis(redis_url) as pipe:
        for _ in range(2):
            control = RedisControl(database, pipe)
            await control.start()
            clock = [now]
            asked = RuleFlags(control, partial(clock.__getitem__, 0))
            here = Audience(None, "slack", "town")
            before = asked.value(REPLIES, here)
            clock[0] += HOUR
            seen.append((before, asked.value(REPLIES, here), control.epoch))

    epoch = (await untouched(database_url))[2]
    assert [(False, True, epoch)] * 2 == seen


async def test_a_rule_is_named_by_its_conditions_and_replaced_by_the_same(
    flags: FlagAdmin,
) -> None:
    """Its salt stays while its share grows, so that nobody is lost."""
    some = NamedTarget(channels=("slack",), percentage=10.0, salt="spring")
    more = NamedTarget(channels=("slack",), percentage=20.0)
    await flags.set("streaming", some, False, ADA)
    await flags.set("streaming", more, False, ADA)
    rule = {"value": False, "channels": ["slack"], "share": 20.0, "salt": "spring"}

    assert {"rule:slack_share": rule} == (await flags.get("streaming")).rules
    await flags.undo("streaming", ADA)
    found = (await flags.get("streaming")).rules["rule:slack_share"]
    assert 10.0 == found["share"]
    await flags.unset("streaming", RuleTarget(rule="slack_share"), ADA)
    assert {} == (await flags.get("streaming")).rules


async def test_a_list_of_people_is_stored_by_their_ids(
    flags: FlagAdmin, person: UUID
) -> None:
    both = NamedTarget("testers", ("slack:U1", str(person)))
    await flags.set("streaming", both, False, ADA)

    rules = (await flags.get("streaming")).rules
    assert {"rule:testers": {"value": False, "people": [str(person)]}} == rules
    explained = await flags.explain("streaming", RuleTarget(person="slack:U1"))
    assert ("rule:testers", False) == (
        explained.decided.scope,
        explained.decided.value,
    )


async def test_the_past_is_explained_by_the_clock_of_then(flags: FlagAdmin) -> None:
    now = datetime.now(UTC)
    later = NamedTarget(starts=now + HOUR)
    await flags.set("streaming", later, False, ADA)
    explained = await flags.explain("streaming", RuleTarget())

    assert "default" == explained.decided.rule
    [why] = [
        step.sentence for step in explained.steps if step.scope == "rule:everybody"
    ]
    assert why.startswith("it has not started: ")


NEVER = datetime(2020, 1, 1, tzinfo=UTC)
FAR = datetime(2100, 1, 1, tzinfo=UTC)
WRONG: list[tuple[NamedTarget, Any, str]] = [
    (NamedTarget(ends=NEVER), False, "past, so that it would never hold."),
    (NamedTarget(starts=FAR, ends=FAR), False, "starts after its end."),
    (NamedTarget("r", percentage=0), False, "with 0 it would never hold."),
    (NamedTarget("Night"), False, "A rule's name is"),
    (NamedTarget("r", ("slack:U9",)), False, "No such person has sent a message."),
    (NamedTarget(None, ("slack:U1", "slack:U2")), False, "needs a name."),
    (NamedTarget("r", channels=("irc",)), False, "There is no such channel."),
    (NamedTarget("r", channels=("slack", "irc")), False, "There is no such channel."),
    (NamedTarget("r", chat="town"), False, "A chat is named with its one channel."),
    (NamedTarget("r", salt="x"), False, "A salt goes with a percentage."),
    (NamedTarget("r", kill=True, channels=("slack",)), False, "is for everybody."),
    (NamedTarget("r"), "maybe", "replies takes true or false."),
    (NamedTarget("r"), None, "replies takes true or false."),
]


@pytest.mark.parametrize(("target", "value", "sentence"), WRONG)
async def test_a_rule_that_cannot_be_is_refused_and_nothing_is_written(
    flags: FlagAdmin,
    database_url: str,
    target: NamedTarget,
    value: Any,
    sentence: str,
) -> None:
    found = await untouched(database_url)
    with pytest.raises(Rejected) as refused:
        await flags.set("replies", target, value, ADA)

    assert sentence in refused.value.sentence
    assert found == await untouched(database_url)


async def test_a_flag_has_a_bounded_number_of_named_rules(flags: FlagAdmin) -> None:
    for number in range(20):
        await flags.set("replies", NamedTarget(f"r{number}"), False, ADA)

    with pytest.raises(Rejected, match="at most 20 rules"):
        await flags.set("replies", NamedTarget("one_more"), False, ADA)
    await flags.set("replies", NamedTarget("r7"), True, ADA)


@pytest.mark.parametrize(
    ("typed", "seconds"),
    [("30m", 1800), ("1h", 3600), ("2d12h", 216_000), ("90s", 90)],
)
def test_a_duration_is_typed_in_days_hours_minutes_and_seconds(
    typed: str, seconds: int
) -> None:
    assert NEVER + timedelta(seconds=seconds) == end_after(typed, NEVER)


@pytest.mark.parametrize(
    "typed", ["", "1", "an hour", "1w", "-1h", "0m", "1h 5m", "9e9d"]
)
def test_another_duration_is_refused_with_an_example(typed: str) -> None:
    with pytest.raises(Rejected, match=r"30m"):
        end_after(typed, NEVER)


async def test_a_flag_has_an_owner_and_tags_and_loses_them_by_undo(
    flags: FlagAdmin,
) -> None:
    """They decide nothing."""
    await flags.describe("replies", About("team chat", ("ops", "core")), ADA)
    view = await flags.get("replies")

    assert ("team chat", ("core", "ops")) == (view.owner, view.tags)
    explained = await flags.explain("replies", RuleTarget())
    assert "default" == explained.decided.rule
    await flags.undo("replies", ADA)
    assert (None, ()) == ((await flags.get("replies")).owner, view.tags[:0])


@pytest.mark.parametrize(
    "about",
    [
        About(""),
        About("x" * 101),
        About("a\nb"),
        About(None, ("A b",)),
        About(None, ("",)),
    ],
)
async def test_an_owner_or_tag_that_cannot_be_is_refused(
    flags: FlagAdmin, about: About
) -> None:
    with pytest.raises(Rejected):
        await flags.describe("replies", about, ADA)
