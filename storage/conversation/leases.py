"""Leases: they keep an instance's work its own, and let others find what it left behind."""

from __future__ import annotations

import asyncio
import math
import os
import socket
import time
from collections.abc import Sequence
from uuid import UUID

import asyncpg
import msgspec
import structlog

from agent.core.errors import StoreUnavailable
from agent.core.messages import delivered
from agent.core.turns import Beat, Claim, Undelivered
from storage.conversation import STATEMENTS
from storage.conversation.turns import decode_address, decode_placed
from storage.postgres import LEASE_SECONDS, Database

NOTE_SECONDS = 30.0
"""Between two times at which open turns are noted, or at least tried to be."""

NOTE_PATIENCE = 1.0
"""Seconds. A note takes milliseconds, and what a dead instance left is waited for by people."""

AT_MOST = 200
"""Taken in one sweep. The next takes more, so that instances share a large loss."""


log = structlog.get_logger()


class PostgresLeases:
    """Implements agent.ports.Leases and Recovery for one instance and the channels it runs."""

    def __init__(
        self,
        database: Database,
        instance: UUID,
        channels: Sequence[str],
        *,
        lease: float = LEASE_SECONDS,
    ) -> None:
        self._lease = lease
        self._instance = instance
        self._channels = list(channels)
        # a connection of its own: a heartbeat never waits behind a flush
        self._line = database.line()
        self._sweep_line = database.line()
        self._noted_at = -math.inf

    async def beat(
        self,
        claims: Sequence[Claim],
        turns: Sequence[UUID],
        epoch: int,
    ) -> Beat:
        rows = await self._line.fetch(
            STATEMENTS["beat"],
            self._instance,
            socket.gethostname(),
            os.getpid(),
            self._channels,
            [claim.conversation for claim in claims],
            [claim.fence for claim in claims],
            list(turns),
            self._lease,
            epoch,
            retry=1.0,
        )
        *held, rest = sorted(rows, key=lambda row: row["fence"] is None)

        return Beat(
            {row["fence"]: row["asked"] for row in held},
            {row["fence"]: row["edited"] for row in held},
            frozenset(row["fence"] for row in held if row["stopped"]),
            peer_died=rest["asked"] > 0,
            epoch=rest["epoch"],
            taken=frozenset(rest["taken"]),
        )

    async def take_over(self) -> list[Claim]:
        await self._note_open_turns()
        rows = await self._sweep_line.fetch(
            STATEMENTS["take_over"],
            self._instance,
            self._lease,
            self._channels,
            AT_MOST,
        )

        return [
            Claim(
                row["id"],
                row["answering"],
                (row["channel_type"], row["chat_id"], row["thread_id"]),
                row["died"],
            )
            for row in rows
        ]

    async def take_deliveries(self) -> list[Undelivered]:
        rows = await self._sweep_line.fetch(
            STATEMENTS["take_deliveries"],
            self._lease,
            self._channels,
            AT_MOST,
            self._instance,
        )

        return [_undelivered(row) for row in rows]

    async def _note_open_turns(self) -> None:
        """Moves the sweep floor on, so that sweeps look at few turns.

        It comes first: after a take, its failure would lose the claims that were taken. A take
        needs it for speed alone, so it never fails and is not waited for long.
        """
        if time.monotonic() - self._noted_at < NOTE_SECONDS:
            return

        self._noted_at = time.monotonic()
        try:
            async with asyncio.timeout(NOTE_PATIENCE):
                await self._sweep_line.fetch(STATEMENTS["note_open_turns"])
        except (StoreUnavailable, TimeoutError, asyncpg.PostgresError) as error:
            log.warning("open turns were not noted", error=type(error).__name__)

    async def attempt(self, turns: Sequence[UUID]) -> None:
        await self._sweep_line.fetch(STATEMENTS["attempt"], list(turns))

    async def hand_back(
        self,
        claims: Sequence[Claim],
        attempted: Sequence[UUID],
        delivering: Sequence[UUID],
    ) -> None:
        await self._line.fetch(
            STATEMENTS["hand_back"],
            [claim.conversation for claim in claims],
            [claim.fence for claim in claims],
            list(attempted),
            list(delivering),
            self._instance,
        )
        await self._line.fetch(STATEMENTS["leave"], self._instance)


def _undelivered(row: asyncpg.Record) -> Undelivered:
    return Undelivered(
        tuple(row["turns"]),
        decode_address(row),
        decode_placed(row["placed"]),
        delivered(row["content"], msgspec.json.decode(row["metadata"])),
        row["attempts"],
        row["age"],
        row["previous"],
    )
