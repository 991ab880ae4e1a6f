"""Every outgoing connection obeys the proxy variables: of models and of all channels, and
websockets too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import aclosing, suppress
from functools import partial
from pathlib import Path
from typing import Any, cast
from unittest.mock import Mock
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from agent.core.completion import Prompt
from agent.core.errors import AgentError
from agent.llm.router import open_models
from agent.settings import Settings
from channels.discord.gateway import Gateway, Listener, hold_session
from channels.discord.rest import Rest
from channels.slack.api import SlackApi
from channels.slack.socket_mode import SocketMode
from channels.telegram.api import BotApi
from channels.unreadable import UnreadableEvents, unnoted
from tests.conformance.driver import Driver
from tests.support.commands import Machine
from tests.support.forward_proxy import forward_proxy
from tests.support.serving import Platforms, serving, until

NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


async def openai() -> None:
    await ask(
        "openai:x",
        Settings(
            openai_base_url="https://openai.invalid/v1",
            openai_api_key=SecretStr("sk-x"),
        ),
    )


async def anthropic() -> None:
    key = SecretStr("sk-ant-x")
    await ask(
        "anthropic:x",
        Settings(
            anthropic_base_url="https://anthropic.invalid", anthropic_api_key=key
        ),
    )


async def ask(model: str, configuration: Settings) -> None:
    async def at_once(_: float) -> None:
        pass

    prompt = Prompt("", (("user", "hello"),))
    async with (
        open_models(configuration, at_once) as models,
        aclosing(models.stream(model, prompt)) as answer,
    ):
        async for _ in answer:
            pass


async def telegram() -> None:
    await BotApi("1:x", "https://telegram.invalid").me()


async def discord() -> None:
    await Rest(token="x", api_url="https://discord.invalid/api/v10").call(
        "GET", "/users/@me"
    )


async def discord_gateway() -> None:
    await hold_session(
        Gateway(
            cast(Listener, Mock()),
            api_url="https://gateway.invalid/api/v10",
            unreadable=UnreadableEvents("discord", unnoted),
        ),
        "x.y.z",
    )


async def slack() -> None:
    await SlackApi("xoxb-x", "https://slack.invalid/api/").call("auth.test")


CLIENTS: dict[str, Callable[[], Awaitable[None]]] = {
    "openai": openai, "anthropic": anthropic, "telegram": telegram, "discord": discord,
    "gateway": discord_gateway, "slack": slack,
}  # fmt: skip


@pytest.mark.parametrize("name", CLIENTS)
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
async def test_a_tunnel_is_asked_of_the_proxy(
    monkeypatch: pytest.MonkeyPatch, name: str, variable: str
) -> None:
    """With the password that the variable names, also where NO_PROXY has a range."""
    monkeypatch.setenv("NO_PROXY", "localhost,fe80::/10")
    async with forward_proxy() as proxy:
        monkeypatch.setenv(variable, proxy.url.replace("://", "://ada:pw@"))
        await tried(CLIENTS[name])
    assert {("CONNECT", f"{name}.invalid:443")} == set(proxy.asked)
    assert {"ada:pw"} == proxy.passwords


@pytest.mark.parametrize("name", CLIENTS)
async def test_an_exception_is_reached_without_it(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    async with forward_proxy() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", ".invalid")
        await tried(CLIENTS[name])
    assert [] == proxy.asked


async def tried(client: Callable[[], Awaitable[None]]) -> None:
    """It fails, in the words of this project or of its own edge."""
    with pytest.raises((AgentError, ConnectionError)):
        await client()


async def test_a_websocket_of_slack_goes_through_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its address is told by Slack and may be another host."""

    class Api(SlackApi):
        async def call(self, method: str, **arguments: Any) -> dict[str, str]:
            return {"url": "wss://socket.invalid/link"}

    async def enough(_: float) -> None:
        raise EndedError

    async with forward_proxy() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        api = Api("xapp-x", "https://slack.invalid/api/")
        with suppress(EndedError):
            await SocketMode(api, handle, connected=lambda: None, sleep=enough).run()
    assert {("CONNECT", "socket.invalid:443")} == set(proxy.asked)


class EndedError(Exception):
    """The second attempt is not waited for."""


async def handle(_: object) -> None:
    """Nothing comes."""


def is_answered(driver: Driver, chat: Any) -> bool:
    return "You said: hello" in "".join(driver.screen(chat))


@pytest.mark.parametrize(
    ("exempt", "goes_through"), [("", True), ("127.0.0.0/8,localhost,::1", False)]
)
async def test_people_are_answered_through_a_proxy(
    tmp_path: Path,
    database_url: str,
    redis_url: str,
    platforms: Platforms,
    exempt: str,
    goes_through: bool,
) -> None:
    """On all three platforms, with every connection through it; with none where NO_PROXY
    says so. `.env` is enough.
    """
    stores = {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "HTTP_PORT": "0"}
    machine = Machine(tmp_path, {**stores, **platforms.settings})
    async with forward_proxy() as proxy:
        (tmp_path / ".env").write_text(f"HTTP_PROXY={proxy.url}\nNO_PROXY={exempt}\n")
        async with serving(machine):
            await until(lambda: platforms.discord.server.gateway.identified)
            for driver in platforms.all:
                ada = driver.direct("ada")
                await driver.say(ada, "hello")
                await until(partial(is_answered, driver, ada))
    places = {
        urlsplit(url).netloc
        for name, url in platforms.settings.items()
        if name.endswith("URL")
    }
    sockets = {"/gateway", "/link"}
    asked = {urlsplit(target).netloc for target in proxy.targets}
    opened = sockets & {urlsplit(target).path for target in proxy.targets}
    assert ((places, sockets) if goes_through else (set(), set())) == (asked, opened)
