"""`agent budgets …`: what people and channels may use up in a day or a month."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from msgspec import Struct
from msgspec.structs import asdict

from agent.cli.change import ChangeOptions, Proposal, run_change
from agent.cli.options import (
    As,
    Expect,
    Group,
    Json,
    Reason,
    Yes,
    complete_channel,
    operating,
)
from agent.cli.output import show_json, show_table, tell
from agent.cli.run import WELL, run
from agent.core.words.sizes import dollars

if TYPE_CHECKING:
    from agent.settings import Settings
    from storage.control.audit import Author
    from storage.limits.budget_admin import Budget, BudgetAdmin
    from storage.limits.budget_views import Aside, BudgetView

    Make = Callable[["Opened", Author, int | None], Awaitable[Budget]]

app = typer.Typer(
    cls=Group,
    help="Budgets of a day or a month (UTC), in tokens and US dollars.",
    no_args_is_help=True,
)


class Opened(Struct, frozen=True):
    """What the commands work with."""

    admin: BudgetAdmin
    unpriced: Callable[[], Awaitable[list[str]]]
    """The models in use of which no price is known."""


Scope = Literal["person", "channel"]
Period = Literal["day", "month"]
Per = Annotated[
    Period, typer.Option("--per", help="How long it is for; both may be set.")
]
For = Annotated[Scope, typer.Argument(help="Whom it binds.")]
Subject = Annotated[
    str,
    typer.Argument(
        help="An account as channel:id, a channel, or * for each without an own one.",
        autocompletion=complete_channel,
    ),
]
TokenCount = Annotated[
    str | None,
    typer.Option("--tokens", help="Tokens, read and written; none: any."),
]
Dollars = Annotated[
    str | None,
    typer.Option("--usd", help="US dollars; needs known prices; none: any."),
]


@app.command("list")
def list_(as_json: Json = False) -> None:
    """Show all budgets and what is used of them today, or this month."""
    headers = ("FOR", "WHO OR WHERE", "PER", "TOKENS", "USD", "CALLS NOW", "VERSION")
    _show_budgets(headers, _row, as_json=as_json)


@app.command()
def show(as_json: Json = False) -> None:
    """Show what counts today or this month: used, set aside by calls under way, and set
    aside by calls that were never settled.
    """
    headers = ("FOR", "WHO OR WHERE", "PER", "USED", "UNDER WAY", "NEVER SETTLED")
    _show_budgets(headers, _parts, as_json=as_json)


@app.command("set")
def set_(
    scope: For,
    subject: Subject,
    tokens: TokenCount = None,
    usd: Dollars = None,
    per: Per = "day",
    as_: As = None,
    reason: Reason = None,
    yes: Yes = False,
    expect: Expect = None,
    as_json: Json = False,
) -> None:
    """Set a budget; what is not named of it stays. No model is asked whose answer might not
    fit into it.
    """
    from storage.limits.typed_budgets import set_question, typed_tokens, typed_usd

    halves = typed_tokens(tokens), typed_usd(usd)
    unpriced: list[str] = []

    async def make(opened: Opened, by: Author, version: int | None) -> Budget:
        budget = await opened.admin.set(
            scope, subject, *halves, by, expected=version, period=per
        )
        unpriced[:] = [] if budget.usd is None else await opened.unpriced()

        return budget

    def show(budget: Budget, /, *, as_json: bool) -> None:
        if as_json:
            made = _changed(scope, subject, per, budget)
            show_json(made | {"without_price": unpriced})
        else:
            tell(f"{scope} {subject}: {_described(budget)} a {per}.")
            _show_unpriced(unpriced)

    question = set_question(scope, subject, per, *halves)
    options = ChangeOptions(as_, reason, as_json, yes, expect)
    propose = _proposing((scope, subject, per), question, make)
    run_change(_open_admin, propose, show, options)


@app.command()
def unset(
    scope: For,
    subject: Subject,
    per: Per = "day",
    as_: As = None,
    reason: Reason = None,
    yes: Yes = False,
    expect: Expect = None,
    as_json: Json = False,
) -> None:
    """Remove a budget."""
    from storage.limits.typed_budgets import unset_question

    def make(opened: Opened, by: Author, version: int | None) -> Awaitable[Budget]:
        return opened.admin.unset(scope, subject, by, expected=version, period=per)

    def show(budget: Budget, /, *, as_json: bool) -> None:
        if as_json:
            show_json(_changed(scope, subject, per, budget))
        else:
            tell(f"{scope} {subject}: no budget of its own for a {per}.")

    question = unset_question(scope, subject, per)
    options = ChangeOptions(as_, reason, as_json, yes, expect)
    propose = _proposing((scope, subject, per), question, make)
    run_change(_open_admin, propose, show, options)


def _proposing(
    whose: tuple[Scope, str, Period], question: str | None, make: Make
) -> Callable[[Opened, Author], Awaitable[Proposal[Budget]]]:
    async def propose(opened: Opened, by: Author) -> Proposal[Budget]:
        async def newest() -> int:
            return await opened.admin.version(*whose)

        return Proposal(
            lambda version: make(opened, by, version),
            question,
            await newest(),
            newest,
        )

    return propose


def _changed(
    scope: Scope, subject: str, per: Period, budget: Budget
) -> dict[str, object]:
    return {"scope": scope, "subject": subject, "period": per, **asdict(budget)}


def _show_budgets(
    headers: tuple[str, ...],
    row: Callable[[BudgetView], tuple[str, ...]],
    *,
    as_json: bool,
) -> None:
    async def work(settings: Settings) -> int:
        async with _open_admin(settings) as opened:
            views = await opened.admin.list()
        if as_json:
            show_json([asdict(view) for view in views])
        else:
            show_table(headers, [row(view) for view in views])

        return WELL

    run(work)


def _described(budget: Budget) -> str:
    tokens = "any" if budget.tokens is None else f"{budget.tokens:,}"
    usd = "any" if budget.usd is None else f"{budget.usd:,.2f}"
    if budget.usd is not None and budget.usd != round(budget.usd, 2):
        usd = f"{budget.usd.normalize():,f}"

    return f"{tokens} tokens, {usd} USD"


def _row(view: BudgetView) -> tuple[str, ...]:
    tokens = "any" if view.tokens is None else f"{view.tokens:,}"
    usd = "any" if view.usd is None else f"{view.usd:.2f}"

    return (
        view.scope,
        view.accounts or view.subject,
        view.period,
        f"{view.used_tokens:,} of {tokens}",
        f"{dollars(view.used_usd, sign='')} of {usd}",
        str(view.under_way.calls),
        str(view.version),
    )


def _parts(view: BudgetView) -> tuple[str, ...]:
    return (
        view.scope,
        view.accounts or view.subject,
        view.period,
        _sum(*view.settled),
        _aside(view.under_way),
        _aside(view.unsettled),
    )


def _aside(aside: Aside) -> str:
    if not aside.calls:
        return "-"
    calls = "1 call" if aside.calls == 1 else f"{aside.calls:,} calls"

    return f"{_sum(aside.tokens, aside.usd)} ({calls})"


def _sum(tokens: int, usd: Decimal) -> str:
    return f"{tokens:,} tokens, {dollars(usd, sign='')} USD"


def _show_unpriced(models: Sequence[str]) -> None:
    if models:
        typer.echo(
            f"No price is known of {', '.join(models)}: under a budget in US dollars "
            "it is not asked. Name its price in MODELS."
        )


@asynccontextmanager
async def _open_admin(settings: Settings) -> AsyncIterator[Opened]:
    from agent.llm.prices.shown import without_price
    from storage.limits.budget_admin import SETTLING_SECONDS, BudgetAdmin
    from storage.reports.models import models_in_use

    async with operating(settings) as (stores, models):
        patience = settings.model_total_timeout + SETTLING_SECONDS
        admin = BudgetAdmin(stores.database, stores.pipe, patience)

        async def unpriced() -> list[str]:
            names = await models_in_use(settings, stores.database)

            return await without_price(models.specs, names)

        yield Opened(admin, unpriced)
