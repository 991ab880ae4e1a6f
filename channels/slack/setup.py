"""What `agent setup slack` shows and asks. The app's manifest is made from the commands."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from agent.core.commands import COMMANDS
from agent.core.errors import AgentError, ConfigurationError
from agent.settings import load_settings
from channels.pacing import RateLimited
from channels.setup import Question
from channels.slack.api import APPS_PAGE, SlackApi
from channels.slack.incoming.payloads import OTHER_NAMES

WEBHOOK_PATH = "/webhooks/slack"

SCOPES = (
    "app_mentions:read",
    "assistant:write",
    "channels:history",
    "channels:read",
    "chat:write",
    "commands",
    "files:write",
    "groups:history",
    "groups:read",
    "im:history",
    "im:read",
    "im:write",
    "mpim:history",
    "mpim:read",
    "reactions:read",
    "users:read",
)
"""Scopes of the bot token: for messages, answers, files, names, threads and thumbs."""

ESSENTIAL = frozenset({"app_mentions:read", "chat:write", "im:history"})
"""Scopes without which no message comes in or goes out."""

EVENTS = (
    "app_home_opened",
    "app_mention",
    "message.channels",
    "message.groups",
    "message.im",
    "message.mpim",
    "reaction_added",
    "reaction_removed",
)

PROMPTS = (
    {"title": "What can you do?", "message": "What can you help me with?"},
    {"title": "Explain something", "message": "Explain to me, in simple words, how "},
    {"title": "Draft a text", "message": "Help me write a message about "},
)
"""Shown where a person opens a new conversation; four at most
(assistant.threads.setSuggestedPrompts).
"""

QUESTIONS = (
    Question(
        "SLACK_BOT_TOKEN",
        "Bot User OAuth Token, xoxb-… (OAuth & Permissions, after Install to Workspace)",
    ),
    Question(
        "SLACK_APP_TOKEN",
        "App-Level Token with connections:write, xapp-… (Basic Information)",
    ),
    Question(
        "SLACK_SIGNING_SECRET",
        "Signing Secret (Basic Information; needed only with PUBLIC_URL)",
    ),
)

_DESCRIPTION = "An assistant that remembers what you talked about."


def manifest(public_url: str | None = None) -> dict[str, Any]:
    """The app's manifest: Socket Mode, or request URLs when Slack can reach the agent at
    `public_url`.

    Fields: https://docs.slack.dev/reference/app-manifest
    """
    url = (
        {"request_url": f"{public_url.rstrip('/')}{WEBHOOK_PATH}"}
        if public_url
        else {}
    )
    return {
        "display_information": {"name": "Agent", "description": _DESCRIPTION},
        "features": {
            "app_home": {
                "messages_tab_enabled": True,
                "messages_tab_read_only_enabled": False,
            },
            "bot_user": {"display_name": "Agent", "always_online": True},
            "agent_view": {
                "agent_description": _DESCRIPTION,
                "suggested_prompts": list(PROMPTS),
            },
            "slash_commands": _slash_commands(url.get("request_url")),
        },
        "oauth_config": {"scopes": {"bot": list(SCOPES)}},
        "settings": {
            "event_subscriptions": {**url, "bot_events": list(EVENTS)},
            "interactivity": {"is_enabled": True, **url},
            "org_deploy_enabled": False,
            "socket_mode_enabled": not public_url,
            "token_rotation_enabled": False,
        },
    }


def _slash_commands(url: str | None) -> list[dict[str, Any]]:
    return [
        {
            "command": f"/{OTHER_NAMES.get(command.name, command.name)}",
            "description": command.summary,
            **({"usage_hint": f"[{command.argument}]"} if command.argument else {}),
            **({"url": url} if url else {}),
            "should_escape": False,
        }
        for command in COMMANDS
    ]


def creation_link(public_url: str | None = None) -> str:
    """The page that creates the app with everything filled in."""
    text = json.dumps(manifest(public_url), separators=(",", ":"), ensure_ascii=False)
    return f"{APPS_PAGE}?new_app=1&manifest_json={quote(text, safe='')}"


def before() -> str:
    """What to do on Slack to get tokens."""
    return f"""\
1. Open this link, choose your workspace and create the app (everything is filled in):

   {creation_link(load_settings().public_url)}

2. **Install App → Install to Workspace**, then copy the **Bot User OAuth Token**.
3. **Basic Information → App-Level Tokens → Generate**: add the scope `connections:write` and
   copy the token.
4. Only if the agent has a `PUBLIC_URL`: copy **Basic Information → Signing Secret**.
"""


async def after(values: Mapping[str, str]) -> str:
    """Signs in with the answers and returns what to do next.

    Raises ConfigurationError when a token is refused, a scope is missing or Slack cannot
    be reached.
    """
    api_url = values.get("SLACK_API_URL") or load_settings().slack_api_url
    bot = SlackApi(values["SLACK_BOT_TOKEN"], api_url)

    try:
        me, headers = await bot.call_with_headers("auth.test")
        if values.get("SLACK_APP_TOKEN"):
            app = SlackApi(
                values["SLACK_APP_TOKEN"], api_url, setting="SLACK_APP_TOKEN"
            )
            await app.call("apps.connections.open")
    except RateLimited as limit:
        raise ConfigurationError(
            f"Slack accepts no calls for now: try again in {limit.retry_after:.0f} s."
        ) from limit
    except AgentError as error:
        raise ConfigurationError(error.sentence) from error

    if lacking := missing_scopes(headers):
        raise ConfigurationError(lacks_scopes(lacking))

    return f"""\
Signed in to **{me.get("team")}** as **@{me.get("user")}**.

1. In Slack, search for **{me.get("user")}** and write it a message, or
2. write `/invite @{me.get("user")}` in a channel and mention it there: it answers in the thread.
"""


def missing_scopes(headers: Mapping[str, str]) -> list[str]:
    """Scopes the token lacks, by the header `x-oauth-scopes` that comes with every answer;
    [] if unsaid.
    """
    granted = headers.get("x-oauth-scopes")
    if granted is None:
        return []

    return sorted(set(SCOPES) - {scope.strip() for scope in granted.split(",")})


def lacks_scopes(lacking: list[str]) -> str:
    """One sentence for missing scopes."""
    return (
        f"The Slack app lacks {', '.join(lacking)}: add them at {APPS_PAGE}, OAuth & Permissions, "
        "and reinstall the app."
    )
