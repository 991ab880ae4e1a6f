"""Slack's Web API as this channel uses it, with this project's errors."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import aiohttp
from slack_sdk.errors import SlackApiError, SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

from agent.core.channel import OutgoingFile
from agent.core.errors import AnswerRefused, DeliveryError, Undeliverable
from agent.settings.proxies import Proxies
from channels.pacing import RateLimited
from channels.setup import token_refused
from channels.unreadable import READING

APPS_PAGE = "https://api.slack.com/apps"

SIGNED_OUT = frozenset(
    {
        "invalid_auth",
        "not_authed",
        "account_inactive",
        "token_revoked",
        "token_expired",
    }
)
"""Errors of any method: Slack does not accept the token, or no longer accepts it."""

WRONG_TOKEN = SIGNED_OUT | {"not_allowed_token_type"}
"""Signing in with this token will never work."""

GONE = frozenset(
    {
        "channel_not_found",
        "not_in_channel",
        "is_archived",
        "user_not_found",
        "user_not_in_channel",
        "user_disabled",
        "cannot_dm_bot",
        "messages_tab_disabled",
        "restricted_action",
        "restricted_action_read_only_channel",
        "restricted_action_thread_locked",
        "thread_not_found",
        "thread_locked",
    }
)
"""No later attempt would reach this chat (errors of chat.postMessage)."""

PASSING = frozenset(
    {"", "internal_error", "fatal_error", "service_unavailable", "request_timeout"}
    # While a workspace or a channel moves.
    | {"team_added_to_org", "org_login_required", "external_channel_migrating"}
)
"""Slack was not reached (""), or is in trouble that passes."""

_TIMEOUT_S = 15
_RETRY_UNNAMED_S = 30.0  # what Slack's own client waits when a 429 names nothing

_quiet = logging.getLogger("channels.slack.channel.sdk")
_quiet.setLevel(
    logging.CRITICAL
)  # at DEBUG the SDK logs whole requests: message texts
_quiet.propagate = False


class ApiError(DeliveryError):
    """Slack refused a call. `code` is Slack's name for the reason; "": it was not reached."""

    def __init__(self, sentence: str, code: str = "") -> None:
        super().__init__(sentence)
        self.code = code

    @property
    def is_passing(self) -> bool:
        """Whether the same call may work later. A token is mended by a person."""
        return self.code in PASSING or self.code in SIGNED_OUT


@contextmanager
def judged() -> Iterator[None]:
    """Inside, a lasting refusal of an answer becomes Undeliverable or AnswerRefused."""
    try:
        yield
    except ApiError as error:
        if error.is_passing:
            raise
        if error.code in GONE:
            raise Undeliverable(error.sentence) from error

        raise AnswerRefused(error.sentence) from error


