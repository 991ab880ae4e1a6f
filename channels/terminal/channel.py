"""The terminal: one person, one conversation that goes on after leaving.

It sends a line, waits for its answer, then reads the next line. Two small ports hide where
lines come from and how answers look: a person at a prompt, a pipe, or a test.
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol
from uuid import UUID

from uuid_utils.compat import uuid7

from agent.core.errors import (
    AgentError,
    DeliveryError,
    NotHere,
    Refused,
    Undeliverable,
)
from agent.core.messages import Address, Notice, Placed, Said
from agent.ports import Accept, Reply

SLOT = "#"
"""`ada`, `ada#2` …: the conversations of one person in several terminals at the same time."""

IGNORED = "This message was ignored: it came too fast, or you may not talk here."
"""On platforms nothing is said, so that no chat is flooded. Here a person waits for it."""


class Reader(Protocol):
    """Where lines come from."""

    async def line(self) -> str | None:
        """The person's next text; None at the end. Raises Refused for one that cannot be sent."""


class Screen(Protocol):
    """Where answers go. Methods raise OSError when it takes no more."""

    frame: float  # seconds between two states of a growing answer

    def show(self, text: str) -> None:
        """The answer so far; "" before its first word."""

    def finish(self, text: str) -> None:
        """The whole answer, or a Notice instead of one."""

    def left_over(self, text: str, *, repeat: bool) -> None:
        """An answer to an earlier run; with `repeat` it may have been seen."""

    def notice(self, text: str) -> None:
        """A remark that is no answer."""


class Terminal:
    """The channel. See `agent.ports.Channel`; `run` also ends when the lines do.

    `user` is the person's name, `chat` the conversation's (default: the same). `patience` is
    how long to wait for an answer, in seconds: it may have gone to another terminal on the
    same database.
    """

    name = "terminal"

    def __init__(
        self,
        reader: Reader,
        screen: Screen,
        *,
        user: str,
        chat: str | None = None,
        patience: float = 300.0,
        new_id: Callable[[], str] = lambda: str(uuid7()),
    ) -> None:
        self.unanswered = 0
        self._reader = reader
        self._screen = screen
        self._user = user
        self._address = Address(self.name, chat or user)
        self._patience = patience
        self._new_id = new_id
        self._asked: _Asked | None = None
        self._silent: set[UUID] = set()
        self._stops: set[asyncio.Task[None]] = set()
        self._accept: Accept | None = None

    @property
    def waiting(self) -> bool:
        """Whether an answer is still to come."""
        return self._asked is not None and not self._asked.answered.done()

    async def run(self, accept: Accept) -> None:
        """Asks line by line. Raises OSError when the screen takes no more."""
        self._accept = accept
        while (line := await self._next()) is not None:
            if line.strip() and not await self._ask(accept, line):
                self.unanswered += 1

    def interrupt(self) -> bool:
        """Stops the answer in progress, as `/stop` does. False: there is none to stop."""
        asked, accept = self._asked, self._accept
        if asked is None or accept is None or asked.over or asked.stopped:
            return False

        asked.stopped = True
        task = asyncio.create_task(self._stop(accept, asked))
        self._stops.add(task)
        task.add_done_callback(self._stops.discard)

        return True

    def reply(
        self,
        address: Address,
        placed: Placed | None,
        turns: Sequence[UUID],
        *,
        repeat: bool = False,
    ) -> Reply:
        """Streams the answer to the line just sent; shows answers to earlier runs whole."""
        if turns[-1] in self._silent:
            return _SilentReply()
        if (
            self._asked is not None
            and self._asked.turn in turns
            and not self._asked.over
        ):
            return _Answer(self._screen, self._asked)

        own = address.chat.partition(SLOT)[0] == self._user
        return _LeftOver(self._screen if own else None, repeat=repeat)

    async def _next(self) -> str | None:
        while True:
            try:
                return await self._reader.line()
            except AgentError as error:
                self._screen.notice(error.sentence)
                self.unanswered += 1

    async def _ask(self, accept: Accept, text: str) -> bool:
        """Sends a line and waits. True: an answer came."""
        inbound = self._said(text)
        self._asked = asked = _Asked(inbound.turn_id)

        try:
            if not await accept(inbound):
                raise Refused(IGNORED)

            asked.accepted.set()
            async with asyncio.timeout(self._patience):
                # Shielded: the answer can still be shown after a cancellation.
                answered = await asyncio.shield(asked.answered)
        except AgentError as error:
            asked.answered.cancel()  # nothing was stored
            self._screen.notice(error.sentence)
            return False
        except TimeoutError:
            self._screen.notice(
                f"No answer came within {self._patience:.0f} s; /history shows a later one."
            )
            return False
        finally:
            asked.over = True

        if asked.broken is not None:
            raise asked.broken

        return answered

    async def _stop(self, accept: Accept, asked: _Asked) -> None:
        await asked.accepted.wait()
        stop = self._said("/stop")
        self._silent.add(stop.turn_id)

        try:
            await accept(stop)
        except AgentError as error:
            self._screen.notice(error.sentence)

    def _said(self, text: str) -> Said:
        return Said(
            self._address, self._new_id(), self._user, text, username=self._user
        )


class _Asked:
    """A line that was sent and is not answered yet."""

    def __init__(self, turn: UUID) -> None:
        self.turn = turn
        self.accepted = asyncio.Event()
        self.stopped = False
        self.over = False  # nobody waits for it any longer
        self.broken: OSError | None = None
        self.answered: asyncio.Future[bool] = (
            asyncio.get_running_loop().create_future()
        )


class _Answer:
    """The answer to the line just sent."""

    def __init__(self, screen: Screen, asked: _Asked) -> None:
        self._screen = screen
        self._asked = asked

    drafts_stand = False
    """What a terminal shows goes with its process."""

    async def show(self, text: str) -> Placed | None:
        if not self._asked.over and not self._asked.answered.done():
            _draw(self._screen.show, text)
            await asyncio.sleep(self._screen.frame)

        return None

    async def finish(self, text: str) -> Placed:
        asked = self._asked
        if not asked.answered.done():
            draw = (
                partial(self._screen.left_over, repeat=False)
                if asked.over
                else self._screen.finish
            )
            try:
                _draw(draw, text)
            except Undeliverable as error:
                asked.broken = BrokenPipeError(errno.EPIPE, error.sentence)
                asked.answered.set_result(False)
                raise

            asked.answered.set_result(not isinstance(text, Notice))

        return Placed(())


class _LeftOver:
    """An answer that an earlier run did not show. Without a screen, it is another person's."""

    def __init__(self, screen: Screen | None, *, repeat: bool) -> None:
        self._screen = screen
        self._repeat = repeat

    drafts_stand = False

    async def show(self, text: str) -> Placed | None:
        return None

    async def finish(self, text: str) -> Placed:
        if self._screen is None:
            raise NotHere("This answer is for another person's terminal.")

        _draw(partial(self._screen.left_over, repeat=self._repeat), text)
        return Placed(())


class _SilentReply:
    """The answer to a `/stop` that nobody typed."""

    drafts_stand = False

    async def show(self, text: str) -> Placed | None:
        return None

    async def finish(self, text: str) -> Placed:
        return Placed(())


def _draw(draw: Callable[[str], None], text: str) -> None:
    try:
        draw(text)
    except BrokenPipeError as error:
        raise Undeliverable("Nobody reads the answers any longer.") from error
    except OSError as error:
        raise DeliveryError(
            f"The terminal does not take the answer ({error.strerror})."
        ) from error
