"""The people, chats and messages behind the Bot API, and what the bot has not fetched yet."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

BOT_ID = 700_000_001
BOT_NAME = "simple_agent_bot"
DATE = 1_764_000_000  # of every message; nothing depends on it


@dataclass
class Sent:
    """One message of the bot as it stands in a chat."""

    id: int
    thread: str
    text: str
    entities: list[Json]
    reply_to: int | None = None
    keyboard: list[list[Json]] = field(default_factory=list)


@dataclass
class Chat:
    """A private chat or a (super)group with the bot in it."""

    id: int
    kind: str
    title: str
    topics: dict[str, str] = field(default_factory=dict)  # titles by id
    sent: dict[int, Sent] = field(default_factory=dict)  # the bot's messages
    # previews, by thread and draft id
    drafts: dict[tuple[str, int], str] = field(default_factory=dict)
    files: list[bytes] = field(default_factory=list)
    # new states shown, by thread
    revisions: Counter[str] = field(default_factory=Counter)
    typing: Counter[str] = field(default_factory=Counter)  # chat actions, by thread
    bot_status: str = "member"
    blocked: bool = False  # the person stopped the bot, or the group removed it
    moved_to: int | None = None  # the group became this supergroup
    ids: itertools.count[int] = field(default_factory=lambda: itertools.count(1))

    def describe(self) -> Json:
        """The Bot API's Chat."""
        if self.kind == "private":
            return {
                "id": self.id,
                "type": "private",
                "first_name": self.title,
            }

        forum = {"is_forum": True} if self.topics else {}
        return {
            "id": self.id,
            "type": self.kind,
            "title": self.title,
            **forum,
        }

    def screen(self, thread: str = "") -> list[str]:
        """What a person sees of the bot here, oldest first; a draft is at the end while it
        lives.
        """
        messages = [sent.text for sent in self.sent.values() if sent.thread == thread]
        return messages + [
            text
            for (place, _), text in self.drafts.items()
            if place == thread and text
        ]


class TelegramState:
    """Chats by id, people by name, and the updates that wait for the bot."""

    def __init__(self) -> None:
        self.chats: dict[int, Chat] = {}
        self.people: dict[str, Json] = {}
        self.updates: list[Json] = []  # not confirmed yet
        self.said: dict[
            tuple[int, int], Json
        ] = {}  # people's messages by chat and id
        self.reactions: dict[
            tuple[int, int, int], list[Json]
        ] = {}  # by chat, message and person
        self.presses: dict[str, str | None] = {}  # what answered each, by its id
        self.toasts: list[str] = []
        self._update_ids = itertools.count(1000)

    def person(self, name: str) -> Json:
        """The person of this name as a User."""
        user = {
            "id": 5000 + len(self.people),
            "is_bot": False,
            "first_name": name.capitalize(),
        }
        return self.people.setdefault(name, user)

    def private(self, name: str) -> Chat:
        """The person's chat with the bot."""
        user = self.person(name)
        return self.chats.setdefault(
            user["id"], Chat(user["id"], "private", user["first_name"])
        )

    def group(self, title: str) -> Chat:
        """A supergroup with the bot as a member."""
        known = next(
            (chat for chat in self.chats.values() if chat.title == title), None
        )
        if known is None:
            known = Chat(-1_001_000_000_000 - len(self.chats), "supergroup", title)
            self.chats[known.id] = known

        return known

    def message(
        self, chat: Chat, user: Json, text: str, *, thread: str = "", **fields: Any
    ) -> Json:
        """A person's new message, not delivered yet. `fields` go into the Message as they are."""
        topic = (
            {"message_thread_id": int(thread), "is_topic_message": True}
            if thread
            else {}
        )
        words = {"text": text} if text else {}
        message = {
            "message_id": next(chat.ids),
            "from": user,
            "chat": chat.describe(),
            "date": DATE,
            **words,
            **topic,
            **fields,
        }
        self.said[chat.id, message["message_id"]] = message

        return message

    def reaction(self, chat: Chat, message: int, user: Json, *emoji: str) -> Json:
        """A person's reactions to a message become these; the change as the Bot API tells it."""
        key = (chat.id, message, user["id"])
        before = self.reactions.get(key, [])
        now = [{"type": "emoji", "emoji": one} for one in emoji]
        self.reactions[key] = now
        where = {
            "chat": chat.describe(),
            "message_id": message,
            "user": user,
            "date": DATE,
        }

        return {**where, "old_reaction": before, "new_reaction": now}

    def deliver(self, message: Json, kind: str = "message") -> None:
        """Puts an update into the bot's queue."""
        self.updates.append({"update_id": next(self._update_ids), kind: message})
