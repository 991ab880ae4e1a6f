"""What people think of answers: a person's latest thumb on an answer is their vote."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress
from itertools import repeat

import structlog

from agent.conversation.delivery.recorder import Spawn
from agent.conversation.policy import is_blocked, vote_rule
from agent.core.errors import StoreUnavailable
from agent.core.messages import Reacted
from agent.ports import Ports

AT_ONCE = (0.0, 0.25)
"""Seconds before each try. By the second one, an answer that has just arrived is recorded."""

LATER = (0.5, 1.0, *repeat(2.0, 60))
"""Seconds before each later try, for an answer still being written: two minutes in all."""

log = structlog.get_logger()

Key = tuple[str, str, str, str]
"""Channel, chat, message and person."""


class VoteIntake:
    """Takes votes in. A vote on an answer not known yet waits here, and dies with the instance."""

    def __init__(self, ports: Ports, spawn: Spawn) -> None:
        self._ports = ports
        self._spawn = spawn
        self._newest: dict[Key, Reacted] = {}  # in progress

    async def take(self, reaction: Reacted) -> None:
        """Returns once the vote is durable, or waits in the background.

        Blocked people have no vote, and too many votes are dropped without a word.
        """
        channel = reaction.address.channel
        if is_blocked(self._ports.control.channel(channel), reaction):
            log.info("barred", channel=channel)
        elif await self._ports.limiter.judge_rules([vote_rule(reaction)]):
            log.info("limited", scope="vote")
        else:
            await self._count(reaction)

    async def _count(self, reaction: Reacted) -> None:
        key = _key(reaction)
        before = self._newest.get(key)
        if before is not None and _takes_back_another(before, reaction):
            return

        self._newest[key] = reaction
        is_settled = True
        try:
            is_settled = await self._try(key, reaction, AT_ONCE)
        finally:
            if is_settled:
                self._forget(key, reaction)

        if not is_settled:
            self._spawn(self._wait(key, reaction))

    async def _wait(self, key: Key, reaction: Reacted) -> None:
        """Tries until settled. The vote was acknowledged, so nobody delivers it again.

        A moment without Postgres does not end the wait.
        """
        try:
            for pause in LATER:
                with suppress(StoreUnavailable):
                    if await self._try(key, reaction, (pause,)):
                        return
        finally:
            self._forget(key, reaction)

    async def _try(
        self, key: Key, reaction: Reacted, pauses: Iterable[float]
    ) -> bool:
        """Whether nothing is left to do.

        The vote was counted, was on no answer, or the person has changed their mind.
        """
        for pause in pauses:
            await asyncio.sleep(pause)
            if self._newest.get(key) is not reaction:
                return True
            if await self._ports.votes.vote(reaction):
                return True

        return False

    def _forget(self, key: Key, reaction: Reacted) -> None:
        if self._newest.get(key) is reaction:
            del self._newest[key]


def _key(reaction: Reacted) -> Key:
    address = reaction.address
    return (address.channel, address.chat, reaction.message_id, reaction.user_id)


def _takes_back_another(before: Reacted, reaction: Reacted) -> bool:
    """Whether a thumb is taken back that is not the one that counts now."""
    is_replaced = reaction.taken_back and not before.taken_back
    return is_replaced and before.thumb is not reaction.thumb
