"""What the platforms promise of their objects: the fields that are always there, and their
types. Facts from https://core.telegram.org/bots/api and https://docs.slack.dev/reference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Shape = Any
"""A type, several of them, a table of fields, or a list with the shape of its items."""


@dataclass(frozen=True, slots=True)
class Optional:
    """A field that may be missing; when it is there it has this shape."""

    shape: Shape


def departures(value: Any, shape: Shape, place: str = "") -> Iterator[str]:
    """Where the value is not what was promised, one line each."""
    if isinstance(shape, Mapping):
        if not isinstance(value, Mapping):
            yield f"{place}: no object"
            return

        for name, inner in shape.items():
            yield from _field(value, name, inner, f"{place}.{name}".strip("."))
    elif isinstance(shape, list):
        if not isinstance(value, list):
            yield f"{place}: no list"
            return

        for number, item in enumerate(value):
            yield from departures(item, shape[0], f"{place}[{number}]")
    elif not _is(value, shape):
        yield f"{place}: {type(value).__name__}"


def _field(
    value: Mapping[str, Any],
    name: str,
    shape: Shape,
    place: str,
) -> Iterator[str]:
    if name not in value:
        if not isinstance(shape, Optional):
            yield f"{place}: missing"
        return

    inner = shape.shape if isinstance(shape, Optional) else shape
    yield from departures(value[name], inner, place)


def _is(value: Any, shape: Shape) -> bool:
    kinds = shape if isinstance(shape, tuple) else (shape,)
    if isinstance(value, bool):
        return bool in kinds

    return isinstance(value, kinds)


# --- Telegram -----------------------------------------------------------------

USER = {
    "id": int,
    "is_bot": bool,
    "first_name": str,
    "last_name": Optional(str),
    "username": Optional(str),
}
CHAT = {
    "id": int,
    "type": str,
    "title": Optional(str),
    "first_name": Optional(str),
    "is_forum": Optional(bool),
}
ENTITY = {
    "type": str,
    "offset": int,
    "length": int,
    "url": Optional(str),
    "user": Optional(USER),
}
MESSAGE = {
    "message_id": int,
    "date": int,
    "chat": CHAT,
    "from": Optional(USER),
    "text": Optional(str),
    "caption": Optional(str),
    "message_thread_id": Optional(int),
    "is_topic_message": Optional(bool),
    "edit_date": Optional(int),
    "entities": Optional([ENTITY]),
    "caption_entities": Optional([ENTITY]),
    "reply_to_message": Optional({"message_id": int, "date": int, "chat": CHAT}),
    "reply_markup": Optional(
        {"inline_keyboard": [[{"text": str, "callback_data": Optional(str)}]]}
    ),
    "photo": Optional(
        [{"file_id": str, "file_unique_id": str, "width": int, "height": int}]
    ),
    "document": Optional({"file_id": str, "file_unique_id": str}),
}
REACTION = {"type": str, "emoji": Optional(str)}
UPDATE = {
    "update_id": int,
    "message": Optional(MESSAGE),
    "edited_message": Optional(MESSAGE),
    "callback_query": Optional(
        {
            "id": str,
            "from": USER,
            "message": Optional(MESSAGE),
            "chat_instance": str,
            "data": Optional(str),
        }
    ),
    "message_reaction": Optional(
        {
            "chat": CHAT,
            "message_id": int,
            "user": Optional(USER),
            "date": int,
            "old_reaction": [REACTION],
            "new_reaction": [REACTION],
        }
    ),
}
GIFTS = dict.fromkeys(
    (
        "unlimited_gifts",
        "limited_gifts",
        "unique_gifts",
        "premium_subscription",
        "gifts_from_channels",
    ),
    bool,
)
TELEGRAM_RESULTS: Mapping[str, Shape] = {
    "getMe": {
        **USER,
        "can_join_groups": bool,
        "can_read_all_group_messages": bool,
        "supports_inline_queries": bool,
    },
    "getUpdates": [UPDATE],
    "sendMessage": MESSAGE,
    "sendDocument": {
        **MESSAGE,
        "document": {"file_id": str, "file_unique_id": str, "file_size": int},
    },
    "editMessageText": MESSAGE,
    "sendMessageDraft": bool,
    "sendChatAction": bool,
    "deleteMessage": bool,
    "answerCallbackQuery": bool,
    "setMyCommands": bool,
    "getMyCommands": [{"command": str, "description": str}],
    "getChat": {
        **CHAT,
        "accent_color_id": int,
        "max_reaction_count": int,
        "accepted_gift_types": GIFTS,
    },
    "getChatMember": {"status": str, "user": USER},
    "getWebhookInfo": {
        "url": str,
        "has_custom_certificate": bool,
        "pending_update_count": int,
        "last_error_date": Optional(int),
        "last_error_message": Optional(str),
    },
    "deleteWebhook": bool,
    "setWebhook": bool,
}
TELEGRAM_REFUSAL = {
    "ok": bool,
    "error_code": int,
    "description": str,
    "parameters": Optional(
        {"retry_after": Optional(int), "migrate_to_chat_id": Optional(int)}
    ),
}

# --- Slack --------------------------------------------------------------------

SLACK_MESSAGE = {
    "type": str,
    "text": str,
    "ts": str,
    "user": Optional(str),
    "thread_ts": Optional(str),
    "bot_id": Optional(str),
}
SLACK_ANSWERS: Mapping[str, Shape] = {
    "auth.test": dict.fromkeys(("url", "team", "user", "team_id", "user_id"), str),
    "chat.postMessage": {"channel": str, "ts": str, "message": SLACK_MESSAGE},
    "chat.update": {
        "channel": str,
        "ts": str,
        "text": str,
        "message": {"text": str},
    },
    "chat.delete": {"channel": str, "ts": str},
    "chat.postEphemeral": {"message_ts": str},
    "chat.startStream": {"channel": str, "ts": str},
    "files.getUploadURLExternal": {"upload_url": str, "file_id": str},
    "files.completeUploadExternal": {"files": [{"id": str, "title": str}]},
    "conversations.history": {
        "messages": [SLACK_MESSAGE],
        "has_more": bool,
        "pin_count": int,
        "channel_actions_ts": (int, str, type(None)),
        "channel_actions_count": int,
        "response_metadata": Optional({"next_cursor": str}),
    },
    "conversations.replies": {
        "messages": [SLACK_MESSAGE],
        "has_more": Optional(bool),
    },
    "conversations.info": {"channel": {"id": str}},
    "users.conversations": {"channels": [{"id": str}]},
    "users.info": {
        "user": {
            "id": str,
            "name": str,
            "team_id": str,
            "deleted": bool,
            "is_bot": bool,
            "updated": int,
            "profile": {"display_name": str, "real_name": str},
        }
    },
}
SLACK_REFUSAL = {"ok": bool, "error": str}
SLACK_DELIVERY = {
    "token": str,
    "team_id": str,
    "api_app_id": str,
    "type": str,
    "event_id": str,
    "event_time": int,
    "event": {"type": str, "event_ts": str},
}
SLACK_EVENTS: Mapping[str, Shape] = {
    "message": {
        "channel": str,
        "channel_type": str,
        "user": Optional(str),
        "text": Optional(str),
        "ts": str,
    },
    "app_mention": {"channel": str, "user": str, "text": str, "ts": str},
    "reaction_added": {
        "user": str,
        "reaction": str,
        "item": {"type": str, "channel": str, "ts": str},
    },
    "reaction_removed": {
        "user": str,
        "reaction": str,
        "item": {"type": str, "channel": str, "ts": str},
    },
}
