"""`agent …` as a process of its own, as tests start it."""

from __future__ import annotations

import asyncio
import os
import signal
import sysconfig
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.warm import Warm

ROOT = Path(__file__).parents[2]

AGENT = Path(sysconfig.get_path("scripts")) / "agent"
DEADLINE = 20.0
CLOSED = "127.0.0.1:1"
"""An address where nothing listens."""


@dataclass(frozen=True)
class Ended:
    """A process that has ended."""

    status: int
    out: str
    err: str


@dataclass
class Machine:
    """A folder, an environment, and commands that run in it: quickly, if there is a `warm`
    process to fork.
    """

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)
    warm: Warm | None = None

    @property
    def environment(self) -> dict[str, str]:
        kept = {
            name: os.environ[name]
            for name in ("PATH", "PYTHONPATH", "HOME", "LANG", "TMPDIR")
            if name in os.environ
        }
        home = {
            "AGENT_HOME": str(self.folder / "home"),
            "LOGNAME": "ada",
            "TERM": "xterm-256color",
        }
        return {**kept, **home, "PROMPT_TOOLKIT_NO_CPR": "1", **self.variables}

    async def agent(
        self,
        *arguments: str,
        lines: bytes = b"",
        settings: Mapping[str, str] | None = None,
        columns: int = 0,
    ) -> Ended:
        """Runs a command to its end, with `lines` as its standard input.

        With `columns`, a warm process shows its output on a terminal as wide.
        """
        environment = {**self.environment, **(settings or {})}
        if columns:
            environment |= {"COLUMNS": str(columns), "NO_COLOR": "1"}

        if self.warm is not None:
            status, out, err = await self.warm.run(
                arguments,
                lines,
                self.folder,
                environment,
                DEADLINE,
                on_terminal=columns > 0,
            )
            return Ended(status, out.decode(), err.decode())

        process = await asyncio.create_subprocess_exec(
            AGENT,
            *arguments,
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            cwd=self.folder,
            env=environment,
        )

        async with asyncio.timeout(DEADLINE):
            out, err = await process.communicate(lines)

        assert process.returncode is not None

        return Ended(process.returncode, out.decode(), err.decode())


async def output_of(*command: str, folder: Path = ROOT, machine: Machine) -> str:
    """Of a command that must end well."""
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, env=machine.environment, stdout=PIPE, stderr=STDOUT
    )
    out, _ = await process.communicate()
    assert process.returncode == 0, out.decode()
    return out.decode()


async def killed(machine: Machine, seconds: float, *arguments: str) -> int:
    """The status of a command that got `kill -9`, if it did not end before."""
    process = await asyncio.create_subprocess_exec(
        AGENT,
        *arguments,
        cwd=machine.folder,
        env=machine.environment,
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        await asyncio.wait_for(asyncio.shield(process.wait()), seconds)
    except TimeoutError:
        process.send_signal(signal.SIGKILL)

    return await process.wait()
