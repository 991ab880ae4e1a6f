"""A thumb on one of the agent's messages becomes a vote on that answer, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import asyncpg
import pytest
from msgspec.structs import replace

from agent.conversation.policy import VOTES
from agent.core.errors import StoreUnavailable
from agent.core.messages import Address, Pressed, Reacted, Thumb
from agent.core.words.buttons import answer_buttons
from storage.postgres import connect
from tests.support.engine_harness import EngineHarness, Instance
from tests.support.faults import Faulty, Fuse, When


@pytest.fixture
async def probe(
    database_url: str,
) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await connect(database_url)
    yield connection
    await connection.close()


def reaction(
    world: EngineHarness,
    thumb: Thumb,
    *,
    chat: str = "ada",
    user: str = "ada",
    message: str | None = None,
    taken: bool = False,
) -> Reacted:
    """A thumb given to, or taken from, the agent's last message in this chat."""
    return Reacted(
        Address("test", chat),
        message or world.platform.chats[chat][-1],
        user,
        thumb,
        taken_back=taken,
        username=user,
        direct=False,
    )


async def votes(
    probe: asyncpg.Connection[asyncpg.Record],
) -> dict[tuple[str, str], int]:
    """The thumb of each account on each answer."""
    rows = await probe.fetch(
        "SELECT u.channel_user_id, m.content, v.thumb FROM votes v JOIN users u ON u.id = v.user_id"
        " JOIN messages m ON m.id = v.message_id AND m.conversation_id = v.conversation_id"
    )

    return {(user, content): thumb for user, content, thumb in rows}


async def test_the_last_thumb_of_a_person_counts(
    world: EngineHarness, agent: Instance, probe: asyncpg.Connection[asyncpg.Record]
) -> None:
    await world.ask(agent, "hello")
    for thumb, value in ((Thumb.UP, 1), (Thumb.DOWN, -1), (Thumb.UP, 1)):
        await agent.engine.accept(reaction(world, thumb))
        counted = await votes(probe)

        assert {("ada", "re: hello"): value} == counted


async def test_only_the_thumb_that_is_named_is_taken_back(
    world: EngineHarness, agent: Instance, probe: asyncpg.Connection[asyncpg.Record]
) -> None:
    await world.ask(agent, "hello")
    await agent.engine.accept(reaction(world, Thumb.DOWN))
    await agent.engine.accept(reaction(world, Thumb.UP, taken=True))

    counted = await votes(probe)

    assert {("ada", "re: hello"): -1} == counted

    await agent.engine.accept(reaction(world, Thumb.DOWN, taken=True))
    assert {} == await votes(probe)


async def test_a_vote_that_is_delivered_again_changes_nothing(
    world: EngineHarness, agent: Instance, probe: asyncpg.Connection[asyncpg.Record]
) -> None:
    await world.ask(agent, "hello")
    await agent.engine.accept(reaction(world, Thumb.UP))
    first = await probe.fetch("SELECT * FROM votes")

    for _ in range(3):
        await agent.engine.accept(reaction(world, Thumb.UP))

    rows = await probe.fetch("SELECT * FROM votes")

    assert first == rows


async def test_an_older_press_that_is_delivered_again_changes_nothing(
    world: EngineHarness, agent: Instance, probe: asyncpg.Connection[asyncpg.Record]
) -> None:
    """A platform that did not hear of the first press in time sends it once more, and by then
    the person has changed their mind.
    """
    await world.ask(agent, "hello")
    turn = await probe.fetchval("SELECT turn_id FROM messages WHERE role = 'user'")
    up, down = answer_buttons(turn)[1:]
    presses = [
        Pressed(
            Address("test", "ada"),
            f"press-{number}",
            "ada",
            button.data,
            world.platform.chats["ada"][-1],
            username="ada",
            direct=False,
        )
        for number, button in enumerate((up, down))
    ]
    for press in [*presses, presses[0]]:
        await agent.engine.accept(press)

    assert {("ada", "re: hello"): -1} == await votes(probe)


