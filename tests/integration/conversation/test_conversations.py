"""Going back to an earlier conversation: only that one is seen, and one is active at a time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agent.core.messages import Said
from tests.support.engine_harness import EngineHarness, Instance
from tests.support.settings import run


@pytest.fixture
def world(database_url: str, redis_url: str) -> EngineHarness:
    return EngineHarness(database_url, redis_url)


async def tell(
    world: EngineHarness, agent: Instance, text: str, chat: str = "ada"
) -> str:
    """Types a command; what is said to it."""
    seen = len(world.platform.screen(chat))
    await agent.engine.accept(world.message(text, chat=chat))
    await world.platform.until(lambda: len(world.platform.screen(chat)) > seen)

    return world.platform.screen(chat)[-1]


def seen(world: EngineHarness) -> list[str]:
    """What the model saw last."""
    return [text for _, text in world.model.prompts[-1].messages]


async def conversations(url: str) -> list[dict[str, Any]]:
    rows = await run(url, "SELECT * FROM conversations ORDER BY started_at")

    return [dict(row) for row in rows]


async def test_windows_in_redis_are_those_of_the_conversation_that_goes_on(
    world: EngineHarness,
) -> None:
    """Back and forth on two instances with warm windows: never a word of the other one."""
    async with world.instance() as one, world.instance() as two:
        await world.ask(one, "red")
        await tell(world, one, "/new blue things")
        await world.ask(two, "blue")
        for agent, number, colour in (
            (one, 1, "red"),
            (two, 2, "blue"),
            (one, 1, "red"),
        ):
            await tell(world, agent, f"/conversations {number}")
            await world.ask(two, f"more {colour}")
            await world.ask(one, f"still more {colour}")
            other = "blue" if colour == "red" else "red"
            assert not any(other in text for text in seen(world))
            assert colour == seen(world)[0]


async def test_versions_grow_and_messages_keep_their_order(
    world: EngineHarness, database_url: str
) -> None:
    async with world.instance() as agent:
        await world.ask(agent, "first")
        await tell(world, agent, "/new")
        await world.ask(agent, "other")
        await tell(world, agent, "/conversations 1")
        await world.ask(agent, "second")

    first, other = await conversations(database_url)
    assert (True, False) == (first["is_active"], other["is_active"])
    rows = await run(
        database_url,
        "SELECT seq, content FROM messages WHERE conversation_id = $1 ORDER BY timestamp",
        first["id"],
    )
    assert ["first", "re: first", "second", "re: second"] == [
        r["content"] for r in rows
    ]
    assert [1, 2, 4, 5] == [row["seq"] for row in rows]
    assert 5 == first["version"]


async def test_what_the_conversation_that_is_left_still_owes_is_answered_there(
    world: EngineHarness,
) -> None:
    """The one that goes on is answered at once: each has its own slot."""
    async with world.instance() as agent:
        await world.ask(agent, "old")
        await tell(world, agent, "/new")
        world.model.hold()
        slow = world.message("slow")
        await agent.engine.accept(slow)
        await world.model.started.wait()
        await agent.engine.accept(world.message("/conversations 1"))
        await world.platform.until(
            lambda: any("We go on" in text for text in world.platform.screen("ada"))
        )
        world.model.release()
        await world.ask(agent, "and now?")
        await world.platform.until(lambda: world.platform.finished[slow.turn_id] > 0)

    assert 1 == world.platform.finished[slow.turn_id]
    prompts = [[text for _, text in each.messages] for each in world.model.prompts]
    assert ["slow"] in prompts
    assert ["old", "re: old", "and now?"] in prompts


async def test_messages_that_arrive_at_the_same_moment_leave_one_active_conversation(
    world: EngineHarness, database_url: str
) -> None:
    """All are answered, whichever conversation they came into."""
    async with world.instance() as one, world.instance() as two:
        await world.ask(one, "first")
        for turn in range(6):
            await tell(world, one, "/new" if turn % 2 else "/new name")
            said = [world.message(f"{turn} {n}", chat="ada") for n in range(4)]
            back = world.message("/conversations 1")
            agents = [one, two, one, two]
            await asyncio.gather(
                *(a.engine.accept(m) for a, m in zip(agents, said, strict=True)),
                two.engine.accept(back),
            )
            await _closed(database_url, [*said, back])

    found = await conversations(database_url)
    assert 1 == sum(row["is_active"] for row in found)
    assert [0] * len(found) == [
        max(0, row["asked"] - row["answered"]) for row in found
    ]


async def _closed(url: str, said: list[Said]) -> None:
    """Returns once all turns are closed."""
    for _ in range(400):
        rows = await run(
            url,
            "SELECT count(*) FROM turns WHERE id = ANY($1::uuid[]) AND state = 'done'",
            [one.turn_id for one in said],
        )
        if rows[0]["count"] == len(said):
            return
        await asyncio.sleep(0.02)
    raise AssertionError("not all were answered")


async def test_a_conversation_of_another_chat_cannot_be_taken(
    world: EngineHarness,
) -> None:
    """Numbers count within the chat."""
    async with world.instance() as agent:
        await world.ask(agent, "a secret", chat="bob")
        await world.ask(agent, "hello")

        assert "this one" in await tell(world, agent, "/conversations")
        assert "secret" not in world.platform.screen("ada")[-1]
        assert "no conversation of this number" in await tell(
            world, agent, "/conversations 2"
        )


@pytest.mark.parametrize(
    "typed",
    [
        "0",
        "-1",
        "1.5",
        "one",
        "²",
        "１",
        "9" * 30,
        "1; DROP TABLE turns",
        "999999999",
    ],
)
async def test_a_number_that_is_none_is_said_in_a_sentence(
    world: EngineHarness, typed: str
) -> None:
    async with world.instance() as agent:
        await world.ask(agent, "hello")
        said = await tell(world, agent, f"/conversations {typed}")

    assert said.startswith("There is no conversation of this number here.")


async def test_the_active_one_stays_as_it_is(
    world: EngineHarness, database_url: str
) -> None:
    async with world.instance() as agent:
        assert "no conversations yet" in await tell(world, agent, "/conversations")
        await world.ask(agent, "hello")
        before = await conversations(database_url)
        assert "This is the conversation" in await tell(
            world, agent, "/conversations 1"
        )

    assert before == await conversations(database_url)


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("Rome", "Rome"),
        ("  a   trip\tto  Rome ", "a trip to Rome"),
        ("**bold** `code`", "bold code"),
        ("x" * 200, "x" * 79 + "…"),
        ("*", None),
        ("🧳" * 3, "🧳" * 3),
    ],
)
async def test_a_name_is_one_short_line(
    world: EngineHarness, database_url: str, typed: str, kept: str | None
) -> None:
    async with world.instance() as agent:
        await tell(world, agent, f"/new {typed}")
        await world.ask(agent, "hello")

    [only] = await conversations(database_url)
    assert kept == only["title"]


async def test_a_list_is_short_and_its_numbers_stay(world: EngineHarness) -> None:
    async with world.instance() as agent:
        for number in range(1, 13):
            await tell(world, agent, f"/new trip {number}")
        listed = await tell(world, agent, "/conversations")
        await tell(world, agent, "/conversations 2")
        await world.ask(agent, "hello")
        again = await tell(world, agent, "/conversations")

    assert 10 == listed.count("trip")
    assert again.startswith("- 2: **trip 2**, ")
