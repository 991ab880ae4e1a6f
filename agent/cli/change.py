"""How every change is made: it is proposed, confirmed, made and shown."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Generic, NoReturn, Protocol, TypeVar

import typer
from msgspec import Struct

from agent.cli import output
from agent.cli.options import author
from agent.cli.run import WELL, asking, run
from agent.core.errors import ConfigurationError, Conflict

if TYPE_CHECKING:
    from agent.settings import Settings
    from storage.control.audit import Author

Admin = TypeVar("Admin")
Made = TypeVar("Made")
Shown = TypeVar("Shown", contravariant=True)  # noqa: PLC0105


class ChangeOptions(Struct, frozen=True):
    """What every command that changes something accepts; see `agent.cli.options`."""

    as_: str | None
    reason: str | None
    as_json: bool
    yes: bool = False
    expect: int | None = None


class Proposal(Struct, Generic[Made], frozen=True):
    """A change that is ready to be made."""

    make: Callable[[int | None], Awaitable[Made]]
    """Makes it, if the subject is still at this version; None: whatever its version."""

    question: str | None = None
    """Asked first, where more people than one are concerned."""

    version: int | None = None
    """The version that the operator was shown."""

    newest: Callable[[], Awaitable[int]] | None = None
    """Reads the version again, to ask once more after a conflict."""


class Show(Protocol[Shown]):
    """Shows what was made, to a person or as JSON."""

    def __call__(self, made: Shown, /, *, as_json: bool) -> None: ...


def run_change(
    open_admin: Callable[[Settings], AbstractAsyncContextManager[Admin]],
    propose: Callable[[Admin, Author], Awaitable[Proposal[Made]]],
    show: Show[Made],
    options: ChangeOptions,
) -> NoReturn:
    """Runs a command that changes something. Raises AgentError."""

    async def work(settings: Settings) -> int:
        by = author(settings, options.as_, options.reason)
        async with open_admin(settings) as admin:
            proposal = await propose(admin, by)
            if proposal.question is not None:
                confirm(proposal.question, options)
            made = await _make(proposal, options)

        show(made, as_json=options.as_json)

        return WELL

    run(work)


def confirm(question: str, options: ChangeOptions) -> None:
    """Asks first. Raises ConfigurationError when nobody can be asked, typer.Abort for no."""
    if options.yes:
        return
    if not may_ask(as_json=options.as_json):
        raise ConfigurationError(f"{question} Add --yes to say so.")

    _ask(question)


def may_ask(*, as_json: bool) -> bool:
    """Whether a person is there to answer."""
    return (
        not as_json
        and sys.stdin is not None
        and sys.stdin.isatty()
        and sys.stderr.isatty()
    )


async def _make(proposal: Proposal[Made], options: ChangeOptions) -> Made:
    """When somebody was faster, tells of it and asks again."""
    version = proposal.version if options.expect is None else options.expect

    while True:
        try:
            return await proposal.make(version)
        except Conflict as conflict:
            if proposal.newest is None or not may_ask(as_json=options.as_json):
                raise
            _ask(f"{conflict.sentence} Do it now?")
            version = await proposal.newest()


def _ask(question: str) -> None:
    """Raises typer.Abort when the answer is no."""
    with asking():
        typer.confirm(output.question(question), abort=True, err=True)
