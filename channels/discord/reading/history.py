"""What was said in a chat since a message, fetched page by page."""

from __future__ import annotations

from collections.abc import AsyncIterator

from channels.discord.reading.fields import Payload, digits, records
from channels.discord.sdk import HTTPClient

MESSAGES = 300
"""Messages fetched for one chat, the oldest first."""

PAGE = 100
"""Messages in one answer: https://docs.discord.com/developers/resources/message."""


async def messages_since(
    http: HTTPClient,
    chat: str,
    after: str,
) -> AsyncIterator[Payload]:
    """The oldest first. Raises what `http` raises; ConnectionError when the answer is no
    list of messages, but the page of a proxy.
    """
    for _ in range(MESSAGES // PAGE):
        answer: object = await http.logs_from(chat, PAGE, after=after)
        if not isinstance(answer, list):
            raise ConnectionError("no list of messages")

        page = sorted(records(answer), key=_age)
        for message in page:
            yield message

        if len(answer) < PAGE or not page or not _age(page[-1]):
            return

        after = digits(page[-1], "id")


def _age(message: Payload) -> int:
    """Ids grow with time."""
    return int(digits(message, "id") or 0)
