"""Neither what people say nor any credential appears in a log line, whatever goes wrong."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import pytest
import structlog
from structlog.typing import EventDict

from tests.conformance.channel_harness import ChannelHarness
from tests.conformance.drivers.discord import DiscordDriver
from tests.conformance.drivers.telegram import TelegramDriver
from tests.conformance.platform_extras import lose_answers
from tests.support.platforms.slack import APP_TOKEN, BOT_TOKEN

SECRET = "the-cat-is-called-Tom"


@pytest.fixture
async def lines(caplog: pytest.LogCaptureFixture) -> AsyncIterator[list[str]]:
    """What the agent logs through structlog, whatever its level; `caplog` has what goes the
    standard way.
    """
    caught: list[str] = []

    def keep(
        _logger: object,
        _method: str,
        event: EventDict,
    ) -> str:
        event = structlog.contextvars.merge_contextvars(_logger, _method, event)
        event = structlog.processors.format_exc_info(_logger, _method, event)
        caught.append(repr(event))
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[keep])
    for name in ("agent", "channels", "storage"):
        caplog.set_level(logging.DEBUG, logger=name)

    yield caught
    structlog.configure(**before)


async def test_no_log_line_shows_a_message_or_a_token(
    harness: ChannelHarness,
    lines: list[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A conversation full of trouble leaves lines, and none of them tells what was said or
    how to sign in.
    """
    ada = harness.driver.direct("ada")
    async with harness.agent() as agent:
        await harness.ask(ada, f"{SECRET} 1")
        harness.driver.fail_next(ada, times=2)
        await harness.ask(ada, f"{SECRET} 2")
        lose_answers(harness.driver, ada)
        await harness.ask(ada, f"{SECRET} 3")
        harness.model.error = "The model is away."
        await harness.ask(ada, f"{SECRET} 4")
        harness.model.error, harness.model.hangs_on = None, "5"
        await harness.driver.say(ada, f"{SECRET} 5")
        await harness.until(lambda: agent.accepted == 5)
        await agent.crash()

    said = [*lines, *map(logging.Formatter().format, caplog.records)]
    assert said != []
    leaks = [
        line
        for line in said
        for secret in (SECRET, *secrets(harness))
        if secret in line
    ]

    assert [] == leaks


def secrets(harness: ChannelHarness) -> list[str]:
    """The agent's credentials on this platform."""
    driver = harness.driver
    if isinstance(driver, DiscordDriver):
        return [driver.server.token]
    if isinstance(driver, TelegramDriver):
        return [driver._server.token]

    return [BOT_TOKEN, APP_TOKEN]
