"""Thumbs as the platforms tell of them: those of people, to the core, and no others."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from agent.core.messages import Inbound, Reacted
from channels.pacing import Governor
from channels.telegram.channel import Telegram
from tests.support.platforms.discord import DiscordServer
from tests.support.platforms.discord.gateway import (
    DIRECT_REACTIONS_INTENT,
    GUILD_REACTIONS_INTENT,
    Session,
)
from tests.support.platforms.discord.listening import Core, make_channel, running
from tests.support.platforms.slack import AGENT, SlackServer
from tests.support.platforms.slack.agent import Inbox, connected, hooked
from tests.support.platforms.telegram import TelegramServer
from tests.support.platforms.telegram.inbox import Inbox as TelegramInbox
from tests.support.platforms.telegram.inbox import listening, until
from tests.support.platforms.telegram.state import Chat


def described(inbound: Inbound) -> tuple[str, str, str, str | None, bool]:
    """A vote: which, on what, by whom, where."""
    assert isinstance(inbound, Reacted)

    return (
        "unvote" if inbound.taken_back else "vote",
        inbound.thumb,
        inbound.message_id,
        inbound.username,
        inbound.direct,
    )


# --- Discord ------------------------------------------------------------------


@pytest.fixture
async def discord() -> AsyncIterator[DiscordServer]:
    async with DiscordServer() as server:
        yield server


@pytest.fixture
async def core(discord: DiscordServer) -> AsyncIterator[Core]:
    core = Core(discord)
    async with running(make_channel(discord), core):
        yield core


def answer(discord: DiscordServer, channel: str) -> str:
    """Something that the agent wrote."""
    return str(
        discord.state.add_message(
            channel, {"author": discord.state.bot, "content": "fine"}
        )["id"]
    )


async def test_discord_tells_of_thumbs_in_servers_and_in_direct_chats(
    discord: DiscordServer, core: Core
) -> None:
    town, ada = discord.state.add_channel("town"), discord.state.add_direct("ada")
    public, private = answer(discord, town), answer(discord, ada)
    discord.state.react(public, "👍🏽", user="bob")
    await discord.until(lambda: len(core.accepted) == 1)
    discord.state.react(public, "👍🏽", user="bob", taken=True)
    await discord.until(lambda: len(core.accepted) == 2)
    discord.state.react(private, "👎", user="ada")
    await discord.until(lambda: len(core.accepted) == 3)

    assert [
        ("vote", "+1", public, "Bob", False),
        ("unvote", "+1", public, None, False),
        ("vote", "-1", private, None, True),
    ] == [described(inbound) for inbound in core.accepted]
    assert [town, town, ada] == [inbound.address.chat for inbound in core.accepted]


async def test_discord_reactions_of_bots_and_other_reactions_are_ignored(
    discord: DiscordServer, core: Core
) -> None:
    """And those to what somebody else wrote, as far as Discord tells."""
    town = discord.state.add_channel("town")
    mine = answer(discord, town)
    theirs = discord.state.say(town, "hello", user="bob")["id"]
    discord.state.person("robot", bot=True)
    discord.state.react(mine, "👍", user="robot")
    discord.state.react(mine, "👍", user="agent")
    discord.state.react(mine, "🎉", user="bob")
    discord.state.react(mine, "👍", user="bob", custom="77")
    discord.state.react(theirs, "👍", user="bob")
    discord.state.react(mine, "👎", user="bob")
    await discord.until(lambda: core.offered)

    assert [("vote", "-1", mine, "Bob", False)] == [
        described(inbound) for inbound in core.accepted
    ]


async def test_discord_tells_of_reactions_only_whom_asks(
    discord: DiscordServer,
) -> None:
    """The test server keeps Discord's rule; otherwise the channel's intents would prove nothing."""
    sessions = [
        Session(str(intents), intents)
        for intents in (0, GUILD_REACTIONS_INTENT, DIRECT_REACTIONS_INTENT)
    ]
    discord.gateway.sessions |= {session.id: session for session in sessions}
    town, ada = discord.state.add_channel("town"), discord.state.add_direct("ada")
    for channel in (town, ada):
        discord.state.react(answer(discord, channel), "👍", user="ada")

    heard = [
        [e["d"]["channel_id"] for e in s.events if e["t"] == "MESSAGE_REACTION_ADD"]
        for s in sessions
    ]

    assert [[], [town], [ada]] == heard


# --- Telegram -----------------------------------------------------------------


@pytest.fixture
async def telegram() -> AsyncIterator[TelegramServer]:
    async with TelegramServer() as server:
        yield server


def agent_on(telegram: TelegramServer, public_url: str | None = None) -> Telegram:
    return Telegram(
        token=telegram.token,
        api_url=telegram.url,
        governor=Governor(),
        public_url=public_url,
        retry=0.01,
        check=0.01,
    )


def react(telegram: TelegramServer, chat: Chat) -> None:
    """Bob gives a thumb, changes it and takes it away; another reaction stays."""
    for emoji in (["👍"], ["👍", "🔥"], ["👎", "🔥"], ["🔥"]):
        telegram.react(chat, 7, *emoji, user="bob")


def expected(*, direct: bool) -> list[Any]:
    return [
        ("vote", "+1", "7", "Bob", direct),
        ("vote", "-1", "7", "Bob", direct),
        ("unvote", "-1", "7", "Bob", direct),
    ]


async def test_telegram_tells_of_thumbs_when_it_is_polled(
    telegram: TelegramServer,
) -> None:
    inbox = TelegramInbox()
    async with listening(agent_on(telegram), inbox):
        react(telegram, telegram.private("bob"))
        assert expected(direct=True) == [
            described(inbound) for inbound in await inbox.until(3)
        ]
        await until(lambda: telegram.state.updates == [])


async def test_telegram_tells_of_thumbs_by_webhook(telegram: TelegramServer) -> None:
    inbox, application, holder = TelegramInbox(), web.Application(), list[Telegram]()

    async def receive(request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        return web.Response(
            status=(await holder[0].webhook(headers, await request.read())).status
        )

    application.router.add_post("/webhooks/telegram", receive)
    runner = web.AppRunner(application, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    holder.append(agent_on(telegram, f"http://127.0.0.1:{runner.addresses[0][1]}"))

    try:
        async with listening(holder[0], inbox):
            react(telegram, telegram.private("bob"))
            assert expected(direct=True) == [
                described(inbound) for inbound in await inbox.until(3)
            ]
    finally:
        await runner.cleanup()


async def test_telegram_tells_of_thumbs_in_a_group_only_an_administrator(
    telegram: TelegramServer,
) -> None:
    """The test server keeps Telegram's rule."""
    inbox, group = TelegramInbox(), telegram.group("Engines")
    async with listening(agent_on(telegram), inbox):
        telegram.react(group, 7, "👍", user="ada")
        group.bot_status = "administrator"
        react(telegram, group)
        assert expected(direct=False) == [
            described(inbound) for inbound in await inbox.until(3)
        ]


