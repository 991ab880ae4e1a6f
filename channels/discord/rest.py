"""The part of Discord's REST interface that answers need.

It never waits for a rate limit: it raises RateLimited, which names the wait.

discord.py's own client sleeps over a limit and then sends what may be outdated by then.
Here the governor decides which call waits and which is dropped. Any process can answer
with this alone: it needs no gateway.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from math import isfinite
from typing import Any

import aiohttp
from cachetools import LRUCache

from agent.core.errors import DeliveryError, Undeliverable
from agent.settings.proxies import Proxies
from channels.pacing import RateLimited
from channels.setup import token_refused

API_URL = "https://discord.com/api/v10"
PORTAL = "https://discord.com/developers/applications"
TOKEN_PLACE = f"{PORTAL}, page Bot, Reset Token"
TOKEN_REFUSED = token_refused("Discord", "DISCORD_TOKEN", TOKEN_PLACE)
UNREADABLE = (
    "Discord's answer cannot be read; check DISCORD_API_URL and any proxy in between."
)

# https://docs.discord.com/developers/topics/opcodes-and-status-codes, "JSON error codes"
UNKNOWN_MESSAGE = 10008
UNKNOWN_WEBHOOK = 10015  # also: this interaction has no first response yet
UNKNOWN_INTERACTION = 10062
ALREADY_ACKNOWLEDGED = 40060
INVALID_WEBHOOK_TOKEN = 50027

_TIMEOUT_S = 30.0
_AGENT = "DiscordBot (simple-ai-agent, 0.1)"
EMPTY_BUCKETS = 10_000
"""Buckets of rate limits that are remembered while they are empty."""


class Refusal(DeliveryError):
    """Discord refused a call this time."""

    def __init__(self, sentence: str, *, status: int, code: int = 0) -> None:
        super().__init__(sentence)
        self.status = status
        self.code = code

    @property
    def may_have_arrived(self) -> bool:
        """Whether it is a gateway's: Discord itself may have carried the call out."""
        return self.status in (502, 504)


class LastingRefusal(Refusal, Undeliverable):
    """Discord will refuse this call forever: forbidden, gone or malformed."""


class Rest:
    """Calls with the bot's token, through one pool of connections.

    The last user closes the pool: answers may still go out after the channel stopped taking
    messages in.
    """

    def __init__(
        self,
        *,
        token: str,
        api_url: str = API_URL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._token = token
        self._api_url = api_url.rstrip("/")
        self._clock = clock
        self._proxy = Proxies.of_environment().for_url(self._api_url)
        self._session: aiohttp.ClientSession | None = None
        self._users = 0
        self._empty_until: LRUCache[str, float] = LRUCache(EMPTY_BUCKETS)  # by bucket

    @asynccontextmanager
    async def open(self) -> AsyncIterator[aiohttp.ClientSession]:
        """Inside, the connections stay open."""
        if self._session is None:
            self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())

        session = self._session
        self._users += 1

        try:
            yield session
        finally:
            self._users -= 1
            if self._users == 0:
                self._session = None
                await session.close()

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        bucket: str = "",
        signed_in: bool = True,
        seconds: float = _TIMEOUT_S,
    ) -> Any:
        """One call and its JSON. The body is JSON, too, or a form with a file.

        Calls of one `bucket` share a rate limit. A bucket that is empty by Discord's headers
        is not asked again before the time they name. `signed_in` is False for calls that
        carry an interaction's token in their path. It ends after `seconds`. Raises
        RateLimited, Refusal, LastingRefusal, or DeliveryError: Discord cannot be reached.
        """
        self._check_room(bucket)

        try:
            async with (
                self.open() as session,
                session.request(
                    method,
                    self._api_url + path,
                    headers=self._headers(signed_in=signed_in),
                    **_content(body),
                    proxy=self._proxy,
                    timeout=aiohttp.ClientTimeout(total=seconds),
                ) as response,
            ):
                self._note_room(bucket, response)
                return _result(response, await response.read())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise DeliveryError(
                f"Discord cannot be reached ({type(error).__name__}); check the "
                "network and DISCORD_API_URL."
            ) from error

    def _headers(self, *, signed_in: bool) -> dict[str, str]:
        headers = {"User-Agent": _AGENT}
        if signed_in:
            headers["Authorization"] = f"Bot {self._token}"

        return headers

    def _check_room(self, bucket: str) -> None:
        wait = self._empty_until.get(bucket, 0.0) - self._clock()
        if wait > 0:
            raise RateLimited(wait)

        self._empty_until.pop(bucket, None)

    def _note_room(self, bucket: str, response: aiohttp.ClientResponse) -> None:
        if not bucket or response.headers.get("X-RateLimit-Remaining") != "0":
            return

        seconds = _number(response.headers.get("X-RateLimit-Reset-After"), 1.0)
        self._empty_until[bucket] = self._clock() + seconds


def _content(body: object) -> dict[str, Any]:
    return {"data": body} if isinstance(body, aiohttp.FormData) else {"json": body}


def _result(response: aiohttp.ClientResponse, content: bytes) -> Any:
    data = _parse(content)
    if response.status < 300:
        if content and data is None:
            raise DeliveryError(UNREADABLE)

        return data

    fields = data if isinstance(data, dict) else {}
    if response.status == 429:
        everywhere = (
            fields.get("global")
            or response.headers.get("X-RateLimit-Scope") == "global"
        )
        wait = _number(fields.get("retry_after")) or _number(
            response.headers.get("Retry-After")
        )
        raise RateLimited(wait, "bot" if everywhere else "chat")

    lasting = response.status in (400, 403, 404, 405, 413)
    raise (LastingRefusal if lasting else Refusal)(
        f"Discord refused the call: {fields.get('message', 'no reason given')} "
        f"(status {response.status}, "
        f"code {fields.get('code', 0)}). See docs/discord.md.",
        status=response.status,
        code=int(_number(fields.get("code"))),
    )


def _number(value: Any, default: float = 0.0) -> float:
    """`default` for anything but a number: a proxy in between may name a date."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return default

    return number if isfinite(number) else default


def _parse(content: bytes) -> Any:
    try:
        return json.loads(content) if content else None
    except (ValueError, RecursionError):
        return None  # an HTML page of a proxy in between
