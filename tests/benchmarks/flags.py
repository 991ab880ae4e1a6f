"""How soon a flag is in force on four idle instances, and what asking for one costs.

`uv run python -m tests.benchmarks.flags` starts stores and four instances, each a process
of its own, changes a flag again and again, and prints the time from the operator's call
(transaction included) until an instance's own evaluation gives the new value.
`CLOCK_MONOTONIC` is the same in all processes of a machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import httpx
from openfeature import api
from openfeature.hook import Hook
from uuid_utils.compat import uuid7

from agent.app import wire
from agent.control.flags import MAINTENANCE_MESSAGE
from agent.control.openfeature import HookedFlags, provide
from agent.control.rules import EVERYBODY, Audience
from agent.control.uses import FlagUses
from agent.conversation.engine import Engine
from agent.core.options import Options
from storage.control.flags import FlagAdmin, FlagView
from storage.control.live import RedisControl, follow_changes
from storage.control.state import ControlState, state, stored
from storage.limits.noted import Noted
from storage.migrate import upgrade
from storage.postgres import open_database
from storage.redis import open_redis
from tests.support.browser import Page
from tests.support.engine_harness import MODEL, Platform, PlatformChannel, Script
from tests.support.operators import ADA, operator
from tests.support.operators import EVERYBODY as TO_ALL
from tests.support.servers import Postgres, Valkey, running

INSTANCES = 4
FLAG = MAINTENANCE_MESSAGE.name
PATH = f"/flags/{FLAG}"
CONSOLE = "from agent.cli.main import main; main()"
EVALUATIONS = 20_000
PASSES = 5
RULES = 1_000


async def member(database_url: str, redis_url: str) -> None:
    """One idle instance: says each new value as soon as an evaluation gives it."""
    async with open_database(database_url) as database, open_redis(redis_url) as pipe:
        ports = await wire(
            database,
            pipe,
            Script(),
            lambda _: [PlatformChannel(Platform())],
            noted=Noted(),
            instance=uuid7(),
        )
        control = ports.control
        assert isinstance(control, RedisControl)

        def tell() -> None:
            value = ports.flags.value(MAINTENANCE_MESSAGE, EVERYBODY)
            sys.stdout.write(f"{time.monotonic_ns()} {value}\n")
            sys.stdout.flush()

        control.watchers.append(tell)
        async with follow_changes(pipe, control), Engine(ports, Options(MODEL)):
            while not await pipe.client.pubsub_numsub("features:epoch"):
                await asyncio.sleep(0.01)
            tell()
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


async def start(database_url: str, redis_url: str) -> asyncio.subprocess.Process:
    arguments = ("-m", "tests.benchmarks.flags", "--member", database_url, redis_url)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    await process.stdout.readline()
    return process


async def sees(process: asyncio.subprocess.Process, value: str) -> int:
    """The moment in nanoseconds at which this instance had the value."""
    assert process.stdout is not None
    while line := (await process.stdout.readline()).decode().split():
        if line[1:] == [value]:
            return int(line[0])
    raise RuntimeError("an instance ended")


Change = Callable[[str], Awaitable[int]]
"""Sets this value, and says at which moment in nanoseconds that was asked for."""


def by_function(desk: FlagAdmin) -> Change:
    async def change(value: str) -> int:
        began = time.monotonic_ns()
        await desk.set(FLAG, TO_ALL, value, ADA)

        return began

    return change


@asynccontextmanager
async def by_console(database_url: str, redis_url: str) -> AsyncIterator[Change]:
    """By the forms of `agent console`, a process of its own, as a browser sends them."""
    stores = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CONSOLE, "console", "--as", ADA.name),
        env={**os.environ, **stores, "BROWSER": "true"},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    link = httpx.URL((await process.stdout.readline()).decode().split()[-1])
    origin = str(link.join("/"))[:-1]

    async def change(value: str) -> int:
        form = Page(await client.get(PATH)).forms[-1]
        asked = await client.post(
            PATH, data={**form.fields, "do": "set", "value": value}
        )
        agreed = Page(asked).form(PATH).fields
        began = time.monotonic_ns()
        await client.post(PATH, data=agreed)

        return began

    try:
        async with httpx.AsyncClient(
            base_url=origin, headers={"origin": origin}, trust_env=False
        ) as client:
            page = Page(await client.get(link.path))
            await client.post(link.path, data=page.form(link.path).fields)
            yield change
    finally:
        process.terminate()
        await process.wait()


async def changes(
    change: Change,
    members: Sequence[asyncio.subprocess.Process],
    name: str,
    count: int,
    pause: float,
) -> list[float]:
    """Milliseconds until each instance obeyed each change."""
    took: list[float] = []
    for number in range(count):
        value = f"{name}{number}"
        seeing = asyncio.gather(*(sees(process, value) for process in members))
        began = await change(value)
        seen = await seeing
        took += [(moment - began) / 1e6 for moment in seen]
        await asyncio.sleep(pause)  # idle again
    return took


def show(what: str, values: list[float], unit: str) -> None:
    values = sorted(values)
    median, p99 = values[len(values) // 2], values[int(len(values) * 0.99)]
    print(
        f"{what:<42} p50 {median:8.2f}   p99 {p99:8.2f}   max {values[-1]:8.2f} "
        f"{unit}   ({len(values)} values)"
    )


def evaluations(*hooks: Hook) -> list[float]:
    """Microseconds of one evaluation as the agent makes it, among rules for a thousand
    people and a share of all.

    With a hook it goes through a client of OpenFeature's. Of several passes the quietest:
    what else the machine does is not the evaluation's.
    """
    people, strangers = ([uuid7() for _ in range(RULES)] for _ in range(2))
    rules = [[f"person:{person}", MAINTENANCE_MESSAGE.name, "x"] for person in people]
    share = {"share": 50.0, "salt": "salt", "value": "y"}
    truth = stored(
        2,
        "",
        json.dumps([*rules, ["percentage", MAINTENANCE_MESSAGE.name, share]]),
        None,
    )
    source = _Fixed(state(truth))
    provide(source, "benchmark")
    asked = [
        Audience(person, "discord", "town")
        for pair in zip(people, strangers, strict=True)
        for person in pair
    ]
    api.add_hooks(list(hooks))
    passes = [
        one_pass(HookedFlags(source, "benchmark"), asked) for _ in range(PASSES)
    ]
    api.clear_hooks()
    return min(passes, key=lambda took: sorted(took)[int(len(took) * 0.99)])


def one_pass(flags: HookedFlags, asked: Sequence[Audience]) -> list[float]:
    took = []
    for number in range(EVALUATIONS):
        who = asked[number % len(asked)]
        began = time.perf_counter_ns()
        flags.value(MAINTENANCE_MESSAGE, who)
        took.append((time.perf_counter_ns() - began) / 1e3)
    return took


@dataclass
class _Fixed:
    """A source that never changes."""

    state: ControlState
    stale: bool = False
    watchers: list[Callable[[], None]] = field(default_factory=list)
    uses: FlagUses = field(default_factory=FlagUses)


async def main(count: int) -> None:
    show("one evaluation", evaluations(), "µs")
    show("… by a client, for a hook", evaluations(Hook()), "µs")
    with (
        running(Postgres(fsync="on", full_page_writes="on")) as postgres,
        running(Valkey()) as valkey,
    ):
        await postgres.execute("CREATE DATABASE agent")
        url = postgres.url("agent")
        await upgrade(url)
        async with AsyncExitStack() as stack:
            members = [await start(url, valkey.url) for _ in range(INSTANCES)]
            desk = await stack.enter_async_context(operator(url, valkey.url))
            call = by_function(desk)
            await changes(call, members, "warm", 5, 0.1)
            show(
                "in force on an idle instance",
                await changes(call, members, "live", count, 0.05),
                "ms",
            )
            async with by_console(url, valkey.url) as form:
                await changes(form, members, "worn", 5, 0.1)
                show(
                    "… by a form of the console",
                    await changes(form, members, "sent", count, 0.05),
                    "ms",
                )
            views = await settled(desk)
            print(
                f"applied on {views.applied} of {views.instances} instances, "
                "says `agent flags list`"
            )
            valkey.kill()
            await changes(call, members, "gone", 2, 0.1)
            show(
                "… with Redis dead",
                await changes(call, members, "dead", max(5, count // 10), 0.05),
                "ms",
            )
            for process in members:
                process.stdin.close()  # type: ignore[union-attr]
            await asyncio.gather(*(process.wait() for process in members))


async def settled(desk: FlagAdmin) -> FlagView:
    """The flag as the operator sees it once the next heartbeats told which epoch each
    instance applies.
    """
    async with asyncio.timeout(10):
        while (view := await desk.get(FLAG)).applied < INSTANCES:
            await asyncio.sleep(0.05)
    return view


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--changes", type=int, default=200)
    parser.add_argument("--member", nargs=2)
    given = parser.parse_args()
    asyncio.run(member(*given.member) if given.member else main(given.changes))
