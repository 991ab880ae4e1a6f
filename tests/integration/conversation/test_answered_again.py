"""An operator has the last message answered again: once, by an instance that serves the chat."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from agent.core.commands import parse_command
from agent.core.errors import AgentError, Conflict, Rejected, VersionConflict
from agent.core.messages import Address
from channels.discord.interaction import InteractionAnswer, command_use
from channels.pacing import Governor
from channels.slack.channel import Slack
from channels.slack.incoming.payloads import said_by_command
from channels.slack.reply import EphemeralReply
from storage.control.audit import Author
from storage.control.operators.admin import OperatorAdmin
from storage.control.targets import RuleTarget
from storage.conversation.last_accepted import PostgresLastAccepted
from storage.conversation.operating import again
from storage.conversation.operating.changes import stop_answer
from storage.lifecycle.people import PeopleAdmin
from storage.limits.budget_admin import BudgetAdmin
from storage.people.blocking import BlockAdmin
from tests.support.again import newest, operator_of, said, settled
from tests.support.engine_harness import EngineHarness, Instance
from tests.support.exports import export_of
from tests.support.operators import ADA, operator
from tests.support.settings import run

PERSON = "test:ada"
LOG = "SELECT actor, reason FROM audit_log WHERE action = 'conversation.again'"
SPOKEN = "SELECT seq, content, metadata->>'again_by' AS by FROM messages WHERE role = 'user'"

WATCHED = """
SELECT (SELECT jsonb_agg(to_jsonb(u)) FROM users u) AS people,
       (SELECT sum(messages) FROM report_figures) AS messages,
       (SELECT sum(retries) FROM report_figures) AS retries
"""
"""What only the person may move."""


async def test_the_person_gets_another_answer_from_the_instance_that_serves_the_chat(
    world: EngineHarness, agent: Instance
) -> None:
    """The operator's process has no channel. The old answer stays, as with `/retry`."""
    answers = iter(("a bad one", "a good one"))
    world.model.said = lambda _: next(answers)
    await said(world, agent)
    async with operator_of(world) as press:
        asked = await press()
        await world.answered("ada", "a bad one", "a good one")

    prompts = [[text for _, text in one.messages] for one in world.model.prompts]
    assert [["hello"], ["hello", "a bad one", "hello"]] == prompts
    assert (3, True) == (asked.seq, asked.is_new)
    assert [("ada", "because")] == [
        tuple(r) for r in await run(world.database_url, LOG)
    ]
    rows = await run(world.database_url, f"{SPOKEN} ORDER BY seq")
    assert [(1, "hello", None), (3, "hello", "ada")] == [tuple(row) for row in rows]


async def test_a_double_press_makes_one_answer(
    world: EngineHarness, agent: Instance
) -> None:
    """Also when it is sent once more after the answer, from a page that is old."""
    await said(world, agent)
    async with operator_of(world) as press:
        made = await asyncio.gather(*(press("k", 2) for _ in range(4)))
        await world.answered("ada", "re: hello", "re: hello")
        await settled(world)
        late = await press("k", 2)

    assert [False, False, False, True] == sorted(one.is_new for one in made)
    assert {3} == {one.seq for one in [*made, late]}
    assert 2 == len(world.model.prompts)
    assert 1 == len(await run(world.database_url, LOG))


async def test_two_operators_at_once_make_one_answer(
    world: EngineHarness, agent: Instance
) -> None:
    """Of the same page, each with a key of their own: the second is told."""
    await said(world, agent)
    async with operator_of(world) as press:
        made = await asyncio.gather(
            *(press(key, 2) for key in "ab"), return_exceptions=True
        )
        await world.answered("ada", "re: hello", "re: hello")

    assert 1 == sum(isinstance(one, VersionConflict) for one in made), made


async def test_a_press_outlives_the_instance_that_took_it(
    world: EngineHarness,
) -> None:
    """It had asked its model. Another one answers, once."""
    world.lease, world.beat = 1.0, 0.1
    async with world.instance() as first:
        await said(world, first)
        world.model.hold()
        async with operator_of(world) as press:
            await press()
            await asyncio.wait_for(world.model.started.wait(), 10)
            await first.crash()

        world.model.release()
        async with world.instance():
            await world.answered("ada", "re: hello", "re: hello")
            await settled(world)


async def test_a_press_that_nobody_saw_waits_for_an_instance(
    world: EngineHarness,
) -> None:
    """The last one died after the press, before its heartbeat."""
    async with world.instance() as first:
        await said(world, first)
        await first.crash()
        async with operator_of(world) as press:
            await press()
            with pytest.raises(Conflict, match="under way"):
                await press()

        assert ["re: hello"] == world.platform.screen("ada")
        async with world.instance():
            await world.answered("ada", "re: hello", "re: hello")