class SlackApi:
    """Slack's Web API with one token."""

    def __init__(
        self, token: str, api_url: str, *, setting: str = "SLACK_BOT_TOKEN"
    ) -> None:
        # The SDK must not retry: a request sent twice may post a message twice.
        self._web = AsyncWebClient(
            token=token,
            base_url=api_url.rstrip("/") + "/",
            timeout=_TIMEOUT_S,
            logger=_quiet,
            retry_handlers=[],
        )
        self._proxies = Proxies.of_environment()
        # The SDK's own reading knows no NO_PROXY.
        self._web.proxy = self._proxies.for_url(self._web.base_url)
        self._setting = setting
        self.signed_out = asyncio.Event()  # set when Slack stops accepting the token
        self._calls = 0
        self._users = 0

    @asynccontextmanager
    async def session(self) -> AsyncIterator[aiohttp.ClientSession]:
        """Inside, calls share connections; outside, each opens its own."""
        session = self._web.session
        if session is None or session.closed:
            session = self._web.session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S)
            )

        self._users += 1
        try:
            yield session
        finally:
            self._users -= 1
            await self._close_when_idle()

    def proxy_for(self, url: str) -> str | None:
        """What a connection that is not one of the calls goes through."""
        return self._proxies.for_url(url)

    async def call(self, method: str, **arguments: Any) -> Mapping[str, Any]:
        """Slack's answer. Raises RateLimited (for the chat), else ApiError."""
        return (await self.call_with_headers(method, **arguments))[0]

    async def call_with_headers(
        self, method: str, **arguments: Any
    ) -> tuple[Mapping[str, Any], Mapping[str, str]]:
        """Slack's answer and the headers it came with, their names in lower case."""
        values = {
            name: value for name, value in arguments.items() if value is not None
        }
        # Slack's other methods read no JSON.
        writes = method.startswith(("chat.", "assistant."))
        async with self._translated(method):
            response = await self._web.api_call(
                method,
                json=values if writes else None,
                params=None if writes else values,
            )

        data = response.data if isinstance(response.data, dict) else {}

        return data, {name.lower(): value for name, value in response.headers.items()}

    async def upload(self, chat: str, thread: str, file: OutgoingFile) -> None:
        """Puts a file into a chat. Raises RateLimited (for the chat), else ApiError."""
        target = await self.call(
            "files.getUploadURLExternal",
            filename=file.name,
            length=len(file.content),
        )
        await self._put(str(target.get("upload_url")), file)
        await self.call(
            "files.completeUploadExternal",
            files=json.dumps([{"id": target.get("file_id"), "title": file.name}]),
            channel_id=chat,
            thread_ts=thread or None,
        )

    async def _put(self, url: str, file: OutgoingFile) -> None:
        """The SDK's own upload ends after the few seconds of any call."""
        timeout = aiohttp.ClientTimeout(total=file.upload_seconds)
        async with (
            self._translated("the upload"),
            self.session() as session,
            session.post(
                url,
                data=file.content,
                proxy=self.proxy_for(url),
                timeout=timeout,
            ) as response,
        ):
            _check_upload(response)

    @asynccontextmanager
    async def _translated(self, method: str) -> AsyncIterator[None]:
        """Inside is one call. Its errors become this project's."""
        self._calls += 1
        try:
            yield
        except SlackApiError as error:
            raise self._refusal(method, error) from error
        except (
            SlackClientError,
            aiohttp.ClientError,
            TimeoutError,
            OSError,
            *READING,
        ) as error:
            # READING: the SDK's own, when a proxy answers with text instead of JSON, or with
            # bytes that are none.
            raise ApiError(
                f"Slack cannot be reached ({type(error).__name__}); check the network "
                "and SLACK_API_URL."
            ) from error
        finally:
            self._calls -= 1
            await self._close_when_idle()

    async def _close_when_idle(self) -> None:
        """Not earlier: an answer may be on its way while the channel stops."""
        if not self._calls and not self._users and self._web.session is not None:
            await self._web.session.close()

    def _refusal(self, method: str, error: SlackApiError) -> Exception:
        data = getattr(error.response, "data", None)
        body: Mapping[str, Any] = data if isinstance(data, dict) else {}
        code = str(body.get("error") or "")
        status = getattr(error.response, "status_code", 0)
        if status == 429 or code in ("ratelimited", "rate_limited"):
            return RateLimited(_seconds(error.response.headers.get("Retry-After")))

        if code in SIGNED_OUT:
            self.signed_out.set()

        return ApiError(
            self._sentence(method, code or f"status {status}", body), code
        )

    @property
    def revoked(self) -> str:
        """The sentence for a token that Slack no longer accepts."""
        return self._sentence("", "token_revoked", {})

    def _sentence(self, method: str, code: str, body: Mapping[str, Any]) -> str:
        if code in WRONG_TOKEN:
            return token_refused("Slack", self._setting, APPS_PAGE, code)

        if code == "missing_scope":
            return (
                f"The Slack app lacks the scope {body.get('needed')} for {method} "
                f"(it has {body.get('provided')}): add it at {APPS_PAGE}, OAuth "
                "& Permissions, and reinstall."
            )

        if code in ("not_in_channel", "channel_not_found"):
            return (
                f"The agent is not in that Slack channel ({code}): write "
                "/invite and its name there."
            )

        return f"Slack refused {method}: {code}."


def _check_upload(response: aiohttp.ClientResponse) -> None:
    """Slack's host for uploads has no names for its reasons."""
    status = response.status
    if status == 429:
        raise RateLimited(_seconds(response.headers.get("Retry-After")))
    if status != 200:
        code = "" if status >= 500 else f"status {status}"
        raise ApiError(f"Slack did not take the file (status {status}).", code)


def _seconds(retry_after: str | None) -> float:
    try:
        return float(retry_after or _RETRY_UNNAMED_S)
    except ValueError:
        return _RETRY_UNNAMED_S
