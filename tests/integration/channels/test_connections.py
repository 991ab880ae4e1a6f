"""What is said of a platform's connection, alike on all platforms."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib import import_module
from urllib.parse import urlsplit

import pytest

from agent.core.errors import ConfigurationError
from agent.core.messages import Inbound
from agent.logs import ANNOUNCEMENTS
from agent.ports import Channel
from channels.connection import Connection
from tests.conformance.driver import Driver
from tests.conformance.drivers.discord import DiscordDriver
from tests.conformance.drivers.slack import SlackDriver
from tests.conformance.drivers.telegram import TelegramDriver
from tests.conformance.platform_extras import revoke_token
from tests.support.gate import Gate, gate_to
from tests.support.platforms.slack import BOT_TOKEN

DRIVERS: dict[str, Callable[[], Driver]] = {
    "discord": DiscordDriver,
    "telegram": TelegramDriver,
    "slack": SlackDriver,
}
PATIENCE = 0.2

REFUSED = re.compile(
    r"(Discord|Telegram|Slack) does not accept [A-Z_]+_TOKEN( \(\w+\))?: "
    r"copy it again from https://.+\."
)


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> Driver:
    return DRIVERS[request.param]()


@pytest.fixture
def heard(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> pytest.LogCaptureFixture:
    """The lines of a server at the default level; a gap counts soon."""
    caplog.set_level(logging.WARNING)
    caplog.set_level(logging.INFO, ANNOUNCEMENTS)
    began = Connection.__init__
    monkeypatch.setattr(
        Connection,
        "__init__",
        lambda self, channel: began(self, channel, patience=PATIENCE),
    )

    return caplog


async def accept(inbound: Inbound) -> bool:
    raise AssertionError("nobody writes here")


async def test_a_channel_that_is_lost_and_back_is_two_lines(
    driver: Driver, heard: pytest.LogCaptureFixture
) -> None:
    """However often it is tried in between."""
    async with driver.start(), _gate(driver) as gate, _running(driver.channel()):
        await _until(heard, 1)
        await gate.shut()
        await _until(heard, 2)
        await asyncio.sleep(5 * PATIENCE)
        await gate.open()
        await _until(heard, 3)

    name = driver.name
    connected, lost, back = _lines(heard)
    account = connected.removeprefix(f"{name}: Connected as ")
    assert account != connected
    assert lost.startswith(f"{name}: Not connected (")
    assert lost.endswith("). It is tried again until it works.")
    assert back == f"{name}: Connected again as {account}"


async def test_a_refused_token_is_the_same_error_in_the_same_form(
    driver: Driver,
) -> None:
    async with driver.start():
        channel = driver.channel()
        revoke_token(driver)
        with pytest.raises(ConfigurationError, match=REFUSED):
            async with asyncio.timeout(10):
                await channel.run(accept)


@asynccontextmanager
async def _gate(driver: Driver) -> AsyncIterator[Gate]:
    """In front of the platform's server: interface, gateway and sockets."""
    if isinstance(driver, DiscordDriver):
        port = urlsplit(driver.server.api_url).port
    elif isinstance(driver, TelegramDriver):
        port = urlsplit(driver._server.url).port
    else:
        assert isinstance(driver, SlackDriver)
        port = int(driver.server.root.partition(":")[2])

    assert port is not None
    async with gate_to(port) as gate:
        if isinstance(driver, DiscordDriver):
            driver.server.api_url = f"http://{gate.host}/api/v10"
            driver.server.gateway.url = f"ws://{gate.host}/gateway"
        elif isinstance(driver, TelegramDriver):
            driver._server.url = f"http://{gate.host}"
        elif isinstance(driver, SlackDriver):
            driver.server.root = gate.host

        yield gate


@asynccontextmanager
async def _running(channel: Channel) -> AsyncIterator[None]:
    task = asyncio.create_task(channel.run(accept))
    try:
        yield
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.wait({task})


def _lines(heard: pytest.LogCaptureFixture) -> list[str]:
    return [
        str(record.msg["event"])
        if isinstance(record.msg, dict)
        else record.getMessage()
        for record in heard.records
        if record.name.startswith((ANNOUNCEMENTS, "channels"))
        and "onnected" in str(record.msg)
    ]


async def _until(heard: pytest.LogCaptureFixture, count: int) -> None:
    async with asyncio.timeout(30):
        while len(_lines(heard)) < count:
            await asyncio.sleep(0.02)


SETTINGS = {
    "discord": ("DISCORD_TOKEN", "DISCORD_API_URL", "http://127.0.0.1:1/api/v10"),
    "telegram": ("TELEGRAM_TOKEN", "TELEGRAM_API_URL", "http://127.0.0.1:1"),
    "slack": ("SLACK_BOT_TOKEN", "SLACK_API_URL", "http://127.0.0.1:1/api/"),
}


@pytest.mark.parametrize("name", SETTINGS)
async def test_setup_at_a_platform_that_is_away_ends_alike(name: str) -> None:
    """A ConfigurationError on all of them: exit status 2."""
    setup = import_module(f"channels.{name}.setup")
    token, address, closed = SETTINGS[name]
    with pytest.raises(ConfigurationError, match=f"{name.title()} cannot be reached"):
        await setup.after({token: "1:token", address: closed})


@pytest.mark.parametrize("name", SETTINGS)
async def test_setup_with_a_refused_token_ends_alike(name: str) -> None:
    driver = DRIVERS[name]()
    setup = import_module(f"channels.{name}.setup")
    token, address, _ = SETTINGS[name]
    async with driver.start():
        revoke_token(driver)
        base = _base(driver)
        with pytest.raises(ConfigurationError, match=REFUSED):
            await setup.after({token: _token(driver), address: base})


def _base(driver: Driver) -> str:
    if isinstance(driver, DiscordDriver):
        return driver.server.api_url
    if isinstance(driver, TelegramDriver):
        return driver._server.url

    assert isinstance(driver, SlackDriver)

    return driver.server.api_url


def _token(driver: Driver) -> str:
    return BOT_TOKEN if isinstance(driver, SlackDriver) else "123456:refused"
