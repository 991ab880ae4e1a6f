"""Answers on Slack after a crash, a lost response or a limit; answers to commands."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from msgspec.structs import replace

from agent.core.errors import AnswerRefused, DeliveryError, Undeliverable
from agent.core.messages import Address
from tests.support.platforms.slack import Fault, SlackServer
from tests.support.platforms.slack.agent import connected, slack
from tests.support.platforms.slack.answers import (
    LONG,
    TURN,
    direct,
    screen,
    show,
    thread,
)
from tests.support.platforms.slack.state import TEAM


@pytest.fixture
async def server() -> AsyncIterator[SlackServer]:
    async with SlackServer(frozen=True).running() as server:
        yield server


async def test_another_instance_finishes_an_open_stream(server: SlackServer) -> None:
    """It knows only where the message stands: it closes the stream and edits."""
    address = thread(server)
    placed = await show(slack(server), address, "one tw")
    await (
        slack(server)
        .reply(address, placed, [TURN], repeat=True)
        .finish("one two three")
    )

    assert screen(server, address) == ["one two three"]


async def test_an_answer_that_arrived_unseen_is_recognised(
    server: SlackServer,
) -> None:
    """Posted, but not recorded: the message carries its turn, and the next instance finds it."""
    address = direct(server)
    await slack(server).reply(address, None, [TURN]).finish(LONG)
    placed = (
        await slack(server).reply(address, None, [TURN], repeat=True).finish(LONG)
    )

    assert len(screen(server, address)) == 2
    assert placed.ids == tuple(
        message.ts for message in server.space.of_agent(address.chat)
    )


async def test_a_lost_answer_of_slack_does_not_double_the_message(
    server: SlackServer,
) -> None:
    """The post was carried out but its answer cut off: trying again with the same reply
    edits it.
    """
    address = direct(server)
    server.space.faults.append(Fault("", method="chat.postMessage", lost=True))
    reply = slack(server).reply(address, None, [TURN])
    with pytest.raises(DeliveryError):
        await reply.finish("Hello")

    await reply.finish("Hello")

    assert screen(server, address) == ["Hello"]


async def test_a_stream_whose_start_was_not_seen_is_found_again(
    server: SlackServer,
) -> None:
    """It was started, but the answer to that was lost: finishing completes it, and there is
    one message.
    """
    address = thread(server)
    server.space.faults.append(Fault("", method="chat.startStream", lost=True))
    reply = slack(server).reply(address, None, [TURN])
    assert await reply.show("one") is None
    await reply.show("one two")
    await reply.finish("one two three")

    assert screen(server, address) == ["one two three"]


async def test_what_may_be_a_repeat_says_so(server: SlackServer) -> None:
    """Where Slack does not let us look, the text is labelled."""
    address = direct(server)
    server.space.scopes -= {"im:history"}
    await slack(server).reply(address, None, [TURN], repeat=True).finish("Hello")

    assert screen(server, address) == ["*(This may be a repeat.)*\n\nHello"]


async def test_finishing_twice_changes_nothing(server: SlackServer) -> None:
    """The second time finds everything in place."""
    address = thread(server)
    reply = slack(server).reply(address, None, [TURN])
    first = await reply.finish("Hello")

    assert await reply.finish("Hello") == first
    assert screen(server, address) == ["Hello"]


async def test_a_message_that_was_deleted_is_posted_again(
    server: SlackServer,
) -> None:
    """Somebody deleted the growing answer: it comes as a new message."""
    address = direct(server)
    reply = slack(server).reply(address, None, [TURN])
    await reply.show("Hel")
    server.space.chats[address.chat].pop()
    await reply.finish("Hello")

    assert screen(server, address) == ["Hello"]


async def test_a_rate_limit_delays_the_answer_and_drops_drafts(
    server: SlackServer,
) -> None:
    """Retry-After is honoured to the end, then the whole answer comes."""
    address = thread(server)
    server.space.faults.append(
        Fault(
            "ratelimited",
            chat=address.chat,
            times=2,
            retry_after=0.05,
        )
    )
    reply = slack(server).reply(address, None, [TURN])
    await reply.show("one")
    await reply.show("one two")
    await reply.finish("one two three")

    assert screen(server, address) == ["one two three"]
    assert server.early_calls == 0


VERDICTS = [
    *((code, Undeliverable) for code in ("not_in_channel", "is_archived")),
    *((code, Undeliverable) for code in ("channel_not_found", "restricted_action")),
    *((code, DeliveryError) for code in ("internal_error", "service_unavailable")),
    *((code, DeliveryError) for code in ("token_revoked", "team_added_to_org")),
    ("missing_scope", AnswerRefused),
    ("cannot_reply_to_message", AnswerRefused),
    ("restricted_action_thread_only_channel", AnswerRefused),
    ("metadata_too_large", AnswerRefused),
    ("invalid_arguments", AnswerRefused),
    ("invalid_blocks", AnswerRefused),
    ("never_heard_of_this", AnswerRefused),
]
"""What Slack says, and whether another try helps: never, perhaps for another answer, later."""


@pytest.mark.parametrize(("error", "kind"), VERDICTS)
async def test_refusals_say_whether_another_attempt_helps(
    server: SlackServer,
    error: str,
    kind: type[DeliveryError],
) -> None:
    address = direct(server)
    _refuse(server, "chat.postMessage", error)
    with pytest.raises(DeliveryError) as raised:
        await slack(server).reply(address, None, [TURN]).finish("Hello")

    assert _kind(raised.value) is kind
    assert error in raised.value.sentence or error == "missing_scope"


@pytest.mark.parametrize(("error", "kind"), VERDICTS)
async def test_refusals_of_a_commands_answer_say_so_as_well(
    server: SlackServer,
    error: str,
    kind: type[DeliveryError],
) -> None:
    address = replace(thread(server), thread="", extra={"user": "U1", "command": "1"})
    for method in ("chat.postEphemeral", "chat.postMessage"):
        _refuse(server, method, error)
    with pytest.raises(DeliveryError) as raised:
        await slack(server).reply(address, None, [TURN]).finish("Hello")

    assert _kind(raised.value) is kind


def _refuse(server: SlackServer, method: str, error: str) -> None:
    more = {"needed": "chat:write"}
    server.space.faults.append(Fault(error, method=method, times=9, more=more))


def _kind(error: DeliveryError) -> type[DeliveryError]:
    kinds = (Undeliverable, AnswerRefused)

    return next((kind for kind in kinds if isinstance(error, kind)), DeliveryError)


async def test_a_server_that_is_away_is_worth_another_try(
    server: SlackServer,
) -> None:
    """No connection is no refusal."""
    address = direct(server)
    channel = slack(server, api_url="http://127.0.0.1:9/api/")
    with pytest.raises(DeliveryError) as raised:
        await channel.reply(address, None, [TURN]).finish("Hello")

    assert not isinstance(raised.value, Undeliverable)


# --- commands ---


async def test_a_command_in_a_channel_is_answered_to_its_author_alone(
    server: SlackServer,
) -> None:
    """Even where the agent is not a member, through the address that came with the command."""
    ada = server.space.person("ada")
    chat = server.space.chat("C0ELSEWHERE", "channel", ada, agent=False)

    async with connected(server) as (channel, inbox):
        await server.command(chat, ada, "/help")
        [inbound] = await inbox.next()
        reply = channel.reply(inbound.address, None, [inbound.turn_id])
        assert await reply.show("so far") is None
        await reply.finish("You can …")

    assert [
        (message.visible, message.only_for) for message in server.space.of_agent(chat)
    ] == [("You can …", ada)]


@pytest.mark.parametrize("member", [True, False])
async def test_another_instance_answers_a_command_without_its_address(
    server: SlackServer, member: bool
) -> None:
    """The response_url is a secret and is not stored: the answer goes to the channel, else
    to the person.
    """
    ada = server.space.person("ada")
    chat = server.space.chat("C0ELSEWHERE", "channel", ada, agent=member)
    address = Address(
        "slack",
        chat,
        extra={
            "user": ada,
            "team": TEAM,
            "command": "1",
        },
    )
    await slack(server).reply(address, None, [TURN]).finish("You can …")
    where = chat if member else "D" + ada[1:]

    assert [message.visible for message in server.space.of_agent(where)] == [
        "You can …"
    ]
