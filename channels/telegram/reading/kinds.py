"""Kinds of updates that are read. Telegram does not tell bots of deletions."""

from __future__ import annotations

PRESSED = "callback_query"
SAID = ("message", "channel_post")
EDITED = ("edited_message", "edited_channel_post")
KINDS = (*SAID, *EDITED, "message_reaction", PRESSED)
