"""`agent chat`, and questions of other commands, on a pseudo-terminal, as a person has it."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import stat
import termios
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from agent.cli.run import INTERRUPTED
from storage.control.credentials import new_key
from tests.support.commands import AGENT, DEADLINE, Machine
from tests.support.model_server import Answer, model_server


class Keyboard:
    """A person at a terminal of 80 × 24."""

    def __init__(self, process: Process, terminal: int) -> None:
        self.process = process
        self.seen = ""
        self._terminal = terminal
        self._more = asyncio.Event()
        self._ended = False
        asyncio.get_running_loop().add_reader(terminal, self._read)

    def type(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())

    async def see(self, text: str) -> None:
        """Returns once the text is there; what is up to it counts no more."""
        with suppress(TimeoutError):
            async with asyncio.timeout(DEADLINE):
                while text not in self.seen and not self._ended:
                    self._more.clear()
                    await self._more.wait()
        assert text in self.seen
        self.seen = self.seen.partition(text)[2]

    async def is_waited_for(self) -> None:
        """Returns once the process waits for a key: a signal between its prompt and that is
        heard with the next one.
        """
        state = Path(f"/proc/{self.process.pid}/stat")
        async with asyncio.timeout(DEADLINE):
            while (
                state.exists()
                and state.read_text().rpartition(")")[2].split()[0] != "S"
            ):
                await asyncio.sleep(0)

    async def leave(self) -> int:
        self.type("\x04")
        async with asyncio.timeout(DEADLINE):
            return await self.process.wait()

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._terminal)

    def _read(self) -> None:
        try:
            self.seen += os.read(self._terminal, 65536).decode(errors="replace")
        except OSError:  # the process has ended
            self._ended = True
            self.close()
        self._more.set()


@asynccontextmanager
async def keyboard(
    machine: Machine, *words: str, **settings: str
) -> AsyncIterator[Keyboard]:
    """`agent chat`, or another command, on a pseudo-terminal."""
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(ours, (24, 80))
    process = await asyncio.create_subprocess_exec(
        AGENT,
        *(words or ("chat",)),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        cwd=machine.folder,
        env={**machine.environment, **settings},
    )
    os.close(theirs)
    person = Keyboard(process, ours)
    try:
        yield person
    finally:
        person.close()
        if process.returncode is None:
            process.kill()
            await process.wait()
        os.close(ours)


async def test_a_person_talks_at_a_prompt(machine: Machine) -> None:
    """Markdown is rendered, Ctrl-C on an empty line says how to leave, Ctrl-D leaves,
    history is private.
    """
    async with keyboard(machine) as person:
        await person.see("OPENAI_API_KEY")
        await person.see("›")
        person.type("hello **there**\r")
        await person.see("You said: hello \x1b[1mthere")
        await person.see("›")
        person.type("\x03")
        await person.see("Ctrl-D or exit leaves.")
        await person.see("›")
        assert await person.leave() == 0
    history = machine.folder / "home" / "terminal" / "history"
    assert (
        stat.S_IMODE(history.stat().st_mode),
        "hello **there**" in history.read_text(),
    ) == (0o600, True)


async def test_colours_can_be_refused(machine: Machine) -> None:
    """NO_COLOR is honoured."""
    async with keyboard(machine, NO_COLOR="1") as person:
        await person.see("›")
        person.type("`code`\r")
        await person.see("You said: ")
        await person.see("earlier messages")
        shown = person.seen
        assert await person.leave() == 0
    assert "\x1b[3" not in shown.replace("\x1b[3m", "")


async def test_pasted_lines_are_one_message(machine: Machine) -> None:
    """Bracketed paste: line breaks do not send."""
    async with model_server() as model:
        base = {"OPENAI_BASE_URL": model.url, "DEFAULT_MODEL": "openai:test"}
        async with keyboard(machine, **base) as person:
            await person.see("›")
            person.type("\x1b[200~one\ntwo\n\nthree\x1b[201~")
            await person.see("three")
            person.type("\r")
            await person.see("three")
            await person.see("›")
            assert await person.leave() == 0
        assert [
            request.body["messages"][-1]["content"] for request in model.requests
        ] == ["one\ntwo\n\nthree"]


async def test_ctrl_c_stops_the_answer(machine: Machine) -> None:
    """The rest does not come, the prompt does, and the next line is answered."""
    async with model_server() as model:
        model.script(
            Answer("Once upon a time", fault="stall", after=2), Answer("Here I am.")
        )
        base = {"OPENAI_BASE_URL": model.url, "DEFAULT_MODEL": "openai:test"}
        async with keyboard(machine, **base) as person:
            await person.see("›")
            person.type("tell me\r")
            await person.see("Once upon")
            person.process.send_signal(signal.SIGINT)
            await person.see("stopped")
            await person.see("›")
            person.type("and now?\r")
            await person.see("Here I am.")
            await person.see("›")
            assert await person.leave() == 0


@pytest.mark.parametrize(
    ("words", "question"),
    [
        (("flags", "set", "replies", "off"), "for everybody? [y/N]: "),
        (("channels", "credential", "slack", "bot_token"), "slack bot_token: "),
        (("setup", "telegram"), "The token that BotFather gave you: "),
    ],
)
async def test_one_ctrl_c_at_a_question_ends_the_command(
    machine: Machine, words: tuple[str, ...], question: str
) -> None:
    """With one sentence on a line of its own, and the status of an interrupt; the key is
    not lost on an event loop.
    """
    async with keyboard(machine, *words, ENCRYPTION_KEYS=new_key()) as person:
        await person.see(question)
        await person.is_waited_for()
        person.process.send_signal(signal.SIGINT)
        await person.see("\nagent: Ended here; nothing more was done.\r\n")
        async with asyncio.timeout(DEADLINE):
            assert INTERRUPTED == await person.process.wait()
