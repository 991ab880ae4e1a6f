"""What people say on Discord reaches the core: once, in order, and only what is meant for
the agent.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from agent.core.errors import ConfigurationError
from agent.core.messages import Deleted, Edited, Said
from channels.discord.events import MENTION_SECONDS
from tests.support.inbound import text_of
from tests.support.platforms.discord import DiscordServer, payload
from tests.support.platforms.discord.listening import Core, make_channel, running


@pytest.fixture
async def server() -> AsyncIterator[DiscordServer]:
    async with DiscordServer() as server:
        yield server


@pytest.fixture
async def core(server: DiscordServer) -> AsyncIterator[Core]:
    core = Core(server)
    async with running(make_channel(server), core):
        yield core


async def heard(core: Core, count: int) -> list[str]:
    """The accepted texts, once there are this many and a last marker has come through."""
    marker = core.server.state.add_direct("zoe")
    core.server.state.say(marker, "that is all", user="zoe")
    await core.server.until(
        lambda: "that is all" in core.texts and len(core.texts) > count
    )

    return [text for text in core.texts if text != "that is all"]


def mention(server: DiscordServer) -> str:
    return f"<@{server.state.bot['id']}>"


async def test_a_direct_message_is_direct_and_names_its_author(
    server: DiscordServer, core: Core
) -> None:
    chat = server.state.add_direct("ada")
    message = server.state.say(chat, "hello", user="ada")
    await heard(core, 1)
    inbound = core.accepted[0]

    assert (text_of(inbound), inbound.username, inbound.direct) == (
        "hello",
        "Ada",
        True,
    )
    assert (chat, message["id"]) == (inbound.address.chat, inbound.message_id)
    assert message["id"] == inbound.address.message


async def test_in_a_group_only_mentions_of_and_replies_to_the_agent_count(
    server: DiscordServer, core: Core
) -> None:
    town = server.state.add_channel("town")
    mine = server.state.add_message(
        town, {"author": server.state.bot, "content": "I am here"}
    )
    others = server.state.say(town, "just between us", user="bob")
    server.state.say(town, f"hey {mention(server)} are you there?", user="ada")
    answer = {
        "type": 19,
        "message_reference": {"message_id": mine["id"], "channel_id": town},
    }
    server.state.say(
        town,
        "good",
        user="ada",
        referenced_message=mine,
        **answer,
    )
    answer = {
        "type": 19,
        "message_reference": {"message_id": others["id"], "channel_id": town},
    }
    server.state.say(
        town,
        "yes, us",
        user="ada",
        referenced_message=others,
        **answer,
    )

    assert await heard(core, 2) == [
        "hey are you there?",
        "In reply to you:\n> I am here\n\ngood",
    ]
    assert not core.accepted[0].direct


async def test_a_mention_of_the_agents_role_is_a_mention_of_the_agent() -> None:
    """People pick the role that Discord made for the bot, because it bears the same name."""
    async with DiscordServer() as server:
        role = payload(
            "role",
            id="77",
            name="agent",
            managed=True,
            tags={"bot_id": server.state.bot["id"]},
        )
        server.state.extra_roles.append(role)
        core = Core(server)

        async with running(make_channel(server), core):
            server.state.say(
                server.state.add_channel("town"), "<@&77> hello", user="ada"
            )
            assert await heard(core, 1) == ["hello"]


async def test_other_people_are_named_in_the_text(
    server: DiscordServer, core: Core
) -> None:
    bob = server.state.person("bob")["id"]
    town = server.state.add_channel("town")
    server.state.say(town, f"{mention(server)} what does <@{bob}> mean?", user="ada")

    assert await heard(core, 1) == ["what does @Bob mean?"]


async def test_bots_webhooks_the_agent_itself_and_notices_are_ignored(
    server: DiscordServer, core: Core
) -> None:
    chat = server.state.add_direct("ada")
    server.state.say(
        chat, "beep", user="ada", author=server.state.person("robot", bot=True)
    )
    server.state.say(chat, "me", user="ada", author=server.state.bot)
    server.state.say(chat, "hook", user="ada", webhook_id="5")
    server.state.say(chat, "pinned a message", user="ada", type=6)

    assert await heard(core, 0) == []


async def test_in_a_thread_it_takes_part_in_the_agent_hears_what_is_said_to_nobody_else(
    server: DiscordServer, core: Core
) -> None:
    bob = server.state.person("bob")["id"]
    thread = server.state.add_thread(server.state.add_channel("town"), "plans")
    server.state.say(thread, "not yet", user="ada")
    server.state.say(thread, f"{mention(server)} join us", user="ada")
    server.state.say(thread, "and me", user="bob")
    server.state.say(thread, f"<@{bob}> not you, it", user="ada")

    assert await heard(core, 2) == ["join us", "and me"]
    assert {thread} == {
        inbound.address.chat
        for inbound in core.accepted
        if text_of(inbound) != "that is all"
    }
    assert [inbound.username for inbound in core.accepted[:2]] == ["Ada", "Bob"]


async def test_what_is_attached_is_named(server: DiscordServer, core: Core) -> None:
    chat = server.state.add_direct("ada")
    paper = payload(
        "attachment",
        filename="plan.pdf",
        size=2_500_000,
        content_type="application/pdf",
    )
    server.state.say(
        chat, "look", user="ada", attachments=[payload("attachment"), paper]
    )

    for name in ("message_sticker", "message_forward"):
        recorded = payload(name)
        fields = {
            key: recorded[key]
            for key in ("sticker_items", "message_snapshots")
            if key in recorded
        }
        server.state.say(chat, "", user="ada", **fields)

    expected = [
        "look\n[image photo.jpg, 120 kB]\n[file plan.pdf, 2.5 MB]",
        "[sticker Wave]",
        "Forwarded:\n> hello",
    ]

    assert expected == await heard(core, 3)


async def test_an_edit_is_told_with_the_message_it_changes(
    server: DiscordServer, core: Core
) -> None:
    town = server.state.add_channel("town")
    message = server.state.say(town, f"{mention(server)} helo", user="ada")
    server.state.edit(message["id"], "hello")
    await heard(core, 2)
    new, edit = [i for i in core.accepted if i.message_id == message["id"]]

    assert (new.turn_id, "hello", Edited) == (edit.turn_id, text_of(edit), type(edit))


async def test_an_answered_message_that_is_not_sent_along_is_asked_for(
    server: DiscordServer, core: Core
) -> None:
    """One that is gone, or that Discord refuses to show, costs only the quotation."""
    chat = server.state.add_direct("ada")
    old = server.state.add_message(
        chat, {"author": server.state.person("bob"), "content": "What is 2+2?"}
    )
    for message, channel in ((old["id"], chat), ("5", chat), (old["id"], "6")):
        reference = {"type": 0, "message_id": message, "channel_id": channel}
        server.state.say(
            chat, "this", user="ada", type=19, message_reference=reference
        )

    assert [
        "In reply to Bob:\n> What is 2+2?\n\nthis",
        "this",
        "this",
    ] == await heard(core, 3)


async def test_a_mention_that_an_edit_adds_counts(
    server: DiscordServer, core: Core
) -> None:
    """The core takes the message as new; the edit after it changes nothing then."""
    town = server.state.add_channel("town")
    message = server.state.say(town, "what is 2+2?", user="ada")
    server.state.edit(message["id"], f"{mention(server)} what is 2+2?")
    await heard(core, 2)
    told = [i for i in core.accepted if i.message_id == message["id"]]

    assert [(Said, "what is 2+2?"), (Edited, "what is 2+2?")] == [
        (type(inbound), text_of(inbound)) for inbound in told
    ]


async def test_a_mention_that_an_edit_adds_to_an_old_message_is_no_new_message(
    server: DiscordServer, core: Core
) -> None:
    """The core may have answered it so long ago that it does not remember."""
    town = server.state.add_channel("town")
    old = str(int(server.state.snowflake()) - (int(MENTION_SECONDS * 1000) << 22))
    server.state.say(town, "what is 2+2?", user="ada", id=old)
    server.state.edit(old, f"{mention(server)} what is 2+2?")
    await heard(core, 1)

    assert [Edited] == [type(i) for i in core.accepted if i.message_id == old]


async def test_an_edit_without_a_text_keeps_the_text(
    server: DiscordServer, core: Core
) -> None:
    chat = server.state.add_direct("ada")
    message = server.state.say(chat, "hello", user="ada")
    for content in (..., None, ["hello"]):
        edit = {**message, "edited_timestamp": "now", "content": content}
        told = {key: value for key, value in edit.items() if value is not ...}
        server.state.tell("MESSAGE_UPDATE", told)

    assert ["hello"] == await heard(core, 1)


async def test_a_links_preview_is_no_edit(server: DiscordServer, core: Core) -> None:
    chat = server.state.add_direct("ada")
    message = server.state.say(chat, "https://example.org", user="ada")
    server.state.tell("MESSAGE_UPDATE", {**message, "embeds": [{"type": "link"}]})
    await heard(core, 1)

    assert [type(i) for i in core.accepted if i.message_id == message["id"]] == [Said]


async def test_a_deletion_is_told_of_messages_that_were_heard_and_of_no_others(
    server: DiscordServer, core: Core
) -> None:
    town = server.state.add_channel("town")
    mine = server.state.say(town, f"{mention(server)} forget this", user="ada")
    others = server.state.say(town, "not for it", user="ada")
    server.state.delete(others["id"])
    server.state.delete(mine["id"])
    await heard(core, 2)

    assert [(Said, mine["id"]), (Deleted, mine["id"])] == [
        (type(i), i.message_id) for i in core.accepted if text_of(i) != "that is all"
    ]


async def test_while_the_store_is_away_messages_wait_in_order(
    server: DiscordServer, core: Core
) -> None:
    core.down = 3
    chat = server.state.add_direct("ada")
    for word in ("one", "two", "three"):
        server.state.say(chat, word, user="ada")

    await server.until(lambda: len(core.accepted) == 3)

    assert core.texts == ["one", "two", "three"]


async def test_a_chat_that_waits_holds_up_no_other(
    server: DiscordServer, core: Core
) -> None:
    slow, quick = server.state.add_direct("ada"), server.state.add_direct("bob")
    core.blocked[slow] = asyncio.Event()
    server.state.say(slow, "slow", user="ada")
    server.state.say(quick, "quick", user="bob")
    await server.until(lambda: core.accepted)
    assert core.texts == ["quick"]
    core.blocked[slow].set()
    await server.until(lambda: len(core.accepted) == 2)


async def test_a_flood_in_one_chat_is_bounded_and_still_complete(
    server: DiscordServer, core: Core
) -> None:
    chat = server.state.add_direct("ada")
    core.blocked[chat] = asyncio.Event()
    words = [f"message {number}" for number in range(250)]
    for word in words:
        server.state.say(chat, word, user="ada")

    other = server.state.add_direct("bob")
    server.state.say(other, "all were told", user="bob")
    await server.until(lambda: core.accepted)
    core.blocked[chat].set()
    await server.until(lambda: len(core.accepted) == 251)

    assert words == [text for text in core.texts if text != "all were told"]


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"token": "nonsense"}, "DISCORD_TOKEN"),
        ({"flags": 0}, "MESSAGE CONTENT INTENT"),
    ],
)
async def test_a_refused_bot_says_which_setting_and_which_page(
    server: DiscordServer,
    wrong: dict[str, Any],
    named: str,
) -> None:
    server.state.application["flags"] = wrong.get("flags", 1 << 19)
    channel = make_channel(server, token=wrong.get("token", server.token))
    with pytest.raises(ConfigurationError, match=named) as raised:
        await channel.run(Core(server).accept)

    assert "https://discord.com/developers/applications" in raised.value.sentence
    assert "nonsense" not in raised.value.sentence


async def test_a_token_that_is_revoked_while_connected_ends_the_channel(
    server: DiscordServer,
) -> None:
    core = Core(server)
    async with running(make_channel(server), core) as task:
        await server.gateway.close_with(4004)
        with pytest.raises(ConfigurationError, match="DISCORD_TOKEN"):
            await task


async def test_a_server_that_cannot_be_reached_is_waited_for() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]

    server = DiscordServer(port=port)
    core = Core(server)
    channel = make_channel(server, api_url=f"http://127.0.0.1:{port}/api/v10")
    task = asyncio.create_task(channel.run(core.accept))
    await asyncio.sleep(0)

    async with server:
        await server.until(lambda: server.gateway.connected)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    assert server.gateway.identified == 1
