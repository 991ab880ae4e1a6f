"""`/account`: one's own password, second factor and sessions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from uuid import UUID

from starlette.responses import RedirectResponse, Response

from agent.control.permissions import Permission
from agent.core.errors import Rejected
from agent.web.console.errors import Stopped, described
from agent.web.console.page import Page, PageContext
from agent.web.console.sign_in import limit
from storage.control.audit import Author
from storage.control.operators.account import OperatorAccount
from storage.control.operators.api_tokens import ApiTokens, TokenView
from storage.control.operators.passwords import MIN_CHARS
from storage.control.operators.second_factor import factor_of, new_factor

GUESSABLE = frozenset({"password", "factor", "no-factor"})
"""What asks for a password or a code, and so counts as a try to sign in."""


async def show(context: PageContext) -> Response:
    return await _page(context)


async def act(context: PageContext) -> Response:
    """A change that is refused comes back with the reason."""
    kind = _KINDS.get(context.form["do"])
    if kind is None:
        raise Stopped(422, "The form does not say what to do. Load the page again.")

    viewer = context.viewer
    if context.form["do"] in GUESSABLE:
        await limit(context.services, viewer.address, viewer.operator)
    try:
        return await kind(context)
    except Rejected as error:
        secret = context.form["secret"]
        factor = factor_of(viewer.operator, secret) if secret else None
        return await _page(
            context, status=422, problem=described(error), factor=factor
        )


PAGES = (Page("/account", "Account", Permission.SEE, show, act),)


async def _page(
    context: PageContext,
    status: int = 200,
    **values: Any,
) -> Response:
    services, viewer = context.services, context.viewer
    wants = context.query["factor"] == "new"
    shown = {
        "account": await _account(context).view(),
        "sessions": await services.sessions.list(viewer.operator),
        "factor": new_factor(viewer.operator) if wants else None,
        "tokens": len(await _good_tokens(context)),
        "problem": "",
        "codes": (),
        "min_chars": MIN_CHARS,
    }

    return context.render("account.html", status, **(shown | values))


def _account(context: PageContext) -> OperatorAccount:
    services, viewer = context.services, context.viewer
    author = Author(viewer.operator, f"console from {viewer.address}")

    return OperatorAccount(
        services.stores.database,
        services.secrets,
        author,
        viewer.session,
    )


async def _password(context: PageContext) -> Response:
    form = context.form
    if form.raw("password") != form.raw("again"):
        raise Rejected("The two passwords differ.")
    await _account(context).change_password(form.raw("current"), form.raw("password"))

    return context.redirect("/account", "Your password is set; other sessions ended.")


async def _factor(context: PageContext) -> Response:
    """The recovery codes are in the answer to the form: nothing keeps them for a second look."""
    form = context.form
    codes = await _account(context).set_factor(
        form.raw("current"),
        form["secret"],
        form["code"],
    )

    return await _page(context, factor=None, codes=codes)


async def _no_factor(context: PageContext) -> Response:
    await _account(context).remove_factor(context.form.raw("current"))

    return context.redirect("/account", "The password alone is enough now.")


async def _end(context: PageContext) -> Response:
    try:
        only = UUID(context.form["session"])
    except ValueError:
        raise Rejected("There is no such session.") from None
    await context.services.sessions.end(context.viewer.operator, only=only)

    return context.redirect("/account", "That session ended.")


async def _end_all(context: PageContext) -> Response:
    """Tokens of programs are no sessions: they end only if that is asked for."""
    good = await _good_tokens(context)
    if context.form["tokens"] == "revoke":
        for view in good:
            await _tokens(context).revoke(view.id, context.author())

    await context.services.sessions.end(context.viewer.operator)
    response = RedirectResponse("/sign-in", 303)
    context.cookies.drop(response, "session")
    context.cookies.tell(response, _ended(context.form["tokens"], len(good)))

    return response


def _ended(
    tokens: str,
    count: int,
) -> str:
    """What became of everything that lets somebody in."""
    told = "You are signed out everywhere."
    if not count:
        return told
    if tokens == "revoke":
        return f"{told} {count} API tokens are revoked."

    return f"{told} {count} API tokens are still good: Account, then Tokens, revokes them."


async def _good_tokens(context: PageContext) -> list[TokenView]:
    """Those with which programs may still come in the viewer's name."""
    viewer = context.viewer
    views = await _tokens(context).list(viewer.operator)

    return [
        view
        for view in views
        if view.revoked_at is None and view.ends_at > viewer.now
    ]


def _tokens(context: PageContext) -> ApiTokens:
    return ApiTokens(context.services.stores.database)


_KINDS: Mapping[str, Callable[[PageContext], Awaitable[Response]]] = {
    "password": _password,
    "factor": _factor,
    "no-factor": _no_factor,
    "end": _end,
    "end-all": _end_all,
}
