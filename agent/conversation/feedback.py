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
from agent.core.messages import Reacted
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
        self._newest: dict[Key, Reacted] = {}  # under way, by message and person

    async def take(self, reaction: Reacted) -> None:
        """Returns once it is durable. Who may not talk here has no vote, and too many are
        dropped without a word.
        """
        if is_blocked(self._ports.control.channel(reaction.address.channel), reaction):
            log.info("barred", channel=reaction.address.channel)
        elif await self._ports.limiter.judge_rules([vote_rule(reaction)]):
            log.info("limited", scope="vote")
        else:
            await self._count(reaction)

    async def _count(self, reaction: Reacted) -> None:
        key = (
            reaction.address.channel,
            reaction.address.chat,
            reaction.message_id,
            reaction.user_id,
        )
        before = self._newest.get(key)
        if (
            before
            and reaction.taken_back
            and not before.taken_back
            and before.thumb is not reaction.thumb
        ):
            return  # what is taken away is not the thumb that counts
        self._newest[key] = reaction
        waits = False
        try:
            waits = not await self._try(key, reaction, AT_ONCE)
        finally:
            if not waits:
                self._forget(key, reaction)
        if waits:
            self._later(self._wait(key, reaction))

    async def _wait(self, key: Key, reaction: Reacted) -> None:
        """It was acknowledged, so that nobody delivers it again: a moment without Postgres
        does not end the wait.
        """
        try:
            for pause in LATER:
                with suppress(StoreUnavailable):
                    if await self._try(key, reaction, (pause,)):
                        return
        finally:
            self._forget(key, reaction)

    async def _try(self, key: Key, reaction: Reacted, pauses: Iterable[float]) -> bool:
        """Whether nothing is left to do: it was counted, was on no answer, or the person
        thought again.
        """
        for pause in pauses:
            await asyncio.sleep(pause)
            if self._newest.get(key) is not reaction or await self._ports.votes.vote(
                reaction
            ):
                return True
        return False

    def _forget(self, key: Key, reaction: Reacted) -> None:
        if self._newest.get(key) is reaction:
            del self._newest[key]
