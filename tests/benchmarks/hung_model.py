"""What 300 calls that hang cost chats on another model server:
`uv run python -m tests.benchmarks.hung_model [--laps 8]`.

Calm laps and laps with 300 hung calls alternate, so that a noisy moment hits both alike.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import structlog
from msgspec.structs import replace

from agent.llm.router import ModelRouter, open_models
from agent.ports import Ports
from agent.settings import Settings
from tests.benchmarks.turns import stores
from tests.support.engine_harness import EngineHarness, Instance
from tests.support.model_server import ModelServer, model_server, silence

HUNG, CHATS, ASKED = 300, 32, 10
HANGING, WELL = "openai:gpt", "anthropic:claude"


@asynccontextmanager
async def models() -> AsyncIterator[tuple[ModelServer, ModelRouter]]:
    """A server that can hang, and the models of it and of another."""
    async with AsyncExitStack() as stack:
        hanging = await stack.enter_async_context(model_server())
        other = await stack.enter_async_context(model_server())
        settings = Settings(
            _env_file=None,
            openai_base_url=hanging.url,
            anthropic_base_url=other.anthropic_url,
            anthropic_api_key="sk-ant",
            model_first_byte_timeout=300,
            model_total_timeout=300,
        )
        yield hanging, await stack.enter_async_context(open_models(settings))


async def lap(world: EngineHarness, agent: Instance) -> list[float]:
    """Seconds from a message to its answer, in chats on the server that is well."""
    waits: list[float] = []

    async def talk(chat: str) -> None:
        for _ in range(ASKED):
            began = time.perf_counter()
            await world.ask(agent, "hello there", chat=chat)
            waits.append(time.perf_counter() - began)

    await asyncio.gather(*(talk(f"well {number}") for number in range(CHATS)))

    return waits


async def hang(world: EngineHarness, agent: Instance, server: ModelServer) -> None:
    """Asks in 300 chats; 256 of the calls run, the others wait for a place."""
    server.script(*[silence()] * HUNG)
    before = len(server.requests)
    for number in range(HUNG):
        await agent.engine.accept(world.message("hello", chat=f"hung {number}"))
    while len(server.requests) < before + 256:
        await asyncio.sleep(0.01)


async def release(world: EngineHarness, agent: Instance, server: ModelServer) -> None:
    for number in range(HUNG):
        await agent.engine.accept(world.message("/stop", chat=f"hung {number}"))
    while server.open:
        await asyncio.sleep(0.01)


async def main(laps: int) -> None:
    calm: list[float] = []
    beside: list[float] = []
    async with stores() as (database_url, redis_url), models() as (server, router):
        world = EngineHarness(database_url, redis_url)

        def wired(ports: Ports) -> Ports:
            return replace(ports, models=router)

        async with world.instance(wired) as agent:
            for number in range(CHATS):
                await world.ask(agent, f"/model {WELL}", chat=f"well {number}")
            for number in range(HUNG):
                await world.ask(agent, f"/model {HANGING}", chat=f"hung {number}")
            await lap(world, agent)

            for _ in range(laps):
                calm += await lap(world, agent)
                await hang(world, agent, server)
                beside += await lap(world, agent)
                await release(world, agent, server)

    print(f"{len(calm)} and {len(beside)} answers, {CHATS} chats at once")
    for name, waits in (("calm", calm), (f"{HUNG} calls hang", beside)):
        median = statistics.median(waits)
        print(f"{name}: p50 {median * 1000:.1f} ms, p99 {_p99(waits) * 1000:.1f} ms")
    ratio = _p99(beside) / _p99(calm)
    print(f"p99 beside hung calls over calm: {ratio:.2f}")


def _p99(waits: list[float]) -> float:
    return statistics.quantiles(waits, n=100)[98]


if __name__ == "__main__":
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR)
    )
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--laps", type=int, default=8)
    asyncio.run(main(parser.parse_args().laps))
