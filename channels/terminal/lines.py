"""The terminal without a person: lines from a pipe or file, answers as plain text."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import BinaryIO, TextIO

from agent.core.errors import Refused
from agent.core.messages import Notice
from channels.terminal.text import harmless


class LineReader:
    """Reads one line at a time, when asked."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._count = 0

    async def line(self) -> str | None:
        """The next line; None at the end. Raises Refused for bytes that are not UTF-8."""
        raw = await self._read()
        if not raw:
            return None

        self._count += 1
        try:
            encoding = "utf-8-sig" if self._count == 1 else "utf-8"
            return raw.decode(encoding).rstrip("\r\n")
        except UnicodeDecodeError:
            raise Refused(
                f"Line {self._count} is not UTF-8 text and was not sent."
            ) from None

    async def _read(self) -> bytes:
        """In a daemon thread: files cannot be polled, and the process must not wait for it."""
        loop = asyncio.get_running_loop()
        read: asyncio.Future[bytes] = loop.create_future()

        def settle(line: bytes) -> None:
            if not read.done():
                read.set_result(line)

        def work() -> None:
            line = b""
            with suppress(OSError, ValueError):  # unreadable or closed: the end
                line = self._stream.readline()

            with suppress(RuntimeError):  # the loop has closed meanwhile
                loop.call_soon_threadsafe(settle, line)

        threading.Thread(target=work, name="reads a line", daemon=True).start()

        return await read


class PlainScreen:
    """Answers go to `out`, everything else to `err`. A Notice is no answer."""

    frame = 0.0

    def __init__(self, out: TextIO, err: TextIO) -> None:
        self._out = out
        self._err = err
        self._written = ""

    def show(self, text: str) -> None:
        """Writes what is new."""
        if text.startswith(self._written):
            self._write(self._out, text[len(self._written) :])
            self._written = text

    def finish(self, text: str) -> None:
        """Writes the rest: of an answer to `out`, of a Notice to `err`."""
        shown = self._written
        rest = text[len(shown) :] if text.startswith(shown) else f"\n{text}"

        if isinstance(text, Notice):
            self._write(self._out, "\n" if shown else "")
            self.notice(rest)
        else:
            self._write(self._out, rest + ("" if text.endswith("\n") else "\n"))

        self._written = ""

    def left_over(self, text: str, *, repeat: bool) -> None:
        """An answer to an earlier message. One that was begun before it ends where it is."""
        self._write(self._out, "\n" if self._written else "")
        self._written = ""
        self.notice(f"An answer to an earlier message:\n{text}")

    def notice(self, text: str) -> None:
        self._write(self._err, f"{text.strip()}\n")

    @staticmethod
    def _write(stream: TextIO, text: str) -> None:
        if text:
            stream.write(harmless(text))
            stream.flush()
