"""What `agent setup telegram` shows and asks."""

from __future__ import annotations

from collections.abc import Mapping

from agent.core.errors import ConfigurationError, DeliveryError
from channels.pacing import RateLimited
from channels.setup import Question
from channels.telegram.api import BotApi
from channels.telegram.errors import BOTFATHER, TokenError

QUESTIONS = (Question("TELEGRAM_TOKEN", "The token that BotFather gave you"),)

_API_URL = "https://api.telegram.org"


def before() -> str:
    """What to do on Telegram to get a token."""
    return f"""\
1. Open {BOTFATHER} in Telegram and press *Start*.
2. Send `/newbot`, then a name for people and a user name that ends in `bot`.
3. For groups: send `/setprivacy`, choose the bot and then *Disable*. Else the bot sees only
   commands, mentions and replies there.
4. Copy the token from BotFather's answer: digits, a colon and 35 characters. Anyone who has it
   can be the bot.
"""


async def after(values: Mapping[str, str]) -> str:
    """Signs in with the token and returns where to find the bot.

    Raises ConfigurationError when Telegram does not take the token or cannot be reached.
    """
    api = BotApi(
        values["TELEGRAM_TOKEN"].strip(), values.get("TELEGRAM_API_URL") or _API_URL
    )
    try:
        me = await api.me()
    except TokenError:
        raise
    except DeliveryError as error:
        raise ConfigurationError(
            f"{error.sentence} Check the network and TELEGRAM_API_URL."
        ) from None
    except RateLimited as limit:
        raise ConfigurationError(
            f"Telegram accepts no calls for {limit.retry_after:.0f} s: try again then."
        ) from None

    hello = f"Signed in as **{me.full_name}**. Open https://t.me/{me.username} and say something."

    return hello if me.can_read_all_group_messages else hello + _privacy(me.username)


def _privacy(username: str | None) -> str:
    return f"""

Privacy mode is on, so in groups the bot sees only commands, mentions and replies to it.
To change that, send `/setprivacy` to {BOTFATHER}, choose @{username}, then *Disable*,
and add it to its groups again.
"""
