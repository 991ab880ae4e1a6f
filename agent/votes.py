"""What people think of answers: a thumb is counted as its person last gave it."""

from __future__ import annotations

import asyncio

import structlog

from agent.access import is_barred, vote_rule
from agent.delivery import Later
from agent.models import Inbound
from agent.ports import Ports

AGAIN_SECONDS = 0.5
TRIES = 240
"""A thumb on an answer that is still being written is tried for two minutes."""

log = structlog.get_logger()


class Votes:
    """Takes thumbs in. One on an answer that is not stored yet waits here for it, and is lost with the instance."""

    def __init__(self, ports: Ports, later: Later) -> None:
        self._ports = ports
        self._later = later
        self._early: dict[tuple[str, str, str, str], Inbound] = {}  # by message and person

    async def take(self, inbound: Inbound) -> None:
        """Returns once it is durable. Who may not talk here has no vote, and too many are dropped without a word."""
        if is_barred(self._ports.control.channel(inbound.address.channel), inbound):
            log.info("barred", channel=inbound.address.channel)
        elif await self._ports.limiter.judge_rules([vote_rule(inbound)]):
            log.info("limited", scope="vote")
        else:
            key = (inbound.address.channel, inbound.address.chat, inbound.message_id, inbound.user_id)
            self._early.pop(key, None)  # the person thought again
            if not await self._ports.desk.vote(inbound):
                self._early[key] = inbound
                self._later(self._wait(key, inbound))

    async def _wait(self, key: tuple[str, str, str, str], inbound: Inbound) -> None:
        try:
            for _ in range(TRIES):
                await asyncio.sleep(AGAIN_SECONDS)
                if self._early.get(key) is not inbound or await self._ports.desk.vote(inbound):
                    return
        finally:
            if self._early.get(key) is inbound:
                del self._early[key]
