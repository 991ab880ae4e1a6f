"""Sends stored answers until they arrive, or are given up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from uuid import UUID

import structlog

from agent import metrics
from agent.conversation.delivery.fence import DeliveryFence
from agent.conversation.delivery.order import AnswerOrder
from agent.conversation.delivery.recorder import DeliveryRecorder
from agent.core.errors import (
    AnswerRefused,
    DeliveryError,
    NotHere,
    Undeliverable,
)
from agent.core.messages import Placed
from agent.core.turns import Undelivered
from agent.ports import Reply

FIRST_PAUSE = 0.5
"""Seconds between the first two tries of a delivery; doubled after each."""

LONGEST_PAUSE = 30.0
"""Seconds between two tries while a platform stays away."""

GIVE_UP = 10
"""An answer that its platform refused this often is given up."""

MAX_TAKES = 30
"""An answer over which this many instances ended, well or not, is given up at the next
failure: it may be what kills them.
"""

Again = Callable[[Placed], Reply]
"""Makes another reply for the same answer, which stands there already."""

log = structlog.get_logger()


class Delivery:
    """Sends stored answers until they arrive, each for as long as that may take.

    What passes is no failure: a platform that is away, or that says "slow down", is waited
    for. Only what a platform refuses about the answer itself is counted.
    """

    def __init__(
        self,
        recorder: DeliveryRecorder,
        order: AnswerOrder,
        fence: DeliveryFence,
        *,
        limit_seconds: float,
    ) -> None:
        """An answer older than `limit_seconds` is given up."""
        self._recorder = recorder
        self._order = order
        self._fence = fence
        self._limit_seconds = limit_seconds

    def expect(self, turns: Sequence[UUID]) -> None:
        """Their answer was stored just now: this instance sends it while heartbeats arrive."""
        self._order.begin(turns[0])
        self._fence.begin(turns[-1])

    async def send(
        self,
        reply: Reply,
        answer: Undelivered,
        *,
        failed: str | None = None,
        again: Again | None = None,
        again_in: float = 0.0,
    ) -> None:
        """Returns once the answer arrived or is given up; its turns are closed soon after.

        `failed` closes them as failed even if this text, which says so, arrived.
        `again`: a draft was held up for `again_in` seconds, and may yet replace the answer.
        """
        channel, count = answer.address.channel, len(answer.turns)
        self.expect(answer.turns)
        try:
            placed = await self._insist(reply, answer)
        except NotHere as error:
            metrics.delivery_ended(channel, count, arrived=False, closed_as=None)
            log.info("left to another instance", reason=error.sentence)
        except Exception as error:
            # Even a mistake of the channel's: unhandled, it would be met again forever.
            reason = _reason(error)
            metrics.delivery_ended(channel, count, arrived=False, closed_as="failed")
            self._recorder.record(answer.turns, None, failed=reason)
        else:
            state = "failed" if failed else "done"
            metrics.delivery_ended(channel, count, arrived=True, closed_as=state)
            log.info("delivered", messages=len(placed.ids))
            if again is None:
                self._recorder.record(answer.turns, placed, failed=failed)
            else:
                work = self._send_again(again, answer, placed, again_in)
                self._recorder.later(answer.turns, placed, work)
        finally:
            self._order.leave(answer.turns[0])
            self._fence.end(answer.turns[-1])

    async def _send_again(
        self, again: Again, answer: Undelivered, placed: Placed, seconds: float
    ) -> None:
        """Edits the answer in once more, when a draft that was held up must have come.

        What was lost in the network is sent again after at most twice the time that it was away
        (https://www.rfc-editor.org/rfc/rfc6298, section 5.5). Until then the turns stay open,
        so that the next instance does it if this one dies; what they hold up bounds `seconds`.
        """
        self._fence.begin(answer.turns[-1])
        log.info("sent once more", seconds=round(seconds, 1))
        try:
            await asyncio.sleep(seconds)
            placed = await self._insist(again(placed), answer)
        except NotHere:
            return
        except Exception as error:
            _reason(error)
        finally:
            self._fence.end(answer.turns[-1])

        self._recorder.record(answer.turns, placed)

    async def _insist(self, reply: Reply, answer: Undelivered) -> Placed:
        """Raises what ended the last try, once there is no other."""
        until = time.monotonic() + self._limit_seconds - answer.age_seconds
        refusals, pause = 0, FIRST_PAUSE

        while True:
            if not self._fence.is_ours(answer.turns[-1]):
                await self._fence.check(answer.turns[-1])
            try:
                return await reply.finish(answer.text)
            except (NotHere, Undeliverable):
                raise
            except Exception as error:
                refusals += not _is_passing(error)
                is_over = time.monotonic() >= until or answer.attempts > MAX_TAKES
                if is_over or refusals >= GIVE_UP:
                    raise
                _log_failure(error, refusals)

            metrics.delivery_retries.add(answer.address.channel)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


def _is_passing(error: Exception) -> bool:
    return isinstance(error, DeliveryError) and not isinstance(error, AnswerRefused)


def _log_failure(error: Exception, refusals: int) -> None:
    if isinstance(error, DeliveryError):
        log.warning("not delivered yet", reason=error.sentence, refusals=refusals)
    else:
        name = type(error).__name__
        log.error("not delivered yet", error=name, refusals=refusals, exc_info=error)


def _reason(error: Exception) -> str:
    """Why an answer is given up; logged, and kept in the audit log."""
    if isinstance(error, DeliveryError):
        # a chat that is gone, such as a closed pipe, is no trouble of the agent's
        level = log.info if isinstance(error, Undeliverable) else log.warning
        level("given up", reason=error.sentence)
        return error.sentence

    name = type(error).__name__
    log.error("given up", error=name, exc_info=error)

    return f"The answer could not be sent ({name}). The log says where that happened."
