"""`agent setup <platform>`: from nothing to the first answered message, as a process of its own."""

from __future__ import annotations

import asyncio
import os
import pty
import socket
import stat
import sys
import termios
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent.cli.main import command_line
from agent.cli.setup.commands import flag_of, read_flags, show
from agent.core.errors import ConfigurationError
from channels.discord import setup as discord_setup
from channels.setup import Question
from channels.slack import setup as slack_setup
from channels.telegram import setup as telegram_setup
from tests.conformance.driver import Driver
from tests.conformance.drivers.discord import DiscordDriver
from tests.conformance.drivers.slack import SlackDriver
from tests.conformance.drivers.telegram import TelegramDriver
from tests.support.commands import AGENT
from tests.support.platforms.slack import APP_TOKEN, BOT_TOKEN
from tests.support.platforms.telegram import TelegramServer

DEADLINE = 30.0
WORKS = "It works: a message was answered. Run agent serve to keep it running."
QUESTIONS = {
    "discord": discord_setup.QUESTIONS,
    "telegram": telegram_setup.QUESTIONS,
    "slack": slack_setup.QUESTIONS,
}


@dataclass(frozen=True)
class Desk:
    """A folder to set up in, with stores and nothing else."""

    folder: Path
    stores: Mapping[str, str]

    @property
    def env_file(self) -> Path:
        return self.folder / ".env"

    def environment(self, settings: Mapping[str, str]) -> dict[str, str]:
        kept = {
            name: os.environ[name]
            for name in ("PATH", "HOME", "LANG")
            if name in os.environ
        }
        return {
            **kept,
            "AGENT_HOME": str(self.folder / "home"),
            **self.stores,
            **settings,
        }

    @asynccontextmanager
    async def setup(self, *arguments: str, **settings: str) -> AsyncIterator[Setup]:
        """`agent setup …`, running, with nobody at a keyboard."""
        process = await asyncio.create_subprocess_exec(
            AGENT,
            "setup",
            *arguments,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=PIPE,
            cwd=self.folder,
            env=self.environment(settings),
        )
        try:
            yield Setup(process)
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()


@dataclass(frozen=True)
class Setup:
    """A running `agent setup`."""

    process: asyncio.subprocess.Process

    async def ends(self) -> tuple[int | None, str, str]:
        """Exit status, output, errors."""
        async with asyncio.timeout(DEADLINE):
            out, err = await self.process.communicate()
        return self.process.returncode, out.decode(), err.decode()


@pytest.fixture
def desk(tmp_path: Path, database_url: str, redis_url: str) -> Desk:
    return Desk(tmp_path, {"DATABASE_URL": database_url, "REDIS_URL": redis_url})


async def until(condition: Callable[[], object]) -> None:
    """Returns when it holds; TimeoutError when it does not in time."""
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.02)


# --- from nothing to the first answered message -------------------------------


@dataclass(frozen=True)
class Platform:
    """What a person has from a platform whose server runs."""

    driver: Driver
    settings: Mapping[str, str]  # where the platform is
    flags: Mapping[str, str]
    env: str  # what `.env` holds then
    connected: Callable[[], object]


@asynccontextmanager
async def telegram() -> AsyncIterator[Platform]:
    driver = TelegramDriver()
    async with driver.start():
        server = driver._server
        yield Platform(
            driver,
            {"TELEGRAM_API_URL": server.url},
            {"--token": server.token},
            f"TELEGRAM_TOKEN={server.token}\n",
            lambda: server.count("getUpdates"),
        )


@asynccontextmanager
async def discord() -> AsyncIterator[Platform]:
    driver = DiscordDriver()
    async with driver.start():
        server = driver.server
        yield Platform(
            driver,
            {"DISCORD_API_URL": server.api_url},
            {"--token": server.token},
            f"DISCORD_TOKEN={server.token}\n",
            lambda: server.gateway.connected,
        )


@asynccontextmanager
async def slack() -> AsyncIterator[Platform]:
    driver = SlackDriver()
    async with driver.start():
        yield Platform(
            driver,
            {"SLACK_API_URL": driver.server.api_url},
            {"--bot-token": BOT_TOKEN, "--app-token": APP_TOKEN},
            f"SLACK_BOT_TOKEN={BOT_TOKEN}\nSLACK_APP_TOKEN={APP_TOKEN}\n",
            lambda: driver.server.sockets.opened,
        )


