"""Why the agent is silent on Slack."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import aiohttp
from msgspec import Struct

from agent.core.channel import Finding
from agent.ports import LastAccepted
from channels.pacing import RateLimited
from channels.slack.api import APPS_PAGE, ApiError, SlackApi
from channels.slack.setup import WEBHOOK_PATH, missing_scopes
from channels.slack.signature import sign

PART = "slack"

_UNDELIVERED_S = 60.0  # a message this old should have arrived
_CHATS = 5
_CHALLENGE = "agent-doctor"


class Link(Struct, frozen=True):
    """How the channel is set up."""

    bot: SlackApi
    app: SlackApi | None
    signing_secret: str | None
    public_url: str | None
    last_accepted: LastAccepted | None

    @property
    def by_http(self) -> bool:
        """Events come as webhooks; else over sockets."""
        return bool(self.public_url and self.signing_secret)


async def diagnose(link: Link) -> list[Finding]:
    """Everything that is wrong, the most likely cause first."""
    return [finding async for finding in _findings(link)]


async def _findings(link: Link) -> AsyncIterator[Finding]:
    try:
        me, headers = await link.bot.call_with_headers("auth.test")
        if lacking := missing_scopes(headers):
            problem = f"The app's token lacks the scopes {', '.join(lacking)}."
            yield Finding(
                PART,
                problem,
                f"{APPS_PAGE}, OAuth & Permissions, then reinstall the app",
            )

        async for finding in _transport(link):
            yield finding

        async for finding in _reach(link, me):
            yield finding
    except ApiError as error:
        yield Finding(
            PART, error.sentence, f"{APPS_PAGE}; or try `agent setup slack`"
        )
    except RateLimited as limit:
        yield Finding(
            PART,
            "Slack accepts no calls for now.",
            f"`agent doctor` again in {limit.retry_after:.0f} s",
        )


async def _transport(link: Link) -> AsyncIterator[Finding]:
    if link.by_http:
        if (problem := await _unreachable(link)) is not None:
            yield Finding(
                PART,
                problem,
                f"PUBLIC_URL, and {APPS_PAGE}, Event Subscriptions, Request URL",
            )
    elif link.app is None:
        missing = "SLACK_SIGNING_SECRET" if link.public_url else "SLACK_APP_TOKEN"
        yield Finding(
            PART, f"{missing} is not set: no event can come in.", "agent setup slack"
        )
    else:
        try:
            await link.app.call("apps.connections.open")
        except ApiError as error:
            yield Finding(
                PART,
                error.sentence,
                f"{APPS_PAGE}, Basic Information, App-Level Tokens",
            )


async def _unreachable(link: Link) -> str | None:
    """Why PUBLIC_URL does not work, tried with what Slack sends to verify a URL."""
    assert link.signing_secret is not None
    assert link.public_url is not None
    body = json.dumps({"type": "url_verification", "challenge": _CHALLENGE}).encode()
    stamp = str(int(time.time()))
    headers = {
        "Content-Type": "application/json",
        "X-Slack-Request-Timestamp": stamp,
        "X-Slack-Signature": sign(link.signing_secret, stamp, body),
    }
    url = link.public_url.rstrip("/") + WEBHOOK_PATH

    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session,
            session.post(
                url, data=body, headers=headers, proxy=link.bot.proxy_for(url)
            ) as answer,
        ):
            if answer.status == 200 and _CHALLENGE in await answer.text():
                return None

            return (
                f"{url} answered {answer.status}: is `agent serve` behind it, "
                "with this signing secret?"
            )
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return f"{url} cannot be reached ({type(error).__name__})."


async def _reach(link: Link, me: Mapping[str, Any]) -> AsyncIterator[Finding]:
    """Whether the agent is in any chat, and whether messages there arrive."""
    chats = (
        await link.bot.call(
            "users.conversations",
            types="public_channel,private_channel,mpim,im",
            exclude_archived=True,
            limit=200,
        )
    ).get("channels") or []
    direct = [str(chat["id"]) for chat in chats if chat.get("is_im")]

    if not chats:
        problem = (
            f"@{me.get('user')} is in no channel, and nobody has written to it yet."
        )
        yield Finding(
            PART,
            problem,
            f"/invite @{me.get('user')} in a channel, or a direct message to it",
        )

    if link.last_accepted is None or not direct:
        return

    accepted = await link.last_accepted("slack")
    for chat in direct[:_CHATS]:
        if await _unheard(link, chat, accepted.get(chat, "0")):
            problem = (
                "Slack does not deliver direct messages: message.im is not "
                "among the app's events."
            )
            yield Finding(
                PART,
                problem,
                f"{APPS_PAGE}, Event Subscriptions, Subscribe to bot events",
            )
            return


async def _unheard(link: Link, chat: str, accepted: str) -> bool:
    last = (await link.bot.call("conversations.history", channel=chat, limit=1)).get(
        "messages"
    ) or []
    if not last or last[0].get("bot_id") or last[0].get("subtype"):
        return False

    ts = str(last[0]["ts"])

    return ts > accepted and time.time() - float(ts) > _UNDELIVERED_S
