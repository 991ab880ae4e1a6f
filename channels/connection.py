"""Whether a channel reaches its platform, said once: when it connects, is lost, and is back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from agent.core.background import backoff
from agent.core.errors import ConfigurationError, DeliveryError, StoreUnavailable
from agent.logs import announce
from channels.pacing import RateLimited

T = TypeVar("T")

LOST_SECONDS = 5.0
"""Platforms end connections every day, to replace them: a shorter gap is not worth a line."""

MAX_PAUSE = 30.0
"""Seconds between two attempts while a platform or the store is away."""

_log = logging.getLogger(__name__)


class Connection:
    """One channel's, of one run. Both methods may be called as often as something is noticed."""

    def __init__(self, channel: str, *, patience: float = LOST_SECONDS) -> None:
        """`patience` is in seconds: a gap becomes a line when it has lasted this long."""
        self.account = ""  # the bot's name there, once it is known
        self._channel = channel
        self._patience = patience
        self._connected = False
        self._was_connected = False
        self._is_told = False  # that it is lost
        self._timer: asyncio.TimerHandle | None = None

    @property
    def connected(self) -> bool:
        """Whether the platform was reached when it was last tried."""
        return self._connected

    def established(self) -> None:
        """The platform answers."""
        if self._connected:
            return

        self._forget_timer()
        if self._is_told or not self._was_connected:
            self._announce()

        self._connected = self._was_connected = True
        self._is_told = False

    def lost(self, reason: str) -> None:
        """The platform does not answer; `reason` is a sentence, or a word for a fault."""
        self._connected = False
        if self._is_told or self._timer is not None:
            _log.debug("%s is not connected: %s", self._channel, reason)
            return

        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._patience, self._tell, reason)

    def close(self) -> None:
        """The run ends; whoever ended it says why. The next one is told again."""
        self._forget_timer()
        self._connected = self._is_told = self._was_connected = False

    def _announce(self) -> None:
        again = " again" if self._was_connected else ""
        name = f" as {self.account}" if self.account else ""

        announce(
            f"{self._channel}: Connected{again}{name}.",
            channel=self._channel,
            account=self.account,
        )

    def _tell(self, reason: str) -> None:
        self._timer, self._is_told = None, True
        _log.warning(
            "%s: Not connected (%s). It is tried again until it works.",
            self._channel,
            reason.rstrip("."),
        )

    def _forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


async def patiently(
    step: Callable[[], Awaitable[T]], pause: float, lost: Callable[[str], None]
) -> T:
    """Repeats a step until it succeeds. `pause` is the first one, in seconds; they grow.

    `lost` hears why the platform did not do it. Raises ConfigurationError.
    """
    pauses = backoff(pause, MAX_PAUSE, spread=True)

    while True:
        wait = 0.0
        try:
            return await step()
        except ConfigurationError:
            raise
        except RateLimited as limit:
            wait = limit.retry_after
        except StoreUnavailable as error:
            _log.warning("%s It is tried again.", error.sentence)
        except DeliveryError as error:
            lost(error.sentence)

        await asyncio.sleep(wait + next(pauses))
