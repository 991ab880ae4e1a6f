"""`agent setup <channel>`: from nothing to the first answered message."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import NoReturn, Protocol, cast

import typer
from pydantic import SecretStr

from agent.cli.run import asking, run
from agent.core.errors import ConfigurationError
from agent.logs import configure_logging
from agent.operations.env_file import write_env
from agent.settings import ENV_FILE, Settings, load_settings
from channels.setup import Question

ATTEMPTS = 3
"""So often the questions are asked while the platform refuses the answers."""

_MARGIN = 20  # columns that numbers and indents take


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

    Raises ConfigurationError and what else keeps it from coming to that.
    """
    steps = cast(Steps, import_module(f"channels.{channel}.setup"))
    settings = load_settings()
    configure_logging(settings)
    given = read_flags(channel, steps.QUESTIONS, flags)
    if no_input:
        values = _scripted(
            channel,
            steps.QUESTIONS,
            given,
            known_in(settings, steps.QUESTIONS),
            yes=yes,
        )
        said = _sign_in(channel, steps, values, settings)
    else:
        show(steps.before())
        values, said = _interview(channel, steps, given, settings, yes=yes)
    write_env(ENV_FILE, values)
    show(said)
    from agent.cli.first_answer import until_answered

    run(lambda settings: until_answered(settings, channel, wait=wait, upgrade=upgrade))


def show(markdown: str) -> None:
    """Markdown for a person, as it is for a pipe. Links are to be copied: only the terminal
    itself wraps them.
    """
    if not sys.stdout.isatty():
        typer.echo(markdown)
        return
    from rich.console import Console
    from rich.markdown import Markdown
    from rich.text import Text

    console = Console(highlight=False)
    # Rich cuts or breaks what is longer than a line of a list, so it is given lines that
    # are long enough.
    wide = console.options.update(
        width=_MARGIN + max(map(len, markdown.splitlines()), default=0)
    )
    for segments in console.render_lines(Markdown(markdown), wide, pad=False):
        line = Text.assemble(
            *((segment.text, segment.style or "") for segment in segments)
        )
        line.rstrip()
        console.print(line, soft_wrap=True)


def flag_of(channel: str, question: Question) -> str:
    """TELEGRAM_TOKEN is `--token` of `agent setup telegram`."""
    return "--" + question.setting.removeprefix(f"{channel.upper()}_").lower().replace(
        "_", "-"
    )


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
        name: value.strip() for name, value in vars(found).items() if value is not None
    }


def known_in(settings: Settings, questions: Sequence[Question]) -> dict[str, str]:
    """The answers that environment or `.env` have already."""
    known = {}
    for question in questions:
        value = getattr(settings, question.setting.lower())
        if value is not None:
            known[question.setting] = (
                value.get_secret_value() if isinstance(value, SecretStr) else str(value)
            )
    return known


def _scripted(
    channel: str,
    questions: Sequence[Question],
    given: Mapping[str, str],
    known: Mapping[str, str],
    *,
    yes: bool,
) -> dict[str, str]:
    """The answers without a question: flags, else what is known. Only the first one must be
    there.
    """
    for name, value in given.items():
        if not yes and known.get(name, value) != value:
            raise ConfigurationError(
                f"{name} has another value already: add --yes to replace it."
            )
    first = questions[0]
    if not (given.get(first.setting) or known.get(first.setting)):
        raise ConfigurationError(
            f"{first.setting} is missing: give it with {flag_of(channel, first)}."
        )
    return {**known, **given}


def _interview(
    channel: str,
    steps: Steps,
    given: Mapping[str, str],
    settings: Settings,
    *,
    yes: bool,
) -> tuple[dict[str, str], str]:
    """Asks until the platform takes the answers. Returns them, and what is to be done next."""
    known: Mapping[str, str] = known_in(settings, steps.QUESTIONS)
    attempt = 1
    while True:
        with asking():
            values = _asked(steps.QUESTIONS, given, known, yes=yes)
        try:
            return values, _sign_in(channel, steps, values, settings)
        except ConfigurationError as refusal:
            if attempt == ATTEMPTS:
                raise
            typer.echo(f"{refusal.sentence}\n", err=True)
        attempt, given, known = attempt + 1, {}, {}


def _asked(
    questions: Sequence[Question],
    given: Mapping[str, str],
    known: Mapping[str, str],
    *,
    yes: bool,
) -> dict[str, str]:
    values = dict(known)
    for question in questions:
        name = question.setting
        asks = name in known and known[name] != given.get(name) and not yes
        if asks and not typer.confirm(
            f"{name} is set already. Replace it?", default=False
        ):
            continue
        value = given.get(name) or _answer(question, required=question is questions[0])
        if value:
            values[name] = value
    return values


def _answer(question: Question, *, required: bool) -> str:
    """What a person types or pastes; "" when nothing was and nothing must be."""
    while True:
        text = question.text if required else f"{question.text}; Enter to leave it out"
        value = typer.prompt(
            text, default="", show_default=False, hide_input=question.secret
        )
        if value.strip() or not required:
            return str(value).strip()


def _sign_in(
    channel: str, steps: Steps, values: Mapping[str, str], settings: Settings
) -> str:
    """Tries the answers. Nothing that the platform refuses comes into `.env`."""
    for name, value in values.items():
        if os.environ.get(name, value) != value:
            raise ConfigurationError(
                f"{name} is set in the environment, which wins over .env: unset it there."
            )
    address = f"{channel}_api_url"
    return asyncio.run(
        steps.after({address.upper(): str(getattr(settings, address)), **values})
    )
