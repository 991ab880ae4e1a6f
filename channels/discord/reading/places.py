"""What Discord tells of servers, channels and threads, as far as an answer depends on it.

discord.py's own cache is not used: it refuses a whole server for one odd channel.
"""

from __future__ import annotations

from collections.abc import Callable

from cachetools import LRUCache
from msgspec import Struct
from msgspec.structs import replace

from channels.discord.reading.fields import (
    Payload,
    digits,
    identity,
    number,
    part,
    parts,
    string,
)

DIRECT = 1
THREADS = (10, 11, 12)
"""Types of channels: https://docs.discord.com/developers/resources/channel."""

KNOWN = 50_000
"""Channels and names that are remembered."""


class Place(Struct, frozen=True):
    """Where something is said. Each thread is a channel of its own."""

    direct: bool = False
    thread: bool = False
    takes_part: bool = False
    """Whether it is a thread that the agent is in, or that it began."""


class Places:
    """The channels and threads of one session, their names, and the agent's own roles."""

    def __init__(self) -> None:
        self.me = ""
        """The agent's id."""
        self._own_roles: set[str] = set()
        self._places: LRUCache[str, Place] = LRUCache(KNOWN)
        self._names: LRUCache[str, str] = LRUCache(KNOWN)
        self._readers: dict[str, Callable[[Payload], None]] = {
            "GUILD_CREATE": self._note_server,
            "CHANNEL_CREATE": self.note,
            "CHANNEL_UPDATE": self.note,
            "THREAD_CREATE": self.note,
            "THREAD_UPDATE": self.note,
            "THREAD_LIST_SYNC": self._note_threads,
            "THREAD_MEMBER_UPDATE": self._join,
            "THREAD_MEMBERS_UPDATE": self._note_members,
            "GUILD_ROLE_CREATE": self._note_role_event,
            "GUILD_ROLE_UPDATE": self._note_role_event,
        }

    def learn(self, kind: str, event: Payload) -> None:
        """What this event tells of places; most kinds tell nothing."""
        if reader := self._readers.get(kind):
            reader(event)

    def known(self, chat: str) -> Place | None:
        """The place of this id, if it was told of."""
        return self._places.get(chat)

    def of(self, message: Payload) -> Place:
        """Where this message of the gateway was said.

        Direct chats are not told of. A message there names no server and no membership.
        """
        if known := self.known(digits(message, "channel_id")):
            return known

        in_server = bool(digits(message, "guild_id") or part(message, "member"))
        thread = in_server and number(message, "channel_type") in THREADS

        return Place(direct=not in_server, thread=thread)

    def is_me(self, id: str) -> bool:
        """Whether a mention of this id means the agent. People may pick its role, which
        has the same name.
        """
        return bool(id) and (id == self.me or id in self._own_roles)

    def name(self, id: str) -> str:
        """`#channel` or `@role` as Discord shows it; "" if it was not told of."""
        return self._names.get(id, "")

    def note(self, channel: Payload) -> None:
        """Remembers a channel or a thread. Its membership stays when it is not named."""
        id, kind = digits(channel, "id"), number(channel, "type")
        if not id:
            return

        in_server = bool(digits(channel, "guild_id"))
        alone = kind == DIRECT or bool(parts(channel, "recipients"))
        before = self.known(id) or Place()
        self._places[id] = Place(
            direct=alone and not in_server,
            thread=kind in THREADS,
            takes_part=before.takes_part or self._takes_part(channel, kind),
        )
        if name := string(channel, "name"):
            self._names[id] = f"#{name}"

    def _takes_part(self, channel: Payload, kind: int) -> bool:
        began = digits(channel, "owner_id") == self.me
        return kind in THREADS and (began or bool(part(channel, "member")))

    def _note_server(self, server: Payload) -> None:
        for channel in (*parts(server, "channels"), *parts(server, "threads")):
            self.note({"guild_id": server.get("id"), **channel})

        for role in parts(server, "roles"):
            self._note_role(role)

    def _note_threads(self, event: Payload) -> None:
        for thread in parts(event, "threads"):
            self.note(thread)

        for member in parts(event, "members"):
            self._join(member)

    def _note_members(self, event: Payload) -> None:
        added = [
            digits(member, "user_id") for member in parts(event, "added_members")
        ]
        removed = event.get("removed_member_ids")
        if self.me in added:
            self._join(event)

        if isinstance(removed, list) and self.me in map(identity, removed):
            self._leave(digits(event, "id"))

    def _join(self, event: Payload) -> None:
        if id := digits(event, "id"):
            before = self.known(id) or Place()
            self._places[id] = replace(before, thread=True, takes_part=True)

    def _leave(self, id: str) -> None:
        if before := self.known(id):
            self._places[id] = replace(before, takes_part=False)

    def _note_role_event(self, event: Payload) -> None:
        self._note_role(part(event, "role"))

    def _note_role(self, role: Payload) -> None:
        id = digits(role, "id")
        if not id:
            return

        self._names[id] = "@" + string(role, "name").removeprefix("@")
        if self.me and digits(part(role, "tags"), "bot_id") == self.me:
            self._own_roles.add(id)
