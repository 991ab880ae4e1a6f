"""What Telegram shows around a person's words: what they answer, and where they come from."""

from __future__ import annotations

from channels.fields import (
    Json,
    first_text,
    forwarded,
    in_reply,
    integer,
    items,
    mapping,
    text,
)
from channels.telegram.reading.attachments import attachment, said_by


def around(
    message: Json,
    me: int,
    words: str,
    *,
    direct: bool,
) -> str:
    """The words with what they answer, where they come from and what is attached."""
    attached = attachment(message)
    origin = mapping(message, "forward_origin")
    parts = [answered(message, me, direct=direct)]

    if origin:
        inside = "\n".join(part for part in (words, attached) if part)
        parts.append(forwarded(_origin(origin), inside))
    else:
        parts.append("\n".join(part for part in (words, attached) if part))

    return "\n\n".join(part for part in parts if part)


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
    quote = text(mapping(message, "quote"), "text")
    earlier = mapping(message, "reply_to_message")
    elsewhere = mapping(message, "external_reply")
    author = mapping(earlier, "from")
    own = integer(author, "id") == me

    if not quote and ((own and not direct) or "forum_topic_created" in earlier):
        return ""

    source = earlier or elsewhere or _story_alone(message)
    chosen = quote or _chosen(message, source)
    shown = chosen or first_text(source, "text", "caption") or attachment(source)
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