async def test_a_press_that_nobody_saw_can_be_stopped(world: EngineHarness) -> None:
    """Whoever takes it later writes its answer no further than to the next heartbeat, which may
    come before the first word.
    """
    world.beat = 0.1
    stopped = {"Stopped.", "re:\n\n*(stopped)*"}
    async with world.instance() as first:
        await said(world, first)
        await first.crash()
        async with operator_of(world) as press:
            await press()
        assert await stop_answer(first.database, await newest(world), ADA)

        world.model.hold()
        async with world.instance():
            await world.platform.until(
                lambda: world.platform.screen("ada")[-1] in stopped
            )

        assert 2 == len(world.platform.screen("ada"))


async def test_an_answer_that_never_arrived_is_followed_by_one_that_does(
    world: EngineHarness, agent: Instance
) -> None:
    """A turn that was given up is no answer that is on its way."""
    await said(world, agent)
    await run(world.database_url, "UPDATE turns SET state = 'failed'")
    async with operator_of(world) as press:
        await press()
        await world.answered("ada", "re: hello", "re: hello")


async def test_answers_that_fail_leave_nothing_in_the_way_of_the_next(
    world: EngineHarness, agent: Instance
) -> None:
    """However often: their sentences are no part of a later prompt."""
    world.model.error = "The server is full."
    await said(world, agent)
    async with operator_of(world) as press:
        for _ in range(2):
            await press()
            await settled(world)
        world.model.error = None
        await press()
        await settled(world)

    assert "re: hello" == world.platform.screen("ada")[-1]
    assert 4 == len(world.platform.screen("ada"))


async def test_what_is_said_meanwhile_is_answered_with_it(
    world: EngineHarness,
) -> None:
    world.beat = 0.3
    async with world.instance() as agent:
        await said(world, agent)
        async with operator_of(world) as press:
            await press()
            await agent.engine.accept(world.message("and this?"))
        await world.answered("ada", "re: hello", "re: and this?")
        await settled(world)

    last = [text for _, text in world.model.prompts[-1].messages]
    assert ["hello", "re: hello", "hello", "and this?"] == last


async def test_nothing_moves_that_counts_what_the_person_did(
    world: EngineHarness, agent: Instance
) -> None:
    """What the answer cost counts."""
    await said(world, agent)
    [before] = await run(world.database_url, WATCHED)
    last_accepted = PostgresLastAccepted(agent.database)
    places = await last_accepted("test")
    limits = await agent.pipe.client.mget(await agent.pipe.client.keys("rate:*"))
    async with operator_of(world) as press:
        await press()
        await world.answered("ada", "re: hello", "re: hello")
        await settled(world)

    assert [tuple(before)] == [
        tuple(r) for r in await run(world.database_url, WATCHED)
    ]
    assert {"ada": "p0"} == places == await last_accepted("test")
    after = await agent.pipe.client.mget(await agent.pipe.client.keys("rate:*"))
    assert limits == after
    [used] = await run(
        world.database_url, "SELECT sum(answers), sum(tokens) FROM report_figures"
    )
    assert (2, 10) == tuple(used)


async def test_an_export_does_not_say_that_the_person_wrote_it_twice(
    world: EngineHarness, agent: Instance
) -> None:
    await said(world, agent)
    async with operator_of(world) as press:
        await press()
        await world.answered("ada", "re: hello", "re: hello")
        await settled(world)

    [row] = await run(world.database_url, "SELECT person_id FROM users")
    _, shown = await export_of(agent.database, row[0])

    assert 1 == shown.count(" test: hello\n  answer: re: hello")
    assert 1 == shown.count(
        " test (asked again by an operator): hello\n  answer: re: hello"
    )


# --- refusals -------------------------------------------------------------------

Stand = Callable[[EngineHarness, Instance], Awaitable[Any]]


def changed(statement: str) -> Stand:
    async def change(world: EngineHarness, agent: Instance) -> None:
        await run(world.database_url, statement)

    return change


async def budget(world: EngineHarness, agent: Instance) -> None:
    admin = BudgetAdmin(agent.database, agent.pipe)
    await admin.set("person", PERSON, 0, None, ADA)


async def channel_budget(world: EngineHarness, agent: Instance) -> None:
    admin = BudgetAdmin(agent.database, agent.pipe)
    await admin.set("channel", "test", None, Decimal(0), ADA, period="month")


async def block(world: EngineHarness, agent: Instance) -> None:
    await BlockAdmin(agent.database, agent.pipe).set(PERSON, ADA, blocked=True)


async def forget(world: EngineHarness, agent: Instance) -> None:
    await PeopleAdmin(agent.database).erase(PERSON, ADA)


async def switch_off(world: EngineHarness, agent: Instance) -> None:
    async with operator(world.database_url, world.redis_url) as flags:
        await flags.set("replies", RuleTarget(person=PERSON), False, ADA)


async def die(world: EngineHarness, agent: Instance) -> None:
    await agent.crash()
    statement = "UPDATE instances SET seen_at = now() - interval '6 seconds'"
    await run(world.database_url, statement)


async def ask_more(world: EngineHarness, agent: Instance) -> None:
    world.model.hold()
    await agent.engine.accept(world.message("a long one"))


async def be_registered(world: EngineHarness, agent: Instance) -> None:
    admin = OperatorAdmin(agent.database, agent.pipe)
    await admin.add("root", Author("root", "a test"))


