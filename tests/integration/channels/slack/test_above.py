"""What stands above the first mention in a thread reaches the model; people call it "this"."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from agent.core.messages import Edited, Said
from tests.support.inbound import text_of
from tests.support.platforms.slack import AGENT, Fault, SlackServer
from tests.support.platforms.slack.agent import channel_of, connected, direct_chat


@pytest.fixture
async def server() -> AsyncIterator[SlackServer]:
    async with SlackServer(redeliver_after=0.1).running() as server:
        yield server


async def test_what_began_the_thread_and_what_came_last_is_told_after_the_message(
    server: SlackServer,
) -> None:
    """The message itself is durable first, and waits a moment for the rest."""
    chat, [ada, bob] = channel_of(server, "ada", "bob")
    async with connected(server) as (_, inbox):
        root = server.space.add(chat, bob, f"<@{ada}>, the build is red.")
        for number in range(4):
            server.space.add(chat, bob, f"Try {number}.", root.ts)
        await server.say(
            chat, ada, f"<@{AGENT}> what does this mean?", thread=root.ts
        )
        await inbox.until(lambda: any(isinstance(one, Edited) for one in inbox.taken))

    first, last = inbox.taken[0], inbox.taken[-1]
    assert isinstance(first, Said)
    assert (first.text, first.more_follows) == ("what does this mean?", True)
    assert isinstance(last, Edited)
    assert (last.turn_id, last.text) == (
        first.turn_id,
        "In reply to bob:\n> @ada, the build is red.\n\n"
        "In reply to bob:\n> Try 2.\n\n"
        "In reply to bob:\n> Try 3.\n\n"
        "what does this mean?",
    )


async def test_only_the_first_mention_in_a_thread_is_told_it(
    server: SlackServer,
) -> None:
    chat, [ada, bob] = channel_of(server, "ada", "bob")
    async with connected(server) as (_, inbox):
        root = server.space.add(chat, bob, "The build is red.")
        await server.say(chat, ada, f"<@{AGENT}> why?", thread=root.ts)
        await inbox.until(lambda: any(isinstance(one, Edited) for one in inbox.taken))
        await server.say(chat, ada, "and now?", thread=root.ts)
        await inbox.until(lambda: text_of(inbox.taken[-1]) == "and now?")

    assert isinstance(inbox.taken[-1], Said)
    assert not inbox.taken[-1].more_follows


async def test_a_thread_that_the_agent_was_in_before_a_restart_is_not_told_again(
    server: SlackServer,
) -> None:
    chat, [ada] = channel_of(server, "ada")
    root = server.space.add(chat, ada, f"<@{AGENT}> earlier")
    async with connected(server) as (_, inbox):
        await server.say(chat, ada, f"<@{AGENT}> and now?", thread=root.ts)
        await inbox.next(2)
        await server.sockets.until(lambda: server.unacknowledged() == 0)

    assert {text_of(inbound) for inbound in inbox.taken} == {"and now?"}


@pytest.mark.parametrize("fault", ["missing_scope", "internal_error", "ratelimited"])
async def test_without_what_stands_above_the_message_stands_for_itself(
    server: SlackServer, fault: str
) -> None:
    chat, [ada, bob] = channel_of(server, "ada", "bob")
    server.space.faults += [
        Fault(fault, method="conversations.replies") for _ in range(4)
    ]
    async with connected(server) as (_, inbox):
        root = server.space.add(chat, bob, "The build is red.")
        await server.say(chat, ada, f"<@{AGENT}> why?", thread=root.ts)
        await inbox.next(2)
        await server.sockets.until(lambda: server.unacknowledged() == 0)

    assert {text_of(inbound) for inbound in inbox.taken} == {"why?"}


async def test_a_bare_mention_in_a_thread_is_about_what_stands_above(
    server: SlackServer,
) -> None:
    chat, [ada, bob] = channel_of(server, "ada", "bob")
    async with connected(server) as (_, inbox):
        root = server.space.add(chat, bob, "The build is red.")
        await server.say(chat, ada, f"<@{AGENT}>", thread=root.ts)
        first, *_ = await inbox.next()

    assert text_of(first) == "In reply to bob:\n> The build is red."


async def test_an_edit_keeps_what_stands_above(server: SlackServer) -> None:
    chat, [ada, bob] = channel_of(server, "ada", "bob")
    async with connected(server) as (_, inbox):
        root = server.space.add(chat, bob, "The build is red.")
        ts = await server.say(chat, ada, f"<@{AGENT}> why?", thread=root.ts)
        await inbox.until(lambda: any(isinstance(one, Edited) for one in inbox.taken))
        await server.edit(chat, ts, f"<@{AGENT}> since when?")
        await inbox.until(lambda: "since when" in text_of(inbox.taken[-1]))

    assert (
        text_of(inbox.taken[-1])
        == "In reply to bob:\n> The build is red.\n\nsince when?"
    )


async def test_what_stands_above_replaces_the_message_as_it_was_and_no_edit_of_it(
    server: SlackServer,
) -> None:
    """The person's edit or deletion may have come to another instance."""
    chat, [ada, bob] = channel_of(server, "ada", "bob")
    async with connected(server) as (_, inbox):
        root = server.space.add(chat, bob, "The build is red.")
        await server.say(chat, ada, f"<@{AGENT}> why?", thread=root.ts)
        await inbox.until(lambda: any(isinstance(one, Edited) for one in inbox.taken))

    last = inbox.taken[-1]
    assert isinstance(last, Edited)
    assert (last.replaces, last.may_be_new) == ("why?", False)


