"""How often one address may call a webhook, on all instances together."""

from __future__ import annotations

import math

from fastapi import HTTPException, Request

from agent.core.limits import Limit, Rule, waiting
from agent.web.state import InstanceState

PER_ADDRESS = Limit(6_000, 60)
"""A platform delivers for many chats from few addresses; a hundred a second is more than
one bot is sent.
"""


async def rate_limit(state: InstanceState, request: Request) -> None:
    """Counts a call. Raises HTTPException 429 with `Retry-After` when there were too many:
    platforms come again.
    """
    if state.app is None or request.client is None:
        return
    address = request.client.host
    limited = await state.app.ports.limiter.judge_rules(
        [Rule("ip", address, PER_ADDRESS, address)]
    )
    if limited is not None:
        raise HTTPException(
            429,
            f"Too many calls from this address; please come again in {waiting(limited.wait)}.",
            {"retry-after": str(math.ceil(limited.wait))},
        )
