"""`agent budgets …`: what people and channels may use up in a day."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from agent.cli.options import (
    As,
    Expect,
    Json,
    Reason,
    Yes,
    author,
    complete_channel,
    confirm,
    insist,
    operating,
    show_json,
    show_table,
)
from agent.cli.run import WELL, run
from agent.core.errors import Rejected

if TYPE_CHECKING:
    from agent.settings import Settings
    from storage.limits.budget_admin import (
        Aside,
        Budget,
        BudgetAdmin,
        BudgetView,
        Tokens,
        Usd,
    )

app = typer.Typer(
    help="Budgets of a day (UTC), in tokens and US dollars.", no_args_is_help=True
)


For = Annotated[Literal["person", "channel"], typer.Argument(help="Whom it binds.")]
Subject = Annotated[
    str,
    typer.Argument(
        help="An account as channel:id, a channel, or * for each without an own one.",
        autocompletion=complete_channel,
    ),
]


@app.command("list")
def list_(as_json: Json = False) -> None:
    """Show all budgets and what is used of them today."""

    async def show(settings: Settings) -> int:
        async with _desk(settings) as desk:
            views = await desk.list()
        if as_json:
            show_json([asdict(view) for view in views])
        else:
            show_table(
                ("FOR", "WHO OR WHERE", "TOKENS", "USD", "CALLS NOW", "VERSION"),
                [_row(view) for view in views],
            )
        return WELL

    run(show)


@app.command()
def show(as_json: Json = False) -> None:
    """Show what counts today: used, set aside by calls under way, and set aside by calls
    that were never settled.
    """

    async def work(settings: Settings) -> int:
        async with _desk(settings) as desk:
            views = await desk.list()
        if as_json:
            show_json([asdict(view) for view in views])
        else:
            show_table(
                ("FOR", "WHO OR WHERE", "USED", "UNDER WAY", "NEVER SETTLED"),
                [_parts(view) for view in views],
            )
        return WELL

    run(work)


@app.command("set")
def set_(
    scope: For,
    subject: Subject,
    tokens: Annotated[
        str | None,
        typer.Option("--tokens", help="Tokens a day, read and written; none: any."),
    ] = None,
    usd: Annotated[
        str | None,
        typer.Option(
            "--usd", help="US dollars a day; needs prices in MODELS; none: any."
        ),
    ] = None,
    as_: As = None,
    reason: Reason = None,
    yes: Yes = False,
    expect: Expect = None,
    as_json: Json = False,
) -> None:
    """Set a budget; what is not named of it stays. No model is asked whose answer might not
    fit into it.
    """

    async def work(settings: Settings) -> int:
        by, halves = author(settings, as_, reason), (_tokens(tokens), _usd(usd))
        async with _desk(settings) as desk:
            seen = await desk.version(scope, subject) if expect is None else expect
            if scope == "channel" or subject == "*":
                confirm(
                    f"Set this budget for everybody ({scope} {subject})?",
                    yes=yes,
                    as_json=as_json,
                )
            budget = await insist(
                lambda version: desk.set(scope, subject, *halves, by, expected=version),
                seen,
                lambda: desk.version(scope, subject),
                as_json=as_json,
            )
        if as_json:
            show_json({"scope": scope, "subject": subject, **asdict(budget)})
        else:
            typer.echo(f"{scope} {subject}: {_told(budget)} a day.")
        return WELL

    run(work)


@app.command()
def unset(
    scope: For,
    subject: Subject,
    as_: As = None,
    reason: Reason = None,
    yes: Yes = False,
    expect: Expect = None,
    as_json: Json = False,
) -> None:
    """Remove a budget."""

    async def work(settings: Settings) -> int:
        by = author(settings, as_, reason)
        async with _desk(settings) as desk:
            seen = await desk.version(scope, subject) if expect is None else expect
            if scope == "channel" or subject == "*":
                confirm(
                    f"Remove this budget for everybody ({scope} {subject})?",
                    yes=yes,
                    as_json=as_json,
                )
            budget = await insist(
                lambda version: desk.unset(scope, subject, by, expected=version),
                seen,
                lambda: desk.version(scope, subject),
                as_json=as_json,
            )
        if as_json:
            show_json({"scope": scope, "subject": subject, **asdict(budget)})
        else:
            typer.echo(f"{scope} {subject}: no budget of its own.")
        return WELL

    run(work)


def _tokens(text: str | None) -> Tokens:
    try:
        return None if text is None else "none" if text == "none" else int(text)
    except ValueError:
        raise Rejected(
            f"{text!r} is no number of tokens. Write tokens as 50000, or none."
        ) from None


def _usd(text: str | None) -> Usd:
    try:
        return None if text is None else "none" if text == "none" else Decimal(text)
    except InvalidOperation:
        raise Rejected(
            f"{text!r} is no amount. Write US dollars as 2.50, or none."
        ) from None


def _told(budget: Budget) -> str:
    tokens = "any" if budget.tokens is None else f"{budget.tokens:,}"
    usd = "any" if budget.usd is None else f"{budget.usd:,.2f}"
    if budget.usd is not None and budget.usd != round(budget.usd, 2):
        usd = f"{budget.usd.normalize():,f}"
    return f"{tokens} tokens, {usd} USD"


def _row(view: BudgetView) -> tuple[str, ...]:
    tokens = f"{view.used_tokens:,} of {'any' if view.tokens is None else f'{view.tokens:,}'}"
    usd = f"{view.used_usd:.4f} of {'any' if view.usd is None else f'{view.usd:.2f}'}"
    return (
        view.scope,
        view.accounts or view.subject,
        tokens,
        usd,
        str(view.under_way.calls),
        str(view.version),
    )


def _parts(view: BudgetView) -> tuple[str, ...]:
    used = _sum(*view.settled)
    return (
        view.scope,
        view.accounts or view.subject,
        used,
        _aside(view.under_way),
        _aside(view.unsettled),
    )


def _aside(aside: Aside) -> str:
    calls = "1 call" if aside.calls == 1 else f"{aside.calls:,} calls"
    return f"{_sum(aside.tokens, aside.usd)} ({calls})" if aside.calls else "-"


def _sum(tokens: int, usd: Decimal) -> str:
    return f"{tokens:,} tokens, {usd:.4f} USD"


@asynccontextmanager
async def _desk(settings: Settings) -> AsyncIterator[BudgetAdmin]:
    from storage.limits.budget_admin import SETTLING_SECONDS, BudgetAdmin

    async with operating(settings) as (stores, _):
        yield BudgetAdmin(
            stores.database,
            stores.pipe,
            settings.model_total_timeout + SETTLING_SECONDS,
        )
