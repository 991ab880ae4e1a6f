"""Discord's REST interface, as much of it as an answer needs. It never waits for a rate
limit: it names the wait.

discord.py's own client sleeps over a limit and then sends what may be outdated by then.
Here the governor decides who waits and what is dropped, so a limit is raised as
RateLimited. Any process can answer with this alone: it needs no gateway.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from math import isfinite
from typing import Any

import aiohttp

from agent.core.errors import DeliveryError, Undeliverable
from channels.pacing import RateLimited

API_URL = "https://discord.com/api/v10"
PORTAL = "https://discord.com/developers/applications"

# https://docs.discord.com/developers/topics/opcodes-and-status-codes, "JSON error codes"
UNKNOWN_MESSAGE = 10008
UNKNOWN_WEBHOOK = 10015  # also: this interaction has no first response yet
UNKNOWN_INTERACTION = 10062
ALREADY_ACKNOWLEDGED = 40060
INVALID_WEBHOOK_TOKEN = 50027

_TIMEOUT = aiohttp.ClientTimeout(total=30)
_AGENT = "DiscordBot (simple-ai-agent, 0.1)"
_FORGET_FROM = 1024  # fewer buckets than this are not worth looking through


class Refusal(DeliveryError):
    """Discord did not take a call this time."""

    def __init__(self, sentence: str, *, status: int, code: int = 0) -> None:
        super().__init__(sentence)
        self.status = status
        self.code = code


class LastingRefusal(Refusal, Undeliverable):
    """Discord will never take this call: forbidden, gone or malformed."""


class Rest:
    """Calls with the bot's token. One connection pool is open while anybody uses it, and
    closed after the last.

    An answer may still go out when the channel has stopped taking messages in; so not one
    owner but the last user closes the pool.
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
        self._session: aiohttp.ClientSession | None = None
        self._users = 0
        self._empty_until: dict[str, float] = {}  # bucket -> when it has room again

    @asynccontextmanager
    async def open(self) -> AsyncIterator[aiohttp.ClientSession]:
        """Keeps the connections open meanwhile."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=_TIMEOUT, cookie_jar=aiohttp.DummyCookieJar()
            )
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
    ) -> Any:
        """One call and its JSON.

        `bucket` names what shares a rate limit; a bucket that Discord's headers declared
        empty is not asked again before they said. `signed_in` is False for calls that carry
        an interaction's token in their path. Raises RateLimited, Refusal, LastingRefusal,
        or DeliveryError when Discord can not be reached.
        """
        self._check_room(bucket)
        headers = {"User-Agent": _AGENT} | (
            {"Authorization": f"Bot {self._token}"} if signed_in else {}
        )
        try:
            async with (
                self.open() as session,
                session.request(
                    method, self._api_url + path, json=body, headers=headers
                ) as response,
            ):
                self._note_room(bucket, response)
                return _result(response, await response.read())
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise DeliveryError(
                f"Discord can not be reached ({type(error).__name__}); check the "
                "network and DISCORD_API_URL."
            ) from error

    def _check_room(self, bucket: str) -> None:
        wait = self._empty_until.get(bucket, 0.0) - self._clock()
        if wait > 0:
            raise RateLimited(wait)
        self._empty_until.pop(bucket, None)

    def _note_room(self, bucket: str, response: aiohttp.ClientResponse) -> None:
        if not bucket or response.headers.get("X-RateLimit-Remaining") != "0":
            return
        now = self._clock()
        if len(self._empty_until) >= _FORGET_FROM:
            self._empty_until = {
                name: at for name, at in self._empty_until.items() if at > now
            }
        self._empty_until[bucket] = now + _number(
            response.headers.get("X-RateLimit-Reset-After"), 1.0
        )


def _result(response: aiohttp.ClientResponse, content: bytes) -> Any:
    data = _parse(content)
    if response.status < 300:
        if content and data is None:
            raise DeliveryError(
                "Discord's answer can not be read; check DISCORD_API_URL and any proxy in between."
            )
        return data
    named = data if isinstance(data, dict) else {}
    if response.status == 429:
        everywhere = (
            named.get("global") or response.headers.get("X-RateLimit-Scope") == "global"
        )
        wait = _number(named.get("retry_after")) or _number(
            response.headers.get("Retry-After")
        )
        raise RateLimited(wait, "bot" if everywhere else "chat")
    lasting = response.status in (400, 403, 404, 405)
    raise (LastingRefusal if lasting else Refusal)(
        f"Discord refused the call: {named.get('message', 'no reason given')} "
        f"(status {response.status}, "
        f"code {named.get('code', 0)}). See docs/discord.md.",
        status=response.status,
        code=int(_number(named.get("code"))),
    )


def _number(value: Any, otherwise: float = 0.0) -> float:
    """`otherwise` for what is none: a proxy in between may name a date."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return otherwise
    return number if isfinite(number) else otherwise


def _parse(content: bytes) -> Any:
    try:
        return json.loads(content) if content else None
    except ValueError:
        return None  # an HTML page of a proxy in between
