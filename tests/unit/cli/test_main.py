"""The command line: what it says, how it ends, what it logs."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from uuid import UUID

import pytest
import structlog
import typer

from agent.cli import main as main_module
from agent.cli.chat import own_chat
from agent.cli.configuration_page import _SECTIONS, page
from agent.cli.main import command_line
from agent.cli.run import INTERRUPTED, report
from agent.cli.serve import RESTART, supervise
from agent.core.errors import AgentError, ConfigurationError, SchemaError
from agent.core.messages import Address, Placed
from agent.logs import OURS, configure_logging, secrets_of
from agent.ports import Accept, Reply
from agent.settings import Settings, load_settings
from agent.settings.provider_variables import ProviderVariables
from agent.settings.providers import PRESETS

SECRETS = {
    "DATABASE_URL": "postgresql://ada:hunter%402@localhost/db",
    "REDIS_URL": "redis://:letmein@localhost",
    "TELEGRAM_TOKEN": "123456:AAtoken",
    "ENCRYPTION_KEYS": "firstkey,secondkey",
}


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    """Settings with secrets in every form."""
    monkeypatch.chdir(tmp_path)
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    return load_settings()


@pytest.fixture
def errors(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], str]]:
    """What was written to standard error; afterwards logging is as it was."""
    root = logging.getLogger()
    handlers, levels = (
        root.handlers[:],
        {name: logging.getLogger(name).level for name in (*OURS, "")},
    )
    yield lambda: capsys.readouterr().err
    root.handlers[:] = handlers
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    structlog.reset_defaults()


def test_every_command_says_what_it_does() -> None:
    """Every command, group and option has help text."""
    silent = [
        name
        for name, help_text in _helps(typer.main.get_command(command_line()), "agent")
        if not help_text
    ]
    assert silent == []


def _helps(command: object, path: str) -> Iterator[tuple[str, str | None]]:
    yield path, getattr(command, "help", None)
    for parameter in getattr(command, "params", ()):
        yield f"{path} {parameter.name}", getattr(parameter, "help", None)
    for name, child in getattr(command, "commands", {}).items():
        yield from _helps(child, f"{path} {name}")


def test_every_command_of_operators_prints_json_if_asked() -> None:
    """All but those that talk to people, and what is one word anyway."""
    without = {
        path
        for path, options in _options(typer.main.get_command(command_line()), "")
        if "--json" not in options
    }
    assert {"chat", "console", "serve", "setup", "version"} == without


def _options(command: object, path: str) -> Iterator[tuple[str, list[str]]]:
    children = getattr(command, "commands", {})
    if not children:
        yield (
            path,
            [
                option
                for parameter in getattr(command, "params", ())
                for option in parameter.opts
            ],
        )
    for name, child in children.items():
        yield from _options(child, f"{path} {name}".strip())


def test_the_page_of_settings_is_the_generated_one() -> None:
    """docs/configuration.md says what the settings class says: run `python -m
    agent.cli.configuration_page`.
    """
    committed = Path(__file__).parents[3] / "docs" / "configuration.md"
    assert page() == committed.read_text(encoding="utf-8")


def test_the_page_names_every_setting_under_its_section() -> None:
    """Each setting stands once, and each section begins at a setting that exists."""
    text = page()
    named = set(Settings.model_fields) - set(ProviderVariables.model_fields)
    assert [1] * len(named) == [text.count(f"| `{name.upper()}` |") for name in named]
    assert [1] * len(PRESETS) == [text.count(f"| `{name}` |") for name in PRESETS]
    assert set(_SECTIONS) <= set(Settings.model_fields)


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (
            ConfigurationError("HTTP_PORT is taken."),
            2,
            "agent: HTTP_PORT is taken.\n",
        ),
        (SchemaError("Run: agent db upgrade"), 2, "agent: Run: agent db upgrade\n"),
        (AgentError("The model is away."), 1, "agent: The model is away.\n"),
        (
            RuntimeError("secret"),
            1,
            "agent: Something unexpected happened (RuntimeError). LOG_LEVEL=debug shows where.\n",
        ),
    ],
)
def test_an_error_is_one_sentence(
    error: Exception, status: int, said: str, errors: Callable[[], str]
) -> None:
    """Every error is one sentence on standard error; wrong settings end with 2, all else with 1."""
    assert (status, said) == (report(error), errors())


def test_secrets_of_settings_include_passwords_in_urls(settings: Settings) -> None:
    """Whole values, passwords as written in URLs and as they are sent."""
    expected = {
        *SECRETS.values(),
        "hunter%402",
        "hunter@2",
        "letmein",
        "firstkey",
        "secondkey",
    }
    assert expected - {SECRETS["ENCRYPTION_KEYS"]} == secrets_of(settings)


def test_no_secret_reaches_a_log_line(
    settings: Settings, errors: Callable[[], str]
) -> None:
    """Whoever logs it, agent or library, and wherever it stands in the line."""
    configure_logging(settings)
    structlog.get_logger("agent.x").warning(
        "with 123456:AAtoken", url=SECRETS["DATABASE_URL"]
    )
    logging.getLogger("library").error("login as hunter@2 failed")
    written = errors()
    assert written.count("\n") == 2
    assert [secret for secret in secrets_of(settings) if secret in written] == []


@pytest.mark.parametrize(("level", "expected"), [("warning", False), ("debug", True)])
def test_tracebacks_are_for_debugging(
    level: str,
    expected: bool,
    monkeypatch: pytest.MonkeyPatch,
    settings: Settings,
    errors: Callable[[], str],
) -> None:
    """A traceback is shown at LOG_LEVEL=debug and never else."""
    monkeypatch.setenv("LOG_LEVEL", level)
    configure_logging(load_settings())
    try:
        raise ValueError("why")
    except ValueError as error:
        structlog.get_logger("agent.x").error("it failed", exc_info=error)
    assert expected == ("ValueError: why" in errors())


def test_json_lines_are_json(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, errors: Callable[[], str]
) -> None:
    """LOG_FORMAT=json: one object a line, with what is bound in the context."""
    monkeypatch.setenv("LOG_FORMAT", "json")
    configure_logging(load_settings())
    with structlog.contextvars.bound_contextvars(turn="t1"):
        structlog.get_logger("agent.x").warning("slow", seconds=3)
    line = json.loads(errors())
    assert (line["event"], line["seconds"], line["turn"], line["level"]) == (
        "slow",
        3,
        "t1",
        "warning",
    )


def test_libraries_are_not_heard_below_warning(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, errors: Callable[[], str]
) -> None:
    """At debug the agent is heard, libraries that log URLs are not."""
    monkeypatch.setenv("LOG_LEVEL", "debug")
    configure_logging(load_settings())
    logging.getLogger("httpx").info("GET /bot")
    structlog.get_logger("agent.x").debug("heard")
    assert [line.split("  ")[2] for line in errors().splitlines()] == ["heard"]


def test_a_second_terminal_has_a_conversation_of_its_own(tmp_path: Path) -> None:
    """While one is open, the next gets another name; afterwards the first is free again."""
    with (
        own_chat(tmp_path / "t", "ada") as first,
        own_chat(tmp_path / "t", "ada") as second,
    ):
        names = (first, second)
    with own_chat(tmp_path / "t", "ada") as later:
        assert (*names, later) == ("ada", "ada#2", "ada")


def test_people_have_conversations_of_their_own(tmp_path: Path) -> None:
    """Two people who share AGENT_HOME do not share a name."""
    with own_chat(tmp_path, "ada") as one, own_chat(tmp_path, "dom/bob") as other:
        assert (one, other) == ("ada", "dom/bob")


@pytest.mark.parametrize("at", ["t", "t/ada-1.lock/taken"])
def test_a_terminal_needs_no_folder_that_it_cannot_use(
    tmp_path: Path, at: str
) -> None:
    """A file in its place, or a lock that cannot be opened: stores elsewhere still serve."""
    (tmp_path / at).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / at).touch()
    with own_chat(tmp_path / "t", "ada") as name:
        assert "ada" == name


def test_ctrl_c_before_anything_began_shows_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Commands are built for a fifth of a second."""

    def press(*_: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(main_module, "command_line", press)
    try:
        with pytest.raises(SystemExit) as end:
            main_module.main()
    finally:
        gc.enable()

    assert (INTERRUPTED, ("", "")) == (end.value.code, capsys.readouterr())


class Failing:
    """A channel that ends each time it is run, after as long as it is told."""

    name = "failing"

    def __init__(self, clock: list[float], lasts: list[float]) -> None:
        self._clock = clock
        self._lasts = lasts

    async def run(self, accept: Accept) -> None:
        self._clock[0] += self._lasts.pop(0)
        raise ConfigurationError("FAILING_TOKEN is wrong.")

    def reply(
        self,
        address: Address,
        placed: Placed | None,
        turns: Sequence[UUID],
        *,
        repeat: bool = False,
    ) -> Reply:
        raise AssertionError("nobody writes here")


async def test_a_channel_that_fails_is_tried_again_later_and_later(
    settings: Settings, errors: Callable[[], str]
) -> None:
    """Each pause is twice the one before, up to a minute; after a good while it starts again.
    The same reason is one line, until the channel ran for a good while.
    """
    configure_logging(settings)
    clock, pauses = [0.0], list[float]()

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 10:
            raise asyncio.CancelledError

    async def accept(_: object) -> bool:
        raise AssertionError("nobody writes here")

    channel = Failing(clock, [0, 1, 0, 0, 0, 0, 0, 0, 100, 0])
    with pytest.raises(asyncio.CancelledError):
        await supervise(channel, accept, sleep=sleep, clock=lambda: clock[0])
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 1, 2]
    line = f"failing: FAILING_TOKEN is wrong. {RESTART} It is tried again in 1 s, and then"
    assert [line in one for one in errors().splitlines()] == [True, True]