async def test_a_command_is_not_told_what_stands_above(server: SlackServer) -> None:
    chat, [ada, bob] = channel_of(server, "ada", "bob")
    async with connected(server) as (_, inbox):
        root = server.space.add(chat, bob, "The build is red.")
        await server.say(chat, ada, f"<@{AGENT}> !history 3", thread=root.ts)
        await inbox.next(2)
        await server.sockets.until(lambda: server.unacknowledged() == 0)

    assert {text_of(inbound) for inbound in inbox.taken} == {"/history 3"}


async def test_what_another_bot_said_above_is_told(server: SlackServer) -> None:
    """An alert, whose words are in its attachment, is what people ask about."""
    chat, [ada] = channel_of(server, "ada")
    async with connected(server) as (_, inbox):
        root = server.space.add(chat, "UOTHER", "Disk is full.")
        await server.say(chat, ada, f"<@{AGENT}>", thread=root.ts)
        first, *_ = await inbox.next()

    assert "> Disk is full." in text_of(first)


async def test_an_edit_that_comes_to_another_instance_keeps_what_stands_above(
    server: SlackServer,
) -> None:
    """It did not see the message itself."""
    chat, [ada, bob] = channel_of(server, "ada", "bob")
    root = server.space.add(chat, bob, "The build is red.")
    message = server.space.add(chat, ada, f"<@{AGENT}> why?", root.ts)
    server.space.add(chat, AGENT, "Because of a test.", root.ts)
    later = server.space.add(chat, ada, "and now?", root.ts)
    async with connected(server) as (_, inbox):
        await server.edit(chat, message.ts, f"<@{AGENT}> since when?")
        await server.edit(chat, later.ts, "and today?")
        await inbox.until(lambda: len(inbox.taken) == 2)

    assert [
        "In reply to bob:\n> The build is red.\n\nsince when?",
        "and today?",
    ] == [text_of(one) for one in inbox.taken]


@pytest.mark.parametrize(
    ("by_the_agent", "quoted"),
    [
        (True, "In reply to you:\n> Use a rope."),
        (False, "In reply to ada:\n> Use a rope."),
    ],
)
async def test_a_thread_in_a_direct_chat_is_told_what_began_it(
    server: SlackServer, by_the_agent: bool, quoted: str
) -> None:
    """It is a conversation of its own, and people answer one message there. Only its first
    message is told; also when a restart came between.
    """
    chat, ada = direct_chat(server)
    root = server.space.add(chat, AGENT if by_the_agent else ada, "Use a rope.")
    async with connected(server) as (_, inbox):
        await server.say(chat, ada, "why?", thread=root.ts)
        await inbox.until(lambda: any(isinstance(one, Edited) for one in inbox.taken))
        await server.say(chat, ada, "and then?", thread=root.ts)
        await inbox.until(lambda: text_of(inbox.taken[-1]) == "and then?")

    assert isinstance(inbox.taken[0], Said)
    assert ("why?", f"{quoted}\n\nwhy?") == (
        text_of(inbox.taken[0]),
        text_of(inbox.taken[1]),
    )


async def test_a_direct_chat_without_a_thread_is_told_nothing(
    server: SlackServer,
) -> None:
    """And its first message waits for nothing."""
    chat, ada = direct_chat(server)
    server.space.add(chat, AGENT, "Use a rope.")
    async with connected(server) as (_, inbox):
        await server.say(chat, ada, "why?")
        [first, *_] = await inbox.next()

    assert isinstance(first, Said)
    assert (False, "why?") == (first.more_follows, first.text)
