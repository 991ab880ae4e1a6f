"""`/conversations/<id>`: stopping an answer, and ending the conversation."""

from __future__ import annotations

from starlette.responses import Response

from agent.web.console.errors import Stopped
from agent.web.console.page import PageContext
from agent.web.console.pages.conversations.reading import conversation_of
from storage.conversation.operating.changes import end_conversation, stop_answer

STOPPED = (
    "The answer is asked to stop; within a second or two it ends with what it has."
)
NOTHING_STOPPED = "No answer is being written here."
ENDED = "The conversation has ended: the next message there begins another one."
ENDED_BEFORE = "This conversation had ended already."


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
        case _:
            raise Stopped(
                422, "The form does not say what to do. Load the page again."
            )

    return context.redirect(f"/conversations/{conversation}", told)
