"""`agent setup <channel>`: from nothing to the first answered message."""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn, Protocol, cast

import typer
from pydantic import SecretStr

from agent.cli.output import tell
from agent.cli.run import asking, run
from agent.core.errors import ConfigurationError
from agent.logs import configure_logging
from agent.operations.env_file import write_env
from agent.settings import ENV_FILE, Settings, load_settings
from channels.setup import Question

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

ATTEMPTS = 3
"""How often the questions are asked while the platform refuses the answers."""

_MARKER = re.compile(r"\s*(?:\d+\s+|[•*-]\s+)?")
"""What stands before the words of a step, as rich shows lists."""

_MARGIN = 20
"""Columns that numbers and indents take."""


class Steps(Protocol):
    """What `channels/<name>/setup.py` offers; see `channels.setup`."""

    QUESTIONS: Sequence[Question]

    def before(self) -> str: ...

    async def after(self, values: Mapping[str, str]) -> str: ...


def setup(
    channel: str,
    flags: Sequence[str],
    *,
    no_input: bool,
    yes: bool,
    wait: float,
    upgrade: bool,
) -> NoReturn:
    """Asks, signs in, writes `.env`, then runs the channel until a message was answered.

    Raises ConfigurationError, and what the channel raises.
    """
    steps = cast(Steps, import_module(f"channels.{channel}.setup"))
    settings = load_settings()
    configure_logging(settings)
    answers = read_flags(channel, steps.QUESTIONS, flags)
    if no_input:
        known = known_in(settings, steps.QUESTIONS)
        values = _scripted(channel, steps.QUESTIONS, answers, known, yes=yes)
        next_steps = _sign_in(channel, steps, values, settings)
    else:
        show(steps.before())
        values, next_steps = _interview(channel, steps, answers, settings, yes=yes)

    write_env(ENV_FILE, values)
    show(next_steps)

    # imported late: it brings the whole engine, and the first question should not wait
    from agent.cli.setup.first_answer import until_answered

    run(
        lambda settings: until_answered(settings, channel, wait=wait, upgrade=upgrade)
    )


def show(markdown: str) -> None:
    """Renders Markdown on a terminal, folded at words; a pipe gets it as it is.

    Links must stay whole to be copied: only the terminal itself wraps those.
    """
    if not sys.stdout.isatty():
        typer.echo(markdown)
        return

    from rich.console import Console
    from rich.markdown import Markdown
    from rich.text import Text

    console = Console(highlight=False)
    # rich cuts what is longer than a line of a list, so it gets lines that are long enough
    longest = max(map(len, markdown.splitlines()), default=0)
    wide = console.options.update(width=_MARGIN + longest)
    for segments in console.render_lines(Markdown(markdown), wide, pad=False):
        line = Text.assemble(
            *((segment.text, segment.style or "") for segment in segments)
        )
        line.rstrip()
        for piece in _folded(line, console):
            console.print(piece, soft_wrap=True)


def _folded(line: Text, console: Console) -> Iterator[Text]:
    """The line in pieces that fit; those of a step stand below its first word."""
    marker = _MARKER.match(line.plain)
    indent = marker.end() if marker else 0
    room = max(1, console.width - indent)
    pieces = line[indent:].wrap(console, room, overflow="ignore")
    yield line[:indent] + pieces[0] if pieces else line
    for piece in pieces[1:]:
        piece.pad_left(indent)
        yield piece


def flag_of(channel: str, question: Question) -> str:
    """TELEGRAM_TOKEN is `--token` of `agent setup telegram`."""
    name = question.setting.removeprefix(f"{channel.upper()}_")

    return f"--{name.lower().replace('_', '-')}"


