"""Connections that cost little: one that says nothing never stands in another's way."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

MOST = 1000
"""Connections at the same time. One more ends the longest that waits for its client."""

HEADER_SECONDS = 10.0
"""From the first byte of a request until its headers are whole. Longer than a slow network
needs; a client that sends one byte now and then is not served.
"""

IDLE_SECONDS = 75
"""A connection without a request. Longer than proxies keep one (nginx and AWS: 60): whoever
closes first must not be this side, or a proxy sends into a closed connection and answers 502.
"""


class PatientProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, which would answer 503 to everybody once there are too many, and
    keep half a request forever.
    """

    most = MOST
    header_seconds = HEADER_SECONDS

    def __init__(
        self,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.waits_since = time.monotonic()
        self._has_begun = False  # of a request, some bytes are here
        self._header_deadline: asyncio.TimerHandle | None = None

    @property
    def waits_for_client(self) -> bool:
        """Whether no whole request is here: nobody loses an answer when it ends."""
        return self.conn.their_state in (h11.IDLE, h11.SEND_BODY)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self.most:
            self._make_room()

        self._await_headers(IDLE_SECONDS)

    def data_received(
        self,
        data: bytes,
    ) -> None:
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop_waiting()
            self._has_begun = False
        elif not self._has_begun:
            self._has_begun = True
            self._await_headers(self.header_seconds)

    def send_400_response(
        self,
        msg: str,
    ) -> None:
        """A body that cannot be read may come while its request is answered, or afterwards."""
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            try:
                super().send_400_response(msg)
            except h11.LocalProtocolError:  # an answer to HEAD has no body
                self.transport.close()
        else:
            self.transport.abort()

        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True  # nobody hears what is still said
            self.cycle.message_event.set()

    def on_response_complete(self) -> None:
        self.waits_since = time.monotonic()
        super().on_response_complete()
        if self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]:
            self._has_begun = True  # the next request came along with this one
            self._await_headers(self.header_seconds)

    def connection_lost(
        self,
        exc: Exception | None,
    ) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _make_room(self) -> None:
        """Ends the connection that has waited for its client longest; this one, if all others
        have sent a whole request.
        """
        others = [
            one
            for one in self.connections
            if isinstance(one, PatientProtocol) and one.waits_for_client
        ]
        oldest = min(others, key=lambda one: one.waits_since, default=self)
        self.connections.discard(oldest)
        oldest.transport.abort()

    def _await_headers(self, seconds: float) -> None:
        self._stop_waiting()
        self.waits_since = time.monotonic()
        self._header_deadline = self.loop.call_later(seconds, self._give_up)

    def _stop_waiting(self) -> None:
        if self._header_deadline is not None:
            self._header_deadline.cancel()
            self._header_deadline = None

    def _give_up(self) -> None:
        if self.conn.their_state is h11.IDLE:
            self.transport.abort()
