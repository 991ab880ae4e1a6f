"""`/conversations/<id>`: one conversation, as people saw it."""

from __future__ import annotations

from uuid import UUID

from starlette.responses import Response
from uuid_utils.compat import uuid7

from agent.control.permissions import Permission
from agent.web.console.errors import Stopped, not_found
from agent.web.console.page import PageContext
from storage.conversation.operating.again import BY
from storage.conversation.operating.listed import from_micros, micros_of
from storage.conversation.operating.reading import (
    Before,
    Reader,
    ReadMessage,
    ReadPage,
    read_conversation,
)

NO_PAGE = "This page does not exist. Go back to the conversation."


async def show(context: PageContext) -> Response:
    """The newest page; with `before`, an earlier one; with `follow`, it renews itself."""
    before = _before(context.query["before"])
    database = context.services.stores.database
    with not_found():
        page = await read_conversation(
            database, conversation_of(context), reader_of(context), before
        )

    is_newest = before == Before()

    return context.render(
        "conversations/one.html",
        talk=page,
        head=page.head,
        path=f"/conversations/{page.head.id}",
        earlier=_earlier(page),
        is_newest=is_newest,
        follows=is_newest and context.query["follow"] == "yes",
        may_read=reader_of(context).texts,
        key=uuid7(),
        again=_again(page),
    )


def _again(page: ReadPage) -> ReadMessage | None:
    """The last message of the page that an operator had answered again."""
    asked = (one for one in reversed(page.messages) if BY in one.metadata)

    return next(asked, None)


def conversation_of(context: PageContext) -> UUID:
    """Of the address. Raises Stopped."""
    try:
        return UUID(context.address["id"])
    except ValueError:
        raise Stopped(404, "There is no such conversation.") from None


def reader_of(context: PageContext) -> Reader:
    """The viewer; those who may not read texts are shown none, and no reading is noted."""
    viewer = context.viewer

    return Reader(
        context.author(),
        viewer.session,
        viewer.may(Permission.READ_MESSAGES),
    )


def _before(typed: str) -> Before:
    if not typed:
        return Before()

    micros, _, seq = typed.partition(".")
    try:
        at, number = from_micros(micros), int(seq)
    except (ValueError, OverflowError):
        raise Stopped(404, NO_PAGE) from None
    if not 0 <= number < 2**63:
        raise Stopped(404, NO_PAGE)

    return Before(at, number)


def _earlier(page: ReadPage) -> str:
    """Where the earlier messages are; empty: there are none."""
    if not page.has_more:
        return ""

    first = page.messages[0]

    return f"/conversations/{page.head.id}?before={micros_of(first.at)}.{first.seq}"
