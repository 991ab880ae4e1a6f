"""What is known of answers on their way to a platform."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import asyncpg

from agent.core.errors import StoreUnavailable
from agent.core.messages import Placed
from agent.core.turns import Ending
from storage.connecting.batch import LINGER_SECONDS, Batch
from storage.conversation import STATEMENTS
from storage.conversation.turns import encode_placed
from storage.postgres import Database, columns
from storage.transaction import transaction

_Row = tuple[UUID, str, str | None, UUID]
"""Turn, state, what stands on the platform, and the turn that leads."""


class PostgresDeliveries:
    """Implements agent.ports.Deliveries and OpenTurns."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._line = database.line()
        gone = (StoreUnavailable,)
        self._standing: dict[UUID, str] = {}
        """By turn: the newest that stands on the platform and is not recorded yet."""
        self._looks: Batch[UUID, bool] = Batch(self._look_all, passing=gone)
        self._announced: Batch[UUID, None] = Batch(self._announce_all, passing=gone)
        self._placed: Batch[tuple[UUID, bool], None] = Batch(
            self._place_all, passing=gone, limit=1000, linger=LINGER_SECONDS
        )

    async def is_open(self, turn: UUID) -> bool:
        return await self._looks.submit(turn)

    async def announce(self, turn: UUID) -> None:
        await self._announced.submit(turn)

    async def placed(
        self,
        turn: UUID,
        placed: Placed,
        *,
        late: bool = False,
    ) -> None:
        self._standing[turn] = encode_placed(placed)
        await self._placed.submit((turn, late))

    async def done(
        self, endings: Sequence[Ending], *, failed: str | None = None
    ) -> None:
        state = "failed" if failed else "done"
        rows = [
            row
            for turns, placed in endings
            for row in self._rows(turns, placed, state)
        ]
        if failed:
            arrived = any(placed is not None for _, placed in endings)
            await self._give_up(rows, failed, arrived=arrived)
            return

        closed = await self._line.fetch(STATEMENTS["done"], *columns(rows))
        await self._prompt_again(closed)

    def _rows(
        self, turns: Sequence[UUID], placed: Placed | None, state: str
    ) -> list[_Row]:
        # After a quick answer, a draft that is not recorded yet never will be.
        for turn in turns:
            self._standing.pop(turn, None)
        where = encode_placed(placed) if placed else None

        return [(turn, state, where, turns[-1]) for turn in turns]

    async def _look_all(self, turns: Sequence[UUID]) -> list[bool]:
        rows = await self._line.fetch(STATEMENTS["are_open"], list(turns))
        still_open = {row["id"] for row in rows}

        return [turn in still_open for turn in turns]

    async def _announce_all(self, turns: Sequence[UUID]) -> list[None]:
        await self._line.fetch(STATEMENTS["announce"], list(turns))
        return [None] * len(turns)

    async def _place_all(self, items: Sequence[tuple[UUID, bool]]) -> list[None]:
        late = {turn for turn, is_late in items if is_late}
        newest = [
            (turn, self._standing[turn], turn in late)
            for turn in dict.fromkeys(turn for turn, _ in items)
            if turn in self._standing
        ]
        if newest:
            rows = await self._line.fetch(STATEMENTS["placed"], *columns(newest))
            await self._prompt_again(rows)

        for turn, recorded, _ in newest:
            if self._standing.get(turn) is recorded:
                del self._standing[turn]

        return [None] * len(items)

    async def _prompt_again(self, rows: Sequence[asyncpg.Record]) -> None:
        """Answers that were given up, and are in their chat after all."""
        returned = [row["id"] for row in rows if row["returned"]]
        if returned:
            await self._line.fetch(STATEMENTS["undelivered"], returned, None)

    async def _give_up(
        self, endings: Sequence[_Row], reason: str, *, arrived: bool
    ) -> None:
        """Closes the turns, has prompts leave the answer out unless a text arrived in its
        place, and says so in the audit log: all of it or nothing.
        """
        turns = [turn for turn, *_ in endings]
        async with transaction(self._database) as connection:
            driver = connection.driver
            if not arrived:
                await driver.fetch(STATEMENTS["undelivered"], turns, reason)
            await driver.fetch(STATEMENTS["done"], *columns(endings))
            await driver.fetch(STATEMENTS["note_failed"], str(turns[-1]), reason)