def read_flags(
    channel: str, questions: Sequence[Question], flags: Sequence[str]
) -> dict[str, str]:
    """The answers given as flags, by setting. Raises ConfigurationError, which repeats no value."""
    parser = argparse.ArgumentParser(
        add_help=False, allow_abbrev=False, exit_on_error=False
    )
    for question in questions:
        parser.add_argument(flag_of(channel, question), dest=question.setting)
    try:
        found, unknown = parser.parse_known_args(list(flags))
    except argparse.ArgumentError as error:
        raise ConfigurationError(f"{error.argument_name} needs a value.") from None

    if unknown:
        possible = ", ".join(flag_of(channel, question) for question in questions)
        raise ConfigurationError(
            f"This is no flag of agent setup {channel}, or a word too many: its "
            f"flags are {possible}."
        )

    return {
        name: value.strip()
        for name, value in vars(found).items()
        if value is not None
    }


def known_in(settings: Settings, questions: Sequence[Question]) -> dict[str, str]:
    """The answers that the environment or `.env` already have."""
    known = {}
    for question in questions:
        value = getattr(settings, question.setting.lower())
        if value is not None:
            known[question.setting] = (
                value.get_secret_value()
                if isinstance(value, SecretStr)
                else str(value)
            )
    return known


def _scripted(
    channel: str,
    questions: Sequence[Question],
    flags: Mapping[str, str],
    known: Mapping[str, str],
    *,
    yes: bool,
) -> dict[str, str]:
    """The answers without asking: flags, else what is known. Only the first is required.

    Raises ConfigurationError when it is missing, or a flag would replace what is known.
    """
    for name, value in flags.items():
        if not yes and known.get(name, value) != value:
            raise ConfigurationError(
                f"{name} has another value already: add --yes to replace it."
            )

    first = questions[0]
    if not (flags.get(first.setting) or known.get(first.setting)):
        raise ConfigurationError(
            f"{first.setting} is missing: give it with {flag_of(channel, first)}."
        )

    return {**known, **flags}


def _interview(
    channel: str,
    steps: Steps,
    flags: Mapping[str, str],
    settings: Settings,
    *,
    yes: bool,
) -> tuple[dict[str, str], str]:
    """Asks until the platform takes the answers. Returns them, and the next steps."""
    known: Mapping[str, str] = known_in(settings, steps.QUESTIONS)
    attempt = 1
    while True:
        with asking():
            values = _asked(steps.QUESTIONS, flags, known, yes=yes)
        try:
            return values, _sign_in(channel, steps, values, settings)
        except ConfigurationError as refusal:
            if attempt == ATTEMPTS:
                raise
            tell(f"{refusal.sentence}\n", err=True)
        attempt, flags, known = attempt + 1, {}, {}


def _asked(
    questions: Sequence[Question],
    flags: Mapping[str, str],
    known: Mapping[str, str],
    *,
    yes: bool,
) -> dict[str, str]:
    values = dict(known)
    for question in questions:
        name = question.setting
        replaces = name in known and known[name] != flags.get(name)
        if replaces and not yes and not _may_replace(name):
            continue

        value = flags.get(name) or _answer(
            question, required=question is questions[0]
        )
        if value:
            values[name] = value

    return values


def _may_replace(name: str) -> bool:
    return typer.confirm(f"{name} is set already. Replace it?", default=False)


def _answer(question: Question, *, required: bool) -> str:
    """What a person types or pastes; "" when they omit what is not required."""
    text = question.text if required else f"{question.text}; Enter to omit it"
    while True:
        value = typer.prompt(
            text, default="", show_default=False, hide_input=question.secret
        )
        if value.strip() or not required:
            return str(value).strip()


def _sign_in(
    channel: str, steps: Steps, values: Mapping[str, str], settings: Settings
) -> str:
    """Tries the answers, so that nothing the platform refuses gets into `.env`.

    Returns the next steps. Raises ConfigurationError.
    """
    for name, value in values.items():
        if os.environ.get(name, value) != value:
            raise ConfigurationError(
                f"{name} is set in the environment, which wins over .env: unset it there."
            )

    address = f"{channel}_api_url"
    base = {address.upper(): str(getattr(settings, address))}

    return asyncio.run(steps.after({**base, **values}))
