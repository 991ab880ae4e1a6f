"""Signing in to Slack, until it works or never can."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from msgspec import Struct

from agent.core.background import backoff
from agent.core.errors import ConfigurationError
from channels.connection import Connection
from channels.pacing import RateLimited
from channels.slack.api import WRONG_TOKEN, ApiError, SlackApi
from channels.slack.setup import ESSENTIAL, lacks_scopes, missing_scopes

_MAX_PAUSE_S = 30.0

_log = logging.getLogger("channels.slack.channel")


class Identity(Struct, frozen=True):
    """The agent's ids in this workspace, from auth.test."""

    user: str
    bot: str
    team: str


async def sign_in(
    api: SlackApi,
    connection: Connection,
    sleep: Callable[[float], Awaitable[None]],
) -> Identity:
    """Tries until Slack answers, and tells `connection` the bot's name.

    Raises ConfigurationError when Slack refuses the token, or an essential scope is missing."""
    api.signed_out.clear()
    pauses = backoff(1.0, _MAX_PAUSE_S)

    while True:
        try:
            me, headers = await api.call_with_headers("auth.test")
        except RateLimited as limit:
            await sleep(limit.retry_after)
        except ApiError as error:
            raise_if_final(error)
            connection.lost(error.sentence)
            await sleep(next(pauses))
        else:
            _check_scopes(headers)
            connection.account = f"@{me.get('user')} in {me.get('team')}"
            return _identity(me)


def raise_if_final(error: ApiError) -> None:
    """Raises ConfigurationError when no later attempt to sign in could succeed."""
    if error.code in WRONG_TOKEN or error.code in (
        "missing_scope",
        "forbidden_team",
        "invalid_app_id",
    ):
        raise ConfigurationError(error.sentence) from error


def _check_scopes(headers: Mapping[str, str]) -> None:
    lacking = missing_scopes(headers)
    if ESSENTIAL.intersection(lacking):
        raise ConfigurationError(lacks_scopes(lacking))
    if lacking:
        _log.warning("%s", lacks_scopes(lacking))


def _identity(me: Mapping[str, Any]) -> Identity:
    return Identity(
        user=str(me["user_id"]),
        bot=str(me.get("bot_id") or ""),
        team=str(me.get("team_id") or ""),
    )
