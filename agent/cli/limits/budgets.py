"""`agent budgets …`: what people and channels may use up in a day."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated, Literal

import typer

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
from agent.core.errors import Rejected

if TYPE_CHECKING:
    from agent.settings import Settings
    from storage.control.audit import Author
    from storage.limits.budget_admin import (
        Aside,
        Budget,
        BudgetAdmin,
        BudgetView,
        Tokens,
        Usd,
    )

    Make = Callable[[BudgetAdmin, Author, int | None], Awaitable[Budget]]

app = typer.Typer(
    cls=Group,
    help="Budgets of a day (UTC), in tokens and US dollars.",
    no_args_is_help=True,
)

Scope = Literal["person", "channel"]
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
    typer.Option("--tokens", help="Tokens a day, read and written; none: any."),
]
Dollars = Annotated[
    str | None,
    typer.Option(
        "--usd", help="US dollars a day; needs prices in MODELS; none: any."
    ),
]


@app.command("list")
def list_(as_json: Json = False) -> None:
    """Show all budgets and what is used of them today."""
    headers = ("FOR", "WHO OR WHERE", "TOKENS", "USD", "CALLS NOW", "VERSION")
    _show_budgets(headers, _row, as_json=as_json)


@app.command()
def show(as_json: Json = False) -> None:
    """Show what counts today: used, set aside by calls under way, and set aside by calls
    that were never settled.
    """
    headers = ("FOR", "WHO OR WHERE", "USED", "UNDER WAY", "NEVER SETTLED")
    _show_budgets(headers, _parts, as_json=as_json)


@app.command("set")
def set_(
    scope: For,
    subject: Subject,
    tokens: TokenCount = None,
    usd: Dollars = None,
    as_: As = None,
    reason: Reason = None,
    yes: Yes = False,
    expect: Expect = None,
    as_json: Json = False,
) -> None:
    """Set a budget; what is not named of it stays. No model is asked whose answer might not
    fit into it.
    """
    halves = _tokens(tokens), _usd(usd)

    def make(
        admin: BudgetAdmin, by: Author, version: int | None
    ) -> Awaitable[Budget]:
        return admin.set(scope, subject, *halves, by, expected=version)

    def show(budget: Budget, /, *, as_json: bool) -> None:
        if as_json:
            show_json({"scope": scope, "subject": subject, **asdict(budget)})
        else:
            tell(f"{scope} {subject}: {_described(budget)} a day.")

    question = f"Set this budget for everybody ({scope} {subject})?"
    options = ChangeOptions(as_, reason, as_json, yes, expect)
    propose = _proposing(scope, subject, question, make)
    run_change(_open_admin, propose, show, options)


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

    def make(
        admin: BudgetAdmin, by: Author, version: int | None
    ) -> Awaitable[Budget]:
        return admin.unset(scope, subject, by, expected=version)

    def show(budget: Budget, /, *, as_json: bool) -> None:
        if as_json:
            show_json({"scope": scope, "subject": subject, **asdict(budget)})
        else:
            tell(f"{scope} {subject}: no budget of its own.")

    question = f"Remove this budget for everybody ({scope} {subject})?"
    options = ChangeOptions(as_, reason, as_json, yes, expect)
    propose = _proposing(scope, subject, question, make)
    run_change(_open_admin, propose, show, options)


def _proposing(
    scope: Scope, subject: str, question: str, make: Make
) -> Callable[[BudgetAdmin, Author], Awaitable[Proposal[Budget]]]:
    """The question is asked where the budget is not one person's."""

    async def propose(admin: BudgetAdmin, by: Author) -> Proposal[Budget]:
        async def newest() -> int:
            return await admin.version(scope, subject)

        return Proposal(
            lambda version: make(admin, by, version),
            question if scope == "channel" or subject == "*" else None,
            await newest(),
            newest,
        )

    return propose


def _show_budgets(
    headers: tuple[str, ...],
    row: Callable[[BudgetView], tuple[str, ...]],
    *,
    as_json: bool,
) -> None:
    async def work(settings: Settings) -> int:
        async with _open_admin(settings) as admin:
            views = await admin.list()
        if as_json:
            show_json([asdict(view) for view in views])
        else:
            show_table(headers, [row(view) for view in views])

        return WELL

    run(work)


def _tokens(text: str | None) -> Tokens:
    """None: this half stays. Raises Rejected."""
    if text is None:
        return None
    if text == "none":
        return "none"

    try:
        return int(text)
    except ValueError:
        raise Rejected(
            f"{text!r} is no number of tokens. Write tokens as 50000, or none."
        ) from None


def _usd(text: str | None) -> Usd:
    """None: this half stays. Raises Rejected."""
    if text is None:
        return None
    if text == "none":
        return "none"

    try:
        return Decimal(text)
    except InvalidOperation:
        raise Rejected(
            f"{text!r} is no amount. Write US dollars as 2.50, or none."
        ) from None


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
        f"{view.used_tokens:,} of {tokens}",
        f"{view.used_usd:.4f} of {usd}",
        str(view.under_way.calls),
        str(view.version),
    )


def _parts(view: BudgetView) -> tuple[str, ...]:
    return (
        view.scope,
        view.accounts or view.subject,
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
    return f"{tokens:,} tokens, {usd:.4f} USD"


@asynccontextmanager
async def _open_admin(settings: Settings) -> AsyncIterator[BudgetAdmin]:
    from storage.limits.budget_admin import SETTLING_SECONDS, BudgetAdmin

    async with operating(settings) as (stores, _):
        yield BudgetAdmin(
            stores.database,
            stores.pipe,
            settings.model_total_timeout + SETTLING_SECONDS,
        )
