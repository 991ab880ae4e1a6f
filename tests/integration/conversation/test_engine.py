"""The way of a message through the engine, on real stores."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from agent.core.commands import help_text
from agent.core.messages import Overlap
from agent.core.text import ASKS_BACK
from storage.control.targets import RuleTarget
from storage.postgres import connect
from tests.support.engine_harness import EngineHarness, Instance
from tests.support.operators import ADA, EVERYBODY, operator
from tests.support.turns import closed, set_overlap


async def test_a_message_is_answered_and_remembered(
    world: EngineHarness, agent: Instance
) -> None:
    await agent.engine.accept(world.message("hello there"))
    await world.answered("ada", "re: hello there")
    await agent.engine.accept(world.message("and now"))
    await world.answered("ada", "re: hello there", "re: and now")

    assert world.model.prompts[1].messages == (
        ("user", "hello there"),
        ("assistant", "re: hello there"),
        ("user", "and now"),
    )


async def test_the_same_delivery_four_times_is_one_row_and_one_answer(
    world: EngineHarness, agent: Instance
) -> None:
    message = world.message("once")
    for _ in range(4):
        await agent.engine.accept(message)
    await world.answered("ada", "re: once")
    connection = await connect(world.database_url)

    value = await connection.fetchval(
        "SELECT count(*) FROM messages WHERE role = 'user'"
    )

    assert value == 1

    await connection.close()


async def test_a_new_instance_continues_the_conversation(
    world: EngineHarness,
) -> None:
    async with world.instance() as first:
        await first.engine.accept(world.message("one"))
        await world.answered("ada", "re: one")

    async with world.instance() as second:
        await second.engine.accept(world.message("two"))
        await world.answered("ada", "re: one", "re: two")

    assert len(world.model.prompts[1].messages) == 3


@pytest.mark.parametrize(
    ("overlap", "screen", "last_prompt"),
    [
        (Overlap.MERGE, ["re: one", "re: three"], ["one", "re: one", "two", "three"]),
        (
            Overlap.QUEUE,
            ["re: one", "re: two", "re: three"],
            ["one", "re: one", "two", "re: two", "three"],
        ),
        (
            Overlap.INTERRUPT,
            ["re:\n\n*(interrupted by your next message)*", "re: three"],
            ["one", "re:", "two", "three"],
        ),
    ],
)
async def test_messages_during_an_answer_follow_the_channels_overlap(
    world: EngineHarness,
    agent: Instance,
    overlap: Overlap,
    screen: list[str],
    last_prompt: list[str],
) -> None:
    await set_overlap(agent, overlap)
    world.model.hold()
    await agent.engine.accept(world.message("one"))
    await world.model.started.wait()
    await agent.engine.accept(world.message("two"))
    await agent.engine.accept(world.message("three"))
    world.model.release()
    await world.platform.until(lambda: "re: three" in world.platform.screen("ada"))

    assert [text for _, text in world.model.prompts[-1].messages] == last_prompt
    assert world.platform.screen("ada") == screen


async def test_each_message_of_a_queue_is_answered_on_its_authors_terms(
    world: EngineHarness, agent: Instance
) -> None:
    """Model and system prompt are those of the author, not of the last person to write."""
    async with operator(world.database_url, world.redis_url) as desk:
        await desk.set("overlap", EVERYBODY, "queue", ADA)
        for name in ("ada", "bob"):
            await agent.engine.accept(world.message(f"/model test:{name}", chat=name))
            await world.platform.until(
                lambda name=name: len(world.platform.screen(name)) == 1  # type: ignore[misc]
            )
            await desk.set(
                "system_prompt",
                RuleTarget(person=f"test:{name}"),
                f"You serve {name}.",
                ADA,
            )

    await agent.ports.control_updates.observe(-1)
    world.model.hold()
    await agent.engine.accept(world.message("one", chat="room", user="ada"))
    await world.model.started.wait()
    await agent.engine.accept(world.message("two", chat="room", user="ada"))
    await agent.engine.accept(world.message("three", chat="room", user="bob"))
    world.model.release()
    await world.answered("room", "re: ada: one", "re: ada: two", "re: bob: three")

    assert ["test:ada", "test:ada", "test:bob"] == world.model.asked
    assert ["You serve ada.", "You serve ada.", "You serve bob."] == [
        one.system for one in world.model.prompts
    ]


async def test_stop_cuts_the_answer_and_keeps_what_was_written(
    world: EngineHarness, agent: Instance
) -> None:
    world.model.hold()
    await agent.engine.accept(world.message("long story"))
    await world.platform.until(lambda: world.platform.screen("ada") == ["re:"])
    await agent.engine.accept(world.message("/stop"))
    await world.platform.until(lambda: "Stopped." in world.platform.screen("ada"))
    await world.platform.until(
        lambda: "re:\n\n*(stopped)*" in world.platform.screen("ada")
    )


async def test_a_model_that_fails_ends_in_a_sentence_and_the_next_turn_works(
    world: EngineHarness, agent: Instance
) -> None:
    world.model.error = "The model is away."
    world.model.said = lambda prompt: ""
    await agent.engine.accept(world.message("one"))
    await world.answered("ada", "The model is away.")
    world.model.error = None
    world.model.said = lambda prompt: "fine now"
    await agent.engine.accept(world.message("two"))
    await world.answered("ada", "The model is away.", "fine now")

    assert world.model.prompts[-1].messages == (("user", "one"), ("user", "two"))


async def test_an_edit_before_the_answer_is_used(
    world: EngineHarness, agent: Instance
) -> None:
    world.model.hold()
    first = world.message("wrong")
    await agent.engine.accept(first)
    await world.model.started.wait()
    await agent.engine.accept(first.edited("right"))
    world.model.release()
    await world.answered("ada", "re: right")


async def test_a_deleted_message_is_not_answered(
    world: EngineHarness, agent: Instance
) -> None:
    world.model.hold()
    await agent.engine.accept(world.message("one"))
    await world.model.started.wait()
    second = world.message("two")
    await agent.engine.accept(second)
    await agent.engine.accept(second.deleted())
    world.model.release()
    await world.answered("ada", "re: one")
    await agent.engine.accept(world.message("three"))
    await world.answered("ada", "re: one", "re: three")

    assert "two" not in str(world.model.prompts[-1])


async def test_new_begins_a_conversation_without_the_old_one(
    world: EngineHarness, agent: Instance
) -> None:
    await agent.engine.accept(world.message("old"))
    await world.answered("ada", "re: old")
    command = world.message("/new")

    for _ in range(2):  # delivered twice
        await agent.engine.accept(command)
    await agent.engine.accept(world.message("young"))
    await world.platform.until(lambda: "re: young" in world.platform.screen("ada"))

    assert world.model.prompts[-1].messages == (("user", "young"),)
    assert len(world.platform.screen("ada")) == 3


async def test_a_model_chosen_by_a_person_answers_at_once_and_in_later_conversations(
    world: EngineHarness, agent: Instance
) -> None:
    await agent.engine.accept(world.message("one"))
    await world.answered("ada", "re: one")
    await agent.engine.accept(world.message("/model test:other"))
    await agent.engine.accept(world.message("two"))
    await world.platform.until(lambda: len(world.platform.screen("ada")) == 3)
    await agent.engine.accept(world.message("/new"))
    await agent.engine.accept(world.message("three"))
    await world.platform.until(lambda: len(world.platform.screen("ada")) == 5)

    assert world.model.asked == ["test:model", "test:other", "test:other"]


async def test_people_in_a_group_share_a_conversation_and_are_named(
    world: EngineHarness, agent: Instance
) -> None:
    await agent.engine.accept(world.message("hi", chat="room", user="ada"))
    await world.answered("room", "re: ada: hi")
    await agent.engine.accept(world.message("hello", chat="room", user="bob"))
    await world.answered("room", "re: ada: hi", "re: bob: hello")

    assert world.model.prompts[-1].messages[0] == ("user", "ada: hi")


async def test_a_link_continues_the_conversation_elsewhere(
    world: EngineHarness, agent: Instance
) -> None:
    await agent.engine.accept(world.message("my name is Ada"))
    await world.answered("ada", "re: my name is Ada")
    await agent.engine.accept(world.message("/link"))
    await world.platform.until(lambda: len(world.platform.screen("ada")) == 2)
    code = world.platform.screen("ada")[1].rpartition("/link ")[2].strip("`")
    await agent.engine.accept(world.message(f"/link {code}", chat="ada elsewhere"))
    await world.platform.until(
        lambda: len(world.platform.screen("ada elsewhere")) == 1
    )
    await agent.engine.accept(world.message("who am I?", chat="ada elsewhere"))
    await world.platform.until(
        lambda: len(world.platform.screen("ada elsewhere")) == 2
    )

    assert [text for _, text in world.model.prompts[-1].messages] == [
        "my name is Ada",
        "re: my name is Ada",
        "who am I?",
    ]

    await agent.engine.accept(world.message(f"/link {code}", chat="mallory"))
    await world.platform.until(
        lambda: "not valid" in "".join(world.platform.screen("mallory"))
    )


@pytest.mark.parametrize(
    "bad", ["", "   \n", "a\0b", "half \ud83d surrogate", "x" * 32_001]
)
async def test_what_cannot_be_stored_exactly_is_refused_with_a_sentence(
    world: EngineHarness, agent: Instance, bad: str
) -> None:
    await agent.engine.accept(world.message(bad))
    await world.platform.until(lambda: len(world.platform.screen("ada")) == 1)

    assert world.platform.screen("ada")[0].startswith("This message ")
    assert world.model.prompts == []


@pytest.mark.parametrize(
    "odd",
    [
        "שלום עולם",
        "👩‍👩‍👧‍👦 e\u0301 \u202e",
        "x" * 32_000,
        "'; DROP TABLE users; --",
        " lead",
    ],
)
async def test_any_other_text_is_stored_exactly(
    world: EngineHarness, agent: Instance, odd: str
) -> None:
    await agent.engine.accept(world.message(odd))
    await world.platform.until(lambda: len(world.platform.screen("ada")) == 1)
    connection = await connect(world.database_url)

    value = await connection.fetchval(
        "SELECT content FROM messages WHERE role = 'user'"
    )

    assert value == odd

    await connection.close()


async def test_a_strange_name_is_kept_as_far_as_it_can_be(
    world: EngineHarness, agent: Instance
) -> None:
    message = replace(
        world.message("hi", chat="room", user="eve"), username="e\0v\ud83de"
    )
    await agent.engine.accept(message)
    await world.answered("room", "re: ev?e: hi")


@pytest.mark.parametrize("name", ["e\0v\ud83de", "x" * 300])
async def test_somebody_with_a_strange_name_can_choose_a_model(
    world: EngineHarness, agent: Instance, name: str
) -> None:
    await agent.engine.accept(
        replace(world.message("/model test:other"), username=name)
    )
    await world.answered("ada", "From now on `test:other` answers you.")


@pytest.mark.parametrize("text", ["", " \n"])
async def test_a_message_of_nothing_but_a_mention_is_asked_what_is_meant(
    world: EngineHarness, agent: Instance, text: str
) -> None:
    """Channels hand it on with an empty text. The model is not asked."""
    await agent.engine.accept(world.message(text))
    await world.answered("ada", ASKS_BACK)

    assert ASKS_BACK.endswith("?")
    assert [] == world.model.prompts


async def test_a_mistyped_command_is_told_the_one_that_is_near(
    world: EngineHarness, agent: Instance
) -> None:
    """The model is not asked what it means, and nothing is charged."""
    near = "There is no command `/modle`. Did you mean `/model`?"
    await world.ask(agent, "/modle test:other")
    await world.ask(agent, "help")
    await world.answered("ada", near, help_text({"system"}))

    assert world.model.prompts == []


async def test_a_command_that_does_not_exist_is_told_those_that_do(
    world: EngineHarness, agent: Instance
) -> None:
    """A path is a question like any other."""
    await world.ask(agent, "/settings")
    await world.ask(agent, "/etc/hosts")
    screen = world.platform.screen("ada")

    assert screen[0].startswith(
        "There is no command `/settings`. These exist: `/help`,"
    )
    assert "re: /etc/hosts" == screen[1]
    assert 1 == len(world.model.prompts)


async def test_a_message_that_no_statement_takes_is_answered_and_holds_nobody_up(
    world: EngineHarness, agent: Instance
) -> None:
    """An account id longer than its column. The person is told; the platform need not deliver
    again.
    """
    await agent.engine.accept(
        replace(world.message("hi", chat="odd"), user_id="x" * 300)
    )
    await world.answered("odd", "This message cannot be stored. Please rephrase it.")
    await agent.engine.accept(world.message("hi"))
    await world.answered("ada", "re: hi")


@pytest.mark.parametrize("count", ["everything", "0", "51", "1" * 5000])
async def test_history_says_how_many_it_shows_at_most(
    world: EngineHarness, agent: Instance, count: str
) -> None:
    """Whatever was asked for instead."""
    await agent.engine.accept(world.message(f"/history {count}"))
    await world.answered(
        "ada", "How many messages? A number from 1 to 50, as in `/history 5`."
    )


async def test_an_album_in_a_queue_is_one_message(
    world: EngineHarness, agent: Instance
) -> None:
    await set_overlap(agent, Overlap.QUEUE)
    world.model.hold()
    await agent.engine.accept(world.message("one"))
    await world.model.started.wait()

    for text in ("a picture", "another"):
        part = replace(world.message(text), part_of="album 7", more_follows=True)
        await agent.engine.accept(part)

    await agent.engine.accept(world.message("two"))
    world.model.release()
    await closed(world)

    assert world.platform.screen("ada") == ["re: one", "re: another", "re: two"]


async def test_an_album_that_comes_while_an_answer_ends_is_one_message(
    world: EngineHarness, agent: Instance
) -> None:
    """Its first part waits already when the claim goes on; the other comes a moment later."""
    world.model.hold()
    await agent.engine.accept(world.message("one"))
    await world.model.started.wait()
    first, second = (
        replace(world.message(text), part_of="album 7", more_follows=True)
        for text in ("a picture", "another")
    )
    await agent.engine.accept(first)
    world.model.release()
    await asyncio.sleep(0.3)
    await agent.engine.accept(second)
    await closed(world)

    assert world.platform.screen("ada") == ["re: one", "re: another"]
