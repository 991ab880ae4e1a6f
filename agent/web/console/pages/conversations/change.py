"""`/conversations/<id>`: stopping an answer, another answer, and ending the conversation."""

from __future__ import annotations

from starlette.responses import Response

from agent.core.errors import Conflict
from agent.web.console.errors import Stopped
from agent.web.console.page import PageContext
from agent.web.console.pages.conversations.reading import conversation_of
from storage.conversation.operating.again import Press, answer_again
from storage.conversation.operating.changes import end_conversation, stop_answer

STOPPED = (
    "The answer is asked to stop; within a second or two it ends with what it has."
)
NOTHING_STOPPED = "No answer is being written here."
ENDED = "The conversation has ended: the next message there begins another one."
ENDED_BEFORE = "This conversation had ended already."
ASKED = "The last message is answered again; the answer arrives in the chat as a new message."
ASKED_BEFORE = "That was asked already, and is answered once."
NO_KEY = "The form is not whole. Load the page again."


async def act(context: PageContext) -> Response:
    conversation = conversation_of(context)
    database, author = context.services.stores.database, context.author()

    match context.form["do"]:
        case "stop":
            done = await stop_answer(database, conversation, author)
            told = STOPPED if done else NOTHING_STOPPED
        case "end":
            done = await end_conversation(database, conversation, author)
            told = ENDED if done else ENDED_BEFORE
        case "again":
            told = await _again(context)
        case _:
            raise Stopped(
                422, "The form does not say what to do. Load the page again."
            )

    return context.redirect(f"/conversations/{conversation}", told)


async def _again(context: PageContext) -> str:
    """What is told: what stands in the way stands on the page, too."""
    services, form = context.services, context.form
    version = form.number("version")
    if version is None:
        raise Stopped(422, NO_KEY)

    press = Press(conversation_of(context), context.author(), form["key"], version)
    stores = services.stores
    try:
        asked = await answer_again(
            stores.database, stores.pipe, services.flags, press
        )
    except Conflict as conflict:
        return conflict.sentence

    return ASKED if asked.is_new else ASKED_BEFORE
