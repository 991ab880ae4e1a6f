"""What Discord knows: people, channels, messages, interactions. No network here."""

from __future__ import annotations

import copy
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from tests.support.platforms.discord import components
from tests.support.platforms.discord.values import (
    BOT,
    EPOCH,
    GUILD,
    Interaction,
    Refused,
    WrongForm,
    payload,
)

Dispatch = Callable[[str, Mapping[str, Any]], None]


@dataclass
class DiscordState:
    """Everything, and the rules that do not need HTTP. `dispatch` tells the connected bots."""

    dispatch: Dispatch
    clock: Callable[[], float] = time.monotonic
    channels: dict[str, dict[str, Any]] = field(default_factory=dict)
    messages: dict[str, list[dict[str, Any]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    users: dict[str, dict[str, Any]] = field(default_factory=dict)
    interactions: dict[str, Interaction] = field(default_factory=dict)
    nonces: dict[tuple[str, str], tuple[str, float]] = field(default_factory=dict)
    nonce_seconds: float = 180.0  # by `clock`; Discord says "a few minutes"
    commands: list[dict[str, Any]] = field(default_factory=list)
    joined: set[str] = field(default_factory=set)  # threads the bot is in
    # channel -> code, message
    refused: dict[str, tuple[int, str]] = field(default_factory=dict)
    unquotable: dict[str, tuple[int, int, str]] = field(default_factory=dict)
    # channels that may be written but not read
    hidden_history: set[str] = field(default_factory=set)
    in_guild: bool = True
    extra_roles: list[dict[str, Any]] = field(default_factory=list)
    permissions: int = int(payload("role")["permissions"])
    revisions: Counter[str] = field(default_factory=Counter)
    typing: Counter[str] = field(default_factory=Counter)
    last: int = 0

    def __post_init__(self) -> None:
        self.bot = self.person(
            "agent",
            id=BOT,
            global_name=None,
            bot=True,
        )
        self.application = payload("application", bot=self.bot)

    def snowflake(self) -> str:
        """Ids grow with time, also within a millisecond."""
        self.last = max(self.last + 1, int(time.time() * 1000 - EPOCH) << 22)
        return str(self.last)

    def person(self, name: str, **changes: Any) -> dict[str, Any]:
        """The account of this name, made when it is first asked for."""
        if name not in self.users:
            fields = {
                "id": self.snowflake(),
                "username": name,
                "global_name": name.title(),
            } | changes
            self.users[name] = payload("user", **fields)

        return self.users[name]

    def add_channel(self, name: str) -> str:
        """A text channel in the one server."""
        channel = payload("channel_text", id=self.snowflake(), name=name)
        self.channels[channel["id"]] = channel
        self.dispatch("CHANNEL_CREATE", channel)

        return str(channel["id"])

    def add_direct(self, user: str) -> str:
        """The direct chat with this person."""
        for id, channel in self.channels.items():
            if channel["type"] == 1 and channel["recipients"][0]["username"] == user:
                return id

        channel = payload(
            "channel_direct", id=self.snowflake(), recipients=[self.person(user)]
        )
        self.channels[channel["id"]] = channel

        return str(channel["id"])

    def add_thread(
        self,
        parent: str,
        name: str,
        *,
        user: str = "ada",
    ) -> str:
        """A thread that this person began."""
        thread = payload(
            "thread",
            id=self.snowflake(),
            name=name,
            parent_id=parent,
            owner_id=self.person(user)["id"],
        )
        self.channels[thread["id"]] = thread
        self.dispatch("THREAD_CREATE", {**thread, "newly_created": True})

        return str(thread["id"])

    def join(self, thread: str) -> None:
        """A mention in a thread, or a message there, makes somebody a member of it."""
        if self.channels[thread]["type"] == 11 and thread not in self.joined:
            self.joined.add(thread)
            members = payload("thread_members_update")["added_members"]
            added = [
                {
                    **members[0],
                    "id": thread,
                    "user_id": self.bot["id"],
                }
            ]
            self.dispatch(
                "THREAD_MEMBERS_UPDATE",
                payload("thread_members_update", id=thread, added_members=added),
            )

    def guild(self) -> dict[str, Any]:
        """The server as GUILD_CREATE tells it."""
        inside = [c for c in self.channels.values() if c.get("guild_id") == GUILD]
        membership = payload("thread_members_update")["added_members"][0]
        threads = [
            {**c, "member": membership} if c["id"] in self.joined else c
            for c in inside
            if c["type"] == 11
        ]

        return {
            **payload("guild", roles=self.roles()),
            **payload(
                "guild_create",
                threads=threads,
                channels=[c for c in inside if c["type"] != 11],
            ),
            "members": [payload("member", user=self.bot)],
        }

    def roles(self) -> list[dict[str, Any]]:
        """The one role that everybody has, and others."""
        return [payload("role", permissions=str(self.permissions)), *self.extra_roles]

    def say(
        self, channel: str, text: str, *, user: str, **changes: Any
    ) -> dict[str, Any]:
        """A person (or, with `author`, anybody) writes."""
        message = self.add_message(
            channel,
            {
                "author": self.person(user),
                "content": text,
                **changes,
            },
        )
        if self.bot in self.mentioned(text):
            self.join(channel)

        self.tell("MESSAGE_CREATE", message)

        return message

    def add_message(self, channel: str, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Puts a message into a channel without telling anybody."""
        if channel not in self.channels:
            raise Refused(404, 10003, "Unknown Channel")

        known = {
            "id": self.snowflake(),
            "channel_id": channel,
            "timestamp": datetime.now(UTC).isoformat(),
        }
        named = self.mentioned(str(fields.get("content", "")))
        message = payload("message", **known) | {"mentions": named} | dict(fields)
        self.messages[channel].append(message)

        return message

    def mentioned(self, content: str) -> list[dict[str, Any]]:
        """The people that a text mentions."""
        return [
            u
            for u in self.users.values()
            if f"<@{u['id']}>" in content or f"<@!{u['id']}>" in content
        ]

    def tell(self, event: str, message: Mapping[str, Any]) -> None:
        """Messages in a server bear its id and the author's membership in it, in events only."""
        message = shown(message)
        if "guild_id" in self.channels[message["channel_id"]]:
            message["guild_id"] = GUILD
            if "author" in message:
                membership = payload("member")
                message["member"] = {
                    key: value for key, value in membership.items() if key != "user"
                }

        self.dispatch(event, message)

    def find(self, message: str) -> dict[str, Any]:
        """The message of this id."""
        for messages in self.messages.values():
            for one in messages:
                if one["id"] == message:
                    return one

        raise Refused(404, 10008, "Unknown Message")

    def edit(self, message: str, text: str) -> None:
        """A person edits a message."""
        found = self.find(message)
        found |= {"content": text, "edited_timestamp": datetime.now(UTC).isoformat()}
        self.tell("MESSAGE_UPDATE", found)

    def delete(self, message: str) -> None:
        """A person deletes a message."""
        found = self.find(message)
        self.messages[found["channel_id"]].remove(found)
        self.tell(
            "MESSAGE_DELETE", {"id": message, "channel_id": found["channel_id"]}
        )

    def react(
        self,
        message: str,
        emoji: str,
        *,
        user: str,
        taken: bool = False,
        custom: str | None = None,
    ) -> None:
        """A person gives a message a reaction or takes it away. Whose message it is, is
        told when it is given.
        """
        found, person = self.find(message), self.person(user)
        where = {
            "channel_id": found["channel_id"],
            "message_id": message,
            "user_id": person["id"],
        }
        name = "message_reaction_remove" if taken else "message_reaction_add"
        event = payload(name, **where, emoji={"id": custom, "name": emoji})

        if not taken:
            event |= {
                "message_author_id": found["author"]["id"],
                "member": payload("member", user=person),
            }

        if "guild_id" not in self.channels[found["channel_id"]]:
            event = {
                key: value
                for key, value in event.items()
                if key not in ("guild_id", "member")
            }

        self.dispatch(name.upper(), event)

    def use_command(
        self,
        channel: str,
        name: str,
        argument: str,
        *,
        user: str,
    ) -> dict[str, Any]:
        """A person uses a command: the interaction as it is sent over gateway or HTTP."""
        options = (
            [
                {
                    "name": "argument",
                    "type": 3,
                    "value": argument,
                }
            ]
            if argument
            else []
        )
        data = {
            "id": "90",
            "name": name,
            "type": 1,
        } | ({"options": options} if options else {})
        return self._interaction(channel, user, 2, data)

    def press(self, message: str, data: str, *, user: str) -> dict[str, Any]:
        """A person presses a button, or chooses from a menu, under a message."""
        found = self.find(message)
        chosen = components.pressed(found["components"], data)

        return self._interaction(
            found["channel_id"], user, 3, chosen, message=shown(found)
        )

    def buttons(self, message: str) -> dict[str, str]:
        """What stands under a message: what each carries, by its name."""
        return components.keys(self.find(message)["components"])

    def _interaction(
        self, channel: str, user: str, kind: int, data: object, **more: Any
    ) -> dict[str, Any]:
        person, id = self.person(user), self.snowflake()
        direct = self.channels[channel]["type"] == 1
        fields = {
            "id": id,
            "type": kind,
            "token": f"token-{id}",
            "channel_id": channel,
            "channel": {**self.channels[channel], "permissions": "2147483647"},
            "data": data,
            **more,
        }

        if direct:
            use = payload("interaction_direct", user=person, **fields)
        else:
            member = {**payload("interaction")["member"], "user": person}
            use = payload("interaction", member=member, **fields)

        self.interactions[use["token"]] = Interaction(
            use["token"], channel, self.clock()
        )

        return use

    def respond(self, token: str, response: Mapping[str, Any]) -> None:
        """The first response to an interaction; a second one is refused, one after 3
        seconds too.
        """
        interaction = self.interactions.get(token)
        if interaction is None or (
            interaction.acknowledged_at is None
            and self.clock() - interaction.sent_at > 3
        ):
            raise Refused(404, 10062, "Unknown interaction")

        if interaction.acknowledged_at is not None:
            raise Refused(400, 40060, "Interaction has already been acknowledged.")

        interaction.acknowledged_at = self.clock()
        interaction.response = copy.deepcopy(dict(response))
        if response["type"] == 5:
            fields = {
                "author": self.bot,
                "content": "",
                "type": 20,
                "flags": 128 | response.get("data", {}).get("flags", 0),
            }
            interaction.message = self.add_message(interaction.channel, fields)["id"]

    def check(self, channel: str) -> None:
        """Whether the bot may touch this channel at all."""
        if channel not in self.channels:
            raise Refused(404, 10003, "Unknown Channel")
        if channel in self.refused:
            code, message = self.refused[channel]
            raise Refused(403, code, message)

    def post(self, channel: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The bot writes. A nonce that was lately seen brings back the message that it made."""
        content = self.checked_content(body)
        if len(str(body.get("nonce", ""))) > 25:
            raise WrongForm(
                "nonce", "BASE_TYPE_MAX_LENGTH", "Must be 25 or fewer in length."
            )

        if channel in self.unquotable and body.get("message_reference"):
            raise Refused(*self.unquotable[channel])

        key = (channel, str(body.get("nonce", "")))
        if body.get("enforce_nonce") and (known := self._known(key)):
            return self.find(known)

        message = self.add_message(
            channel, self._written_by_bot(channel, body, content)
        )
        if body.get("nonce"):
            self.nonces[key] = (message["id"], self.clock())

        self.revisions[channel] += 1
        self.join(channel)
        self.tell("MESSAGE_CREATE", message)

        return message

    def _known(self, key: tuple[str, str]) -> str:
        """The message that was lately sent with this nonce, or ""."""
        id, sent_at = self.nonces.get(key, ("", 0.0))
        is_forgotten = self.clock() - sent_at > self.nonce_seconds

        return "" if is_forgotten else id

    def _written_by_bot(
        self,
        channel: str,
        body: Mapping[str, Any],
        content: str,
    ) -> dict[str, Any]:
        fields = {
            "author": self.bot,
            "content": content,
            "allowed_mentions": body.get("allowed_mentions"),
            "components": components.checked(body),
        }
        if reference := body.get("message_reference"):
            pointer = {
                "type": 0,
                "channel_id": channel,
                "message_id": reference["message_id"],
            }
            fields |= {"type": 19, "message_reference": pointer}

        return fields

    def rewrite(
        self,
        channel: str,
        message: str,
        body: Mapping[str, Any],
    ) -> dict[str, Any]:
        """The bot edits a message of its own."""
        content = self.checked_content(body)
        found = self.find(message)
        if found["author"]["id"] != self.bot["id"]:
            raise Refused(
                403, 50005, "Cannot edit a message authored by another user"
            )

        found |= {
            "content": content,
            "edited_timestamp": datetime.now(UTC).isoformat(),
        }
        if "components" in body:  # else they stay
            found["components"] = components.checked(body)

        self.revisions[channel] += 1
        self.tell("MESSAGE_UPDATE", found)

        return found

    def checked_content(self, body: Mapping[str, Any]) -> str:
        """A message has 1 to 2,000 characters; space around them is cut away."""
        content = str(body.get("content") or "").strip()
        if not content and not body.get("attachments"):
            raise Refused(400, 50006, "Cannot send an empty message")
        if len(content) > 2000:
            raise WrongForm(
                "content", "BASE_TYPE_MAX_LENGTH", "Must be 2000 or fewer in length."
            )

        return content


def shown(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message as it is told: whom it may ping is asked of the sender, and told nobody."""
    return {key: value for key, value in message.items() if key != "allowed_mentions"}
