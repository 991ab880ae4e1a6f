"""What goes wrong: each fault begins, lasts for a moment, and ends by itself, so that any
two can be combined.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence

from tests.chaos.harness.link import Link, Losses
from tests.chaos.harness.model import POISON
from tests.chaos.harness.processes import Instance
from tests.chaos.harness.world import World

PLATFORMS = ("discord", "telegram", "slack")

LOSS = 0.2
"""Share of a platform's answers that get lost."""

WRITES = re.compile(
    rb"(POST|PATCH|DELETE) /api/v10/channels/"
    rb"|POST /api/chat\."
    rb"|POST /bot[^/]+/(send|edit|delete)Message"
)
"""Calls with which an agent says something."""

Strike = Callable[[World, random.Random], Awaitable[None]]
"""Does its harm and undoes it. All chance comes from the dice."""


async def kill_agent(world: World, dice: random.Random) -> None:
    """`kill -9`. The machine starts it again."""
    _one_of(world, dice).kill()


async def freeze_agent(world: World, dice: random.Random) -> None:
    """SIGSTOP for longer than a lease lasts, then it goes on as if nothing had been."""
    instance = _one_of(world, dice)
    async with world.alone(instance.name):
        instance.freeze()
        await world.wait(dice, 6.0, 9.0)
        instance.thaw()


async def kill_postgres(world: World, dice: random.Random) -> None:
    """`kill -9`, and a start after some seconds."""
    async with world.alone("postgres server"):
        world.postgres.kill()
        await world.wait(dice, 0.5, 9.0)
        await asyncio.to_thread(world.postgres.start)


async def lose_postgres(world: World, dice: random.Random) -> None:
    """Nobody reaches it for nine seconds: longer than a statement is repeated."""
    await _broken(world, dice, ["postgres"], Link.cut, 9.0, 9.0)


async def kill_redis(world: World, dice: random.Random) -> None:
    """`kill -9`, and a start with nothing in it."""
    async with world.alone("redis server"):
        world.valkey.kill()
        await world.wait(dice, 0.5, 5.0)
        await asyncio.to_thread(world.valkey.start)


async def freeze_redis(world: World, dice: random.Random) -> None:
    """SIGSTOP: it takes connections and answers nobody."""
    async with world.alone("redis server"):
        world.valkey.freeze()
        await world.wait(dice, 1.0, 5.0)
        world.valkey.thaw()


async def flush_redis(world: World, dice: random.Random) -> None:
    """FLUSHALL, some times in a row."""
    async with world.alone("redis server"):
        for _ in range(5):
            world.valkey.flush()
            await world.wait(dice, 0.0, 0.5)


async def cut_store(world: World, dice: random.Random) -> None:
    """All connections to one store break, and no new one is taken."""
    await _broken(world, dice, [_store(dice)], Link.cut, 0.5, 9.0)


async def silence_store(world: World, dice: random.Random) -> None:
    """One store is in a black hole."""
    await _broken(world, dice, [_store(dice)], Link.silence, 0.5, 6.0)


async def slow_store(world: World, dice: random.Random) -> None:
    """Each piece of data to and from one store takes 50 ms."""
    await _broken(world, dice, [_store(dice)], _slowed(0.05), 2.0, 6.0)


async def cut_platform(world: World, dice: random.Random) -> None:
    """An outage of one platform."""
    await _broken(
        world, dice, world.lines_to(dice.choice(PLATFORMS)), Link.cut, 1.0, 20.0
    )


async def silence_platform(world: World, dice: random.Random) -> None:
    """One platform is in a black hole."""
    await _broken(
        world, dice, world.lines_to(dice.choice(PLATFORMS)), Link.silence, 1.0, 12.0
    )


async def slow_platform(world: World, dice: random.Random) -> None:
    """Each piece of data to and from one platform takes half a second."""
    await _broken(
        world, dice, world.lines_to(dice.choice(PLATFORMS)), _slowed(0.5), 3.0, 8.0
    )


async def lose_answers(world: World, dice: random.Random) -> None:
    """The platforms do what they are told, and one in five of their answers gets lost."""
    await _broken(
        world, dice, PLATFORMS, lossy(LOSS, random.Random(dice.random())), 3.0, 10.0
    )


def lossy(chance: float, dice: random.Random) -> Callable[[Link], None]:
    """Makes a link lose this share of the answers to whatever an agent says."""
    losses = Losses(WRITES, chance, dice)

    def harm(link: Link) -> None:
        link.losses = losses

    return harm


async def slow_down(world: World, dice: random.Random) -> None:
    """One chat's next calls are refused with a Retry-After."""
    chat = dice.choice(world.chats)
    chat.driver.limit_chat(
        chat.place, retry_after=float(dice.randint(1, 5)), times=dice.randint(1, 3)
    )


async def hang_model(world: World, dice: random.Random) -> None:
    """Calls that begin now get not one byte."""
    world.model.hangs = True
    await world.wait(dice, 1.0, 6.0)
    world.model.hangs = False


async def poison(world: World, dice: random.Random) -> None:
    """Somebody writes a message that kills whoever asks the model about it."""
    await world.people.say(dice.choice(world.chats), POISON)


FAULTS: Mapping[str, Strike] = {
    strike.__name__: strike
    for strike in (
        kill_agent,
        freeze_agent,
        kill_postgres,
        lose_postgres,
        kill_redis,
        freeze_redis,
        flush_redis,
        cut_store,
        silence_store,
        slow_store,
        cut_platform,
        silence_platform,
        slow_platform,
        lose_answers,
        slow_down,
        hang_model,
        poison,
    )
}


def _one_of(world: World, dice: random.Random) -> Instance:
    return dice.choice(world.instances)


def _store(dice: random.Random) -> str:
    return dice.choice(["postgres", "redis"])


def _slowed(seconds: float) -> Callable[[Link], None]:
    def slow(link: Link) -> None:
        link.delay = seconds

    return slow


async def _broken(
    world: World,
    dice: random.Random,
    names: Sequence[str],
    harm: Callable[[Link], None],
    least: float,
    most: float,
) -> None:
    """Harms these links for some time between these seconds."""
    async with world.alone(*names):
        for name in names:
            harm(world.links[name])
        await world.wait(dice, least, most)
        for name in names:
            world.links[name].heal()
