"""`/conversations`: a list with filters, and the search through what was said."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from urllib.parse import urlencode

from starlette.responses import Response

from agent.control.permissions import Permission, refusal
from agent.core.errors import AgentError, Rejected
from agent.core.words.search import Found, parse_query
from agent.web.console.errors import Stopped, described, status_of
from agent.web.console.page import Fields, PageContext
from storage.control.channel_settings import CHANNELS
from storage.control.targets import RuleTarget
from storage.conversation.operating.listed import (
    STATES,
    SUMMED,
    Filter,
    ListPage,
    list_conversations,
)
from storage.conversation.operating.search import search_audited

PATH = "/conversations"
NOTHING = ListPage((), 0, "")


async def show(context: PageContext) -> Response:
    """With words to search for: messages that match, the best first; else the list."""
    page, found, problem, status = NOTHING, None, "", 200
    try:
        if context.query["q"]:
            found = await _search(context)
        else:
            page = await _list(context)
    except AgentError as error:
        problem, status = described(error), status_of(error)

    return context.render(
        "conversations/list.html",
        status,
        listed=page,
        found=found,
        asked=context.query,
        summed=SUMMED,
        states=STATES,
        channels=CHANNELS,
        older=_older(context.query, page),
        may_read=context.viewer.may(Permission.READ_MESSAGES),
        problem=problem,
    )


async def _list(context: PageContext) -> ListPage:
    query = context.query
    wanted = Filter(
        query["person"],
        query["channel"],
        query["state"],
        query["troubled"] == "yes",
        _dollars(query["cost"]),
    )

    return await list_conversations(
        context.services.stores.database,
        wanted,
        order="active" if query["order"] == "active" else "begun",
        before=query["before"],
        texts=context.viewer.may(Permission.READ_MESSAGES),
    )


async def _search(context: PageContext) -> Sequence[Found]:
    viewer, query = context.viewer, context.query
    if not viewer.may(Permission.READ_MESSAGES):
        sentence = refusal(viewer.operator, viewer.role, Permission.READ_MESSAGES)
        raise Stopped(403, sentence)

    return await search_audited(
        context.services.stores.database,
        context.author(),
        parse_query(query["q"]),
        RuleTarget(query["person"] or None, query["channel"] or None),
    )


def _dollars(typed: str) -> Decimal | None:
    """Raises Rejected."""
    if not typed:
        return None
    try:
        amount = Decimal(typed.removeprefix("$"))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or not 0 <= amount < 10**9:
        raise Rejected("A cost is an amount of US dollars, such as 0.05.")

    return amount


def _older(
    query: Fields,
    page: ListPage,
) -> str:
    """The address of the next page; empty: this is the last."""
    if not page.next:
        return ""

    kept = [(name, one) for name, one in query.items() if name != "before" and one]

    return f"{PATH}?{urlencode([*kept, ('before', page.next)])}"
