"""What people think of answers: a thumb is counted as its person last gave it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from itertools import repeat

import structlog

from agent.conversation.access import is_blocked, vote_rule
from agent.conversation.delivery import Spawn
from agent.core.errors import StoreUnavailable
from agent.core.messages import Inbound
from agent.ports import Ports

AT_ONCE = (0.0, 0.25)
"""Seconds before each try. At the second an answer that had just arrived is recorded as
delivered.
"""

LATER = (0.5, 1.0, *repeat(2.0, 60))
"""The same for a thumb on an answer that is still being written: two minutes in all."""

log = structlog.get_logger()

Key = tuple[str, str, str, str]


class Votes:
    """Takes thumbs in. One on an answer that is not known yet waits here for it, and is
    lost with the instance.
    """

    def __init__(self, ports: Ports, later: Spawn) -> None:
        self._ports = ports
        self._later = later
        self._newest: dict[Key, Inbound] = {}  # under way, by message and person

    async def take(self, inbound: Inbound) -> None:
        """Returns once it is durable. Who may not talk here has no vote, and too many are
        dropped without a word.
        """
        if is_blocked(self._ports.control.channel(inbound.address.channel), inbound):
            log.info("barred", channel=inbound.address.channel)
        elif await self._ports.limiter.judge_rules([vote_rule(inbound)]):
            log.info("limited", scope="vote")
        else:
            await self._count(inbound)

    async def _count(self, inbound: Inbound) -> None:
        key = (
            inbound.address.channel,
            inbound.address.chat,
            inbound.message_id,
            inbound.user_id,
        )
        before = self._newest.get(key)
        if (
            before
            and (before.change, inbound.change) == ("vote", "unvote")
            and before.text != inbound.text
        ):
            return  # what is taken away is not the thumb that counts
        self._newest[key] = inbound
        waits = False
        try:
            waits = not await self._try(key, inbound, AT_ONCE)
        finally:
            if not waits:
                self._forget(key, inbound)
        if waits:
            self._later(self._wait(key, inbound))

    async def _wait(self, key: Key, inbound: Inbound) -> None:
        """It was acknowledged, so that nobody delivers it again: a moment without Postgres
        does not end the wait.
        """
        try:
            for pause in LATER:
                with suppress(StoreUnavailable):
                    if await self._try(key, inbound, (pause,)):
                        return
        finally:
            self._forget(key, inbound)

    async def _try(self, key: Key, inbound: Inbound, pauses: Iterable[float]) -> bool:
        """Whether nothing is left to do: it was counted, was on no answer, or the person
        thought again.
        """
        for pause in pauses:
            await asyncio.sleep(pause)
            if self._newest.get(key) is not inbound or await self._ports.desk.vote(
                inbound
            ):
                return True
        return False

    def _forget(self, key: Key, inbound: Inbound) -> None:
        if self._newest.get(key) is inbound:
            del self._newest[key]
