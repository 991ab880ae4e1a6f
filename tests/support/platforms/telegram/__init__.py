"""Telegram's Bot API on loopback, for channels under test.

async with TelegramServer() as telegram:
    channel = Telegram(token=telegram.token, api_url=telegram.url, ...)
    telegram.say(telegram.private("ada"), "hello")
"""

from tests.support.platforms.telegram.server import TelegramServer
from tests.support.platforms.telegram.state import Chat, Sent

__all__ = ["Chat", "Sent", "TelegramServer"]
