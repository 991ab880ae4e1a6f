"""What Telegram shows around a person's words: what they answer, and where they come from."""

from __future__ import annotations

from channels.fields import (
    Json,
    forwarded,
    in_reply,
    integer,
    items,
    mapping,
    text,
)
from channels.telegram.marks import links, rewritten, with_looks, written
from channels.telegram.reading.attachments import attachment, said_by


def around(
    message: Json,
    me: int,
    words: str,
    *,
    direct: bool,
) -> str:
    """The words with what they answer, where they come from and what is attached."""
    parts = [answered(message, me, direct=direct), _whole(message, words)]

    return "\n\n".join(part for part in parts if part)


def _whole(
    message: Json,
    words: str,
) -> str:
    """The words with what is attached, as a quotation if they are forwarded."""
    origin = mapping(message, "forward_origin")
    inside = "\n".join(part for part in (words, attachment(message)) if part)

    return forwarded(_origin(origin), inside) if origin else inside


def _words(
    message: Json,
) -> str:
    """The words of a message or a quotation, with links and what their looks mean."""
    marked = with_looks(message)
    return rewritten(written(marked), [], links(marked))


def answered(
    message: Json,
    me: int,
    *,
    direct: bool,
) -> str:
    """What the message replies to, as a quotation.

    In groups a reply is how people call the agent: what it wrote itself is quoted there only
    when a part of it was marked.
    """
    quote = _words(mapping(message, "quote"))
    earlier = mapping(message, "reply_to_message")
    elsewhere = mapping(message, "external_reply")
    author = mapping(earlier, "from")
    own = integer(author, "id") == me

    if not quote and ((own and not direct) or "forum_topic_created" in earlier):
        return ""

    source = earlier or elsewhere or _story_alone(message)
    chosen = quote or _chosen(message, source)
    shown = chosen or _whole(source, _words(source))
    if not shown:
        return ""

    name = said_by(mapping(earlier, "sender_chat") or author)
    if elsewhere and not earlier:
        name = _origin(mapping(elsewhere, "origin"))

    return in_reply(name, shown, own=own)


def _chosen(
    message: Json,
    source: Json,
) -> str:
    """The one task of a checklist, or option of a poll, that is replied to."""
    task = integer(message, "reply_to_checklist_task_id")
    option = text(message, "reply_to_poll_option_id")
    tasks = items(mapping(source, "checklist"), "tasks")
    options = items(mapping(source, "poll"), "options")
    chosen = [
        *(one for one in tasks if task is not None and integer(one, "id") == task),
        *(one for one in options if option and text(one, "persistent_id") == option),
    ]

    return text(chosen[0], "text") if chosen else ""


def _story_alone(
    message: Json,
) -> Json:
    story = mapping(message, "reply_to_story")
    return {"story": story} if story else {}


def _origin(
    origin: Json,
) -> str:
    named = (
        said_by(mapping(origin, field))
        for field in ("sender_user", "sender_chat", "chat")
    )
    return next(
        (name for name in named if name),
        text(origin, "sender_user_name"),
    )
