"""The message that is answered, where Discord does not send it along."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp

from channels.discord.reading.fields import (
    Payload,
    digits,
    number,
    part,
    record,
)
from channels.discord.sdk import discord

FETCH_SECONDS = 2.0
"""How long the message that is answered is waited for."""

Fetch = Callable[[str, str], Awaitable[object]]
"""Asks for a message by its chat and id."""


async def with_answered(message: Payload, fetch: Fetch) -> Payload:
    """The message with the one that it answers; the same where that is there, or is gone.

    A field that is absent means that Discord did not look for it
    (https://docs.discord.com/developers/resources/message).
    """
    reference = part(message, "message_reference")
    chat, id = digits(reference, "channel_id"), digits(reference, "message_id")
    is_forward = number(reference, "type") > 0
    if "referenced_message" in message or is_forward or not (chat and id):
        return message

    try:
        async with asyncio.timeout(FETCH_SECONDS):
            found = record(await fetch(chat, id))
    except (discord.HTTPException, aiohttp.ClientError, TimeoutError, OSError):
        return message

    return {**message, "referenced_message": found}