async def test_a_vote_is_no_message(
    world: EngineHarness, agent: Instance, probe: asyncpg.Connection[asyncpg.Record]
) -> None:
    """No turn, no answer, no row in the conversation, and it leaves the window in Redis usable."""
    await world.ask(agent, "hello")
    before = await probe.fetch("SELECT version, last_activity FROM conversations")
    await agent.engine.accept(reaction(world, Thumb.UP))

    rows = await probe.fetch("SELECT version, last_activity FROM conversations")

    assert before == rows

    value = await probe.fetchval("SELECT count(*) FROM turns")
    assert 1 == value
    assert ["re: hello"] == world.platform.screen("ada")


async def test_people_that_never_wrote_may_vote(
    world: EngineHarness, agent: Instance, probe: asyncpg.Connection[asyncpg.Record]
) -> None:
    """Their account is made as a first message would make it. Taking back a vote never given
    makes none.
    """
    await world.ask(agent, "hello")
    await agent.engine.accept(reaction(world, Thumb.UP, user="bob", taken=True))

    value = await probe.fetchval(
        "SELECT count(*) FROM users WHERE channel_user_id = 'bob'"
    )

    assert 0 == value

    await agent.engine.accept(reaction(world, Thumb.UP, user="bob"))
    counted = await votes(probe)

    assert {("bob", "re: hello"): 1} == counted

    row = await probe.fetchrow(
        "SELECT username, person_id = id AS alone FROM users WHERE channel_user_id = 'bob'"
    )

    assert row is not None
    assert "bob" == row["username"]
    assert row["alone"] is True


async def test_only_answers_get_votes(
    world: EngineHarness, agent: Instance, probe: asyncpg.Connection[asyncpg.Record]
) -> None:
    """Not commands, failures, messages of somebody else, or messages of another chat."""
    await world.ask(agent, "/help")
    await agent.engine.accept(reaction(world, Thumb.UP))
    world.model.said = lambda prompt: ""
    world.model.error = "The model is away."
    await world.ask(agent, "hello")
    await agent.engine.accept(reaction(world, Thumb.UP))
    world.model.said = lambda prompt: "fine"
    world.model.error = None
    await world.ask(agent, "hello", chat="bob")
    await agent.engine.accept(
        reaction(world, Thumb.UP, message=world.platform.chats["bob"][-1])
    )
    await agent.engine.accept(reaction(world, Thumb.UP, message="somebody else's"))
    await agent.engine.accept(reaction(world, Thumb.UP, message="p0"))

    assert {} == await votes(probe)

    rows = await probe.fetch("SELECT channel_user_id FROM users")
    assert {"ada", "bob"} == {row[0] for row in rows}


THREE_MESSAGES = """
UPDATE turns SET placed = '{"ids": ["a", "b", "c"], "extra": {}}' WHERE placed->'ids' ? $1
"""


async def test_every_message_of_a_long_answer_is_that_answer(
    world: EngineHarness, agent: Instance, probe: asyncpg.Connection[asyncpg.Record]
) -> None:
    await world.ask(agent, "hello")
    await world.ask(agent, "a long one, please")
    await recorded(world)
    await probe.execute(THREE_MESSAGES, world.platform.chats["ada"][-1])

    for message in ("b", "c"):
        await agent.engine.accept(
            reaction(world, Thumb.UP, user=message, message=message)
        )

    wanted = "re: a long one, please"

    counted = await votes(probe)

    assert {("b", wanted): 1, ("c", wanted): 1} == counted


async def recorded(world: EngineHarness) -> None:
    """Returns once every delivered answer is recorded as such."""
    await true_in(world, "NOT EXISTS (SELECT FROM turns WHERE state = 'open')")


async def placed(world: EngineHarness) -> None:
    """Returns once the place of an unfinished answer is recorded."""
    await true_in(world, "EXISTS (SELECT FROM turns WHERE placed->'ids' <> '[]')")


async def true_in(world: EngineHarness, condition: str) -> None:
    """Returns once this holds in the database."""
    connection = await connect(world.database_url)
    while not await connection.fetchval(f"SELECT {condition}"):
        await connection.execute("SELECT pg_sleep(0.01)")
    await connection.close()


