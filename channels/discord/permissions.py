"""The permissions that the agent needs on Discord, and how Discord computes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

# https://docs.discord.com/developers/topics/permissions, "Bitwise permission flags"; names
# as Discord's pages show them
VIEW = "View Channels"
PERMISSIONS: Mapping[str, int] = {
    VIEW: 1 << 10,
    "Send Messages": 1 << 11,
    "Read Message History": 1 << 16,
    "Send Messages in Threads": 1 << 38,
}
_ADMINISTRATOR = 1 << 3

# https://docs.discord.com/developers/resources/application, "Application flags"; the second
# is for small bots
_MESSAGE_CONTENT = 1 << 18
MESSAGE_CONTENT_LIMITED = 1 << 19


def permission_bits(names: Iterable[str] = PERMISSIONS) -> int:
    """These permissions as one number."""
    return sum(PERMISSIONS[name] for name in names)


def missing(bits: int) -> list[str]:
    """The names of needed permissions that are not in `bits`."""
    if bits & _ADMINISTRATOR:
        return []

    return [name for name, bit in PERMISSIONS.items() if not bits & bit]


def invite_link(application: str) -> str:
    """The page that adds the agent to a server, with the permissions it needs and no others."""
    query = {
        "client_id": application,
        "scope": "bot applications.commands",
        "permissions": permission_bits(),
    }
    return f"https://discord.com/oauth2/authorize?{urlencode(query)}"


def sees_content(application: Mapping[str, Any]) -> bool:
    """Whether MESSAGE CONTENT INTENT is switched on."""
    return bool(
        application.get("flags", 0) & (_MESSAGE_CONTENT | MESSAGE_CONTENT_LIMITED)
    )


def channel_bits(
    base: int,
    overwrites: Sequence[Mapping[str, Any]],
    *,
    guild: str,
    member: str,
    roles: Iterable[str],
) -> int:
    """Permissions in one channel.

    Its overwrites are applied for everyone, then for the member's roles, then for the member.
    """
    by_id = {overwrite["id"]: overwrite for overwrite in overwrites}
    bits = base

    for group in ([guild], [role for role in roles if role != guild], [member]):
        applied = [by_id[id] for id in group if id in by_id]
        for overwrite in applied:
            bits &= ~int(overwrite["deny"])

        for overwrite in applied:
            bits |= int(overwrite["allow"])

    return base if base & _ADMINISTRATOR else bits
