"""The methods of the Bot API that such a bot uses. Each takes the call's fields and returns
`result`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from tests.support.platforms.telegram.rules import (
    ApiError,
    bad,
    entities_of,
    keyboard_of,
    number,
    text_of,
)
from tests.support.platforms.telegram.state import (
    BOT_ID,
    BOT_NAME,
    DATE,
    Chat,
    Json,
    Sent,
    TelegramState,
)
from tests.support.platforms.telegram.updates import Delivery

Fields = Mapping[str, str]
MOST_BYTES = 50_000_000
"""https://core.telegram.org/bots/api#senddocument"""

_ACTIONS = re.compile(
    "typing|(upload|record)_(video|voice|video_note)|upload_(photo|document)"
    "|choose_sticker|find_location"
)


class Methods:
    """All methods by name in `table`."""

    def __init__(self, state: TelegramState, delivery: Delivery) -> None:
        self.me: Json = {
            "id": BOT_ID,
            "is_bot": True,
            "first_name": "Simple Agent",
            "username": BOT_NAME,
            "can_join_groups": True,
            "can_read_all_group_messages": True,
            "supports_inline_queries": False,
        }
        self.menu: list[Json] = []
        self._state = state
        self._delivery = delivery
        self.table: dict[str, Callable[[Fields], Awaitable[Any]]] = {
            "getMe": self._get_me,
            "getUpdates": delivery.fetch,
            "setWebhook": delivery.set_webhook,
            "deleteWebhook": delivery.delete_webhook,
            "getWebhookInfo": delivery.info,
            "sendMessage": self._send,
            "sendDocument": self._send_document,
            "editMessageText": self._edit,
            "deleteMessage": self._delete,
            "sendMessageDraft": self._draft,
            "sendChatAction": self._action,
            "setMyCommands": self._set_commands,
            "getMyCommands": self._commands,
            "getChat": self._chat_info,
            "getChatMember": self._member,
            "answerCallbackQuery": self._answer_press,
        }

    async def _get_me(self, fields: Fields) -> Json:
        return self.me

    async def _send(self, fields: Fields) -> Json:
        chat = self._chat(fields)
        text, thread = text_of(fields), _thread(fields, chat)
        reply_to = _replied(fields, chat)
        entities, keyboard = entities_of(fields, text), keyboard_of(fields)
        sent = Sent(next(chat.ids), thread, text, entities, reply_to, keyboard)
        chat.sent[sent.id] = sent

        # the message takes the preview's place
        for key in [key for key in chat.drafts if key[0] == thread]:
            del chat.drafts[key]

        chat.revisions[thread] += 1

        return self.message(chat, sent)

    async def _send_document(self, fields: Fields) -> Json:
        chat = self._chat(fields)
        content = fields["document"].encode("latin-1")
        if len(content) > MOST_BYTES:
            raise ApiError(413, "Request Entity Too Large")

        chat.files.append(content)
        message = self.message(
            chat, Sent(next(chat.ids), _thread(fields, chat), "", [])
        )
        del message["text"]
        document = {
            "file_id": f"document-{len(chat.files)}",
            "file_unique_id": str(len(chat.files)),
            "file_size": len(content),
        }

        return message | {"document": document}

    async def _edit(self, fields: Fields) -> Json:
        chat = self._chat(fields)
        sent = chat.sent.get(number(fields, "message_id"))
        if sent is None:
            raise bad("message to edit not found")

        text = text_of(fields)
        entities, keyboard = entities_of(fields, text), keyboard_of(fields)
        if (text, entities, keyboard) == (sent.text, sent.entities, sent.keyboard):
            raise bad(
                "message is not modified: specified new message content and "
                "reply markup are exactly the "
                "same as a current content and reply markup of the message"
            )

        sent.text, sent.entities, sent.keyboard = text, entities, keyboard
        chat.revisions[sent.thread] += 1

        return self.message(chat, sent) | {"edit_date": DATE + 1}

    async def _delete(self, fields: Fields) -> bool:
        chat = self._chat(fields)
        if chat.sent.pop(number(fields, "message_id"), None) is None:
            raise bad("message to delete not found")

        return True

    async def _draft(self, fields: Fields) -> bool:
        chat = self._chat(fields)
        if chat.kind != "private":
            raise bad("drafts can be sent to private chats only")

        draft = number(fields, "draft_id")
        if not draft:
            raise bad("draft_id must be non-zero")

        text = text_of(fields, least=0)
        entities_of(fields, text)
        thread = _thread(fields, chat)
        chat.drafts[thread, draft] = text
        chat.revisions[thread] += 1

        return True

    async def _action(self, fields: Fields) -> bool:
        chat = self._chat(fields)
        if not _ACTIONS.fullmatch(fields.get("action", "")):
            raise bad("wrong parameter action in request")

        chat.typing[_thread(fields, chat)] += 1

        return True

    async def _answer_press(self, fields: Fields) -> bool:
        presses, id = self._state.presses, fields.get("callback_query_id", "")
        if presses.get(id, "") is not None:
            raise bad(
                "query is too old and response timeout expired or query ID is invalid"
            )
        if len(fields.get("text", "")) > 200:
            raise bad("MESSAGE_TOO_LONG")

        presses[id] = fields.get("text", "")
        if presses[id]:
            self._state.toasts.append(fields["text"])

        return True

    async def _set_commands(self, fields: Fields) -> bool:
        menu = json.loads(fields.get("commands", "[]"))
        for entry in menu:
            if not 1 <= len(entry["command"]) <= 32 or not entry["command"].islower():
                raise bad("BOT_COMMAND_INVALID")
            if not 1 <= len(entry["description"]) <= 256:
                raise bad("BOT_COMMAND_DESCRIPTION_INVALID")

        self.menu = menu

        return True

    async def _commands(self, fields: Fields) -> list[Json]:
        return self.menu

    async def _chat_info(self, fields: Fields) -> Json:
        chat = self._chat(fields)
        return {
            **chat.describe(),
            "accent_color_id": 0,
            "max_reaction_count": 11,
            "accepted_gift_types": {
                "unlimited_gifts": False,
                "limited_gifts": False,
                "unique_gifts": False,
                "premium_subscription": False,
                "gifts_from_channels": False,
            },
        }

    async def _member(self, fields: Fields) -> Json:
        chat = self._chat(fields)
        if number(fields, "user_id") != BOT_ID:
            raise bad("PARTICIPANT_ID_INVALID")

        user = {
            key: self.me[key] for key in ("id", "is_bot", "first_name", "username")
        }

        return {"status": chat.bot_status, "user": user} | _rights(chat.bot_status)

    def _chat(self, fields: Fields) -> Chat:
        chat = self._state.chats.get(number(fields, "chat_id"))
        if chat is None:
            raise bad("chat not found")
        if chat.blocked and chat.kind == "private":
            raise ApiError(403, "Forbidden: bot was blocked by the user")
        if chat.blocked:
            raise ApiError(403, "Forbidden: bot was kicked from the supergroup chat")
        if chat.moved_to is not None:
            description = "Bad Request: group chat was upgraded to a supergroup chat"
            raise ApiError(400, description, migrate_to_chat_id=chat.moved_to)

        return chat

    def message(self, chat: Chat, sent: Sent) -> Json:
        user = {
            key: self.me[key] for key in ("id", "is_bot", "first_name", "username")
        }
        topic = (
            {"message_thread_id": int(sent.thread), "is_topic_message": True}
            if sent.thread
            else {}
        )
        message = {
            "message_id": sent.id,
            "from": user,
            "chat": chat.describe(),
            "date": DATE,
            "text": sent.text,
        }

        marks = {"entities": sent.entities} if sent.entities else {}
        keys = (
            {"reply_markup": {"inline_keyboard": sent.keyboard}}
            if sent.keyboard
            else {}
        )

        return message | topic | marks | keys