async def test_an_answer_to_several_messages_is_found_by_any_of_its_turns(
    world: EngineHarness, agent: Instance, probe: asyncpg.Connection[asyncpg.Record]
) -> None:
    """And an answer before or after it is not mistaken for it."""
    world.model.said = lambda prompt: f"answer {len(world.model.prompts)}"
    await world.ask(agent, "zero")
    world.model.hold()
    await agent.engine.accept(world.message("one"))
    await world.model.started.wait()
    await agent.engine.accept(world.message("two"))
    await agent.engine.accept(world.message("three"))
    world.model.release()
    await world.answered("ada", "answer 1", "answer 2", "answer 3")

    for number, message in enumerate(list(world.platform.chats["ada"])):
        await agent.engine.accept(
            reaction(world, Thumb.UP, user=str(number), message=message)
        )

    counted = await votes(probe)

    assert {
        ("0", "answer 1"): 1,
        ("1", "answer 2"): 1,
        ("2", "answer 3"): 1,
    } == counted


async def test_answers_of_an_ended_conversation_still_get_votes(
    world: EngineHarness, agent: Instance, probe: asyncpg.Connection[asyncpg.Record]
) -> None:
    await world.ask(agent, "hello")
    answer = world.platform.chats["ada"][-1]
    await world.ask(agent, "/new")
    await world.ask(agent, "again")
    await agent.engine.accept(reaction(world, Thumb.UP, message=answer))

    counted = await votes(probe)

    assert {("ada", "re: hello"): 1} == counted


async def test_an_answer_of_another_instance_gets_votes_here(
    world: EngineHarness, agent: Instance, probe: asyncpg.Connection[asyncpg.Record]
) -> None:
    await world.ask(agent, "hello")
    async with world.instance() as other:
        await other.engine.accept(reaction(world, Thumb.UP))

    counted = await votes(probe)

    assert {("ada", "re: hello"): 1} == counted


async def test_a_vote_right_after_the_answer_arrived_is_not_lost(
    database_url: str, redis_url: str, probe: asyncpg.Connection[asyncpg.Record]
) -> None:
    """That it arrived is recorded a little later; the vote waits for that."""
    world = EngineHarness(database_url, redis_url, streams=False)
    async with world.instance() as agent:
        await world.ask(agent, "hello")
        value = await probe.fetchval(
            "SELECT count(*) FROM turns WHERE state = 'open' AND placed IS NULL"
        )

        assert 1 == value

        await agent.engine.accept(reaction(world, Thumb.UP))
        counted = await votes(probe)

        assert {("ada", "re: hello"): 1} == counted


async def test_a_vote_on_an_answer_that_still_grows_is_counted_once_it_is_stored(
    world: EngineHarness, agent: Instance, probe: asyncpg.Connection[asyncpg.Record]
) -> None:
    """The person's last vote counts, in whatever order their thumbs arrive."""
    world.model.hold()
    await agent.engine.accept(world.message("tell me a story"))
    await placed(world)
    await agent.engine.accept(reaction(world, Thumb.UP))
    await agent.engine.accept(reaction(world, Thumb.DOWN))
    await agent.engine.accept(reaction(world, Thumb.UP, taken=True))

    assert {} == await votes(probe)

    world.model.release()
    await world.answered("ada", "re: tell me a story")
    await true_in(world, "EXISTS (SELECT FROM votes)")

    counted = await votes(probe)

    assert {("ada", "re: tell me a story"): -1} == counted


async def test_a_thumb_that_waited_does_not_undo_a_later_one(
    world: EngineHarness, agent: Instance, probe: asyncpg.Connection[asyncpg.Record]
) -> None:
    world.model.hold()
    await agent.engine.accept(world.message("tell me a story"))
    await placed(world)
    await agent.engine.accept(reaction(world, Thumb.UP))
    world.model.release()
    await world.answered("ada", "re: tell me a story")
    await agent.engine.accept(reaction(world, Thumb.DOWN))

    while agent.engine._background.running:
        await asyncio.wait(agent.engine._background.running)

    counted = await votes(probe)

    assert {("ada", "re: tell me a story"): -1} == counted


