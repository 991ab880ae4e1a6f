"""accept → answer → deliver: the one use case, and what one instance does to keep its promise.

What can fail between any two awaits is answered by Postgres alone: a message is stored or
not, a claim is held or not, a turn is open or closed. An instance may end anywhere; another
finds its claims expired and its turns open.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

import structlog

from agent.conversation.admission import AdmissionControl
from agent.conversation.background import BackgroundTasks
from agent.conversation.intake import Intake
from agent.conversation.policy import PolicyEvaluator
from agent.conversation.worker import Worker
from agent.core.errors import StoreUnavailable
from agent.core.messages import Inbound
from agent.core.options import Options
from agent.ports import Ports

SWEEP_EVERY_BEATS = 30  # every so many heartbeats, look for anything left over
RECENT_SECONDS = 900.0  # seconds to look back when an instance has just died
RETENTION_SECONDS = 30 * 86_400.0  # … and as a routine: as long as turns are kept

log = structlog.get_logger()


class Engine:
    """One instance. Use as a context: it beats inside, drains at the end."""

    def __init__(self, ports: Ports, options: Options) -> None:
        self._ports = ports
        self._options = options
        steering, rush = (
            PolicyEvaluator(ports.flags, ports.control, options),
            AdmissionControl(),
        )
        self._tasks = BackgroundTasks()
        self._worker = Worker(
            ports, steering, rush, self._tasks, lease_seconds=options.lease_seconds
        )
        self._intake = Intake(ports, options, steering, self._worker, rush, self._tasks)
        self._beats: asyncio.Task[None] | None = None
        self._stopping = False

    async def __aenter__(self) -> Self:
        self._beats = asyncio.create_task(self._beat_for_ever())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def accept(self, inbound: Inbound) -> bool:
        """See `agent.ports.Accept`."""
        if self._stopping:
            raise StoreUnavailable(
                "The agent is stopping. Please send that again in a moment."
            )
        # Whoever delivers may be cancelled; what has begun to be stored is still followed
        # to its end.
        return await asyncio.shield(self._tasks.spawn(self._intake.accept(inbound)))

    async def _beat_for_ever(self) -> None:
        beats = 0
        while True:
            try:
                await self._beat(routine=beats % SWEEP_EVERY_BEATS == 0)
                beats += 1
            except StoreUnavailable:
                log.warning("no heartbeat: Postgres does not answer")
                await self._ports.control_updates.miss()
            # whatever it is: an instance that stops beating loses all its work
            except Exception as error:
                log.exception("heartbeat failed", error=type(error).__name__)
            await asyncio.sleep(self._options.beat_seconds)

    async def _beat(self, *, routine: bool) -> None:
        beat = await self._worker.beat()
        if self._tasks.sweep_due() or routine or beat.peer_died:
            await self._worker.sweep(RETENTION_SECONDS if routine else RECENT_SECONDS)
        await self._ports.control_updates.observe(beat.epoch)

    async def stop(self) -> None:
        """Takes nothing more in, lets answers finish for a while, then hands the rest to
        other instances.
        """
        self._stopping = True
        await self._tasks.drain(self._options.drain_seconds)
        if self._beats is not None:
            self._beats.cancel()
            await asyncio.wait({self._beats})
        left, attempted = self._worker.held()
        await self._tasks.cancel()
        try:
            await self._ports.leases.hand_back(left, attempted)
        except StoreUnavailable:
            log.warning("leases not handed back", count=len(left))