async def test_telegram_tells_of_reactions_only_whom_asks(
    telegram: TelegramServer,
) -> None:
    """Without a list of kinds of updates, messages come, but no reactions."""
    chat = telegram.private("ada")
    telegram.say(chat, "hello")
    telegram.react(chat, 7, "👍")
    updates = await telegram.delivery.fetch({})

    assert [["message"]] == [
        sorted(set(update) - {"update_id"}) for update in updates
    ]


# --- Slack --------------------------------------------------------------------


@pytest.fixture
async def slack() -> AsyncIterator[SlackServer]:
    async with SlackServer(redeliver_after=0.1).running() as server:
        yield server


async def judge(slack: SlackServer, inbox: Inbox) -> None:
    """Ada votes in two places, among much that is no vote."""
    ada, robot = slack.space.person("ada"), slack.space.person("robot")
    slack.space.bots.add(robot)
    town = slack.space.chat("C0GENERAL", "channel", ada, robot)
    direct = slack.space.chat("D0ADA", "im", ada)
    public = slack.space.add(town, AGENT, "fine")
    private = slack.space.add(direct, AGENT, "fine")
    theirs = slack.space.add(town, ada, "hello")

    for ts, reaction, user in (
        (theirs.ts, "+1", ada),
        (public.ts, "tada", ada),
        (public.ts, "+1", AGENT),
        (public.ts, "thumbsup", robot),
    ):
        await slack.react(town, ts, reaction, user=user)

    await slack.react(town, public.ts, "+1::skin-tone-3", user=ada)
    await slack.react(town, public.ts, "thumbsup", user=ada, taken=True)
    await slack.react(direct, private.ts, "-1", user=ada)
    votes = {described(inbound) for inbound in await inbox.next(3)}
    assert votes == {
        ("vote", "+1", public.ts, "ada", False),
        ("unvote", "+1", public.ts, "ada", False),
        ("vote", "-1", private.ts, None, True),
    }
    await slack.sockets.until(lambda: slack.unacknowledged() == 0)

    assert 3 == len(inbox.taken)


async def test_slack_tells_of_thumbs_over_sockets(slack: SlackServer) -> None:
    async with connected(slack) as (_, inbox):
        await judge(slack, inbox)


async def test_slack_tells_of_thumbs_by_webhook(slack: SlackServer) -> None:
    async with hooked(slack) as (_, inbox):
        await judge(slack, inbox)


async def test_a_slack_thumb_that_could_not_be_stored_comes_again(
    slack: SlackServer,
) -> None:
    ada = slack.space.person("ada")
    chat = slack.space.chat("D0ADA", "im", ada)
    message = slack.space.add(chat, AGENT, "fine")

    async with connected(slack) as (_, inbox):
        inbox.broken = True
        await slack.react(chat, message.ts, "+1", user=ada)
        await inbox.until(lambda: inbox.tried >= 1)
        assert 1 == slack.unacknowledged()
        inbox.broken = False
        [inbound] = await inbox.next()
        await slack.sockets.until(lambda: slack.unacknowledged() == 0)

    assert ("vote", "+1", message.ts, None, True) == described(inbound)


@pytest.mark.parametrize("lacking", ["scope", "event"])
async def test_slack_tells_of_reactions_only_whom_asks(
    slack: SlackServer, lacking: str
) -> None:
    """The test server keeps Slack's rule."""
    if lacking == "scope":
        slack.space.scopes.discard("reactions:read")
    else:
        slack.space.events.discard("reaction_added")

    ada = slack.space.person("ada")
    chat = slack.space.chat("D0ADA", "im", ada)
    await slack.react(chat, slack.space.add(chat, AGENT, "fine").ts, "+1", user=ada)

    assert [] == slack.deliveries
