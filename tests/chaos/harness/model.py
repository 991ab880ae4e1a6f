"""A model server that marks each of its answers, remembers every prompt, and hangs or kills
on request.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any

from tests.support.model_server import Answer, ModelServer, Request, refusal, silence

TOKEN = re.compile(r"\b[qa]\d+\b")
"""Names a message wherever it is seen: q17 is what a person wrote, a17 what the model answered."""

WORDS = 12  # of an answer, if nobody asks for more
POISON = "poison"  # a message with this word kills the instance that asks about it
LONG = "long"  # a message with this word gets an answer of several messages
LONG_WORDS = 900


@dataclass(frozen=True)
class Asking:
    """One prompt as it arrived. `instance` is who asked: each has a key of its own."""

    number: int
    instance: str
    tokens: tuple[str, ...]


class Oracle(ModelServer):
    """Answers prompt n with "a<n> … z<n>", a word at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Asking] = []
        self.pause = 0.05  # seconds between two words
        self.hold: asyncio.Event | None = (
            None  # nothing after the first word until it is set
        )
        self.hangs = False
        self.killer: Callable[[str], object] = lambda instance: (
            None
        )  # told who asked about poison
        self._numbers = count(1)

    async def _answer(self, connection: Any, request: Request) -> None:
        self.script(self._decide(request))
        await super()._answer(connection, request)

    def _decide(self, request: Request) -> Answer:
        said = [
            str(message["content"])
            for message in request.body["messages"]
            if message["role"] != "system"
        ]
        instance = request.headers.get("authorization", "").removeprefix("Bearer ")
        asking = Asking(
            next(self._numbers), instance, tuple(TOKEN.findall(" ".join(said)))
        )
        self.asked.append(asking)
        if any(POISON in text.split() for text in said):
            self.killer(instance)
            return refusal(500)

        if self.hangs:
            return silence()

        long = LONG in said[-1].split()
        words, pause = (LONG_WORDS, self.pause / 20) if long else (WORDS, self.pause)
        return Answer(answer_text(asking.number, words), pause=pause, hold=self.hold)


def answer_text(number: int, words: int = WORDS) -> str:
    """What the model says to prompt `number`."""
    return " ".join([f"a{number}", *(f"word{n}" for n in range(words)), f"z{number}"])


def token_of(text: str) -> str:
    """The name of the message with this text; "" when it has none."""
    found = TOKEN.search(text)
    return found.group() if found else ""


@asynccontextmanager
async def oracle() -> AsyncIterator[Oracle]:
    """The model server, until the end of the block."""
    server = Oracle()
    listener = await asyncio.start_server(server.connected, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        await server.aclose()
        await listener.wait_closed()


__all__ = ["LONG", "POISON", "Asking", "Oracle", "answer_text", "oracle", "token_of"]
