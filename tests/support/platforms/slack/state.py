"""A Slack workspace: its people, the messages in its channels, and faults on request."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any

from channels.slack.setup import EVENTS, SCOPES

AGENT = "U0AGENT00"
AGENT_BOT = "B0AGENT00"
TEAM = "T0TEAM000"
BOT_TOKEN = "xoxb-of-the-tests"
APP_TOKEN = "xapp-of-the-tests"
SIGNING_SECRET = "8f742231b10e8888abcd99yyyzzz85a5"

_CODE = re.compile(
    r"(```.*?(?:```|\Z)|~~~.*?(?:~~~|\Z)|``[^`].*?[^`]``(?!`)|`[^`]+`(?!`))",
    re.DOTALL,
)
STREAM_S = 300.0  # then a stream ends by itself: slackapi/python-slack-sdk#1859
_PAYLOADS = Path(__file__).parents[2] / "payloads" / "slack"


def payload(name: str) -> dict[str, Any]:
    """A fresh copy of a payload as Slack documents it."""
    return deepcopy(_PAYLOAD_FILES[name])


_PAYLOAD_FILES: dict[str, dict[str, Any]] = {
    file.stem: json.loads(file.read_text(encoding="utf-8"))
    for file in sorted(_PAYLOADS.glob("*.json"))
}


class Clock:
    """Wall time that can be moved forward. Frozen, it moves only so."""

    def __init__(self, *, frozen: bool = False) -> None:
        self._frozen_at = time.time() if frozen else None
        self._ahead = 0.0
        self._due: list[tuple[float, Callable[[], Awaitable[None]]]] = []

    def __call__(self) -> float:
        return (
            time.time() if self._frozen_at is None else self._frozen_at
        ) + self._ahead

    def later(self, seconds: float, action: Callable[[], Awaitable[None]]) -> None:
        """Runs the action when `advance` has passed this moment."""
        self._due.append((self() + seconds, action))

    async def advance(self, seconds: float) -> None:
        """Moves on; what becomes due on the way runs at its own time."""
        end = self() + seconds
        while due := sorted(
            (at, number) for number, (at, _) in enumerate(self._due) if at <= end
        ):
            at, action = self._due.pop(due[0][1])
            self._ahead += max(0.0, at - self())
            await action()

        self._ahead += max(0.0, end - self())


@dataclass(slots=True)
class SlackMessage:
    """A message as it stands."""

    chat: str
    ts: str
    user: str
    text: str
    thread: str = ""
    blocks: list[dict[str, Any]] = field(default_factory=list)
    actions: list[dict[str, Any]] = field(default_factory=list)
    """Under a message that was streamed."""
    metadata: dict[str, Any] | None = None
    streaming_since: float | None = None
    only_for: str | None = None
    files: list[dict[str, Any]] = field(default_factory=list)

    @property
    def visible(self) -> str:
        """What a person reads: blocks, else the text. Code shows entities as written."""
        texts = [block["text"] for block in self.blocks if "text" in block]
        markdown = "\n".join(texts) or self.text

        return "".join(
            part if part.startswith(("`", "~~~")) else unescape(part)
            for part in _CODE.split(markdown)
        )

    @property
    def buttons(self) -> dict[str, str]:
        """What its buttons, or the choices of its menu, carry, by their names."""
        elements = [
            element
            for block in [*self.blocks, *self.actions]
            for element in block.get("elements", ())
        ]
        return {
            one["text"]["text"]: one["value"]
            for element in elements
            for one in element.get("options", [element])
        }

    def as_json(self, *, metadata: bool = False) -> dict[str, Any]:
        """As conversations.history shows it."""
        shown: dict[str, Any] = {
            "type": "message",
            "user": self.user,
            "text": self.visible,
            "ts": self.ts,
        }
        if self.thread:
            shown["thread_ts"] = self.thread

        if self.user == AGENT:
            shown["bot_id"] = AGENT_BOT

        if self.files:
            shown |= {"files": self.files, "subtype": "file_share"}

        if metadata and self.metadata:
            shown["metadata"] = self.metadata

        return shown


@dataclass(slots=True)
class Fault:
    """Calls that go wrong. `method` and `chat` narrow which; each call uses one of `times` up."""

    error: str
    method: str | None = None
    chat: str | None = None
    times: int = 1
    retry_after: float | None = None
    lost: bool = False  # the call is carried out, and the answer cut off
    more: Mapping[str, Any] = field(default_factory=dict)

    def concerns(self, method: str, chat: str | None) -> bool:
        """Whether this call is one of them."""
        return (
            self.times > 0
            and self.method in (None, method)
            and self.chat in (None, chat)
        )


class Workspace:
    """The state that Web API, sockets and webhooks share."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.chats: dict[str, list[SlackMessage]] = {}
        self.kinds: dict[str, str] = {}  # im, channel, group, mpim
        self.members: dict[str, set[str]] = {}
        self.names: dict[str, str] = {}
        self.scopes = set(SCOPES)
        self.events = set(EVENTS)  # that the app subscribed to; heeded for reactions
        self.bots: set[str] = set()  # ids of accounts that are bots
        self.refused_tokens: dict[str, str] = {}  # token: error
        self.unknown_methods: set[str] = set()
        self.faults: list[Fault] = []
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.statuses: list[tuple[str, str]] = []
        self.prompts: list[dict[str, Any]] = []
        self.titles: list[dict[str, Any]] = []
        self.upload_root = ""
        self.uploads: dict[str, bytes] = {}  # under way, by id
        self.files: list[tuple[str, str, bytes]] = []  # chat, title, content
        self.revisions: Counter[tuple[str, str]] = Counter()
        self._number = 0

    def person(self, name: str) -> str:
        """The id of the person of this name."""
        user = "U" + name.upper().ljust(8, "0")
        self.names[user] = name
        return user

    def chat(self, chat: str, kind: str, *members: str, agent: bool = True) -> str:
        """A chat of this kind; the agent is a member by default."""
        self.kinds[chat] = kind
        self.chats.setdefault(chat, [])
        self.members.setdefault(chat, set()).update(members, {AGENT} if agent else ())

        return chat

    def add(
        self, chat: str, user: str, text: str, thread: str = "", **more: Any
    ) -> SlackMessage:
        """A new message."""
        message = SlackMessage(chat, self.new_ts(), user, text, thread, **more)
        self.chats[chat].append(message)
        if user == AGENT:
            self.revised(message)

        return message

    def revised(self, message: SlackMessage) -> None:
        """The agent's message shows something new."""
        self.revisions[(message.chat, message.thread)] += 1

    def find(self, chat: str, ts: str) -> SlackMessage | None:
        """The message with this ts."""
        return next(
            (
                message
                for message in self.chats.get(chat, ())
                if message.ts == ts and not message.only_for
            ),
            None,
        )

    def message(self, ts: str) -> SlackMessage:
        """The message with this ts, also one that only one person sees."""
        [found] = [
            one for chat in self.chats.values() for one in chat if one.ts == ts
        ]
        return found

    def buttons(self, ts: str) -> dict[str, str]:
        """What stands under a message."""
        return self.message(ts).buttons

    def new_ts(self) -> str:
        """A ts later than all before."""
        self._number += 1
        return f"{int(self.clock())}.{self._number:06d}"

    def is_streaming(self, message: SlackMessage) -> bool:
        """Whether it still looks as if it were being written: Slack ends it after a while."""
        since = message.streaming_since
        return since is not None and self.clock() - since < STREAM_S

    def of_agent(self, chat: str, thread: str | None = None) -> list[SlackMessage]:
        """The agent's messages in a chat, or in one of its threads."""
        return [
            message
            for message in self.chats[chat]
            if message.user == AGENT and thread in (None, message.thread)
        ]
