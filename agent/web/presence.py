"""Each instance tells the others how its channels are, so that any of them can show it."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import AbstractAsyncContextManager

import structlog

from agent.core.background import run_in_background
from agent.web.state import InstanceState
from storage.redis import RedisPipe
from storage.reports.channels import tell_states

EVERY_SECONDS = 5.0

log = structlog.get_logger()


def tell_channels(
    state: InstanceState,
    pipe: RedisPipe,
) -> AbstractAsyncContextManager[None]:
    """Inside, it is told every few seconds. No message waits for it."""
    return run_in_background(
        _tell_forever,
        state,
        pipe,
    )


async def _tell_forever(
    state: InstanceState,
    pipe: RedisPipe,
) -> None:
    host, pid = socket.gethostname(), os.getpid()
    while True:
        states = {one.name: one.problem or "" for one in state.services}
        try:
            await tell_states(
                pipe,
                host,
                pid,
                states,
            )
        # whatever it is: a loop that ends would tell nothing any more
        except Exception as error:
            log.exception("channels were not told of", error=type(error).__name__)

        await asyncio.sleep(EVERY_SECONDS)
