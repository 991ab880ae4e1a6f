"""What people do on Slack arrives as the right Inbound, once it is durable, and nothing
else does.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from agent.core.commands import COMMANDS
from agent.core.messages import Address, Deleted, Edited, Said
from tests.support.inbound import text_of
from tests.support.platforms.slack import AGENT, Fault, SlackServer
from tests.support.platforms.slack.agent import channel_of, connected, direct_chat
from tests.support.platforms.slack.state import TEAM, payload


@pytest.fixture
async def server() -> AsyncIterator[SlackServer]:
    async with SlackServer(redeliver_after=0.1).running() as server:
        yield server


async def test_a_direct_message_is_one_conversation_with_its_author(
    server: SlackServer,
) -> None:
    """A direct chat has no thread, needs no mention, and names whom the answer is for."""
    chat, ada = direct_chat(server)
    async with connected(server) as (_, inbox):
        ts = await server.say(
            chat, ada, "1 &lt; 2 &amp;&amp; <https://a.example|a.example>"
        )
        [inbound] = await inbox.next()

    assert inbound.address == Address(
        "slack", chat, "", ts, {"user": ada, "team": TEAM}
    )
    assert (inbound.message_id, inbound.user_id, inbound.direct) == (ts, ada, True)
    assert text_of(inbound) == "1 < 2 && https://a.example"


async def test_a_direct_message_in_a_thread_belongs_to_that_thread(
    server: SlackServer,
) -> None:
    """Each thread in a direct chat is a conversation of its own."""
    chat, ada = direct_chat(server)
    root = server.space.add(chat, ada, "earlier")
    async with connected(server) as (_, inbox):
        await server.say(chat, ada, "and here?", thread=root.ts)
        [inbound] = await inbox.next()

    assert (inbound.address.thread, inbound.direct) == (root.ts, True)


async def test_a_mention_begins_a_thread_and_arrives_as_one_turn(
    server: SlackServer,
) -> None:
    """message.channels and app_mention of one message have the same turn, in the thread
    under it.
    """
    chat, [ada] = channel_of(server, "ada")
    async with connected(server) as (_, inbox):
        ts = await server.say(chat, ada, f"<@{AGENT}> what is a fence?")
        first, second = await inbox.next(2)

    assert first.turn_id == second.turn_id
    assert (first.address.thread, first.address.message) == (ts, ts)
    assert (text_of(first), first.username, first.direct) == (
        "what is a fence?",
        "ada",
        False,
    )


async def test_in_channels_only_what_is_said_to_the_agent_is_taken(
    server: SlackServer,
) -> None:
    """Talk without a mention, other threads and mentions of others are acknowledged and
    left alone.
    """
    chat, [ada, bob] = channel_of(server, "ada", "bob")
    async with connected(server) as (_, inbox):
        root = await server.say(chat, ada, "lunch?")
        await server.say(chat, bob, "yes", thread=root)
        await server.say(chat, bob, f"hey <@{ada}>")
        await server.say(chat, ada, f"and you, <@{AGENT}>, hungry?")
        await inbox.next(2)
        await server.sockets.until(lambda: server.unacknowledged() == 0)

    assert {text_of(inbound) for inbound in inbox.taken} == {"and you, hungry?"}


async def test_in_its_threads_the_agent_needs_no_further_mention(
    server: SlackServer,
) -> None:
    """After one mention every message in the thread counts, except to other people."""
    chat, [ada, bob] = channel_of(server, "ada", "bob")
    async with connected(server) as (_, inbox):
        root = await server.say(chat, ada, f"<@{AGENT}> hello")
        await server.say(chat, bob, "me too", thread=root)
        await server.say(chat, bob, f"<@{ada}> look", thread=root)
        await server.say(chat, ada, "!history 3", thread=root)
        await inbox.next(4)
        await server.sockets.until(lambda: server.unacknowledged() == 0)

    assert [text_of(i) for i in inbox.taken if text_of(i) != "hello"] == [
        "me too",
        "/history 3",
    ]
    assert {i.address.key for i in inbox.taken} == {("slack", chat, root)}
    assert {i.username for i in inbox.taken} == {"ada", "bob"}


async def test_after_a_restart_the_agent_knows_its_threads(
    server: SlackServer,
) -> None:
    """A thread that it has written in is asked of Slack, not remembered only."""
    chat, [ada] = channel_of(server, "ada")
    root = server.space.add(chat, ada, f"<@{AGENT}> earlier")
    server.space.add(chat, AGENT, "answer", root.ts)
    async with connected(server) as (_, inbox):
        await server.say(chat, ada, "are you still there?", thread=root.ts)
        [inbound] = await inbox.next()

    assert text_of(inbound) == "are you still there?"


async def test_a_thread_that_cannot_be_looked_up_comes_again(
    server: SlackServer,
) -> None:
    """When Slack fails to say whose thread it is, the message is not acknowledged and so
    not lost.
    """
    chat, [ada] = channel_of(server, "ada")
    root = server.space.add(chat, ada, f"<@{AGENT}> earlier")
    server.space.faults.append(
        Fault("internal_error", method="conversations.replies")
    )
    async with connected(server) as (_, inbox):
        await server.say(chat, ada, "hello?", thread=root.ts)
        [inbound] = await inbox.next()

    assert text_of(inbound) == "hello?"
    assert server.deliveries[-1].attempts == 2


@pytest.mark.parametrize(
    "name", ["bot_message", "own_message", "channel_join", "app_home_opened"]
)
async def test_bots_itself_and_remarks_are_ignored(
    server: SlackServer, name: str
) -> None:
    """What no person wrote is acknowledged and nothing else."""
    chat, ada = direct_chat(server)
    async with connected(server) as (_, inbox):
        await server.emit(payload(name)["event"])
        await server.say(chat, ada, "a person")
        await inbox.next()
        await server.sockets.until(lambda: server.unacknowledged() == 0)

    assert [text_of(inbound) for inbound in inbox.taken] == ["a person"]


async def test_edits_and_deletions_name_the_message(server: SlackServer) -> None:
    """They have the turn of the message they change; an edit brings the new text."""
    chat, ada = direct_chat(server)
    async with connected(server) as (_, inbox):
        ts = await server.say(chat, ada, "frist")
        await server.edit(chat, ts, "first")
        await server.remove(chat, ts)
        new, edit, delete = await inbox.next(3)

    assert {new.turn_id, edit.turn_id, delete.turn_id} == {new.turn_id}
    assert [(type(i), text_of(i)) for i in (new, edit, delete)] == [
        (Said, "frist"),
        (Edited, "first"),
        (Deleted, ""),
    ]


async def test_an_unchanged_text_is_no_edit(server: SlackServer) -> None:
    """Slack reports unfurled links as changes of the message; they change nothing here."""
    chat, ada = direct_chat(server)
    async with connected(server) as (_, inbox):
        ts = await server.say(chat, ada, "see https://a.example")
        await server.edit(chat, ts, "see https://a.example")
        await inbox.next()
        await server.sockets.until(lambda: server.unacknowledged() == 0)

    assert [type(inbound) for inbound in inbox.taken] == [Said]


async def test_attachments_are_named_in_the_text(server: SlackServer) -> None:
    """A file shows as its kind, name and size."""
    chat, ada = direct_chat(server)
    files = payload("file_share")["event"]["files"]
    async with connected(server) as (_, inbox):
        await server.say(chat, ada, "look", files=files)
        [inbound] = await inbox.next()

    assert text_of(inbound) == "look\n[image photo.jpg, 120 kB]"


@pytest.mark.parametrize("command", [command.name for command in COMMANDS])
async def test_slash_commands_are_the_cores_commands(
    server: SlackServer, command: str
) -> None:
    """`/name argument`, acknowledged once it is durable. Slack keeps `/search` for itself."""
    chat, [ada] = channel_of(server, "ada")
    name = "find" if command == "search" else command
    async with connected(server) as (_, inbox):
        delivery = await server.command(chat, ada, f"/{name}", "x")
        [inbound] = await inbox.next()
        await server.sockets.until(lambda: delivery.acknowledged)

    assert (text_of(inbound), inbound.user_id, inbound.direct) == (
        f"/{command} x",
        ada,
        False,
    )


async def test_one_command_may_carry_all_others(server: SlackServer) -> None:
    """Where names collide an operator registers `/agent`: its argument is the command."""
    chat, ada = direct_chat(server)
    async with connected(server) as (_, inbox):
        await server.command(chat, ada, "/agent", "history 5")
        [inbound] = await inbox.next()

    assert text_of(inbound) == "/history 5"


async def test_switched_off_commands_say_so(server: SlackServer) -> None:
    """With the flag off a slash command is answered by one sentence and reaches nobody."""
    chat, ada = direct_chat(server)
    async with connected(server, slash_commands=lambda: False) as (_, inbox):
        delivery = await server.command(chat, ada, "/new")
        await server.sockets.until(lambda: delivery.acknowledged)

    assert inbox.taken == []
    assert [message.text for message in server.space.of_agent(chat)] == [
        "Commands are switched off here; just write to me."
    ]


async def test_nothing_is_acknowledged_before_it_is_durable(
    server: SlackServer,
) -> None:
    """While the database is away Slack keeps the message and delivers it again until it is
    stored.
    """
    chat, ada = direct_chat(server)
    async with connected(server) as (_, inbox):
        inbox.broken = True
        await server.say(chat, ada, "keep this")
        await inbox.until(lambda: inbox.tried >= 2)
        assert server.unacknowledged() == 1
        inbox.broken = False
        [inbound] = await inbox.next()
        await server.sockets.until(lambda: server.unacknowledged() == 0)

    assert text_of(inbound) == "keep this"


async def test_messages_of_a_chat_keep_their_order(server: SlackServer) -> None:
    """Fifty messages sent at once are accepted in the order Slack sent them."""
    chat, [ada] = channel_of(server, "ada")
    root = server.space.add(chat, AGENT, "hello")

    async with connected(server) as (_, inbox):
        for number in range(50):
            await server.say(chat, ada, str(number), thread=root.ts)

        await inbox.next(50)

    # Slack delivers again what a busy machine acknowledges late
    first = dict.fromkeys(text_of(inbound) for inbound in inbox.taken)
    assert [*first] == [str(number) for number in range(50)]


async def test_a_new_assistant_thread_gets_prompts_and_a_title(
    server: SlackServer,
) -> None:
    """A new one shows suggestions; its first message becomes its title."""
    chat, ada = direct_chat(server)
    root = server.space.add(chat, ada, "New chat")
    event = payload("assistant_thread_started")["event"]
    event["assistant_thread"] |= {"channel_id": chat, "thread_ts": root.ts}

    async with connected(server) as (_, inbox):
        await server.emit(event)
        await server.sockets.until(lambda: server.unacknowledged() == 0)
        await server.say(chat, ada, "Rivers\nof Europe", thread=root.ts)
        await inbox.next()
        await _calls(server, "assistant.threads.setTitle")

    assert [prompt["thread_ts"] for prompt in server.space.prompts] == [root.ts]
    assert [title["title"] for title in server.space.titles] == ["Rivers"]


async def _calls(server: SlackServer, method: str) -> None:
    await server.sockets.until(
        lambda: any(name == method for name, _ in server.space.calls)
    )
