"""One agent in a process of its own, forked from a parent that has imported everything.

`python -m tests.support.fleet.member` reads one JSON document a line on standard input,
forks a member for each and prints its pid. A member connects to the test's socket, is told
what to accept and says when it is durable.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import asyncpg
import structlog
from uuid_utils.compat import uuid7

from agent.app import wire
from agent.conversation.engine import Engine
from agent.core.completion import Prompt, Usage
from agent.core.errors import AgentError
from agent.core.messages import Address, Placed, Said
from agent.core.options import Options
from agent.ports import Accept
from storage.limits.noted import Noted
from storage.postgres import connect, open_database
from storage.redis import open_redis

PLATFORM = (
    "CREATE TABLE platform (chat text, id text PRIMARY KEY, text text, "
    "turn uuid, sends int, repeats int)"
)


class Model:
    """Answers what it was asked, after a random pause; hangs when told to."""

    def __init__(self, pause: float, *, hangs: bool) -> None:
        self._pause = pause
        self._hangs = hangs

    def check(self, model: str) -> None:
        """Every name is fine."""

    def budget(self, model: str) -> int:
        return 100_000

    async def stream(self, model: str, prompt: Prompt) -> AsyncGenerator[str | Usage]:
        if self._hangs:
            await asyncio.Event().wait()
        await asyncio.sleep(random.random() * self._pause)
        yield f"re: {prompt.messages[-1][1]}"
        yield Usage(model, 1, 1)


class Platform:
    """A platform that keeps its messages in Postgres, so that they outlive every member."""

    name = "test"

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        self._connection = connection
        self._lock = asyncio.Lock()

    async def run(self, accept: Accept) -> None:
        """The test hands messages in."""

    def reply(
        self,
        address: Address,
        placed: Placed | None,
        turns: Sequence[UUID],
        *,
        repeat: bool = False,
    ) -> PlatformReply:
        return PlatformReply(self, address.chat, placed, turns[0], repeat=repeat)

    async def put(
        self, chat: str, identifier: str, text: str, turn: UUID, *, repeat: bool
    ) -> None:
        async with self._lock:
            await self._connection.execute(
                "INSERT INTO platform AS p VALUES ($1, $2, $3, $4, 1, $5)"
                " ON CONFLICT (id) DO UPDATE SET text = $3, sends = p.sends + 1, "
                "repeats = p.repeats + $5",
                chat,
                identifier,
                text,
                turn,
                int(repeat),
            )


@dataclass
class PlatformReply:
    """An answer that stands as one message, found again by its turn (as with Discord's nonce)."""

    platform: Platform
    chat: str
    placed: Placed | None
    turn: UUID
    repeat: bool
    drafts_stand = False

    async def show(self, text: str) -> Placed | None:
        return self.placed

    async def finish(self, text: str) -> Placed:
        identifier = self.placed.ids[0] if self.placed else str(self.turn)
        await self.platform.put(
            self.chat, identifier, text, self.turn, repeat=self.repeat
        )

        return Placed((identifier,))


async def live(spec: dict[str, Any]) -> None:
    # Standard output is for process ids.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    reader, writer = await asyncio.open_unix_connection(spec["socket"])
    writer.write(
        json.dumps({"hello": spec["name"], "pid": os.getpid()}).encode() + b"\n"
    )
    platform = Platform(await connect(spec["database_url"]))
    model = Model(spec["pause"], hangs=spec["hangs"])

    async with (
        open_database(spec["database_url"]) as database,
        open_redis(spec["redis_url"]) as pipe,
    ):
        ports = await wire(
            database,
            pipe,
            model,
            lambda _: [platform],
            noted=Noted(),
            instance=uuid7(),
            lease=spec["lease"],
        )
        options = Options(
            "test:model", beat_seconds=spec["beat"], drain_seconds=spec["drain"]
        )

        async with Engine(ports, options) as engine, asyncio.TaskGroup() as group:
            while line := await reader.readline():
                group.create_task(take(engine, writer, json.loads(line)))

    writer.close()


async def take(
    engine: Engine, writer: asyncio.StreamWriter, message: dict[str, str]
) -> None:
    inbound = Said(
        Address("test", message["chat"]),
        message["id"],
        message["chat"],
        message["text"],
    )
    try:
        await engine.accept(inbound)
    except AgentError as error:
        verdict = {"refused": message["delivery"], "why": error.sentence}
    else:
        verdict = {"accepted": message["delivery"]}

    writer.write(json.dumps(verdict).encode() + b"\n")


def main(lines: Sequence[str]) -> None:
    for line in lines:
        pid = os.fork()
        if pid == 0:
            random.seed()
            asyncio.run(live(json.loads(line)))
            os._exit(0)
        print(pid, flush=True)


if __name__ == "__main__":
    import signal

    # Members that end are forgotten at once.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    main(sys.stdin)  # type: ignore[arg-type]
