"""`/channels/<name>/findings`: the channel is tried for real, as `agent doctor` does it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from starlette.responses import Response

from agent.core.channel import (
    Diagnosable,
    Finding,
    unanswered,
)
from agent.core.errors import AgentError
from agent.core.limits import (
    Limit,
    Rule,
    waiting,
)
from agent.ports import Channel
from agent.web.console.errors import described
from agent.web.console.page import PageContext
from agent.web.console.pages.channels.one import found
from agent.web.console.services import Services

SECONDS = 9.0
"""Somebody waits, and what hangs is a finding."""

OFTEN = Limit(6, 60)
"""For all operators together: each try asks the platform."""

ELSEWHERE = (
    "It does not run on the instance that answers you. `agent doctor` there tries it."
)


async def show(
    context: PageContext,
) -> Response:
    name = (await found(context)).name
    channel = _running(context.services, name)
    problem, findings = ELSEWHERE, list[Finding]()
    if channel is not None:
        problem = await _too_often(context.services, name)
        findings = [] if problem else [*await findings_of(channel)]

    return context.render(
        "channels/findings.html", name=name, findings=findings, problem=problem
    )


def _running(
    services: Services,
    name: str,
) -> Channel | None:
    """None: it does not run here."""
    return next(
        (one.channel for one in services.state.services if one.name == name), None
    )


async def _too_often(
    services: Services,
    name: str,
) -> str:
    """Why it is not tried now; "": it may be."""
    limited = await services.judge(
        [
            Rule(
                "console-try",
                name,
                OFTEN,
                name,
            )
        ]
    )
    if limited is None:
        return ""

    wait = waiting(limited.wait)

    return f"It was tried several times just now. Please try again in {wait}."


async def findings_of(
    channel: Channel,
) -> Sequence[Finding]:
    """Empty: all is well, as far as it can tell."""
    if not isinstance(channel, Diagnosable):
        return []

    try:
        async with asyncio.timeout(SECONDS):
            return await channel.diagnose()
    except AgentError as error:
        return [
            Finding(
                channel.name,
                described(error),
                "See docs/configuration.md.",
            )
        ]
    except TimeoutError:
        return [unanswered(channel.name)]