async def test_a_thumb_that_waits_outlives_a_moment_without_postgres(
    world: EngineHarness, probe: asyncpg.Connection[asyncpg.Record]
) -> None:
    """It was acknowledged, so nobody would deliver it again."""
    fuse = Fuse()
    away = StoreUnavailable(StoreUnavailable.__doc__)

    async with world.instance(
        lambda ports: replace(ports, votes=Faulty(ports.votes, fuse, away))
    ) as agent:
        world.model.hold()
        await agent.engine.accept(world.message("tell me a story"))
        await placed(world)
        await agent.engine.accept(reaction(world, Thumb.UP))
        fuse.arm(1, "before", kills=False)
        world.model.release()

        while agent.engine._background.running:
            await asyncio.wait(agent.engine._background.running)

        assert not fuse.armed

    counted = await votes(probe)

    assert {("ada", "re: tell me a story"): 1} == counted


async def test_votes_are_limited_apart_from_messages_and_without_a_word(
    world: EngineHarness, agent: Instance, probe: asyncpg.Connection[asyncpg.Record]
) -> None:
    await world.ask(agent, "hello")
    await probe.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
    await probe.execute("SELECT pg_stat_statements_reset()")

    for number in range(VOTES.count + 10):
        await agent.engine.accept(reaction(world, Thumb.UP, taken=bool(number % 2)))
    calls = await probe.fetchval(
        "SELECT sum(calls) FROM pg_stat_statements WHERE query LIKE 'WITH /* vote */%'"
    )

    assert VOTES.count <= calls <= VOTES.count + 2  # one more each second

    await agent.engine.accept(reaction(world, Thumb.UP, user="bob"))
    counted = await votes(probe)

    assert 1 == counted["bob", "re: hello"]

    await world.ask(agent, "still here?")
    assert ["re: hello", "re: still here?"] == world.platform.screen("ada")


async def test_who_may_not_talk_here_has_no_vote_and_hears_nothing(
    world: EngineHarness, agent: Instance, probe: asyncpg.Connection[asyncpg.Record]
) -> None:
    await world.ask(agent, "hello")
    await probe.execute(
        "INSERT INTO channel_configs (id, channel_type, settings)"
        """ VALUES (gen_random_uuid(), 'test', '{"allow": ["bob"]}')"""
    )
    await probe.execute("UPDATE control_epoch SET epoch = epoch + 1")
    await agent.ports.control_updates.observe(-1)
    await agent.engine.accept(replace(reaction(world, Thumb.UP), direct=True))

    assert {} == await votes(probe)
    assert ["re: hello"] == world.platform.screen("ada")


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_vote_that_may_not_be_stored_is_not_acknowledged_and_counts_once(
    world: EngineHarness, probe: asyncpg.Connection[asyncpg.Record], when: When
) -> None:
    fuse = Fuse()
    away = StoreUnavailable(StoreUnavailable.__doc__)

    async with world.instance(
        lambda ports: replace(ports, votes=Faulty(ports.votes, fuse, away))
    ) as agent:
        await world.ask(agent, "hello")
        await recorded(world)
        fuse.arm(1, when, kills=False)

        with pytest.raises(StoreUnavailable):
            await agent.engine.accept(reaction(world, Thumb.UP))

        assert {} == agent.engine._intake._votes._newest

        await agent.engine.accept(reaction(world, Thumb.UP))

    counted = await votes(probe)

    assert {("ada", "re: hello"): 1} == counted


async def test_a_vote_that_nobody_can_read_holds_up_nothing_and_says_nothing(
    world: EngineHarness, agent: Instance, probe: asyncpg.Connection[asyncpg.Record]
) -> None:
    await world.ask(agent, "hello")
    await agent.engine.accept(
        replace(reaction(world, Thumb.UP), thumb=cast("Thumb", "perhaps"))
    )
    await world.ask(agent, "again")

    assert ["re: hello", "re: again"] == world.platform.screen("ada")
    assert {} == await votes(probe)


async def test_an_account_is_not_deleted_with_what_belongs_to_others(
    world: EngineHarness, agent: Instance, probe: asyncpg.Connection[asyncpg.Record]
) -> None:
    """A conversation is everybody's in it, and its messages would stay without it."""
    await world.ask(agent, "I am ada", chat="ada")
    await agent.engine.accept(reaction(world, Thumb.UP, chat="ada", user="bob"))

    for sql in ("DELETE FROM users", "DELETE FROM conversations"):
        with pytest.raises(asyncpg.IntegrityConstraintViolationError):
            await probe.execute(sql)

    assert {("bob", "re: I am ada"): 1} == await votes(probe)
