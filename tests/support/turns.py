"""Turns as tests begin them and wait for them."""

from __future__ import annotations

import asyncio
from typing import Any

from agent.core.messages import Overlap, Said
from storage.postgres import connect
from storage.transaction import transaction
from tests.support.engine_harness import EngineHarness, Instance


async def set_overlap(agent: Instance, overlap: Overlap) -> None:
    async with transaction(agent.database) as connection:
        await connection.execute(
            "INSERT INTO channel_configs (id, channel_type, settings)"
            " VALUES (gen_random_uuid(), 'test', "
            "jsonb_build_object('overlap', cast(:overlap AS text)))",
            {"overlap": overlap.value},
        )
        await connection.execute("UPDATE control_epoch SET epoch = epoch + 1")

    await agent.ports.control_updates.observe(-1)


async def asked(world: EngineHarness, question: str, *args: Any) -> Any:
    connection = await connect(world.database_url)
    try:
        return await connection.fetchval(question, *args)
    finally:
        await connection.close()


async def closed(world: EngineHarness) -> None:
    """Returns once no turn is open."""
    async with asyncio.timeout(15):
        while await asked(world, "SELECT count(*) FROM turns WHERE state = 'open'"):
            await asyncio.sleep(0.02)


async def begun(world: EngineHarness, agent: Instance, text: str) -> Said:
    """A message whose answer stands on the platform with its first word, and is held there."""
    world.model.hold()
    message = world.message(text)
    await agent.engine.accept(message)
    await world.platform.until(lambda: world.platform.screen("ada") == ["re:"])

    async with asyncio.timeout(15):
        while not await asked(
            world, "SELECT placed FROM turns WHERE id = $1", message.turn_id
        ):
            await asyncio.sleep(0.01)

    return message
