"""The terminal for the conformance suite: the real channel, a typing person and a window
that shows.
"""

from __future__ import annotations

import asyncio
import errno
import io
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import NoReturn

from uuid_utils.compat import uuid7

from agent.core.messages import Inbound
from agent.ports import Accept
from channels.terminal.channel import Terminal
from channels.terminal.lines import PlainScreen
from tests.conformance.driver import Place

PERSON = "ada"


class UnsupportedHere(Exception):
    """This platform has no such thing: the scenario is not for this channel."""


class _Window(PlainScreen):
    """A window whose lines can be read again, answer by answer."""

    def __init__(self) -> None:
        self.glass = io.StringIO()
        super().__init__(self.glass, self.glass)
        self.answers: list[str] = []
        self.growing = False
        self.thinking = 0
        self.changes = 0
        self.failures = 0
        self.changed = asyncio.Event()

    def show(self, text: str) -> None:
        self._fail()
        self.thinking += text == ""
        super().show(text)
        self._read(done=False)

    def finish(self, text: str) -> None:
        self._fail()
        super().finish(text)
        self._read(done=True)

    def left_over(self, text: str, *, repeat: bool) -> None:
        self._fail()
        super().left_over(text, repeat=repeat)
        self._read(done=True)

    def _fail(self) -> None:
        if self.failures:
            self.failures -= 1
            raise OSError(errno.EIO, "Input/output error")

    def _read(self, *, done: bool) -> None:
        """What stands in the glass is one answer; once it is done, the glass is wiped for
        the next.
        """
        text = self.glass.getvalue().rstrip("\n")
        if text:
            self.changes += 1
            self.changed.set()
            self.answers[len(self.answers) - self.growing :] = [text]
            self.growing = True

        if done:
            self.growing = False
            self.glass.seek(0)
            self.glass.truncate()


class _Typing:
    """Lines that wait to be read; each keeps its message id."""

    def __init__(self) -> None:
        self.lines: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self.next_id: str | None = None

    async def line(self) -> str | None:
        self.next_id, text = await self.lines.get()
        return text

    def new_id(self) -> str:
        given, self.next_id = self.next_id, None
        return given or str(uuid7())


class _Counting(Terminal):
    """Notes what is durable."""

    def __init__(self, driver: TerminalDriver) -> None:
        typing = driver.typing_person
        super().__init__(typing, driver.window, user=PERSON, new_id=typing.new_id)
        self._driver = driver

    async def run(self, accept: Accept) -> None:
        async def noting(inbound: Inbound) -> bool:
            taken = await accept(inbound)
            self._driver.accepted.add(inbound.message_id)
            return taken

        await super().run(noting)


class TerminalDriver:
    """See `tests.conformance.driver.Driver`. One person, one conversation, a line at a time.

    What a terminal does not have raises UnsupportedHere: other people, groups, threads,
    edits, repeated deliveries, rate limits.
    """

    name = "terminal"
    limit = sys.maxsize

    def __init__(self) -> None:
        self.window = _Window()
        self.typing_person = _Typing()
        self.said: set[str] = set()
        self.accepted: set[str] = set()

    @asynccontextmanager
    async def start(self) -> AsyncIterator[None]:
        yield

    def channel(self) -> Terminal:
        return _Counting(self)

    def direct(self, user: str) -> Place:
        if user != PERSON:
            raise UnsupportedHere("A terminal has one person.")

        return Place(user)

    def group(self, name: str) -> Place:
        raise UnsupportedHere("A terminal has no groups.")

    def thread(self, group: Place, name: str) -> Place:
        raise UnsupportedHere("A terminal has no threads.")

    async def say(
        self,
        place: Place,
        text: str,
        *,
        user: str = PERSON,
        mention: bool = False,
        deliver: int = 1,
    ) -> str:
        if deliver > 1:
            await self.redeliver("")

        identifier = str(uuid7())
        self.said.add(identifier)
        self.typing_person.lines.put_nowait((identifier, text))

        return identifier

    async def redeliver(self, message: str) -> NoReturn:
        raise UnsupportedHere("A terminal delivers a line once.")

    async def edit(self, message: str, text: str) -> NoReturn:
        raise UnsupportedHere("A line that was sent cannot be edited.")

    async def command(
        self,
        place: Place,
        name: str,
        argument: str = "",
        *,
        user: str = PERSON,
    ) -> None:
        await self.say(place, f"/{name} {argument}".strip())

    def screen(self, place: Place) -> Sequence[str]:
        return list(self.window.answers)

    def revisions(self, place: Place) -> int:
        return self.window.changes

    def typing(self, place: Place) -> int:
        return self.window.thinking

    def limit_chat(
        self,
        place: Place,
        *,
        retry_after: float,
        times: int,
    ) -> NoReturn:
        raise UnsupportedHere("A terminal has no rate limit.")

    def fail_next(self, place: Place, *, times: int = 1) -> None:
        self.window.failures = times

    def early_calls(self) -> int:
        return 0

    def unacknowledged(self) -> int:
        """Lines that are not durable yet, whether somebody reads or not."""
        return len(self.said - self.accepted)