def _thread(fields: Fields, chat: Chat) -> str:
    thread = fields.get("message_thread_id", "")
    if thread and thread not in chat.topics:
        raise bad("message thread not found")

    return thread


def _replied(fields: Fields, chat: Chat) -> int | None:
    if "reply_parameters" not in fields:
        return None

    parameters = json.loads(fields["reply_parameters"])
    return int(parameters["message_id"])


def _rights(status: str) -> Json:
    """The fields that a ChatMember of this status must have."""
    if status == "administrator":
        names = (
            "can_be_edited is_anonymous can_manage_chat can_delete_messages can_manage_video_chats "
            "can_restrict_members can_promote_members can_change_info "
            "can_invite_users can_post_stories "
            "can_edit_stories can_delete_stories"
        )
        return dict.fromkeys(names.split(), False)

    if status == "restricted":
        names = (
            "can_send_messages can_send_audios can_send_documents can_send_photos can_send_videos "
            "can_send_video_notes can_send_voice_notes can_send_polls can_send_other_messages "
            "can_add_web_page_previews can_react_to_messages can_edit_tag "
            "can_change_info can_invite_users "
            "can_pin_messages can_manage_topics"
        )
        return {"is_member": True, "until_date": 0} | dict.fromkeys(
            names.split(), False
        )

    return {"until_date": 0} if status == "kicked" else {}
