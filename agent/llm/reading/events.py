"""Server-sent events out of the bytes of a response, bounded and tolerant of what is none.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import aclosing

import httpx

from agent.llm import http_errors
from agent.llm.http_errors import Server
from agent.llm.reading.answer import Event

LINE_BYTES = 1_048_576
"""The longest line, and the longest event. A whole answer in one event is far shorter."""

_FIELD = re.compile(r"[ \t]*((data|event|id|retry)(:|$)|:)", re.IGNORECASE)
"""Some servers indent their lines, or write the names in capitals."""


async def read_events(
    response: httpx.Response, server: Server
) -> AsyncGenerator[Event]:
    """The response's events. What is no event stream comes as one event, with all of its text."""
    lines = _Lines(server, response.headers)
    async with aclosing(_lines(response.aiter_bytes(), server)) as texts:
        async for text in texts:
            for event in lines.take(text):
                yield event
    for event in lines.end():
        yield event


class _Lines:
    """Makes events of lines. An event that a closed stream left without its blank line
    counts all the same.
    """

    def __init__(self, server: Server, headers: Mapping[str, str]) -> None:
        self._server = server
        self._headers = headers
        self._name = ""
        self._data: list[str] = []
        self._body: list[str] = []  # lines that belong to no event
        self._size = 0  # characters held

    def take(self, line: str) -> Iterator[Event]:
        """The events that this line completes. Raises AttemptError when too much is held."""
        if not line.strip():
            yield from self._event()
        elif _FIELD.match(line):
            yield from self._stray()
            self._field(line)
        else:
            self._hold(self._body, line)

    def end(self) -> Iterator[Event]:
        """What was held back."""
        yield from self._event()
        yield from self._stray()

    def _field(self, line: str) -> None:
        name, _, value = line.partition(":")
        name, value = name.strip().lower(), value.removeprefix(" ")
        if name == "event":
            self._name = value.strip()
        elif name == "data":
            self._hold(self._data, value)

    def _hold(self, lines: list[str], line: str) -> None:
        lines.append(line)
        self._size += len(line) + 1
        if self._size > LINE_BYTES:
            raise http_errors.too_much(self._server)

    def _event(self) -> Iterator[Event]:
        if self._data or self._name:
            event = Event(self._name, "\n".join(self._data), headers=self._headers)
            self._name, self._data, self._size = "", [], 0
            yield event

    def _stray(self) -> Iterator[Event]:
        if self._body:
            event = Event(
                "", "\n".join(self._body), is_body=True, headers=self._headers
            )
            self._body, self._size = [], 0
            yield event


async def _lines(chunks: AsyncIterator[bytes], server: Server) -> AsyncGenerator[str]:
    """Lines end with CR, LF or both. A byte order mark before the first is no part of it."""
    held, encoding = bytearray(), "utf-8-sig"
    async for chunk in chunks:
        held += chunk
        if b"\n" in chunk or b"\r" in chunk:
            end = (
                max(held.rfind(b"\n"), held.rfind(b"\r", 0, -1)) + 1
            )  # the last CR may be half of a line's end
            for line in bytes(held[:end]).splitlines():
                yield line.decode(encoding, "replace")
                encoding = "utf-8"
            del held[:end]
        if len(held) > LINE_BYTES:
            raise http_errors.too_much(server)
    for line in bytes(held).splitlines():
        yield line.decode(encoding, "replace")
