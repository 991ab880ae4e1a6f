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
    Said,
    Workspace,
    payload,
)

MARKDOWN_LIMIT = 12_000
TEXT_LIMIT = 40_000
# docs.slack.dev/reference/methods/chat.update, error msg_too_long
EDITED_TEXT_LIMIT = 4_000
STREAM_S = 300.0
BLOCKS = {"markdown", "section", "divider", "context", "header", "actions", "rich_text"}

Arguments = Mapping[str, Any]
Answer = dict[str, Any]


class Refusal(Exception):
    """`ok: false`, with more beside the error where Slack says more."""

    def __init__(self, error: str, **more: Any) -> None:
        super().__init__(error)
        self.error = error
        self.more = more


SCOPES_OF = {
    "chat.": "chat:write",
    "assistant.threads.setStatus": "chat:write",
    "assistant.": "assistant:write",
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

    def _post(self, given: Arguments) -> Answer:
        chat = str(given["channel"])
        # a person: the direct chat is opened
        if chat.startswith("U") and chat in self._space.names:
            chat = self._space.chat("D" + chat[1:], "im", chat)

        self._check_chat(chat)
        text, blocks = _content(given)
        said = self._space.add(
            chat,
            AGENT,
            text,
            str(given.get("thread_ts") or ""),
            blocks=blocks,
            metadata=given.get("metadata"),
        )

        return {
            "channel": chat,
            "ts": said.ts,
            "message": said.as_json(),
        }

    def _ephemeral(self, given: Arguments) -> Answer:
        chat, user = str(given["channel"]), str(given["user"])
        self._check_chat(chat)
        if user not in self._space.members[chat]:
            raise Refusal("user_not_in_channel")

        text, blocks = _content(given)
        said = self._space.add(chat, AGENT, text, "", blocks=blocks, only_for=user)

        return {"message_ts": said.ts}

    def _update(self, given: Arguments) -> Answer:
        said = self._own(given, "cant_update_message")
        if self._streaming(said):
            raise Refusal("streaming_state_conflict")

        said.text, said.blocks = _content(given, EDITED_TEXT_LIMIT)
        said.metadata = given.get("metadata", said.metadata)
        self._space.revised(said)

        return {
            "channel": said.chat,
            "ts": said.ts,
            "text": said.text,
        }

    def _delete(self, given: Arguments) -> Answer:
        said = self._own(given, "cant_delete_message")
        self._space.chats[said.chat].remove(said)
        return {"channel": said.chat, "ts": said.ts}

    def _check_chat(self, chat: str) -> None:
        if chat not in self._space.kinds:
            raise Refusal("channel_not_found")
        if AGENT not in self._space.members[chat]:
            raise Refusal("not_in_channel")

    def _own(self, given: Arguments, error: str) -> Said:
        self._check_chat(str(given["channel"]))
        said = self._space.find(str(given["channel"]), str(given["ts"]))
        if said is None:
            raise Refusal("message_not_found")
        if said.user != AGENT:
            raise Refusal(error)

        return said

    # --- streams --------------------------------------------------------------

    def _start(self, given: Arguments) -> Answer:
        chat, thread = str(given["channel"]), str(given.get("thread_ts") or "")
        self._check_chat(chat)
        if not thread:
            raise Refusal(
                "invalid_arguments",
                response_metadata={"messages": ["thread_ts is required"]},
            )

        if self._space.kinds[chat] != "im":
            for name in ("recipient_user_id", "recipient_team_id"):
                if not given.get(name):
                    raise Refusal("missing_" + name)

        text = _markdown(str(given.get("markdown_text") or ""))
        said = self._space.add(
            chat, AGENT, text, thread, streaming_since=self._space.clock()
        )

        return {"channel": chat, "ts": said.ts}

    def _append(self, given: Arguments) -> Answer:
        return self._extend(given, str(given.get("markdown_text") or ""))

    def _stop(self, given: Arguments) -> Answer:
        answer = self._extend(given, str(given.get("markdown_text") or ""))
        said = self._own(given, "message_not_owned_by_app")
        said.streaming_since = None
        said.metadata = given.get("metadata", said.metadata)

        return answer

    def _extend(self, given: Arguments, text: str) -> Answer:
        said = self._own(given, "message_not_owned_by_app")
        if not self._streaming(said):
            raise Refusal("message_not_in_streaming_state")
        if len(said.text) + len(text) > MARKDOWN_LIMIT:
            raise Refusal("msg_too_long")

        said.text += text
        if text:
            self._space.revised(said)

        return {"channel": said.chat, "ts": said.ts}

    def _streaming(self, said: Said) -> bool:
        since = said.streaming_since
        return since is not None and self._space.clock() - since < STREAM_S

    # --- the agent's window ---------------------------------------------------

    def _status(self, given: Arguments) -> Answer:
        self._check_chat(str(given["channel_id"]))
        if not given.get("thread_ts"):
            raise Refusal("invalid_thread_ts")

        self._space.statuses.append((str(given["channel_id"]), str(given["thread_ts"])))

        return {}

    def _prompts(self, given: Arguments) -> Answer:
        if len(given["prompts"]) > 4 or not all(
            p["title"] and p["message"] for p in given["prompts"]
        ):
            raise Refusal("invalid_prompts")

        self._space.prompts.append(dict(given))
        return {}

    def _title(self, given: Arguments) -> Answer:
        self._space.titles.append(dict(given))
        return {}

    # --- reading --------------------------------------------------------------

    def _user(self, given: Arguments) -> Answer:
        name = self._space.names.get(str(given["user"]))
        if name is None:
            raise Refusal("user_not_found")

        user = payload("user")
        user |= {
            "id": given["user"],
            "name": name,
            "is_bot": given["user"] in self._space.bots,
        }
        user["profile"] |= {"display_name": name}

        return {"user": user}

    def _conversations(self, given: Arguments) -> Answer:
        wanted = {"public_channel": "channel", "private_channel": "group"}
        kinds = {
            wanted.get(kind, kind)
            for kind in str(given.get("types", "public_channel")).split(",")
        }
        return {
            "channels": [
                {"id": chat, "is_im": kind == "im"}
                for chat, kind in self._space.kinds.items()
                if kind in kinds and AGENT in self._space.members[chat]
            ],
            "response_metadata": {"next_cursor": ""},
        }

    def _info(self, given: Arguments) -> Answer:
        chat = str(given["channel"])
        self._check_chat(chat)
        return {
            "channel": {
                "id": chat,
                "is_im": self._space.kinds[chat] == "im",
                "is_member": True,
            }
        }

    def _history(self, given: Arguments) -> Answer:
        top = [said for said in self._readable(given) if said.thread in ("", said.ts)]
        return self._page(given, list(reversed(self._between(given, top))))

    def _replies(self, given: Arguments) -> Answer:
        root = str(given["ts"])
        thread = [
            said for said in self._readable(given) if root in (said.thread, said.ts)
        ]
        if not thread:
            raise Refusal("thread_not_found")

        later = [said for said in self._between(given, thread) if said.ts != root]

        return self._page(given, [said for said in thread if said.ts == root] + later)

    def _readable(self, given: Arguments) -> list[Said]:
        self._check_chat(str(given["channel"]))
        return [
            said
            for said in self._space.chats[str(given["channel"])]
            if not said.only_for
        ]

    def _between(self, given: Arguments, messages: list[Said]) -> list[Said]:
        oldest = str(given.get("oldest") or "0")
        latest = str(given.get("latest") or "9")
        same = str(given.get("inclusive", "0")) == "1"

        return [
            said
            for said in messages
            if oldest < said.ts < latest or (same and said.ts in (oldest, latest))
        ]

    def _page(self, given: Arguments, messages: list[Said]) -> Answer:
        start, limit = int(given.get("cursor") or 0), int(given.get("limit") or 100)
        more = start + limit < len(messages)
        metadata = str(given.get("include_all_metadata", "0")) == "1"

        return {
            "messages": [
                self._shown(said, metadata=metadata)
                for said in messages[start : start + limit]
            ],
            "has_more": more,
            "response_metadata": {"next_cursor": str(start + limit) if more else ""},
        }

    def _shown(self, said: Said, *, metadata: bool) -> Answer:
        shown = said.as_json(metadata=metadata)
        replies = [
            other.ts
            for other in self._space.chats[said.chat]
            if other.thread == said.ts != other.ts
        ]

        if replies:
            shown |= {
                "thread_ts": said.ts,
                "reply_count": len(replies),
                "latest_reply": replies[-1],
            }

        return shown


def _content(
    given: Arguments, limit: int = TEXT_LIMIT
) -> tuple[str, list[dict[str, Any]]]:
    blocks = given.get("blocks") or []
    blocks = json.loads(blocks) if isinstance(blocks, str) else list(blocks)
    text = str(given.get("text") or "")
    if not blocks and not text:
        raise Refusal("no_text")
    if len(text) > limit:
        raise Refusal("msg_too_long")
    if any(
        block.get("type") not in BLOCKS or not block.get("text") for block in blocks
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
