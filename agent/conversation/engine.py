"""accept → answer → deliver: the one use case, and how one instance keeps its promise.

Postgres alone says what a failure between two awaits left behind. A message is stored or not,
a claim is held or not, a turn is open or closed. An instance may end anywhere; another finds
its claims expired and its turns open.
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
from agent.core.background import end
from agent.core.errors import Ignored, StoreUnavailable
from agent.core.messages import Inbound
from agent.core.options import Options
from agent.ports import Ports
from agent.ports.tracing import Work

SWEEP_EVERY_BEATS = 30
"""Heartbeats between two routine sweeps."""

CANCEL_SECONDS = 3.0
"""How long cancelled work may take to end, such as a call of a platform that hangs."""

log = structlog.get_logger()


class Engine:
    """One running instance. As a context, it beats inside and drains at the end."""

    def __init__(self, ports: Ports, options: Options) -> None:
        self._ports = ports
        self._options = options
        self._background = BackgroundTasks()
        policy = PolicyEvaluator(ports.flags, ports.control, options)
        admission = AdmissionControl()
        self._worker = Worker(
            ports,
            policy,
            admission,
            self._background,
            lease_seconds=options.lease_seconds,
            delivery_seconds=options.delivery_seconds,
        )
        self._intake = Intake(
            ports, options, policy, self._worker, admission, self._background
        )
        self._beats: asyncio.Task[None] | None = None
        self._sweep: asyncio.Task[None] | None = None
        self._sweep_due = False
        self._epoch: int | None = None
        self._stopping = False

    async def __aenter__(self) -> Self:
        self._beats = asyncio.create_task(self._beat_forever())
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

        # The caller may be cancelled; what has begun to be stored still runs to its end.
        accepted: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        work: Work = self._carry(inbound, accepted)
        if self._ports.tracing is not None:
            work = self._ports.tracing.follow(inbound, work)
        self._background.spawn(work)

        return await accepted

    async def _carry(self, inbound: Inbound, accepted: asyncio.Future[bool]) -> None:
        """One task for a message, from its arrival until its answer is delivered."""
        is_heard, answering = True, None
        try:
            answering = await self._intake.accept(inbound)
        except Ignored:
            is_heard = False
        except BaseException as error:
            _fail(accepted, error)
            raise

        if not accepted.done():
            accepted.set_result(is_heard)
        if answering is not None:
            await answering

    async def stop(self) -> None:
        """Takes nothing more in, lets answers finish for a while, and hands back the rest."""
        self._stopping = True
        self._worker.hurry()
        await self._background.drain(self._options.drain_seconds)
        claims, attempted, delivering = self._worker.held()
        # the leases hold until all has ended: what is handed back is still ours
        await self._background.cancel(CANCEL_SECONDS)
        await end([one for one in (self._beats, self._sweep) if one is not None])

        try:
            await self._ports.leases.hand_back(claims, attempted, delivering)
        except StoreUnavailable:
            log.warning("leases not handed back", count=len(claims))

    async def _beat_forever(self) -> None:
        beats = 0
        while True:
            try:
                await self._beat(routine=beats % SWEEP_EVERY_BEATS == 0)
                beats += 1
            except StoreUnavailable as error:
                log.warning(f"no heartbeat: {error.problem}")
                await self._ports.control_updates.miss()
            except Exception as error:
                # Whatever it is: an instance that stops beating loses all its work.
                log.exception("heartbeat failed", error=type(error).__name__)

            await asyncio.sleep(self._options.beat_seconds)

    async def _beat(self, *, routine: bool) -> None:
        beat = await self._worker.beat()
        if self._stopping:
            return  # what others left is for others

        # an operator changed something: perhaps had a message answered again
        is_told = beat.epoch != self._epoch
        self._epoch = beat.epoch
        if self._background.sweep_due() or routine or beat.peer_died or is_told:
            self._sweep_due = True

        if self._sweep_due and (self._sweep is None or self._sweep.done()):
            self._sweep = asyncio.create_task(self._sweep_once())
            self._sweep_due = False

        await self._ports.control_updates.observe(beat.epoch)

    async def _sweep_once(self) -> None:
        """Beside the heartbeat: however long it takes, no lease ends meanwhile."""
        try:
            # there may be more
            is_due = await self._worker.sweep() > 0
        except StoreUnavailable:
            is_due = True
        except Exception as error:
            log.exception("sweep failed", error=type(error).__name__)
            return

        self._sweep_due = self._sweep_due or is_due


def _fail(accepted: asyncio.Future[bool], error: BaseException) -> None:
    """Tells the caller of `accept`, unless it is gone."""
    if accepted.done():
        return

    if isinstance(error, Exception):
        accepted.set_exception(error)
    else:
        accepted.cancel()
