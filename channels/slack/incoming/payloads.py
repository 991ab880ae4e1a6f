"""Parts of Slack's payloads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from agent.core.commands import parse_command
from agent.core.messages import Address, Deleted, Said
from channels.fields import mapping, required, text

EVENT_TYPE = "agent_answer"
"""Of the metadata by which a message of ours is recognised."""

MAX_NAMED_TURNS = 100
"""Turns that a message names at most: Slack's metadata has little room."""


def within(
    event: Mapping[str, Any],
    name: str,
) -> dict[str, Any]:
    """The message inside an event of its change, with the channel that only the event names."""
    return {
        **mapping(event, name),
        "channel": event["channel"],
        "channel_type": event.get("channel_type"),
    }


def kind_of(
    event: Mapping[str, Any],
) -> str:
    """The subtype of a message. One that is deleted while it has replies is changed, says
    Slack, to a note by Slack: that is a deletion all the same.
    """
    if text(mapping(event, "message"), "subtype") == "tombstone":
        return "message_deleted"

    return text(event, "subtype")


def is_direct(
    event: Mapping[str, Any],
) -> bool:
    """Whether this is in a direct chat with one person."""
    return event.get("channel_type") == "im" or required(
        event,
        "channel",
    ).startswith("D")


OTHER_NAMES = {"search": "find"}
"""Commands whose names Slack keeps for itself, and what they are called there."""

_MEANT = {f"/{other}": f"/{name}" for name, other in OTHER_NAMES.items()}


def as_command(
    words: str,
) -> str:
    """In threads, where Slack takes no slash commands, people write `!name argument`."""
    found = parse_command(words) if words.startswith("!") else None
    return f"/{found[0].name} {found[1]}".rstrip() if found else words


def slash_text(
    name: str,
    argument: str,
) -> str:
    """`/name argument`. Of a command with another name (`/agent`), the argument is the command."""
    name = _MEANT.get(name, name)
    if parse_command(name):
        return f"{name} {argument}".strip()

    return f"/{argument or 'help'}"


def address_of(
    event: Mapping[str, Any],
    team: str,
) -> Address:
    """In a channel, the thread under a message is the conversation, with that message.

    `team` is the agent's own, where Slack names none.
    """
    ts = required(event, "ts")
    return Address(
        channel="slack",
        chat=required(event, "channel"),
        thread=text(event, "thread_ts") or ("" if is_direct(event) else ts),
        message=ts,
        extra={
            "user": required(event, "user"),
            "team": _team(event, "team") or team,
        },
    )


def deleted(message: Mapping[str, Any], team: str) -> Deleted:
    """The deletion of a person's message, as it was before."""
    address = address_of(message, team)

    return Deleted(
        address,
        address.message,
        address.extra["user"],
        direct=is_direct(message),
    )


def _team(
    event: Mapping[str, Any],
    name: str,
) -> str:
    """The workspace's id; "" for what is none."""
    told = text(event, name)
    return told if told.isascii() and told.isalnum() else ""


def said_by_command(
    command: Mapping[str, Any],
    team: str,
) -> Said:
    """A slash command, as the message that it stands for."""
    chat, user = required(command, "channel_id"), required(command, "user_id")
    extra = {
        "user": user,
        "team": _team(command, "team_id") or team,
        "command": "1",
    }

    return Said(
        address=Address("slack", chat, extra=extra),
        message_id=required(command, "trigger_id"),
        user_id=user,
        text=slash_text(required(command, "command"), text(command, "text")),
        username=text(command, "user_name") or None,
        direct=chat.startswith("D"),
    )


def answer_metadata(turns: Sequence[str], number: int) -> dict[str, Any]:
    """Names all turns that a message of ours answers, and which of the answer's it is."""
    payload = {"turns": turns[:MAX_NAMED_TURNS], "number": number}

    return {"event_type": EVENT_TYPE, "event_payload": payload}


def answered_by(message: Mapping[str, Any]) -> tuple[set[str], int]:
    """The turns that a message answers, none if it does not say, and its number."""
    payload = (message.get("metadata") or {}).get("event_payload") or {}
    # Earlier versions named the last turn alone.
    turns = payload.get("turns") or [payload.get("turn")]
    number = payload.get("number") or 0

    return {str(turn) for turn in turns if turn}, int(number)


def parsed_delivery(headers: Mapping[str, str], text: str) -> Mapping[str, Any]:
    """The delivery, if it is JSON; commands are forms, which Bolt reads. Raises ValueError
    when it is no JSON, TypeError when it is no object.
    """
    if "json" not in headers.get("content-type", ""):
        return {}

    parsed = json.loads(text)
    if not isinstance(parsed, dict):
        raise TypeError("a delivery of another form")

    return parsed