@pytest.mark.parametrize("on", [telegram, discord, slack])
async def test_it_ends_after_a_real_message_was_answered(
    on: Callable[[], AbstractAsyncContextManager[Platform]], desk: Desk
) -> None:
    """Nothing but tokens is given; `.env` holds them then, the person has the answer, the
    status is 0.
    """
    async with on() as platform:
        place = platform.driver.direct("ada")
        flags = [word for pair in platform.flags.items() for word in pair]
        name = platform.driver.name
        async with desk.setup(
            name, "--no-input", *flags, **platform.settings
        ) as setup:
            await until(
                lambda: platform.connected() or setup.process.returncode is not None
            )
            await platform.driver.say(place, "hello there")
            status, out, err = await setup.ends()
        shown = "\n".join(platform.driver.screen(place))
    assert (status, out.splitlines()[-1:]) == (0, [WORKS]), err
    assert "You said: hello there" in shown
    assert desk.env_file.read_text() == platform.env
    assert stat.S_IMODE(desk.env_file.stat().st_mode) == 0o600


async def test_with_a_public_url_the_message_comes_by_webhook(desk: Desk) -> None:
    """The HTTP server runs meanwhile, where Telegram was told to deliver."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    settings = {"PUBLIC_URL": f"http://127.0.0.1:{port}", "HTTP_PORT": str(port)}
    async with TelegramServer() as server:
        flags = ("--no-input", "--token", server.token)
        async with desk.setup(
            "telegram", *flags, TELEGRAM_API_URL=server.url, **settings
        ) as setup:
            await until(
                lambda: server.delivery.url or setup.process.returncode is not None
            )
            server.say(server.private("ada"), "hello there")
            status, out, err = await setup.ends()
        polls = server.count("getUpdates")
    assert (status, out.splitlines()[-1:], polls) == (0, [WORKS], 0), err


async def test_nobody_writing_is_no_success(desk: Desk) -> None:
    """After --wait seconds it says what `agent doctor` would say, and the status is 1."""
    async with TelegramServer() as server:
        server.methods.me["can_read_all_group_messages"] = True
        flags = ("--no-input", "--token", server.token, "--wait", "1")
        async with desk.setup(
            "telegram", *flags, TELEGRAM_API_URL=server.url
        ) as setup:
            status, _, err = await setup.ends()
    assert (status, "Nobody got an answer within 1 s." in err) == (1, True)
    assert (
        "Nothing is wrong that can be seen from here: run agent setup telegram again"
        in err
    )


async def test_an_answer_that_failed_is_no_success(desk: Desk) -> None:
    """A model that cannot be reached: the person is told so, and doctor names it."""
    async with TelegramServer() as server:
        settings = {
            "TELEGRAM_API_URL": server.url,
            "OPENAI_BASE_URL": "http://127.0.0.1:1",
            "DEFAULT_MODEL": "openai:gone",
            "MODEL_TOTAL_TIMEOUT": "0.5",
        }
        flags = ("--no-input", "--token", server.token, "--wait", "4")
        async with desk.setup("telegram", *flags, **settings) as setup:
            await until(
                lambda: (
                    server.count("getUpdates") or setup.process.returncode is not None
                )
            )
            server.say(server.private("ada"), "hello")
            status, out, err = await setup.ends()
    assert status == 1
    assert (
        "A message came in, but there is no whole answer: the chat says why." in err
    )
    assert "model: " in out


async def test_a_token_that_is_refused_is_not_written(desk: Desk) -> None:
    """One sentence on standard error, status 2, and the token is not repeated."""
    async with TelegramServer() as server:
        flags = ("--no-input", "--token", "1:AAwrong-token-of-the-tests")
        async with desk.setup(
            "telegram", *flags, TELEGRAM_API_URL=server.url
        ) as setup:
            status, out, err = await setup.ends()
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "TELEGRAM_TOKEN" in err
    assert "AAwrong" not in err
    assert not desk.env_file.exists()


@pytest.mark.parametrize(("more", "status"), [((), 2), (("--yes",), 1)])
async def test_what_is_set_is_replaced_only_when_told_so(
    more: tuple[str, ...], status: int, desk: Desk
) -> None:
    """Comments and other settings stay; without --yes nothing changes."""
    before = "# mine\nTELEGRAM_TOKEN=1:old # of Bob\nLOG_LEVEL=error\n"
    desk.env_file.write_text(before)
    async with TelegramServer() as server:
        flags = ("--no-input", "--token", server.token, "--wait", "1", *more)
        async with desk.setup(
            "telegram", *flags, TELEGRAM_API_URL=server.url
        ) as setup:
            ended, _, err = await setup.ends()
        expected = before.replace("1:old", server.token) if more else before
    assert (ended, desk.env_file.read_text()) == (status, expected)
    assert (
        more
        or "TELEGRAM_TOKEN has another value already: add --yes to replace it." in err
    )


async def test_a_setting_of_the_environment_is_not_contradicted(desk: Desk) -> None:
    """It wins over `.env`, so writing another value there would help nobody."""
    async with TelegramServer() as server:
        flags = ("--no-input", "--yes", "--token", server.token)
        settings = {"TELEGRAM_API_URL": server.url, "TELEGRAM_TOKEN": "1:other"}
        async with desk.setup("telegram", *flags, **settings) as setup:
            status, _, err = await setup.ends()
    assert (status, desk.env_file.exists()) == (2, False)
    assert "TELEGRAM_TOKEN is set in the environment" in err


async def test_a_script_that_gives_no_answer_is_told_the_flag(desk: Desk) -> None:
    """It never waits for a keyboard."""
    async with desk.setup("slack", "--no-input") as setup:
        status, _, err = await setup.ends()
    assert (status, err) == (
        2,
        "agent: SLACK_BOT_TOKEN is missing: give it with --bot-token.\n",
    )


# --- a person at a terminal ---------------------------------------------------


async def test_a_person_is_led_through(desk: Desk) -> None:
    """What to do, a hidden question, a second try after a slip, where to write, and the end."""
    async with TelegramServer() as server:
        ours, theirs = pty.openpty()
        termios.tcsetwinsize(ours, (50, 100))
        process = await asyncio.create_subprocess_exec(
            AGENT,
            "setup",
            "telegram",
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            cwd=desk.folder,
            env=desk.environment({"TELEGRAM_API_URL": server.url, "TERM": "xterm"}),
        )
        os.close(theirs)
        screen = Screen(ours)
        try:
            await screen.see("https://t.me/BotFather")
            await screen.see("The token that BotFather gave you")
            await screen.type("1:AAwrong-token-of-the-tests")
            await screen.see("TELEGRAM_TOKEN")
            await screen.see("The token that BotFather gave you")
            await screen.type(server.token)
            await screen.see("Signed in as")
            await until(lambda: server.count("getUpdates"))
            server.say(server.private("ada"), "hello")
            await screen.see(WORKS)
            async with asyncio.timeout(DEADLINE):
                assert await process.wait() == 0
        finally:
            screen.close()
            if process.returncode is None:
                process.kill()
                await process.wait()
            os.close(ours)
    assert server.token not in screen.all
    assert desk.env_file.read_text() == f"TELEGRAM_TOKEN={server.token}\n"


class Screen:
    """What a pseudo-terminal shows."""

    def __init__(self, terminal: int) -> None:
        self.all = ""
        self._seen = 0
        self._terminal = terminal
        self._more = asyncio.Event()
        asyncio.get_running_loop().add_reader(terminal, self._read)

    async def see(self, text: str) -> None:
        """Returns when this text appeared after what was seen last."""
        async with asyncio.timeout(DEADLINE):
            while (found := self.all.find(text, self._seen)) < 0:
                self._more.clear()
                await self._more.wait()
        self._seen = found + len(text)

    async def type(self, line: str) -> None:
        """Types once the terminal does not echo any more."""
        await until(lambda: not termios.tcgetattr(self._terminal)[3] & termios.ECHO)
        os.write(self._terminal, f"{line}\n".encode())

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._terminal)

    def _read(self) -> None:
        try:
            self.all += os.read(self._terminal, 65536).decode(errors="replace")
        except OSError:  # the process has ended
            self.close()
        self._more.set()


def test_a_link_is_one_line_however_narrow_the_terminal_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is there to be copied; Slack's has thousands of characters."""
    link = f"https://example.org/?manifest={'x' * 3000}"
    terminal = StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("NO_COLOR", "1")
    show(f"1. Open this **link**:\n\n   {link}\n")
    assert [
        word
        for line in terminal.getvalue().splitlines()
        for word in line.split()
        if "http" in word
    ] == [link]


