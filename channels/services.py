"""What the agent around a channel does for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pydantic import SecretStr

from agent.ports import LastAccepted
from channels.pacing import SharedPace
from channels.unreadable import Note, unnoted


def _offered(channel: str) -> bool:
    return True


def _alone(channel: str, token: SecretStr) -> SharedPace | None:
    return None


@dataclass(frozen=True, slots=True)
class ChannelServices:
    """What `channels/<name>/channel.py` asks for in `build(settings, services)`.

    The defaults are those of a channel without stores: it offers commands, knows no chats
    and paces alone.
    """

    slash_commands: Callable[[str], bool] = _offered
    """Whether the channel of this name offers commands now. It is asked again and again."""

    last_accepted: LastAccepted | None = None

    note_unreadable: Note = unnoted
    """Remembers, by channel and kind, that an event could not be read."""

    shared_pace: Callable[[str, SecretStr], SharedPace | None] = _alone
    """For a channel's name and its token: the pace that all instances of that bot keep."""


WITHOUT_STORES = ChannelServices()
