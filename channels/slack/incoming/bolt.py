"""Bolt routes payloads of both transports to the listeners; docs/decisions.md says which of
its features are switched off, and why.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.response import BoltResponse
from slack_sdk.web.async_client import AsyncWebClient

from agent.core.errors import AgentError
from channels.slack.sign_in import Identity

Listener = Callable[[dict[str, Any]], Awaitable[None]]

_own_log = logging.getLogger(__name__)
_log = logging.getLogger("channels.slack.channel.bolt")
_log.setLevel(logging.CRITICAL)  # Bolt logs payloads: message texts
_log.propagate = False


def bolt_app(
    identity: Identity,
    listeners: Mapping[str, Listener],
    command: Callable[..., Awaitable[None]],
    action: Callable[..., Awaitable[None]],
    failed: Callable[..., Awaitable[BoltResponse]],
) -> AsyncApp:
    """Bolt for the app in one workspace. `listeners` go by patterns of events' names."""
    me = AuthorizeResult(
        enterprise_id=None,
        team_id=identity.team,
        bot_user_id=identity.user,
        bot_id=identity.bot,
    )

    async def authorize() -> AuthorizeResult:
        return me

    app = AsyncApp(
        client=AsyncWebClient(logger=_log),
        authorize=authorize,
        process_before_response=True,
        request_verification_enabled=False,
        ssl_check_enabled=False,
        attaching_function_token_enabled=False,
        attaching_conversation_kwargs_enabled=False,
        logger=_log,
    )
    for names, listener in listeners.items():
        app.event(re.compile(names))(listener)

    app.command(re.compile("."))(command)
    app.action(re.compile("."))(action)
    app.error(failed)

    return app


def not_taken(error: Exception) -> BoltResponse:
    """Not acknowledged: Slack delivers it again."""
    sentence = (
        error.sentence if isinstance(error, AgentError) else type(error).__name__
    )
    _own_log.warning("a Slack event was not taken and will come again: %s", sentence)
    _own_log.debug("why the event was not taken", exc_info=error)

    return BoltResponse(status=503)