# --- flags --------------------------------------------------------------------


def test_help_names_every_flag() -> None:
    """A question that is added to a platform is added to the help."""
    shown = CliRunner().invoke(command_line(), ["setup", "--help"]).output
    flags = [
        flag_of(name, question)
        for name, questions in QUESTIONS.items()
        for question in questions
    ]
    assert [flag for flag in flags if flag not in shown] == []


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ([], {}),
        (
            ["--bot-token", " x ", "--app-token=y"],
            {"SLACK_BOT_TOKEN": "x", "SLACK_APP_TOKEN": "y"},
        ),
    ],
)
def test_flags_are_answers(flags: list[str], expected: dict[str, str]) -> None:
    assert read_flags("slack", slack_setup.QUESTIONS, flags) == expected


@pytest.mark.parametrize(
    "flags", [["--tokn", "geheim"], ["geheim"], ["--token"], ["--to", "geheim"]]
)
def test_a_wrong_flag_is_refused_without_its_value(flags: list[str]) -> None:
    """The value may be a token, and the sentence may end in the log of a build."""
    with pytest.raises(ConfigurationError) as refusal:
        read_flags("telegram", (Question("TELEGRAM_TOKEN", "?"),), flags)
    assert "--token" in refusal.value.sentence
    assert "geheim" not in refusal.value.sentence
