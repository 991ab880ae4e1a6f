"""How Slack delivers events: over websockets or signed to a request URL, again until
acknowledged.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import aiohttp
from aiohttp import web

from tests.support.platforms.slack.state import SIGNING_SECRET, Clock, payload

RETRIES_S = (0.0, 60.0, 300.0)
"""At once, after one minute, after five (https://docs.slack.dev/apis/events-api)."""

FORMS = ("slash_commands", "interactive")
"""What comes as a form, and is not repeated."""


@dataclass(slots=True, eq=False)
class Delivery:
    """One event or command on its way to the app."""

    kind: str  # events_api, slash_commands
    body: dict[str, Any]
    begun: float
    attempts: int = 0
    acknowledged: bool = False
    given_up: bool = False

    @property
    def open(self) -> bool:
        """Neither acknowledged nor given up."""
        return not (self.acknowledged or self.given_up)


Answered = Callable[[Delivery, dict[str, Any]], None]


class Sockets:
    """Socket Mode. An envelope that is not acknowledged in `redeliver_after` real seconds
    comes again.
    """

    def __init__(
        self,
        clock: Clock,
        answered: Answered,
        *,
        redeliver_after: float,
    ) -> None:
        self._clock = clock
        self._answered = answered
        self._redeliver_after = redeliver_after
        self._links: list[web.WebSocketResponse] = []
        self._sent: dict[str, Delivery] = {}
        self._waiting: list[Delivery] = []
        self._timers: set[asyncio.TimerHandle] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.most_at_once = 0
        self.opened = 0
        self.changed = asyncio.Condition()

    async def connect(self, request: web.Request) -> web.WebSocketResponse:
        """One connection, until either side closes it."""
        link = web.WebSocketResponse(heartbeat=30)
        await link.prepare(request)
        await link.send_json(payload("socket_hello"))
        self._links.append(link)
        self.opened += 1
        self.most_at_once = max(self.most_at_once, len(self._links))
        await self._flush()
        await self.notify()

        try:
            async for frame in link:
                if frame.type is aiohttp.WSMsgType.TEXT:
                    await self._acknowledge(json.loads(frame.data))
        finally:
            if link in self._links:
                self._links.remove(link)

            await self.notify()

        return link

    async def send(self, delivery: Delivery) -> None:
        """Over the newest connection; kept while there is none."""
        if not self._links:
            self._waiting.append(delivery)
            return

        envelope = payload("socket_envelope")
        envelope |= {
            "envelope_id": str(uuid4()),
            "type": delivery.kind,
            "payload": delivery.body,
        }
        envelope |= {"accepts_response_payload": delivery.kind != "events_api"}
        if delivery.attempts:
            envelope |= {
                "retry_attempt": delivery.attempts,
                "retry_reason": "timeout",
            }

        delivery.attempts += 1
        self._sent[envelope["envelope_id"]] = delivery

        try:
            await self._links[-1].send_json(envelope)
        except ConnectionError:
            self._waiting.append(delivery)
            return

        handle = asyncio.get_running_loop().call_later(
            self._redeliver_after, self._again, delivery
        )
        self._timers.add(handle)

    def _again(self, delivery: Delivery) -> None:
        if delivery.open:
            task = asyncio.ensure_future(self.send(delivery))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _flush(self) -> None:
        """What Slack still tries to deliver when a connection comes up."""
        waiting, self._waiting = self._waiting, []
        for delivery in waiting:
            if self._clock() - delivery.begun > RETRIES_S[-1]:
                delivery.given_up = True
            elif delivery.open:
                await self.send(delivery)

    async def _acknowledge(self, answer: dict[str, Any]) -> None:
        delivery = self._sent.pop(str(answer.get("envelope_id")), None)
        if delivery is not None:
            delivery.acknowledged = True
            self._answered(delivery, answer.get("payload") or {})
            await self.notify()

    async def refresh(self) -> None:
        """Asks the app to replace its oldest connection, which stays open meanwhile."""
        await self._links[0].send_json(payload("socket_disconnect"))

    async def drop(self, *, reason: str | None = None) -> None:
        """Closes all connections, with or without a word."""
        for link in list(self._links):
            if reason:
                await link.send_json(
                    payload("socket_disconnect") | {"reason": reason}
                )

            await link.close()

    async def close_oldest(self) -> None:
        """Ends the connection that was to be replaced."""
        await self._links[0].close()

    async def notify(self) -> None:
        """Wakes everything that waits for a change."""
        async with self.changed:
            self.changed.notify_all()

    async def until(
        self, condition: Callable[[], bool], deadline: float = 10.0
    ) -> None:
        """Waits for a connection, an acknowledgement or a call that makes this true."""
        async with asyncio.timeout(deadline), self.changed:
            await self.changed.wait_for(condition)

    @property
    def connections(self) -> int:
        """How many are open now."""
        return len(self._links)

    async def stop(self) -> None:
        """Ends everything."""
        for handle in self._timers:
            handle.cancel()

        await self.drop()
        for task in list(self._tasks):
            task.cancel()


class Hooks:
    """Signed HTTP requests, with Slack's retries on the workspace's clock."""

    def __init__(
        self,
        clock: Clock,
        answered: Answered,
        url: str,
    ) -> None:
        self._clock = clock
        self._answered = answered
        self._url = url

    async def send(self, delivery: Delivery) -> None:
        """One attempt; when it is not answered with 200, the next is due later."""
        headers, body = signed(delivery, self._clock())
        delivery.attempts += 1
        status, answer = await self._post(headers, body)

        if status == 200:
            delivery.acknowledged = True
            self._answered(delivery, {"text": answer} if answer else {})
        elif delivery.kind in FORMS or delivery.attempts > len(RETRIES_S):
            delivery.given_up = True
        else:
            self._retry(delivery, RETRIES_S[delivery.attempts - 1])

    def _retry(self, delivery: Delivery, seconds: float) -> None:
        async def again() -> None:
            await self.send(delivery)

        self._clock.later(seconds, again)

    async def _post(self, headers: dict[str, str], body: bytes) -> tuple[int, str]:
        try:
            async with (
                aiohttp.ClientSession() as session,
                session.post(self._url, data=body, headers=headers) as answer,
            ):
                return answer.status, await answer.text()
        except aiohttp.ClientError:
            return 0, ""


def signed(
    delivery: Delivery, now: float, secret: str = SIGNING_SECRET
) -> tuple[dict[str, str], bytes]:
    """Headers and body of one attempt (v0 signature)."""
    form = delivery.kind in FORMS
    fields = delivery.body
    if delivery.kind == "interactive":
        fields = {"payload": json.dumps(delivery.body)}

    body = (urlencode(fields) if form else json.dumps(fields)).encode()
    stamp = str(int(now))
    digest = hmac.new(
        secret.encode(), b"v0:" + stamp.encode() + b":" + body, hashlib.sha256
    ).hexdigest()
    headers = {
        "content-type": "application/x-www-form-urlencoded"
        if form
        else "application/json",
        "x-slack-request-timestamp": stamp,
        "x-slack-signature": f"v0={digest}",
    }

    if delivery.attempts:
        headers |= {
            "x-slack-retry-num": str(delivery.attempts),
            "x-slack-retry-reason": "http_error",
        }

    return headers, body
