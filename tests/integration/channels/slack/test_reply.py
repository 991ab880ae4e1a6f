"""How answers grow on Slack: streamed, or edited where streams are refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from agent.core.messages import Placed
from tests.support.platforms.slack import Fault, SlackServer
from tests.support.platforms.slack.agent import slack
from tests.support.platforms.slack.answers import (
    TURN,
    direct,
    methods,
    screen,
    thread,
)


@pytest.fixture
async def server() -> AsyncIterator[SlackServer]:
    async with SlackServer(frozen=True).running() as server:
        yield server


async def test_in_a_thread_the_answer_is_streamed(server: SlackServer) -> None:
    """One message: started, appended to, and stopped with the rest."""
    address = thread(server)
    reply = slack(server).reply(address, None, [TURN])
    assert await reply.show("") is None
    for text in ("He", "Hello", "Hello wor"):
        await reply.show(text)

    placed = await reply.finish("Hello world!")

    assert screen(server, address) == ["Hello world!"]
    assert methods(server) == [
        "assistant.threads.setStatus",
        "chat.startStream",
        "chat.appendStream",
        "chat.appendStream",
        "chat.stopStream",
    ]
    assert placed == Placed((server.space.of_agent(address.chat)[0].ts,))


async def test_a_direct_chat_without_threads_is_served_by_edits(
    server: SlackServer,
) -> None:
    """Streams need a thread; the answer to a direct message is posted and edited."""
    address = direct(server)
    reply = slack(server).reply(address, None, [TURN])
    await reply.show("Hel")
    await reply.show("Hello")
    await reply.finish("Hello!")

    assert screen(server, address) == ["Hello!"]
    assert methods(server) == ["chat.postMessage", "chat.update", "chat.update"]


async def test_an_answer_is_shown_no_oftener_than_the_interval(
    server: SlackServer,
) -> None:
    """Between two states lies at least the interval; the newest text wins, and the final
    always comes.
    """
    address = direct(server)
    reply = slack(server, interval=2.0).reply(address, None, [TURN])
    for text in ("one", "one two", "one two three"):
        await reply.show(text)
        await server.clock.advance(1)

    await reply.finish("one two three four")
    sent = [given["blocks"][0]["text"] for _, given in server.space.calls]

    assert sent == ["one", "one two three", "one two three four"]


async def test_a_stream_never_reaches_five_minutes(server: SlackServer) -> None:
    """At four minutes it is closed and the message goes on by edits, so that nothing is cut off."""
    address = thread(server)
    reply = slack(server).reply(address, None, [TURN])
    await reply.show("one")
    await server.clock.advance(241)
    await reply.show("one two")
    await server.clock.advance(100)
    await reply.show("one two three")
    await reply.finish("one two three four")

    assert screen(server, address) == ["one two three four"]
    assert methods(server) == [
        "chat.startStream",
        "chat.stopStream",
        "chat.update",
        "chat.update",
    ]


async def test_a_dead_stream_is_recovered_by_an_edit(server: SlackServer) -> None:
    """Nothing came for five minutes, so that Slack closed the stream: the message shows the
    whole answer.
    """
    address = thread(server)
    reply = slack(server).reply(address, None, [TURN])
    await reply.show("one")
    await server.clock.advance(400)
    await reply.finish("one two")

    assert screen(server, address) == ["one two"]


async def test_a_stream_that_a_person_stopped_is_completed(
    server: SlackServer,
) -> None:
    """The final answer stands there even so."""
    address = thread(server)
    server.space.faults.append(Fault("stopped_by_user", method="chat.appendStream"))
    reply = slack(server).reply(address, None, [TURN])
    await reply.show("one")
    server.space.of_agent(address.chat)[0].streaming_since = None
    await reply.show("one two")
    await reply.finish("one two three")

    assert screen(server, address) == ["one two three"]


@pytest.mark.parametrize(
    "error",
    ["unknown_method", "not_allowed_token_type", "channel_type_not_supported"],
)
async def test_where_streams_are_refused_edits_follow_and_that_is_remembered(
    server: SlackServer, error: str
) -> None:
    """The first refusal is the last attempt."""
    address = thread(server)
    server.space.faults.append(Fault(error, method="chat.startStream", times=9))
    channel = slack(server)

    for _ in range(2):
        reply = channel.reply(address, None, [uuid4()])
        await reply.show("Hel")
        await reply.finish("Hello")

    assert screen(server, address) == ["Hello", "Hello"]
    assert methods(server).count("chat.startStream") == 1


async def test_where_nothing_can_be_edited_one_message_comes(
    server: SlackServer,
) -> None:
    """Without streams and edits the answer is posted whole, and what was begun is taken away."""
    address = thread(server)
    server.space.unknown_methods |= {"chat.startStream", "chat.update"}
    channel = slack(server)

    for _ in range(2):
        reply = channel.reply(address, None, [uuid4()])
        await reply.show("Hel")
        await reply.show("Hello")
        await reply.finish("Hello!")

    assert screen(server, address) == ["Hello!", "Hello!"]
    assert methods(server).count("chat.postMessage") == 3


async def test_a_status_that_is_refused_does_no_harm(server: SlackServer) -> None:
    """Thinking is not shown then, and not tried again."""
    address = thread(server)
    server.space.unknown_methods.add("assistant.threads.setStatus")
    reply = slack(server).reply(address, None, [TURN])
    await reply.show("")
    await reply.show("")
    await reply.finish("Hello")

    assert methods(server).count("assistant.threads.setStatus") == 1
    assert screen(server, address) == ["Hello"]


async def test_a_failing_draft_does_not_hurt_the_answer(server: SlackServer) -> None:
    """An append whose outcome is unknown is not appended again: the final edit says it all,
    once.
    """
    address = thread(server)
    reply = slack(server).reply(address, None, [TURN])
    await reply.show("one")
    server.space.faults.append(Fault("", method="chat.appendStream", lost=True))
    await reply.show("one two")
    await reply.finish("one two three")

    assert screen(server, address) == ["one two three"]
