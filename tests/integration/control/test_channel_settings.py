"""What an operator sets for a channel is what people meet there, without a restart."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import pytest

from agent.conversation.policy import is_blocked
from agent.core.errors import Conflict, Rejected, UnknownModel
from storage.control.channels import ChannelAdmin
from storage.control.credentials import Secrets, new_key
from tests.support.engine_harness import EngineHarness, Instance
from tests.support.settings import OPERATOR, run, set_channel


def known(model: str) -> None:
    if not model.startswith("test:"):
        raise UnknownModel("A model is written test:name.")


@pytest.fixture
async def agent(world: EngineHarness) -> AsyncIterator[Instance]:
    await set_channel(world.database_url)  # the channel of tests is known
    async with world.instance() as instance:
        yield instance


@pytest.fixture
def channels(agent: Instance) -> ChannelAdmin:
    return ChannelAdmin(agent.database, agent.pipe, known)


async def now(
    agent: Instance,
    channels: ChannelAdmin,
    **changes: str | None,
) -> None:
    """Sets, and lets the agent see it as its next heartbeat would."""
    await channels.set("test", changes, OPERATOR)
    await agent.ports.control_updates.observe(0)


async def test_model_and_system_prompt_are_those_of_the_channel_and_back(
    world: EngineHarness,
    agent: Instance,
    channels: ChannelAdmin,
) -> None:
    await world.ask(agent, "one")
    await now(agent, channels, default_model="test:other", system_prompt="Be brief.")
    await world.ask(agent, "two")
    await now(agent, channels, default_model=None, system_prompt=None)
    await world.ask(agent, "three")

    assert world.model.asked == ["test:model", "test:other", "test:model"]
    assert [prompt.system == "Be brief." for prompt in world.model.prompts] == [
        False,
        True,
        False,
    ]


async def test_the_greeting_stands_before_the_first_answer_of_a_conversation(
    world: EngineHarness,
    agent: Instance,
    channels: ChannelAdmin,
) -> None:
    await now(agent, channels, greeting="I am a robot.")
    await world.ask(agent, "one")
    await world.ask(agent, "two")
    await world.ask(agent, "/new")
    await world.ask(agent, "three")
    screen = world.platform.screen("ada")

    assert screen == [
        "I am a robot.\n\nre: one",
        "re: two",
        "A new conversation begins. I no longer see the old one.",
        "I am a robot.\n\nre: three",
    ]


async def test_who_is_denied_hears_nothing_and_nothing_of_theirs_is_stored(
    world: EngineHarness,
    agent: Instance,
    channels: ChannelAdmin,
) -> None:
    await now(agent, channels, deny="eve")

    for text in ("hello", "/help", " "):
        await agent.engine.accept(world.message(text, chat="eve"))

    await world.ask(agent, "hello", chat="bob")
    await now(agent, channels, deny=None)
    await world.ask(agent, "and now?", chat="eve")

    assert world.platform.screen("eve") == ["re: and now?"]
    assert [
        row["chat_id"]
        for row in await run(
            world.database_url, "SELECT chat_id FROM turns ORDER BY 1"
        )
    ] == [
        "bob",
        "eve",
    ]


async def test_who_is_not_on_the_list_hears_so_once_with_the_id_to_add(
    world: EngineHarness,
    agent: Instance,
    channels: ChannelAdmin,
) -> None:
    await now(agent, channels, allow="bob")

    for text in ("hello", "anybody there?", "/help"):
        await agent.engine.accept(world.message(text, chat="ada"))

    await agent.engine.accept(world.message("hello", chat="room", user="ada"))
    await world.ask(agent, "hello", chat="bob")
    [said] = world.platform.screen("ada")

    assert said.endswith("Please ask whoever runs me to add your id, ada.")
    assert world.platform.screen("room") == []
    assert world.platform.screen("bob") == ["re: hello"]

    await now(agent, channels, allow="bob,ada")
    await world.ask(agent, "thanks", chat="ada")

    assert world.platform.screen("ada")[-1] == "re: thanks"


async def test_a_model_that_is_not_allowed_is_refused_with_those_that_are(
    world: EngineHarness,
    agent: Instance,
    channels: ChannelAdmin,
) -> None:
    refused = (
        "test:dear may not be used here; allowed: test:a, test:b. Choose "
        "one with /model, or /model default."
    )
    await world.ask(agent, "/model test:dear")
    await now(agent, channels, allowed_models="test:a,test:b")
    await world.ask(agent, "hello")  # chosen before it was forbidden
    await world.ask(agent, "/model test:dear")
    await world.ask(agent, "/model test:b")
    await world.ask(agent, "hello")
    await world.ask(agent, "/model default")
    await world.ask(agent, "hello")

    assert [text == refused for text in world.platform.screen("ada")] == [
        False,
        True,
        True,
        *[False] * 4,
    ]
    assert world.model.asked == ["test:b", "test:a"]


async def test_a_change_is_logged_with_what_it_changed_and_moves_the_epoch(
    world: EngineHarness,
    agent: Instance,
    channels: ChannelAdmin,
) -> None:
    before = agent.ports.control.epoch
    await now(agent, channels, overlap="queue", greeting="Hello!")
    await now(agent, channels, overlap="queue")  # is so already
    await now(agent, channels, greeting=None)
    rows = await run(
        world.database_url,
        "SELECT actor, action, subject, before, after FROM audit_log ORDER BY id",
    )

    assert [tuple(row) for row in rows] == [
        (
            "grace",
            "channel.set",
            "channel:test",
            "{}",
            '{"overlap": "queue", "greeting": "Hello!"}',
        ),
        ("grace", "channel.set", "channel:test", '{"greeting": "Hello!"}', "{}"),
    ]
    assert agent.ports.control.epoch == before + 2


async def test_the_second_of_two_operators_is_told_what_the_first_changed(
    channels: ChannelAdmin,
) -> None:
    seen = (await channels.get("test")).version
    await channels.set("test", {"overlap": "queue"}, OPERATOR, expected=seen)

    with pytest.raises(Conflict, match='grace: overlap unset → "queue"'):
        await channels.set("test", {"overlap": "interrupt"}, OPERATOR, expected=seen)

    assert (await channels.get("test")).form.overlap.value == "queue"

    await channels.set("test", {"overlap": None}, OPERATOR)

    with pytest.raises(
        Conflict,
        match='grace: overlap unset → "queue"; grace: overlap "queue" → unset',
    ):
        await channels.set("test", {"overlap": "interrupt"}, OPERATOR, expected=seen)


async def test_a_credential_that_somebody_stored_meanwhile_is_named_and_not_shown(
    channels: ChannelAdmin,
) -> None:
    await channels.set_credential(
        "slack", "bot_token", "xoxb-secret", OPERATOR, Secrets([new_key()])
    )
    with pytest.raises(Conflict, match='grace: credential unset → "bot_token"'):
        await channels.set("slack", {"overlap": "queue"}, OPERATOR, expected=0)


@pytest.mark.parametrize(
    "change",
    [
        lambda channels: channels.set("irc", {"overlap": "queue"}, OPERATOR),
        lambda channels: channels.set(
            "test", {"overlap": "queue", "user_limit": "140%"}, OPERATOR
        ),
        lambda channels: channels.set("test", {"default_model": "gpt"}, OPERATOR),
    ],
)
async def test_a_refused_change_writes_nothing(
    world: EngineHarness,
    agent: Instance,
    channels: ChannelAdmin,
    change: Callable[[ChannelAdmin], AsyncIterator[object]],
) -> None:
    with pytest.raises(Rejected):
        await change(channels)  # type: ignore[misc]

    assert (await channels.get("test")).form.stored() == {}
    assert await run(world.database_url, "SELECT FROM audit_log") == []


async def test_settings_that_cannot_be_read_close_their_channel_and_disturb_no_other(
    world: EngineHarness,
    agent: Instance,
) -> None:
    """Written by hand, or by a newer version: nobody knows who may talk there; flags change
    all the same.
    """
    await run(world.database_url, "UPDATE channel_configs SET settings = '[]'")
    await run(world.database_url, "UPDATE control_epoch SET epoch = epoch + 1")
    await agent.ports.control_updates.observe(0)

    assert [False, True] == [
        is_blocked(agent.ports.control.channel(name), world.message("hi"))
        for name in ("x", "test")
    ]
