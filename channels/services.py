"""What the agent around a channel does for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from msgspec import Struct
from pydantic import SecretStr

from agent.core.words.model_lists import (
    MAX_MENU,
    ListsModels,
    model_names,
    near_names,
)
from agent.ports import Control, LastAccepted
from channels.pacing import SharedPace
from channels.unreadable import Note, unnoted


def _offered(channel: str) -> bool:
    return True


def _alone(channel: str, token: SecretStr) -> SharedPace | None:
    return None


ModelNames = Callable[[str, str], Awaitable[Sequence[str]]]
"""For a channel's name and what was typed: models that may be chosen there, the nearest first."""

LIST_SECONDS = 1.5
"""So long a menu waits for a provider's list. Discord wants an answer within three."""


async def no_names(channel: str, typed: str) -> Sequence[str]:
    """Nobody knows which models there are."""
    return ()


def names_of(models: object, control: Control) -> ModelNames:
    """The models that these providers list and operators allow."""

    async def names(channel: str, typed: str) -> Sequence[str]:
        if not isinstance(models, ListsModels):
            return ()

        allowed = control.channel(channel).allowed_models
        known = model_names(await models.listed(LIST_SECONDS), allowed)
        near = near_names(typed, known, MAX_MENU)

        return known[:MAX_MENU] if not typed else near

    return names


class ChannelServices(Struct, frozen=True):
    """What `channels/<name>/channel.py` asks for in `build(settings, services)`.

    The defaults are those of a channel without stores: it offers commands, knows no chats
    and paces alone.
    """

    slash_commands: Callable[[str], bool] = _offered
    """Whether the channel of this name offers commands now. It is asked again and again."""

    model_names: ModelNames = no_names

    last_accepted: LastAccepted | None = None

    note_unreadable: Note = unnoted
    """Remembers, by channel and kind, that an event could not be read."""

    shared_pace: Callable[[str, SecretStr], SharedPace | None] = _alone
    """For a channel's name and its token: the pace that all instances of that bot keep."""


WITHOUT_STORES = ChannelServices()
