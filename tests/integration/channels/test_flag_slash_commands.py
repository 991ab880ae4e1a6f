"""`enable_slash_commands` through the real channels: off for one, on for the others, and back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial

import pytest

from agent.app import channel_services
from agent.control.evaluation import RuleFlags
from channels.pacing import Governor
from channels.services import ChannelServices
from channels.telegram.channel import Telegram
from storage.control.flags import FlagAdmin
from storage.control.live import RedisControl, follow_changes
from storage.control.targets import RuleTarget
from storage.postgres import open_database
from storage.redis import open_redis
from tests.support.inbound import text_of
from tests.support.operators import ADA, operator
from tests.support.platforms.slack import SlackServer
from tests.support.platforms.slack.agent import connected
from tests.support.platforms.telegram import TelegramServer
from tests.support.platforms.telegram.inbox import Inbox, listening, until


@pytest.fixture
async def admin(database_url: str, redis_url: str) -> AsyncIterator[FlagAdmin]:
    async with operator(database_url, redis_url) as admin:
        yield admin


@dataclass(frozen=True)
class Instance:
    """What an instance has: its control, following changes, and what it does for channels."""

    control: RedisControl
    services: ChannelServices


@pytest.fixture
async def instance(database_url: str, redis_url: str) -> AsyncIterator[Instance]:
    async with open_database(database_url) as database, open_redis(redis_url) as pipe:
        control = RedisControl(database, pipe)
        await control.start()
        services = channel_services(database, pipe, RuleFlags(control))

        async with follow_changes(pipe, control):
            yield Instance(control, services)


async def test_slack_says_that_commands_are_switched_off(
    instance: Instance, admin: FlagAdmin
) -> None:
    """Off on Slack only: the command reaches nobody; on again, it does."""
    async with SlackServer(redeliver_after=0.1).running() as server:
        ada = server.space.person("ada")
        chat = server.space.chat("D" + ada[1:], "im", ada)
        offered = partial(instance.services.slash_commands, "slack")

        async with connected(server, slash_commands=offered) as (_, inbox):
            off = await admin.set(
                "enable_slash_commands", RuleTarget(channel="slack"), False, ADA
            )
            await instance.control.observe(off.epoch)
            delivery = await server.command(chat, ada, "/new")
            await server.sockets.until(lambda: delivery.acknowledged)
            assert ([], True) == (
                inbox.taken,
                instance.services.slash_commands("discord"),
            )
            on = await admin.unset(
                "enable_slash_commands", RuleTarget(channel="slack"), ADA
            )
            await instance.control.observe(on.epoch)
            await server.command(chat, ada, "/new")
            assert ["/new"] == [text_of(inbound) for inbound in await inbox.next()]


async def test_telegrams_menu_follows_the_flag(
    instance: Instance, admin: FlagAdmin
) -> None:
    async with TelegramServer() as server:
        channel = Telegram(
            token=server.token,
            api_url=server.url,
            governor=Governor(),
            retry=0.01,
            slash_commands=partial(instance.services.slash_commands, "telegram"),
        )
        async with listening(channel, Inbox()):
            await until(lambda: bool(server.methods.menu))
            await admin.set(
                "enable_slash_commands", RuleTarget(kill=True), False, ADA
            )
            await until(lambda: not server.methods.menu)
            await admin.unset("enable_slash_commands", RuleTarget(kill=True), ADA)
            await until(lambda: bool(server.methods.menu))
