"""People and chats of Telegram, and what is heard of a message there."""

from __future__ import annotations

from typing import Any

from telegram import User

from channels.telegram.updates import read
from tests.support.inbound import text_of

ME = User(7, "Agent", is_bot=True, username="agent_bot")
ADA = {"id": 5000, "is_bot": False, "first_name": "Ada"}
BOB = {"id": 6000, "is_bot": False, "first_name": "Bob", "last_name": "Byte"}
PRIVATE = {"id": 5000, "type": "private", "first_name": "Ada"}
GROUP = {"id": -100, "type": "supergroup", "title": "Engines"}
AGENT = {"id": 7, "is_bot": True, "first_name": "Agent"}


def heard(*, chat: Any = PRIVATE, **fields: Any) -> str | None:
    message = {"message_id": 1, "date": 0, "chat": chat, "from": ADA, **fields}
    inbound = read({"update_id": 1, "message": message}, ME)

    return None if inbound is None else text_of(inbound)
