"""langgraph's AsyncPostgresSaver: one read, and a checkpoint after the question and the answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from tests.benchmarks.compare.contenders import WINDOW, StoreUrls, Turn, answer_to

Messages = list[tuple[str, str]]


async def put(saver: Any, config: Any, messages: Messages) -> Any:
    """A checkpoint with these messages; the config that names it."""
    checkpoint = empty_checkpoint()
    version = saver.get_next_version(None, None)
    checkpoint["channel_values"] = {"messages": messages[-WINDOW:]}
    checkpoint["channel_versions"] = {"messages": version}
    metadata = {"source": "loop", "step": len(messages), "parents": {}}

    return await saver.aput(config, checkpoint, metadata, {"messages": version})


@asynccontextmanager
async def open_contender(stores: StoreUrls) -> AsyncIterator[Turn]:
    """See the package."""
    settings = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    async with AsyncConnectionPool(
        stores.postgres, max_size=20, kwargs=settings, open=False
    ) as pool:
        saver = AsyncPostgresSaver(pool)
        await saver.setup()

        async def turn(chat: str, text: str) -> None:
            config: Any = {"configurable": {"thread_id": chat, "checkpoint_ns": ""}}
            found = await saver.aget_tuple(config)
            values = found.checkpoint["channel_values"] if found else {}
            messages: Messages = [*values.get("messages", []), ("user", text)]
            config = await put(saver, config, messages)
            answer = answer_to(messages[-1][1])
            await put(saver, config, [*messages, ("assistant", answer)])

        yield turn
