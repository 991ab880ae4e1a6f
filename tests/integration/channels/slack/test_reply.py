"""How answers appear on Slack: streamed, edited or posted, whole, once, and in the right place."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.errors import DeliveryError, Undeliverable
from agent.core.messages import Address, Placed
from channels.slack.channel import Slack
from channels.slack.text import finished, harmless
from channels.slack.writer import LIMIT
from tests.support.platforms.slack import AGENT, Fault, SlackServer
from tests.support.platforms.slack.agent import connected, slack
from tests.support.platforms.slack.state import TEAM

TURN = UUID(int=7)
# about 22,000 characters
LONG = "\n\n".join(f"Paragraph {number}: " + "words " * 60 for number in range(60))


@pytest.fixture
async def server() -> AsyncIterator[SlackServer]:
    async with SlackServer(frozen=True).running() as server:
        yield server


def _thread(server: SlackServer) -> Address:
    ada = server.space.person("ada")
    chat = server.space.chat("C0GENERAL", "channel", ada)
    root = server.space.add(chat, ada, f"<@{AGENT}> question")

    return Address("slack", chat, root.ts, root.ts, {"user": ada, "team": TEAM})


def _direct(server: SlackServer) -> Address:
    ada = server.space.person("ada")
    chat = server.space.chat("D0ADA", "im", ada)
    asked = server.space.add(chat, ada, "question")

    return Address("slack", chat, "", asked.ts, {"user": ada, "team": TEAM})


def _screen(server: SlackServer, address: Address) -> list[str]:
    return [
        said.visible for said in server.space.of_agent(address.chat, address.thread)
    ]


def _methods(server: SlackServer) -> list[str]:
    return [method for method, _ in server.space.calls]


async def _show(channel: Slack, address: Address, *texts: str) -> Placed | None:
    reply = channel.reply(address, None, TURN)
    placed = None
    for text in texts:
        placed = await reply.show(text)

    return placed


# --- streaming ----------------------------------------------------------------


async def test_in_a_thread_the_answer_is_streamed(server: SlackServer) -> None:
    """One message: started, appended to, and stopped with the rest."""
    address = _thread(server)
    reply = slack(server).reply(address, None, TURN)
    assert await reply.show("") is None
    for text in ("He", "Hello", "Hello wor"):
        await reply.show(text)

    placed = await reply.finish("Hello world!")

    assert _screen(server, address) == ["Hello world!"]
    assert _methods(server) == [
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
    address = _direct(server)
    reply = slack(server).reply(address, None, TURN)
    await reply.show("Hel")
    await reply.show("Hello")
    await reply.finish("Hello!")

    assert _screen(server, address) == ["Hello!"]
    assert _methods(server) == ["chat.postMessage", "chat.update", "chat.update"]


async def test_an_answer_is_shown_no_oftener_than_the_interval(
    server: SlackServer,
) -> None:
    """Between two states lies at least the interval; the newest text wins, and the final
    always comes.
    """
    address = _direct(server)
    reply = slack(server, interval=2.0).reply(address, None, TURN)
    for text in ("one", "one two", "one two three"):
        await reply.show(text)
        await server.clock.advance(1)

    await reply.finish("one two three four")
    sent = [given["blocks"][0]["text"] for _, given in server.space.calls]

    assert sent == ["one", "one two three", "one two three four"]


async def test_a_stream_never_reaches_five_minutes(server: SlackServer) -> None:
    """At four minutes it is closed and the message goes on by edits, so that nothing is cut off."""
    address = _thread(server)
    reply = slack(server).reply(address, None, TURN)
    await reply.show("one")
    await server.clock.advance(241)
    await reply.show("one two")
    await server.clock.advance(100)
    await reply.show("one two three")
    await reply.finish("one two three four")

    assert _screen(server, address) == ["one two three four"]
    assert _methods(server) == [
        "chat.startStream",
        "chat.stopStream",
        "chat.update",
        "chat.update",
    ]


async def test_a_dead_stream_is_recovered_by_an_edit(server: SlackServer) -> None:
    """Nothing came for five minutes, so that Slack closed the stream: the message shows the
    whole answer.
    """
    address = _thread(server)
    reply = slack(server).reply(address, None, TURN)
    await reply.show("one")
    await server.clock.advance(400)
    await reply.finish("one two")

    assert _screen(server, address) == ["one two"]


async def test_a_stream_that_a_person_stopped_is_completed(server: SlackServer) -> None:
    """The final answer stands there even so."""
    address = _thread(server)
    server.space.faults.append(Fault("stopped_by_user", method="chat.appendStream"))
    reply = slack(server).reply(address, None, TURN)
    await reply.show("one")
    server.space.of_agent(address.chat)[0].streaming_since = None
    await reply.show("one two")
    await reply.finish("one two three")

    assert _screen(server, address) == ["one two three"]


@pytest.mark.parametrize(
    "error", ["unknown_method", "not_allowed_token_type", "channel_type_not_supported"]
)
async def test_where_streams_are_refused_edits_follow_and_that_is_remembered(
    server: SlackServer, error: str
) -> None:
    """The first refusal is the last attempt."""
    address = _thread(server)
    server.space.faults.append(Fault(error, method="chat.startStream", times=9))
    channel = slack(server)

    for _ in range(2):
        reply = channel.reply(address, None, uuid4())
        await reply.show("Hel")
        await reply.finish("Hello")

    assert _screen(server, address) == ["Hello", "Hello"]
    assert _methods(server).count("chat.startStream") == 1


async def test_where_nothing_can_be_edited_one_message_comes(
    server: SlackServer,
) -> None:
    """Without streams and edits the answer is posted whole, and what was begun is taken away."""
    address = _thread(server)
    server.space.unknown_methods |= {"chat.startStream", "chat.update"}
    channel = slack(server)

    for _ in range(2):
        reply = channel.reply(address, None, uuid4())
        await reply.show("Hel")
        await reply.show("Hello")
        await reply.finish("Hello!")

    assert _screen(server, address) == ["Hello!", "Hello!"]
    assert _methods(server).count("chat.postMessage") == 3


async def test_a_status_that_is_refused_does_no_harm(server: SlackServer) -> None:
    """Thinking is not shown then, and not tried again."""
    address = _thread(server)
    server.space.unknown_methods.add("assistant.threads.setStatus")
    reply = slack(server).reply(address, None, TURN)
    await reply.show("")
    await reply.show("")
    await reply.finish("Hello")

    assert _methods(server).count("assistant.threads.setStatus") == 1
    assert _screen(server, address) == ["Hello"]


async def test_a_failing_draft_does_not_hurt_the_answer(server: SlackServer) -> None:
    """An append whose outcome is unknown is not appended again: the final edit says it all,
    once.
    """
    address = _thread(server)
    reply = slack(server).reply(address, None, TURN)
    await reply.show("one")
    server.space.faults.append(Fault("", method="chat.appendStream", lost=True))
    await reply.show("one two")
    await reply.finish("one two three")

    assert _screen(server, address) == ["one two three"]


# --- length and format --------------------------------------------------------


@pytest.mark.parametrize("place", [_thread, _direct])
async def test_a_long_answer_becomes_several_messages(
    server: SlackServer, place: object
) -> None:
    """Nothing is lost and no message is over Slack's limit, whether it was shown while it
    grew or not.
    """
    address = place(server)  # type: ignore[operator]
    reply = slack(server).reply(address, None, TURN)
    for end in range(1_000, len(LONG), 1_500):
        await reply.show(LONG[:end])

    placed = await reply.finish(LONG)
    shown = _screen(server, address)

    assert "".join("".join(shown).split()) == "".join(LONG.split())
    assert [len(text) <= LIMIT for text in shown] == [True, True]
    assert placed.ids == tuple(said.ts for said in server.space.of_agent(address.chat))


async def test_code_grows_in_an_open_block(server: SlackServer) -> None:
    """While code is written its block is left open, so that the stream only grows."""
    address = _thread(server)
    reply = slack(server).reply(address, None, TURN)
    text = "See:\n```python\nprint(1)\nprint(2)\n```\nDone."
    for end in range(8, len(text), 5):
        await reply.show(text[:end])

    await reply.finish(text)

    assert _screen(server, address) == [text]
    assert set(_methods(server)) == {
        "chat.startStream",
        "chat.appendStream",
        "chat.stopStream",
    }


async def test_an_answer_that_became_shorter_leaves_nothing_behind(
    server: SlackServer,
) -> None:
    """What was shown and is not part of the answer is taken away."""
    address = _direct(server)
    reply = slack(server).reply(address, None, TURN)
    await reply.show(LONG)
    await reply.finish("In short: no.")

    assert _screen(server, address) == ["In short: no."]


@pytest.mark.parametrize("error", ["invalid_blocks", "msg_blocks_too_long"])
async def test_what_cannot_be_formatted_comes_as_plain_text(
    server: SlackServer, error: str
) -> None:
    """No answer is lost to its Markdown."""
    address = _direct(server)
    server.space.faults.append(Fault(error, method="chat.postMessage"))
    await slack(server).reply(address, None, TURN).finish("**broken <[markdown](")
    [said] = server.space.of_agent(address.chat)

    assert (said.visible, said.text, said.blocks) == (
        "**broken <[markdown](",
        "**broken &lt;[markdown](",
        [],
    )


async def test_a_long_plain_text_that_no_edit_takes_is_posted_instead(
    server: SlackServer,
) -> None:
    """Slack edits at most 4,000 characters of text into a message, but posts 40,000."""
    address = _direct(server)
    reply = slack(server).reply(address, None, TURN)
    await reply.show("broken")
    server.space.faults.append(Fault("invalid_blocks", method="chat.update"))
    text = "broken <[markdown](\n" + "words " * 1_000
    await reply.finish(text)

    assert [text.strip()] == [said.strip() for said in _screen(server, address)]


@pytest.mark.parametrize(
    "ping",
    ["<!channel>", "<!here|here>", "@everyone", "<!subteam^S012|@team>", "@Channel"],
)
async def test_a_model_cannot_ping_everyone(server: SlackServer, ping: str) -> None:
    """Neither while it is written nor in the end does Slack get a mention of a whole channel."""
    address = _thread(server)
    reply = slack(server).reply(address, None, TURN)
    text = f"Attention {ping} please"
    for end in range(1, len(text)):
        await reply.show(text[:end])

    await reply.finish(text)
    sent = " ".join(str(given) for _, given in server.space.calls)

    assert harmless(sent) == sent
    assert "<!" not in sent


@given(st.text(alphabet="<!@|>^ abchenrvyo\n", max_size=40))
def test_harmless_text_stays_harmless(text: str) -> None:
    """Neutralising is final: doing it again changes nothing."""
    assert harmless(harmless(text)) == harmless(text)


@given(
    st.text(alphabet="<!@|> chanelry", max_size=40),
    st.text(alphabet="<!@|> chanelry", max_size=20),
)
def test_a_growing_text_never_takes_back_what_was_shown(text: str, more: str) -> None:
    """What is shown of a text is the beginning of what is shown of a longer one."""
    assert harmless(text + more).startswith(harmless(finished(text)))


# --- other instances, crashes, limits -----------------------------------------


async def test_another_instance_finishes_an_open_stream(server: SlackServer) -> None:
    """It knows only where the message stands: it closes the stream and edits."""
    address = _thread(server)
    placed = await _show(slack(server), address, "one tw")
    await (
        slack(server).reply(address, placed, TURN, repeat=True).finish("one two three")
    )

    assert _screen(server, address) == ["one two three"]


async def test_an_answer_that_arrived_unseen_is_recognised(server: SlackServer) -> None:
    """Posted, but not recorded: the message carries its turn, and the next instance finds it."""
    address = _direct(server)
    await slack(server).reply(address, None, TURN).finish(LONG)
    placed = await slack(server).reply(address, None, TURN, repeat=True).finish(LONG)

    assert len(_screen(server, address)) == 2
    assert placed.ids == tuple(said.ts for said in server.space.of_agent(address.chat))


async def test_a_lost_answer_of_slack_does_not_double_the_message(
    server: SlackServer,
) -> None:
    """The post was carried out but its answer cut off: trying again with the same reply
    edits it.
    """
    address = _direct(server)
    server.space.faults.append(Fault("", method="chat.postMessage", lost=True))
    reply = slack(server).reply(address, None, TURN)
    with pytest.raises(DeliveryError):
        await reply.finish("Hello")

    await reply.finish("Hello")

    assert _screen(server, address) == ["Hello"]


async def test_a_stream_whose_start_was_not_seen_is_found_again(
    server: SlackServer,
) -> None:
    """It was started, but the answer to that was lost: finishing completes it, and there is
    one message.
    """
    address = _thread(server)
    server.space.faults.append(Fault("", method="chat.startStream", lost=True))
    reply = slack(server).reply(address, None, TURN)
    assert await reply.show("one") is None
    await reply.show("one two")
    await reply.finish("one two three")

    assert _screen(server, address) == ["one two three"]


async def test_what_may_be_a_repeat_says_so(server: SlackServer) -> None:
    """Where Slack does not let us look, the text is labelled."""
    address = _direct(server)
    server.space.scopes -= {"im:history"}
    await slack(server).reply(address, None, TURN, repeat=True).finish("Hello")

    assert _screen(server, address) == ["*(This may be a repeat.)*\n\nHello"]


async def test_finishing_twice_changes_nothing(server: SlackServer) -> None:
    """The second time finds everything in place."""
    address = _thread(server)
    reply = slack(server).reply(address, None, TURN)
    first = await reply.finish("Hello")

    assert await reply.finish("Hello") == first
    assert _screen(server, address) == ["Hello"]


async def test_a_message_that_was_deleted_is_posted_again(server: SlackServer) -> None:
    """Somebody deleted the growing answer: it comes as a new message."""
    address = _direct(server)
    reply = slack(server).reply(address, None, TURN)
    await reply.show("Hel")
    server.space.chats[address.chat].pop()
    await reply.finish("Hello")

    assert _screen(server, address) == ["Hello"]


async def test_a_rate_limit_delays_the_answer_and_drops_drafts(
    server: SlackServer,
) -> None:
    """Retry-After is honoured to the end, then the whole answer comes."""
    address = _thread(server)
    server.space.faults.append(
        Fault(
            "ratelimited",
            chat=address.chat,
            times=2,
            retry_after=0.05,
        )
    )
    reply = slack(server).reply(address, None, TURN)
    await reply.show("one")
    await reply.show("one two")
    await reply.finish("one two three")

    assert _screen(server, address) == ["one two three"]
    assert server.early_calls == 0


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("not_in_channel", Undeliverable),
        ("is_archived", Undeliverable),
        ("channel_not_found", Undeliverable),
        ("internal_error", DeliveryError),
        ("token_revoked", DeliveryError),
        ("missing_scope", DeliveryError),
    ],
)
async def test_refusals_say_whether_another_attempt_helps(
    server: SlackServer,
    error: str,
    kind: type[DeliveryError],
) -> None:
    """Undeliverable is for chats that will not come back, DeliveryError for all else."""
    address = _direct(server)
    server.space.faults.append(
        Fault(error, method="chat.postMessage", more={"needed": "chat:write"})
    )
    with pytest.raises(DeliveryError) as raised:
        await slack(server).reply(address, None, TURN).finish("Hello")

    assert isinstance(raised.value, Undeliverable) == (kind is Undeliverable)
    assert error in raised.value.sentence or error == "missing_scope"


async def test_a_server_that_is_away_is_worth_another_try(server: SlackServer) -> None:
    """No connection is no refusal."""
    address = _direct(server)
    channel = slack(server, api_url="http://127.0.0.1:9/api/")
    with pytest.raises(DeliveryError) as raised:
        await channel.reply(address, None, TURN).finish("Hello")

    assert not isinstance(raised.value, Undeliverable)


# --- commands -----------------------------------------------------------------


async def test_a_command_in_a_channel_is_answered_to_its_author_alone(
    server: SlackServer,
) -> None:
    """Even where the agent is not a member, through the address that came with the command."""
    ada = server.space.person("ada")
    chat = server.space.chat("C0ELSEWHERE", "channel", ada, agent=False)

    async with connected(server) as (channel, inbox):
        await server.command(chat, ada, "/help")
        [inbound] = await inbox.next()
        reply = channel.reply(inbound.address, None, inbound.turn_id)
        assert await reply.show("so far") is None
        await reply.finish("You can …")

    assert [(said.visible, said.only_for) for said in server.space.of_agent(chat)] == [
        ("You can …", ada)
    ]


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
    await slack(server).reply(address, None, TURN).finish("You can …")
    where = chat if member else "D" + ada[1:]

    assert [said.visible for said in server.space.of_agent(where)] == ["You can …"]