REFUSALS: dict[str, tuple[Stand, type[AgentError], str]] = {
    "ended": (
        changed("UPDATE conversations SET is_active = false"),
        Conflict,
        again.ENDED,
    ),
    "under way": (ask_more, Conflict, again.UNDER_WAY),
    "on its way": (
        changed("UPDATE turns SET state = 'open'"),
        Conflict,
        again.ON_ITS_WAY,
    ),
    "said nothing": (changed("DELETE FROM messages"), Conflict, again.NOTHING),
    "carried": (
        changed("UPDATE messages SET metadata = '{\"carried\": true}'"),
        Conflict,
        again.NOTHING,
    ),
    "deleted": (
        changed("UPDATE messages SET content = ''"),
        Conflict,
        again.TAKEN_BACK,
    ),
    "too old": (changed("DELETE FROM turns"), Conflict, again.TOO_OLD),
    "forgotten": (forget, Conflict, again.FORGOTTEN),
    "erased": (
        changed("UPDATE messages SET content = '', metadata = '{\"erased\": true}'"),
        Conflict,
        again.FORGOTTEN,
    ),
    "blocked": (block, Conflict, again.BLOCKED),
    "unserved": (die, Conflict, again.UNSERVED),
    "switched off": (switch_off, Conflict, again.SWITCHED_OFF),
    "person's budget": (
        budget,
        Conflict,
        "The person's budget for today (0 tokens) is used",
    ),
    "channel's budget": (
        channel_budget,
        Conflict,
        "The channel's budget for this month (0 USD",
    ),
    "gone": (
        changed("UPDATE conversations SET chat_id = 'another'"),
        Rejected,
        again.GONE,
    ),
    "no channel": (
        changed("UPDATE conversations SET channel_type = 'gone'"),
        Conflict,
        again.UNSERVED,
    ),
    "no right": (be_registered, Rejected, "ada is not a registered operator"),
}


@pytest.mark.parametrize("case", REFUSALS)
async def test_what_stands_in_the_way_is_a_sentence(
    world: EngineHarness, agent: Instance, case: str
) -> None:
    stand, kind, sentence = REFUSALS[case]
    await said(world, agent)
    await stand(world, agent)
    turns = await run(world.database_url, "SELECT count(*) FROM turns")
    async with operator_of(world) as press:
        with pytest.raises(kind) as refused:
            await press()

    assert refused.value.sentence.startswith(sentence), refused.value.sentence
    world.model.release()
    assert turns == await run(world.database_url, "SELECT count(*) FROM turns")
    assert [] == await run(world.database_url, LOG)


async def test_a_conversation_that_went_on_is_looked_at_first(
    world: EngineHarness, agent: Instance
) -> None:
    await said(world, agent)
    await said(world, agent, "more")
    async with operator_of(world) as press:
        with pytest.raises(VersionConflict, match="went on since"):
            await press(expected=2)
        with pytest.raises(Rejected, match="letters, digits"):
            await press(key="a b")


# --- where it goes --------------------------------------------------------------

SLASH = {
    "id": "9",
    "token": "t",
    "application_id": "7",
    "channel_id": "5",
    "data": {"name": "retry"},
    "user": {"id": "1", "username": "ada"},
}


def test_the_answer_to_a_command_is_not_written_over() -> None:
    """A new message, not Discord's deferred response."""
    discord = command_use(SLASH).inbound.address
    stored = {"message": "8", "extra": dict(discord.extra), "part_of": "album"}
    kept = again._address(stored)
    plain = Address("discord", "5", extra=kept["extra"])

    assert InteractionAnswer.of(discord, None) is not None  # type: ignore[arg-type]
    assert InteractionAnswer.of(plain, None) is None  # type: ignore[arg-type]
    assert {"message": "8", "extra": {}, "operator": True} == kept


def test_what_one_person_was_answered_alone_is_answered_to_them_alone() -> None:
    """Slack's answer to a slash command in a channel: nobody else there may read it."""
    slash = {"channel_id": "C1", "user_id": "U1", "trigger_id": "1"}
    asked = said_by_command(
        {**slash, "command": "/agent", "text": "what do I earn?"}, "T1"
    )
    kept = again._address({"extra": dict(asked.address.extra)})
    address = Address("slack", "C1", extra=kept["extra"])
    channel = Slack(
        bot_token="xoxb-1",
        governor=Governor(),
        slash_commands=lambda: True,
    )

    assert None is parse_command(asked.text)
    assert isinstance(channel.reply(address, None, [UUID(int=1)]), EphemeralReply)


def test_a_press_has_a_turn_of_its_own() -> None:
    """Never that of a message, nor that of another conversation."""
    found = type(
        "Found", (), {"channel": "c", "chat": "1", "thread": "", "content": "x"}
    )
    found.account = "1"  # type: ignore[attr-defined]
    turns = {
        again._said(again.Press(UUID(int=number), ADA, key, None), found).turn_id
        for number in (1, 2)
        for key in ("a", "b")
    }

    assert 4 == len(turns)
