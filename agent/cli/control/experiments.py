"""`agent experiments …`: which of several values of a flag serves people better. One runs
on a flag at a time.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.cli.change import ChangeOptions, Proposal, run_change
from agent.cli.control import experiments_report, experiments_ship
from agent.cli.options import (
    As,
    Expect,
    Group,
    Json,
    Reason,
    Yes,
    complete_channel,
    complete_flag,
    operating,
)
from agent.cli.run import WELL, run
from agent.control.experiments import Experiment, Variant, typed_variant
from agent.control.flags import Flag

if TYPE_CHECKING:
    from agent.settings import Settings
    from storage.control.audit import Author
    from storage.control.experiments.admin import ExperimentAdmin, ExperimentView
    from storage.control.flags import FlagAdmin

    Admins = tuple[ExperimentAdmin, FlagAdmin]
    Step = Callable[..., Awaitable[ExperimentView]]

app = typer.Typer(
    cls=Group,
    help="Experiments: people take part in one of several variants, always the same one.",
    no_args_is_help=True,
)
app.command()(experiments_report.report)
app.command()(experiments_ship.ship)

Name = Annotated[
    str, typer.Argument(help="The experiment; `agent experiments list` shows all.")
]
NewName = Annotated[
    str, typer.Argument(help="a-z, 0-9 and _; forever, once it was started.")
]
FlagName = Annotated[
    str,
    typer.Option(
        "--flag",
        help="Whose value differs; `agent flags list` shows all.",
        autocompletion=complete_flag,
    ),
]
Variants = Annotated[
    list[str],
    typer.Option(
        "--variant",
        help="NAME[:WEIGHT][=VALUE], two to ten times; the first is the control. "
        "Without a value: as if there were no experiment.",
    ),
]
Channels = Annotated[
    list[str] | None,
    typer.Option(
        "--channel",
        help="Only people there; may be repeated.",
        autocompletion=complete_channel,
    ),
]
Share = Annotated[
    float, typer.Option("--share", help="Share of people who take part, in percent.")
]
Salt = Annotated[
    str | None,
    typer.Option("--salt", help="Splits people differently; default: the name."),
]
Starts = Annotated[
    str | None,
    typer.Option("--starts", help="When it starts by itself: 2026-03-01T14:00."),
]
Ends = Annotated[str | None, typer.Option("--ends", help="When it ends by itself.")]
Detect = Annotated[
    float,
    typer.Option(
        "--detect",
        help="The smallest relative difference worth knowing: 0.1 is a tenth.",
    ),
]

VARIANT = re.compile(
    r"(?P<name>[^:=]*)(:(?P<weight>[^=]*))?(=(?P<value>.*))?", re.DOTALL
)


@app.command("list")
def list_(as_json: Json = False) -> None:
    """Show all experiments, how far they are, and who takes part."""

    async def show(settings: Settings) -> int:
        from agent.cli.control.experiments_view import show_list

        async with _open_admins(settings) as (admin, _):
            show_list(await admin.all(), as_json=as_json)

        return WELL

    run(show)


@app.command()
def show(name: Name, as_json: Json = False) -> None:
    """Show one experiment: its variants with their weights and values, its audience, its plan."""

    async def work(settings: Settings) -> int:
        from agent.cli.control.experiments_view import show_one

        async with _open_admins(settings) as (admin, _):
            show_one(await admin.get(name), as_json=as_json)

        return WELL

    run(work)


@app.command()
def create(
    name: NewName,
    flag: FlagName,
    variant: Variants,
    channel: Channels = None,
    share: Share = 100.0,
    salt: Salt = None,
    starts: Starts = None,
    ends: Ends = None,
    detect: Detect = 0.1,
    as_: As = None,
    reason: Reason = None,
    as_json: Json = False,
) -> None:
    """Draft an experiment. Nobody takes part until it is started; from then on it does not
    change.
    """
    from agent.cli.control.experiments_view import show_one
    from storage.control.targets import moment

    begin = None if starts is None else moment(starts)
    end = None if ends is None else moment(ends)
    channels = frozenset(channel or ())
    salted = name if salt is None else salt

    async def propose(admins: Admins, by: Author) -> Proposal[ExperimentView]:
        admin, flags = admins
        variants = read_variants(variant, (await flags.get(flag)).flag)
        made = Experiment(
            name, flag, salted, variants, channels, share, begin, end, detect
        )

        return Proposal(lambda _: admin.create(made, by))

    run_change(_open_admins, propose, show_one, ChangeOptions(as_, reason, as_json))


@app.command()
def start(
    name: Name,
    as_: As = None,
    reason: Reason = None,
    yes: Yes = False,
    expect: Expect = None,
    as_json: Json = False,
) -> None:
    """Begin an experiment, for good: it can be stopped, but not changed."""
    from storage.control.experiments.questions import start_question

    options = ChangeOptions(as_, reason, as_json, yes, expect)
    _move(name, lambda admin: admin.start, start_question, options)


@app.command()
def stop(
    name: Name,
    as_: As = None,
    reason: Reason = None,
    yes: Yes = False,
    expect: Expect = None,
    as_json: Json = False,
) -> None:
    """End an experiment, for good: the flag's other rules decide for everybody."""
    from storage.control.experiments.questions import stop_question

    options = ChangeOptions(as_, reason, as_json, yes, expect)
    _move(name, lambda admin: admin.stop, stop_question, options)


@app.command()
def remove(
    name: Name,
    as_: As = None,
    reason: Reason = None,
    expect: Expect = None,
    as_json: Json = False,
) -> None:
    """Forget a draft. One that was started stays for its report."""
    from agent.cli.control.experiments_view import show_removed

    async def propose(admins: Admins, by: Author) -> Proposal[None]:
        admin, _ = admins

        return Proposal(lambda version: admin.remove(name, by, expected=version))

    def show(_: None, /, *, as_json: bool) -> None:
        show_removed(name, as_json=as_json)

    options = ChangeOptions(as_, reason, as_json, expect=expect)
    run_change(_open_admins, propose, show, options)


def _move(
    name: str,
    step: Callable[[ExperimentAdmin], Step],
    question: Callable[[ExperimentView], str],
    options: ChangeOptions,
) -> None:
    """Takes an experiment to its next stage, once that is confirmed."""
    from agent.cli.control.experiments_view import show_one

    async def propose(admins: Admins, by: Author) -> Proposal[ExperimentView]:
        admin, _ = admins
        view = await admin.get(name)

        return Proposal(
            lambda version: step(admin)(name, by, expected=version),
            question(view),
            view.version,
        )

    run_change(_open_admins, propose, show_one, options)


def read_variants(typed: Sequence[str], flag: Flag[Any]) -> tuple[Variant, ...]:
    """The variants as an operator types them. Raises Rejected."""
    return tuple(_variant(one, flag) for one in typed)


def _variant(typed: str, flag: Flag[Any]) -> Variant:
    parts = VARIANT.fullmatch(typed)
    assert parts is not None, "every text matches"

    return typed_variant(flag, parts["name"], parts["weight"], parts["value"])


@asynccontextmanager
async def _open_admins(settings: Settings) -> AsyncIterator[Admins]:
    """The operators' side of experiments, and of flags."""
    from storage.control.experiments.admin import ExperimentAdmin
    from storage.control.flag_rules import ValueCheck
    from storage.control.flags import FlagAdmin

    async with operating(settings) as (stores, models):
        check = ValueCheck(models, settings.window_messages)
        yield (
            ExperimentAdmin(stores.database, stores.pipe, check),
            FlagAdmin(stores.database, stores.pipe, check),
        )
