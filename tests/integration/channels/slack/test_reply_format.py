"""Length and format of answers on Slack."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.slack.text import finished, harmless
from channels.slack.writer import LIMIT
from tests.support.platforms.slack import Fault, SlackServer
from tests.support.platforms.slack.agent import slack
from tests.support.platforms.slack.answers import (
    LONG,
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


@pytest.mark.parametrize("place", [thread, direct])
async def test_a_long_answer_becomes_several_messages(
    server: SlackServer, place: object
) -> None:
    """Nothing is lost and no message is over Slack's limit, whether it was shown while it
    grew or not.
    """
    address = place(server)  # type: ignore[operator]
    reply = slack(server).reply(address, None, [TURN])
    for end in range(1_000, len(LONG), 1_500):
        await reply.show(LONG[:end])

    placed = await reply.finish(LONG)
    shown = screen(server, address)

    assert "".join("".join(shown).split()) == "".join(LONG.split())
    assert [len(text) <= LIMIT for text in shown] == [True, True]
    assert placed.ids == tuple(
        message.ts for message in server.space.of_agent(address.chat)
    )


async def test_code_grows_in_an_open_block(server: SlackServer) -> None:
    """While code is written its block is left open, so that the stream only grows."""
    address = thread(server)
    reply = slack(server).reply(address, None, [TURN])
    text = "See:\n```python\nprint(1)\nprint(2)\n```\nDone."
    for end in range(8, len(text), 5):
        await reply.show(text[:end])

    await reply.finish(text)

    assert screen(server, address) == [text]
    assert set(methods(server)) == {
        "chat.startStream",
        "chat.appendStream",
        "chat.stopStream",
    }


async def test_an_answer_that_became_shorter_leaves_nothing_behind(
    server: SlackServer,
) -> None:
    """What was shown and is not part of the answer is taken away."""
    address = direct(server)
    reply = slack(server).reply(address, None, [TURN])
    await reply.show(LONG)
    await reply.finish("In short: no.")

    assert screen(server, address) == ["In short: no."]


@pytest.mark.parametrize("error", ["invalid_blocks", "msg_blocks_too_long"])
async def test_what_cannot_be_formatted_comes_as_plain_text(
    server: SlackServer, error: str
) -> None:
    """No answer is lost to its Markdown."""
    address = direct(server)
    server.space.faults.append(Fault(error, method="chat.postMessage"))
    await slack(server).reply(address, None, [TURN]).finish("**broken <[markdown](")
    [message] = server.space.of_agent(address.chat)

    assert (message.visible, message.text, message.blocks) == (
        "**broken <[markdown](",
        "**broken &lt;[markdown](",
        [],
    )


async def test_a_long_plain_text_that_no_edit_takes_is_posted_instead(
    server: SlackServer,
) -> None:
    """Slack edits at most 4,000 characters of text into a message, but posts 40,000."""
    address = direct(server)
    reply = slack(server).reply(address, None, [TURN])
    await reply.show("broken")
    server.space.faults.append(Fault("invalid_blocks", method="chat.update"))
    text = "broken <[markdown](\n" + "words " * 1_000
    await reply.finish(text)

    assert [text.strip()] == [message.strip() for message in screen(server, address)]


@pytest.mark.parametrize(
    "ping",
    ["<!channel>", "<!here|here>", "@everyone", "<!subteam^S012|@team>", "@Channel"],
)
async def test_a_model_cannot_ping_everyone(server: SlackServer, ping: str) -> None:
    """Neither while it is written nor in the end does Slack get a mention of a whole channel."""
    address = thread(server)
    reply = slack(server).reply(address, None, [TURN])
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
