"""`agent setup discord`: steps, questions and sign-in for a bot that may read and answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.core.errors import ConfigurationError, DeliveryError
from channels.discord.permissions import (
    MESSAGE_CONTENT_LIMITED,
    PERMISSIONS,
    VIEW,
    invite_link,
    sees_content,
)
from channels.discord.rest import API_URL, PORTAL, TOKEN_REFUSED, Refusal, Rest
from channels.pacing import RateLimited
from channels.setup import Question

QUESTIONS = (Question("DISCORD_TOKEN", "The bot's token"),)


def before() -> str:
    """What to do in Discord's developer portal to get a token."""
    return f"""\
1. Open {PORTAL} and sign in. Press **New Application**, give it the agent's name, press **Create**.
2. Open the page **Bot**. Under *Privileged Gateway Intents* switch on **MESSAGE CONTENT INTENT**
   and press **Save Changes**. The two other intents stay off.
3. On the same page press **Reset Token**, then **Copy**. Discord shows the token only once.
"""


async def after(values: Mapping[str, str]) -> str:
    """Signs in, switches the intent on if Discord allows it, and tells how to invite the agent.

    `values` by setting: DISCORD_TOKEN, and DISCORD_API_URL unless it is Discord's own. Raises
    ConfigurationError when the token is refused or Discord cannot be reached.
    """
    rest = Rest(
        token=values["DISCORD_TOKEN"].strip(),
        api_url=values.get("DISCORD_API_URL") or API_URL,
    )
    async with rest.open():
        application = await _application(rest)
        sees = sees_content(application) or await _switch_on(
            rest, application["flags"]
        )

    return _next_steps(application["id"], application["name"], sees)


async def _application(rest: Rest) -> Any:
    try:
        return await rest.call("GET", "/applications/@me")
    except RateLimited as limit:
        raise ConfigurationError(
            f"Discord accepts no calls for {limit.retry_after:.0f} s: try again then."
        ) from None
    except DeliveryError as error:
        refused = isinstance(error, Refusal) and error.status == 401
        sentence = TOKEN_REFUSED if refused else error.sentence
        raise ConfigurationError(sentence) from error


async def _switch_on(rest: Rest, flags: int) -> bool:
    """Bots in fewer than 100 servers may switch the intent on themselves."""
    try:
        await rest.call(
            "PATCH", "/applications/@me", {"flags": flags | MESSAGE_CONTENT_LIMITED}
        )
    except Refusal:
        return False

    return True


def _next_steps(application: str, name: str, sees: bool) -> str:
    steps = [
        f"Invite it to your server: {invite_link(application)}\n   It asks for: "
        f"{', '.join(PERMISSIONS)}. "
        f"In a channel that not everyone can see, give it {VIEW} there, too.",
        f"Write to it: mention it in a channel (`@{name} hello`), or send it a direct message.",
    ]
    if not sees:
        steps.insert(
            0, f"Switch on **MESSAGE CONTENT INTENT** at {PORTAL}/{application}/bot."
        )

    numbered = "\n".join(f"{number}. {step}" for number, step in enumerate(steps, 1))

    return f"Signed in as **{name}**.\n\n{numbered}\n"
