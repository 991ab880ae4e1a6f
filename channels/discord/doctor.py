"""Why the agent is silent on Discord: one sentence a cause, with the page to fix it on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from agent.core.channel import Finding
from agent.core.errors import DeliveryError, StoreUnavailable
from agent.ports import LastAccepted
from channels.discord.permissions import (
    channel_bits,
    invite_link,
    missing,
    sees_content,
)
from channels.discord.rest import (
    PORTAL,
    TOKEN_PLACE,
    TOKEN_REFUSED,
    LastingRefusal,
    Refusal,
    Rest,
)
from channels.pacing import RateLimited

PART = "discord"
CHATS = 20
"""Recent chats that are checked one by one."""

_SETTINGS = "Server Settings > Roles"


async def diagnose(
    rest: Rest,
    *,
    endpoint: str | None,
    public_key: str | None,
    last_accepted: LastAccepted | None,
) -> list[Finding]:
    """Everything that is wrong, in the order in which to fix it."""
    try:
        async with rest.open():
            application = await rest.call("GET", "/applications/@me")
            findings = [*_application(application, endpoint, public_key)]
            findings += [
                finding async for finding in _servers(rest, application["id"])
            ]
            findings += [
                finding
                async for finding in _chats(rest, application["id"], last_accepted)
            ]
            return findings
    except Refusal as refusal:
        if refusal.status == 401:
            return [Finding(PART, TOKEN_REFUSED, TOKEN_PLACE)]

        return [Finding(PART, refusal.sentence, "docs/discord.md")]
    except DeliveryError as error:
        return [Finding(PART, error.sentence, "DISCORD_API_URL")]
    except RateLimited as limit:
        return [
            Finding(
                PART,
                f"Discord accepts no calls for {limit.retry_after:.0f} s.",
                "wait and run agent doctor again",
            )
        ]


def _application(
    application: Mapping[str, Any], endpoint: str | None, public_key: str | None
) -> list[Finding]:
    page = f"{PORTAL}/{application['id']}"
    registered = application.get("interactions_endpoint_url")
    findings = []
    if not sees_content(application):
        findings.append(
            Finding(PART, "MESSAGE CONTENT INTENT is off.", f"{page}/bot")
        )

    if registered and not endpoint:
        findings.append(
            Finding(
                PART,
                f"Discord sends commands to {registered}, but PUBLIC_URL or "
                "DISCORD_PUBLIC_KEY is not set.",
                f"set both, or empty Interactions Endpoint URL at {page}/information",
            )
        )

    if endpoint and registered != endpoint:
        findings.append(
            Finding(
                PART,
                f"Discord does not send commands to {endpoint}; it could not "
                "reach it, or was not asked to.",
                f"run agent serve where Discord can reach it, or set it at {page}/information",
            )
        )

    if public_key and public_key.lower() != application.get("verify_key", "").lower():
        problem = "DISCORD_PUBLIC_KEY is not this application's."
        findings.append(Finding(PART, problem, f"{page}/information, Public Key"))

    return findings


async def _servers(rest: Rest, application: str) -> AsyncIterator[Finding]:
    guilds = await rest.call("GET", "/users/@me/guilds")
    if not guilds:
        yield Finding(
            PART,
            "The agent has not been invited to any server.",
            invite_link(application),
        )

    for guild in guilds:
        if lacking := missing(int(guild["permissions"])):
            yield Finding(
                PART,
                f"In the server {guild['name']} the agent lacks {', '.join(lacking)}.",
                f"{_SETTINGS}, or invite it again: {invite_link(application)}",
            )


async def _chats(
    rest: Rest, me: str, last_accepted: LastAccepted | None
) -> AsyncIterator[Finding]:
    """Recent chats: a channel can deny what its server allows."""
    if last_accepted is None:
        return

    try:
        seen = await last_accepted(PART)
    except StoreUnavailable:
        return  # the stores have a finding of their own

    for chat in list(seen)[:CHATS]:
        try:
            lacking = await _lacking(rest, chat, me)
        except LastingRefusal:
            yield Finding(
                PART,
                f"The agent can no longer see the channel {chat}.",
                "docs/discord.md",
            )
            continue

        if lacking:
            yield Finding(
                PART,
                f"In the channel {lacking[0]} the agent lacks {', '.join(lacking[1:])}.",
                "Edit Channel > Permissions",
            )


async def _lacking(rest: Rest, chat: str, me: str) -> list[str]:
    """The channel's name, then what the agent lacks there; empty when nothing."""
    channel = await rest.call("GET", f"/channels/{chat}")
    guild = channel.get("guild_id")
    if guild is None:
        return []

    if "permission_overwrites" not in channel:  # a thread has its parent's
        channel = await rest.call("GET", f"/channels/{channel['parent_id']}")

    member = await rest.call("GET", f"/guilds/{guild}/members/{me}")
    roles = [guild, *member["roles"]]
    base = 0
    for role in (await rest.call("GET", f"/guilds/{guild}"))["roles"]:
        base |= int(role["permissions"]) if role["id"] in roles else 0

    bits = channel_bits(
        base, channel["permission_overwrites"], guild=guild, member=me, roles=roles
    )
    # What the server itself lacks was reported before.
    lacking = [name for name in missing(bits) if name not in missing(base)]

    return [channel["name"], *lacking] if lacking else []
