"""`/account/tokens`: tokens of the viewer's own programs, and revoking them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from starlette.responses import Response

from agent.control.permissions import Permission, Scope, scopes_of
from agent.core.errors import Rejected
from agent.web.console.errors import Stopped, described
from agent.web.console.page import Page, PageContext
from storage.control.operators.api_tokens import (
    DAYS,
    MAX_DAYS,
    NONE,
    ApiTokens,
    TokenView,
)


async def show(context: PageContext) -> Response:
    return await _page(context)


async def act(context: PageContext) -> Response:
    kind = _KINDS.get(context.form["do"])
    if kind is None:
        raise Stopped(422, "The form does not say what to do. Load the page again.")

    try:
        return await kind(context)
    except Rejected as error:
        return await _page(context, problem=described(error), status=422)


async def _add(context: PageContext) -> Response:
    """Answers with the token itself, this once: a redirect would have to keep it somewhere."""
    scope = context.form["scope"]
    if scope not in [*Scope]:
        raise Rejected("Choose a scope.")
    days = context.form.number("days")
    _, token = await _tokens(context).add(
        context.form["label"],
        Scope(scope),
        context.author(),
        days=0 if days is None else days,
    )

    return await _page(context, token=token)


async def _revoke(context: PageContext) -> Response:
    views = {str(view.id): view for view in await _own(context)}
    view = views.get(context.form["token"])
    if view is None:
        raise Rejected(NONE)
    await _tokens(context).revoke(view.id, context.author())

    return context.redirect("/account/tokens", f"{view.label} is revoked.")


_KINDS: Mapping[str, Callable[[PageContext], Awaitable[Response]]] = {
    "add": _add,
    "revoke": _revoke,
}

PAGES = (
    Page("/account/tokens", "Tokens", Permission.SEE, show, act, Permission.SEE),
)


async def _page(
    context: PageContext,
    *,
    token: str = "",
    problem: str = "",
    status: int = 200,
) -> Response:
    return context.render(
        "tokens/list.html",
        status,
        views=await _own(context),
        scopes=scopes_of(context.viewer.role),
        token=token,
        problem=problem,
        typed=context.form,
        days=DAYS,
        max_days=MAX_DAYS,
    )


async def _own(context: PageContext) -> list[TokenView]:
    return [*await _tokens(context).list(context.viewer.operator)]


def _tokens(context: PageContext) -> ApiTokens:
    return ApiTokens(context.services.stores.database)
