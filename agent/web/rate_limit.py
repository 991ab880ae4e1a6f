"""How often one address may call a webhook unsigned, on all instances together."""

from __future__ import annotations

import math

from starlette.exceptions import HTTPException
from starlette.requests import Request

from agent.core.limits import Limit, Rule, waiting
from agent.web.state import InstanceState

PER_ADDRESS = Limit(600, 60)
"""Deliveries that no platform signed. Signed ones are never limited here, wherever they come
from: behind a proxy, all of them share its address with everybody else.
"""


async def limit_unsigned(state: InstanceState, request: Request) -> None:
    """Counts a delivery whose signature is wrong. Raises HTTPException 429 with `Retry-After`
    when there were too many.
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
