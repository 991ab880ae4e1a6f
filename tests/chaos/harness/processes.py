"""Agents as processes, and what a machine does for them: one that ends is started again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

RESTART_SECONDS = 0.3
"""Between the end of an agent and the start of the next, as systemd's RestartSec and Docker
have it in small.
"""

LOOK_SECONDS = 0.02


@dataclass(eq=False)
class Instance:
    """A place for one agent. Processes in it come and go."""

    name: str
    log: Path
    pid: int = 0
    starts: int = 0

    @property
    def alive(self) -> bool:
        """Whether there is a process, frozen or not."""
        if not self.pid:
            return False
        with suppress(ProcessLookupError):
            os.kill(self.pid, 0)
            return True
        return False

    def kill(self) -> None:
        """SIGKILL, as a crash would end it."""
        self.signal(signal.SIGKILL)

    def freeze(self) -> None:
        """SIGSTOP: it holds what it holds, and does nothing."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Ends `freeze`: it goes on as if no time had passed."""
        self.signal(signal.SIGCONT)

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal; an agent that has ended already does not mind."""
        if self.pid:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)


class Nursery:
    """The process that has imported everything and forks agents. One serves many machines.
    Use `nursery`.
    """

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.chaos.harness.serve"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._read()

    def fork(self, order: Mapping[str, object]) -> int:
        """The pid of a new agent."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()
        return int(self._read())

    def close(self) -> None:
        """Ends it, and every agent that it forked."""
        self._process.communicate()

    def _read(self) -> bytes:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("The process that forks agents did not start.")

        return line


@contextmanager
def nursery() -> Iterator[Nursery]:
    """A nursery, until the end of the block."""
    made = Nursery()
    try:
        yield made
    finally:
        made.close()


@dataclass(eq=False)
class Machine:
    """Runs a number of instances. Use `machine`."""

    nursery: Nursery
    folder: Path
    environment: Mapping[str, str]
    changes: Sequence[str]
    instances: list[Instance] = field(default_factory=list)

    def add(self) -> Instance:
        """One more instance, started."""
        name = f"i{len(self.instances) + 1}"
        instance = Instance(name, self.folder / f"{name}.log")
        self.instances.append(instance)
        self.start(instance)
        return instance

    def start(self, instance: Instance) -> None:
        """Returns when the process runs; it signs in later. Its key for the model is the
        instance's name.
        """
        home = self.folder / instance.name
        home.mkdir(exist_ok=True)
        own = {"AGENT_HOME": str(home), "OPENAI_API_KEY": instance.name}
        order = {
            "folder": str(self.folder),
            "log": str(instance.log),
            "environment": {**self.environment, **own},
            "changes": list(self.changes),
        }
        instance.pid = self.nursery.fork(order)
        instance.starts += 1

    async def keep(self) -> None:
        """Starts again what ends, until cancelled."""
        while True:
            for instance in self.instances:
                if instance.starts and not instance.alive:
                    await asyncio.sleep(RESTART_SECONDS)
                    self.start(instance)
            await asyncio.sleep(LOOK_SECONDS)

    def kill(self, name: str) -> None:
        """Ends the instance of this name."""
        for instance in self.instances:
            if instance.name == name:
                instance.kill()


@asynccontextmanager
async def machine(
    nursery: Nursery,
    folder: Path,
    environment: Mapping[str, str],
    changes: Sequence[str] = (),
) -> AsyncIterator[Machine]:
    """A machine for agents with these settings; at the end of the block none of them runs
    any more.
    """
    made = Machine(nursery, folder, environment, changes)
    keeping = asyncio.create_task(made.keep())
    try:
        yield made
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        for instance in made.instances:
            instance.kill()
