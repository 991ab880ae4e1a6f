"""`agent experiments …`: which of several values of a flag serves people better. One runs
on a flag at a time.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.cli.control import experiments_report
from agent.cli.options import (
    As,
    Expect,
    Json,
    Reason,
    Yes,
    author,
    complete_channel,
    complete_flag,
    confirm,
    operating,
)
from agent.cli.run import WELL, run
from agent.control.experiments import Experiment, Variant
from agent.control.flags import Flag
from agent.core.errors import Rejected

if TYPE_CHECKING:
    from agent.settings import Settings
    from storage.control.experiments.admin import ExperimentAdmin, ExperimentView
    from storage.control.flags import FlagAdmin

app = typer.Typer(
    help="Experiments: people take part in one of several variants, always the same one.",
    no_args_is_help=True,
)
app.command()(experiments_report.report)

Name = Annotated[
    str, typer.Argument(help="The experiment; `agent experiments list` shows all.")
]

VARIANT = re.compile(
    r"(?P<name>[^:=]*)(:(?P<weight>[^=]*))?(=(?P<value>.*))?", re.DOTALL
)


@app.command("list")
def list_(as_json: Json = False) -> None:
    """Show all experiments, how far they are, and who takes part."""

    async def show(settings: Settings) -> int:
        from agent.cli.control.experiments_view import show_list

        async with _desks(settings) as (desk, _):
            show_list(await desk.all(), as_json=as_json)
        return WELL

    run(show)


@app.command()
def show(name: Name, as_json: Json = False) -> None:
    """Show one experiment: its variants with their weights and values, its audience, its plan."""

    async def work(settings: Settings) -> int:
        from agent.cli.control.experiments_view import show_one

        async with _desks(settings) as (desk, _):
            show_one(await desk.get(name), as_json=as_json)
        return WELL

    run(work)


@app.command()
def create(
    name: Annotated[
        str, typer.Argument(help="a-z, 0-9 and _; for ever, once it was started.")
    ],
    flag: Annotated[
        str,
        typer.Option(
            "--flag",
            help="Whose value differs; `agent flags list` shows all.",
            autocompletion=complete_flag,
        ),
    ],
    variant: Annotated[
        list[str],
        typer.Option(
            "--variant",
            help="NAME[:WEIGHT][=VALUE], two to ten times; the first is the "
            "control. Without a value: as if there were "
            "no experiment.",
        ),
    ],
    channel: Annotated[
        list[str] | None,
        typer.Option(
            "--channel",
            help="Only people there; may be repeated.",
            autocompletion=complete_channel,
        ),
    ] = None,
    share: Annotated[
        float, typer.Option("--share", help="So many of 100 people take part.")
    ] = 100.0,
    salt: Annotated[
        str | None,
        typer.Option("--salt", help="Splits people anew; default: the name."),
    ] = None,
    starts: Annotated[
        str | None,
        typer.Option("--starts", help="When it starts by itself: 2026-03-01T14:00."),
    ] = None,
    ends: Annotated[
        str | None, typer.Option("--ends", help="When it ends by itself.")
    ] = None,
    detect: Annotated[
        float,
        typer.Option(
            "--detect",
            help="The smallest relative difference worth knowing: 0.1 is a tenth.",
        ),
    ] = 0.1,
    as_: As = None,
    reason: Reason = None,
    as_json: Json = False,
) -> None:
    """Draft an experiment. Nobody takes part until it is started; from then on it does not
    change.
    """

    async def work(settings: Settings) -> int:
        from agent.cli.control.experiments_view import show_one
        from storage.control.flags import moment

        by = author(settings, as_, reason)
        begin, end = (
            None if typed is None else moment(typed) for typed in (starts, ends)
        )
        async with _desks(settings) as (desk, flags):
            variants = read_variants(variant, (await flags.get(flag)).flag)
            parting = name if salt is None else salt
            experiment = Experiment(
                name,
                flag,
                parting,
                variants,
                frozenset(channel or ()),
                share,
                begin,
                end,
                detect,
            )
            show_one(await desk.create(experiment, by), as_json=as_json)
        return WELL

    run(work)


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

    def question(view: ExperimentView) -> str:
        from agent.cli.control.experiments_view import audience_of

        return f"Start {name} on {view.experiment.flag} for {audience_of(view.experiment)}?"

    _move(
        name,
        lambda desk: desk.start,
        question,
        as_,
        reason,
        expect,
        yes=yes,
        as_json=as_json,
    )


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
    question = f"Stop {name} for everybody? It can not be started again."
    _move(
        name,
        lambda desk: desk.stop,
        lambda _: question,
        as_,
        reason,
        expect,
        yes=yes,
        as_json=as_json,
    )


@app.command()
def remove(
    name: Name,
    as_: As = None,
    reason: Reason = None,
    expect: Expect = None,
    as_json: Json = False,
) -> None:
    """Forget a draft. One that was started stays for its report."""

    async def work(settings: Settings) -> int:
        from agent.cli.control.experiments_view import show_removed

        by = author(settings, as_, reason)
        async with _desks(settings) as (desk, _):
            await desk.remove(name, by, expected=expect)
        show_removed(name, as_json=as_json)
        return WELL

    run(work)


def _move(
    name: str,
    step: Callable[[ExperimentAdmin], Callable[..., Awaitable[ExperimentView]]],
    question: Callable[[ExperimentView], str],
    as_: str | None,
    reason: str | None,
    expect: int | None,
    *,
    yes: bool,
    as_json: bool,
) -> None:
    """Takes an experiment to its next stage, once that is agreed to."""

    async def work(settings: Settings) -> int:
        from agent.cli.control.experiments_view import show_one

        by = author(settings, as_, reason)
        async with _desks(settings) as (desk, _):
            view = await desk.get(name)
            confirm(question(view), yes=yes, as_json=as_json)
            seen = view.version if expect is None else expect
            show_one(await step(desk)(name, by, expected=seen), as_json=as_json)
        return WELL

    run(work)


def read_variants(typed: Sequence[str], flag: Flag[Any]) -> tuple[Variant, ...]:
    """The variants as an operator types them. Raises Rejected."""
    return tuple(_variant(one, flag) for one in typed)


def _variant(typed: str, flag: Flag[Any]) -> Variant:
    parts = VARIANT.fullmatch(typed)
    assert parts is not None, "every text matches"
    value = None if parts["value"] is None else flag.parsed(parts["value"])
    try:
        return Variant(parts["name"], float(parts["weight"] or 1), value)
    except ValueError:
        raise Rejected(
            "A variant is written NAME, NAME=VALUE or NAME:WEIGHT=VALUE; a weight is a number."
        ) from None


@asynccontextmanager
async def _desks(
    settings: Settings,
) -> AsyncIterator[tuple[ExperimentAdmin, FlagAdmin]]:
    from storage.control.experiments.admin import ExperimentAdmin
    from storage.control.flags import FlagAdmin

    async with operating(settings) as (stores, models):
        yield (
            ExperimentAdmin(stores.database, stores.pipe, models),
            FlagAdmin(stores.database, stores.pipe, models),
        )
