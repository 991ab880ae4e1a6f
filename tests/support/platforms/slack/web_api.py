"""Slack's Web API: what it does, what it refuses, and why
(https://docs.slack.dev/reference/methods).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from tests.support.platforms.slack.state import (
    AGENT,
    AGENT_BOT,
    TEAM,
    SlackMessage,
    Workspace,
    payload,
)

MARKDOWN_LIMIT = 12_000
TEXT_LIMIT = 40_000
# docs.slack.dev/reference/methods/chat.update, error msg_too_long
EDITED_TEXT_LIMIT = 4_000
BLOCKS = {
    "markdown",
    "section",
    "divider",
    "context",
    "header",
    "actions",
    "rich_text",
}

Arguments = Mapping[str, Any]
Answer = dict[str, Any]


class Refusal(Exception):
    """`ok: false`, with the fields that Slack adds to this error."""

    def __init__(self, error: str, **more: Any) -> None:
        super().__init__(error)
        self.error = error
        self.more = more


SCOPES_OF = {
    "chat.": "chat:write",
    "assistant.threads.setStatus": "chat:write",
    "assistant.": "assistant:write",
    "files.": "files:write",
    "users.info": "users:read",
    "conversations.history": "channels:history",
    "conversations.replies": "channels:history",
    "users.conversations": "channels:read",
}


class WebApi:
    """The methods. Each takes its arguments and answers, or raises Refusal."""

    def __init__(self, workspace: Workspace) -> None:
        self._space = workspace
        self._methods: dict[str, Callable[[Arguments], Answer]] = {
            "auth.test": self._auth_test,
            "chat.postMessage": self._post,
            "chat.postEphemeral": self._ephemeral,
            "chat.update": self._update,
            "chat.delete": self._delete,
            "chat.startStream": self._start,
            "chat.appendStream": self._append,
            "chat.stopStream": self._stop,
            "assistant.threads.setStatus": self._status,
            "assistant.threads.setSuggestedPrompts": self._prompts,
            "assistant.threads.setTitle": self._title,
            "files.getUploadURLExternal": self._upload_url,
            "files.completeUploadExternal": self._complete_upload,
            "users.info": self._user,
            "users.conversations": self._conversations,
            "conversations.info": self._info,
            "conversations.history": self._history,
            "conversations.replies": self._replies,
        }

    def answer(self, method: str, arguments: Arguments) -> Answer:
        """Carries a call out. Raises Refusal."""
        if method in self._space.unknown_methods or method not in self._methods:
            raise Refusal("unknown_method", req_method=method)

        self._check_scope(method, arguments)
        return self._methods[method](arguments)

    def _check_scope(self, method: str, arguments: Arguments) -> None:
        needed = next(
            (scope for start, scope in SCOPES_OF.items() if method.startswith(start)),
            None,
        )
        if (
            needed == "channels:history"
            and self._space.kinds.get(str(arguments.get("channel"))) == "im"
        ):
            needed = "im:history"

        if needed and needed not in self._space.scopes:
            raise Refusal(
                "missing_scope",
                needed=needed,
                provided=",".join(sorted(self._space.scopes)),
            )

    def _auth_test(self, _: Arguments) -> Answer:
        return {
            "url": "https://example.slack.com/",
            "team": "Example",
            "user": "agent",
            "team_id": TEAM,
            "user_id": AGENT,
            "bot_id": AGENT_BOT,
            "is_enterprise_install": False,
        }

    # --- messages -------------------------------------------------------------

    def _post(self, arguments: Arguments) -> Answer:
        chat = str(arguments["channel"])
        # a person: the direct chat is opened
        if chat.startswith("U") and chat in self._space.names:
            chat = self._space.chat("D" + chat[1:], "im", chat)

        self._check_chat(chat)
        text, blocks = _content(arguments)
        message = self._space.add(
            chat,
            AGENT,
            text,
            str(arguments.get("thread_ts") or ""),
            blocks=blocks,
            metadata=arguments.get("metadata"),
        )

        return {
            "channel": chat,
            "ts": message.ts,
            "message": message.as_json(),
        }

    def _ephemeral(self, arguments: Arguments) -> Answer:
        chat, user = str(arguments["channel"]), str(arguments["user"])
        self._check_chat(chat)
        if user not in self._space.members[chat]:
            raise Refusal("user_not_in_channel")

        text, blocks = _content(arguments)
        message = self._space.add(chat, AGENT, text, "", blocks=blocks, only_for=user)

        return {"message_ts": message.ts}

    def _update(self, arguments: Arguments) -> Answer:
        message = self._own(arguments, "cant_update_message")
        if self._space.is_streaming(message):
            raise Refusal("streaming_state_conflict")

        message.text, message.blocks = _content(arguments, EDITED_TEXT_LIMIT)
        message.actions = []
        message.metadata = arguments.get("metadata", message.metadata)
        self._space.revised(message)

        return {
            "channel": message.chat,
            "ts": message.ts,
            "text": message.text,
            "message": message.as_json(),
        }

    def _delete(self, arguments: Arguments) -> Answer:
        message = self._own(arguments, "cant_delete_message")
        self._space.chats[message.chat].remove(message)
        return {"channel": message.chat, "ts": message.ts}

    def _check_chat(self, chat: str) -> None:
        if chat not in self._space.kinds:
            raise Refusal("channel_not_found")
        if AGENT not in self._space.members[chat]:
            raise Refusal("not_in_channel")

    def _own(self, arguments: Arguments, error: str) -> SlackMessage:
        self._check_chat(str(arguments["channel"]))
        message = self._space.find(str(arguments["channel"]), str(arguments["ts"]))
        if message is None:
            raise Refusal("message_not_found")
        if message.user != AGENT:
            raise Refusal(error)

        return message

    # --- streams --------------------------------------------------------------

    def _start(self, arguments: Arguments) -> Answer:
        chat, thread = (
            str(arguments["channel"]),
            str(arguments.get("thread_ts") or ""),
        )
        self._check_chat(chat)
        if not thread:
            raise Refusal(
                "invalid_arguments",
                response_metadata={"messages": ["thread_ts is required"]},
            )

        if self._space.kinds[chat] != "im":
            for name in ("recipient_user_id", "recipient_team_id"):
                if not arguments.get(name):
                    raise Refusal("missing_" + name)

        text = _markdown(str(arguments.get("markdown_text") or ""))
        message = self._space.add(
            chat, AGENT, text, thread, streaming_since=self._space.clock()
        )

        return {"channel": chat, "ts": message.ts}

    def _append(self, arguments: Arguments) -> Answer:
        return self._extend(arguments, str(arguments.get("markdown_text") or ""))

    def _stop(self, arguments: Arguments) -> Answer:
        answer = self._extend(arguments, str(arguments.get("markdown_text") or ""))
        message = self._own(arguments, "message_not_owned_by_app")
        message.streaming_since = None
        message.metadata = arguments.get("metadata", message.metadata)
        if blocks := arguments.get("blocks"):
            _, message.actions = _content({"text": "-", "blocks": blocks})

        return answer

    def _extend(self, arguments: Arguments, text: str) -> Answer:
        message = self._own(arguments, "message_not_owned_by_app")
        if not self._space.is_streaming(message):
            raise Refusal("message_not_in_streaming_state")
        if len(message.text) + len(text) > MARKDOWN_LIMIT:
            raise Refusal("msg_too_long")

        message.text += text
        if text:
            self._space.revised(message)

        return {"channel": message.chat, "ts": message.ts}

    # --- files ----------------------------------------------------------------

    def _upload_url(self, arguments: Arguments) -> Answer:
        id = f"F{len(self._space.uploads):08}"
        self._space.uploads[id] = b""
        return {"upload_url": f"{self._space.upload_root}/{id}", "file_id": id}

    def _complete_upload(self, arguments: Arguments) -> Answer:
        chat = str(arguments["channel_id"])
        self._check_chat(chat)
        files = arguments["files"]
        files = json.loads(files) if isinstance(files, str) else files
        for file in files:
            content = self._space.uploads.pop(file["id"])
            self._space.files.append((chat, file["title"], content))

        return {"files": [{"id": one["id"], "title": one["title"]} for one in files]}

    # --- the agent's window ---------------------------------------------------

    def _status(self, arguments: Arguments) -> Answer:
        self._check_chat(str(arguments["channel_id"]))
        if not arguments.get("thread_ts"):
            raise Refusal("invalid_thread_ts")

        self._space.statuses.append(
            (str(arguments["channel_id"]), str(arguments["thread_ts"]))
        )

        return {}

    def _prompts(self, arguments: Arguments) -> Answer:
        if len(arguments["prompts"]) > 4 or not all(
            p["title"] and p["message"] for p in arguments["prompts"]
        ):
            raise Refusal("invalid_prompts")

        self._space.prompts.append(dict(arguments))
        return {}

    def _title(self, arguments: Arguments) -> Answer:
        self._space.titles.append(dict(arguments))
        return {}

    # --- reading --------------------------------------------------------------

    def _user(self, arguments: Arguments) -> Answer:
        name = self._space.names.get(str(arguments["user"]))
        if name is None:
            raise Refusal("user_not_found")

        user = payload("user")
        user |= {
            "id": arguments["user"],
            "name": name,
            "is_bot": arguments["user"] in self._space.bots,
        }
        user["profile"] |= {"display_name": name}

        return {"user": user}

    def _conversations(self, arguments: Arguments) -> Answer:
        wanted = {"public_channel": "channel", "private_channel": "group"}
        kinds = {
            wanted.get(kind, kind)
            for kind in str(arguments.get("types", "public_channel")).split(",")
        }
        return {
            "channels": [
                {"id": chat, "is_im": kind == "im"}
                for chat, kind in self._space.kinds.items()
                if kind in kinds and AGENT in self._space.members[chat]
            ],
            "response_metadata": {"next_cursor": ""},
        }

    def _info(self, arguments: Arguments) -> Answer:
        chat = str(arguments["channel"])
        self._check_chat(chat)
        return {
            "channel": {
                "id": chat,
                "is_im": self._space.kinds[chat] == "im",
                "is_member": True,
            }
        }

    def _history(self, arguments: Arguments) -> Answer:
        top = [
            message
            for message in self._readable(arguments)
            if message.thread in ("", message.ts)
        ]
        page = self._page(arguments, list(reversed(self._between(arguments, top))))

        return page | {
            "pin_count": 0,
            "channel_actions_ts": None,
            "channel_actions_count": 0,
        }

    def _replies(self, arguments: Arguments) -> Answer:
        root = str(arguments["ts"])
        thread = [
            message
            for message in self._readable(arguments)
            if root in (message.thread, message.ts)
        ]
        if not thread:
            raise Refusal("thread_not_found")

        later = [
            message
            for message in self._between(arguments, thread)
            if message.ts != root
        ]

        return self._page(
            arguments, [message for message in thread if message.ts == root] + later
        )

    def _readable(self, arguments: Arguments) -> list[SlackMessage]:
        self._check_chat(str(arguments["channel"]))
        return [
            message
            for message in self._space.chats[str(arguments["channel"])]
            if not message.only_for
        ]

    def _between(
        self, arguments: Arguments, messages: list[SlackMessage]
    ) -> list[SlackMessage]:
        oldest = str(arguments.get("oldest") or "0")
        latest = str(arguments.get("latest") or "9")
        same = str(arguments.get("inclusive", "0")) == "1"

        return [
            message
            for message in messages
            if oldest < message.ts < latest
            or (same and message.ts in (oldest, latest))
        ]

    def _page(self, arguments: Arguments, messages: list[SlackMessage]) -> Answer:
        start, limit = (
            int(arguments.get("cursor") or 0),
            int(arguments.get("limit") or 100),
        )
        more = start + limit < len(messages)
        metadata = str(arguments.get("include_all_metadata", "0")) == "1"

        return {
            "messages": [
                self._shown(message, metadata=metadata)
                for message in messages[start : start + limit]
            ],
            "has_more": more,
            "response_metadata": {"next_cursor": str(start + limit) if more else ""},
        }

    def _shown(self, message: SlackMessage, *, metadata: bool) -> Answer:
        shown = message.as_json(metadata=metadata)
        replies = [
            other.ts
            for other in self._space.chats[message.chat]
            if other.thread == message.ts != other.ts
        ]

        if replies:
            shown |= {
                "thread_ts": message.ts,
                "reply_count": len(replies),
                "latest_reply": replies[-1],
            }

        return shown


def _content(
    arguments: Arguments, limit: int = TEXT_LIMIT
) -> tuple[str, list[dict[str, Any]]]:
    blocks = arguments.get("blocks") or []
    blocks = json.loads(blocks) if isinstance(blocks, str) else list(blocks)
    text = str(arguments.get("text") or "")
    if not blocks and not text:
        raise Refusal("no_text")
    if len(text) > limit:
        raise Refusal("msg_too_long")
    if any(
        block.get("type") not in BLOCKS or not _is_filled(block) for block in blocks
    ):
        raise Refusal("invalid_blocks")

    if (
        sum(len(block["text"]) for block in blocks if block["type"] == "markdown")
        > MARKDOWN_LIMIT
    ):
        raise Refusal("msg_blocks_too_long")

    return text, blocks


def _markdown(text: str) -> str:
    if len(text) > MARKDOWN_LIMIT:
        raise Refusal("msg_too_long")

    return text


def _is_filled(block: dict[str, Any]) -> bool:
    """Whether a block shows something: a text, or buttons and menus as the reference has them."""
    if block["type"] != "actions":
        return bool(block.get("text"))

    elements = block.get("elements") or []
    ids = [element.get("action_id", "") for element in elements]
    are_named = all(1 <= len(id) <= 255 for id in ids) and len({*ids}) == len(ids)

    return 1 <= len(elements) <= 25 and are_named and all(map(_is_element, elements))


def _is_element(element: dict[str, Any]) -> bool:
    if element["type"] == "button":
        is_short = len(element["value"]) <= 2000
        return is_short and 1 <= len(element["text"]["text"]) <= 75

    options = element["options"] if element["type"] == "static_select" else []

    return 1 <= len(options) <= 100 and all(
        1 <= len(one["text"]["text"]) <= 75 and 1 <= len(one["value"]) <= 150
        for one in options
    )
