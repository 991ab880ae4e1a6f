"""Slack: Socket Mode, or signed webhooks when Slack can reach the agent."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from functools import partial
from typing import Any
from uuid import UUID

from pydantic import SecretStr
from slack_bolt.request.async_request import AsyncBoltRequest

from agent.core.channel import Finding, WebhookReply
from agent.core.errors import ConfigurationError, StoreUnavailable
from agent.core.messages import Address, Edited, Inbound, Placed, Said
from agent.ports import Accept, Diagnosable, LastAccepted, Listening, Reply, Webhook
from agent.settings import Settings
from channels.pacing import Governor, Rate, RateLimited
from channels.services import ChannelServices
from channels.slack.api import ApiError, Recent, SlackApi
from channels.slack.catch_up import CatchUp, catch_up, until_stored
from channels.slack.directory import Directory, Identity, Threads
from channels.slack.doctor import Connection, diagnose, sign
from channels.slack.events import SlackEvents
from channels.slack.reply import EphemeralReply, SlackReply
from channels.slack.setup import ESSENTIAL, PROMPTS, lacks_scopes, missing_scopes
from channels.slack.socket_mode import SocketMode, raise_if_final
from channels.slack.writer import Abilities, Writer

NAME = "slack"
CHAT_RATE = Rate(5, 5)
"""About one message a second and channel, in short bursts:
https://docs.slack.dev/apis/web-api/rate-limits
"""

_SIGNATURE_AGE_S = 300  # docs.slack.dev/authentication/verifying-requests-from-slack
_LONGEST_BACKOFF_S = 30.0
_REMEMBERED = 10_000  # threads and commands
_UNTITLED_S = 3600.0
_LOOK_BACK_S = 6.0
_TITLE = 60  # characters

_log = logging.getLogger(__name__)


class Slack(Webhook, Diagnosable, Listening):
    """The agent as a Slack app in one workspace.

    Events come over HTTP when `public_url` and `signing_secret` are given, else by sockets
    with `app_token`. `interval` is the least time in seconds between two states of a
    growing answer; `clock` is wall time in seconds, because other instances read when a
    stream began.
    """

    name = NAME

    def __init__(
        self,
        *,
        bot_token: str,
        governor: Governor,
        slash_commands: Callable[[], bool],
        app_token: str | None = None,
        signing_secret: str | None = None,
        api_url: str = "https://slack.com/api/",
        public_url: str | None = None,
        last_accepted: LastAccepted | None = None,
        interval: float = 1.0,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._api = SlackApi(bot_token, api_url)
        app = (
            SlackApi(app_token, api_url, setting="SLACK_APP_TOKEN")
            if app_token
            else None
        )
        self._link = Connection(
            self._api, app, signing_secret, public_url, last_accepted
        )
        self._governor = governor
        self._slash_commands = slash_commands
        self._interval = interval
        self._clock = clock
        self._sleep = sleep
        self._abilities = Abilities()
        self._intake: SlackEvents | None = None
        self._left = asyncio.Event()  # set while it is known where each chat was left
        self._tasks: set[asyncio.Task[None]] = set()
        self._untitled: Recent[bool] = Recent(_REMEMBERED, clock)
        self._urls: Recent[str] = Recent(_REMEMBERED, clock)

    async def run(self, accept: Accept) -> None:
        """Takes messages in until cancelled.

        Raises ConfigurationError when Slack does not accept a token (any more), when a
        scope is missing without which nothing works, or when there is no way for events to
        come in.
        """
        async with self._api.session():
            intake = self._intake_of(await self._sign_in(), accept)
            catching = CatchUp(lambda: self._catch_up(intake))
            self._intake = intake

            try:
                await _first(
                    self._listen(intake, catching), self._api.signed_out.wait()
                )
            finally:
                self._intake = None
                await catching.stop()
                await _cancel(self._tasks)

        raise ConfigurationError(self._api.revoked)

    def reply(
        self,
        address: Address,
        placed: Placed | None,
        turn: UUID,
        *,
        repeat: bool = False,
    ) -> Reply:
        """An answer for this address; what `placed` names is edited."""
        writer = Writer(self._api, address, turn, self._abilities, self._clock)
        if address.extra.get("command") and not address.chat.startswith("D"):
            return EphemeralReply(
                api=self._api,
                governor=self._governor,
                address=address,
                url=self._urls.get(turn),
            )

        return SlackReply(
            writer=writer,
            governor=self._governor,
            address=address,
            placed=placed,
            repeat=repeat,
            clock=self._clock,
            interval=self._interval,
        )

    @property
    def listening(self) -> bool:
        """Whether it is signed in and takes webhooks."""
        return self._intake is not None

    async def webhook(self, headers: Mapping[str, str], body: bytes) -> WebhookReply:
        """One delivery of Slack. 401: not signed by Slack. 503: not durable, deliver it again."""
        if not self._signed(headers, body):
            return WebhookReply(401)
        if self._intake is None:
            return WebhookReply(503)

        request = _request(headers, body)
        if request is None:
            return WebhookReply(400)

        response = await self._intake.take(request)
        content_type = (
            response.first_headers().get("content-type", "text/plain").partition(";")[0]
        )

        return WebhookReply(
            response.status, (response.body or "").encode(), content_type
        )

    async def diagnose(self) -> list[Finding]:
        """Signs in, tries the transport, and looks whether messages arrive."""
        async with self._api.session():
            return await diagnose(self._link)

    # --- signing in -----------------------------------------------------------

    async def _sign_in(self) -> Identity:
        self._api.signed_out.clear()
        pause = 1.0

        while True:
            try:
                me, headers = await self._api.call_with_headers("auth.test")
            except RateLimited as limit:
                await self._sleep(limit.retry_after)
            except ApiError as error:
                raise_if_final(error)
                _log.warning("Slack sign-in: %s", error.sentence)
                await self._sleep(pause)
                pause = min(2 * pause, _LONGEST_BACKOFF_S)
            else:
                _check_scopes(headers)
                return Identity(
                    user=str(me["user_id"]),
                    bot=str(me.get("bot_id") or ""),
                    team=str(me.get("team_id") or ""),
                )

    def _intake_of(self, me: Identity, accept: Accept) -> SlackEvents:
        async def taken(inbound: Inbound) -> bool:
            await self._looked_back()
            heeded = await accept(inbound)
            self._title(inbound)

            return heeded

        return SlackEvents(
            me=me,
            accept=taken,
            people=Directory(self._api, self._clock),
            threads=Threads(self._api, self._clock),
            slash_commands=self._slash_commands,
            opened=self._opened,
            urls=self._urls,
        )

    # --- listening ------------------------------------------------------------

    async def _listen(self, intake: SlackEvents, catching: CatchUp) -> None:
        if self._link.by_http:
            catching.start()
            await asyncio.Event().wait()

        if self._link.app is None:
            missing = (
                "SLACK_SIGNING_SECRET" if self._link.public_url else "SLACK_APP_TOKEN"
            )
            raise ConfigurationError(
                f"{missing} is not set, so no event of Slack can come in; see docs/slack.md."
            )

        async def handle(payload: Mapping[str, Any]) -> Mapping[str, Any] | None:
            response = await intake.take(
                AsyncBoltRequest(mode="socket_mode", body=dict(payload))
            )
            if response.status != 200:
                return None

            return {"text": response.body} if response.body else {}

        await SocketMode(
            self._link.app, handle, connected=catching.start, sleep=self._sleep
        ).run()

    async def _catch_up(self, intake: SlackEvents) -> None:
        if self._link.last_accepted is None:
            return

        self._left.clear()
        accepted = await until_stored(
            partial(self._link.last_accepted, self.name), self._sleep
        )
        self._left.set()
        await catch_up(
            self._api, accepted, intake.message, clock=self._clock, sleep=self._sleep
        )

    async def _looked_back(self) -> None:
        """Until it is known where each chat was left: what is accepted before would hide
        what was said before it.

        Raises StoreUnavailable when that takes long; Slack delivers the message again.
        """
        if self._link.last_accepted is None:
            return

        try:
            async with asyncio.timeout(_LOOK_BACK_S):
                await self._left.wait()
        except TimeoutError:
            raise StoreUnavailable(StoreUnavailable.__doc__) from None

    def _signed(self, headers: Mapping[str, str], body: bytes) -> bool:
        stamp, given = (
            headers.get("x-slack-request-timestamp", ""),
            headers.get("x-slack-signature", ""),
        )
        if not (
            self._link.signing_secret
            and stamp.isascii()
            and stamp.isdigit()
            and len(stamp) < 16
        ):
            return False

        if abs(self._clock() - int(stamp)) > _SIGNATURE_AGE_S:
            return False

        return hmac.compare_digest(
            sign(self._link.signing_secret, stamp, body).encode(), given.encode()
        )

    # --- the window for conversations with an agent ---------------------------

    def _opened(self, event: Mapping[str, Any]) -> None:
        """Suggests how to begin. Not awaited: Slack waits for the acknowledgement."""
        thread = event.get("assistant_thread")
        if thread:
            self._untitled.put(
                (thread["channel_id"], thread["thread_ts"]), True, _UNTITLED_S
            )
            where = {
                "channel_id": thread["channel_id"],
                "thread_ts": thread["thread_ts"],
            }
        elif event.get("tab") == "messages":
            where = {"channel_id": event["channel"]}
        else:
            return

        self._in_background(
            "assistant.threads.setSuggestedPrompts", **where, prompts=list(PROMPTS)
        )

    def _title(self, inbound: Inbound) -> None:
        """A new thread is called by its first message."""
        if not isinstance(inbound, Said | Edited):
            return

        chat, thread = inbound.address.chat, inbound.address.thread
        if inbound.text.strip() and self._untitled.pop((chat, thread)):
            title = inbound.text.strip().splitlines()[0][:_TITLE]
            self._in_background(
                "assistant.threads.setTitle",
                channel_id=chat,
                thread_ts=thread,
                title=title,
            )

    def _in_background(self, method: str, **arguments: Any) -> None:
        task = asyncio.create_task(self._try(method, **arguments))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _try(self, method: str, **arguments: Any) -> None:
        try:
            await self._api.call(method, **arguments)
        except (ApiError, RateLimited) as error:
            _log.info(
                "%s was refused (%s); that is only less comfort",
                method,
                type(error).__name__,
            )


def _request(headers: Mapping[str, str], body: bytes) -> AsyncBoltRequest | None:
    """The request as Bolt reads it; None when it is neither a form nor a JSON object."""
    try:
        text = body.decode()
        if "json" in headers.get("content-type", "") and not isinstance(
            json.loads(text), dict
        ):
            return None

        return AsyncBoltRequest(body=text, headers=dict(headers))
    except ValueError:
        return None


def _check_scopes(headers: Mapping[str, str]) -> None:
    lacking = missing_scopes(headers)
    if ESSENTIAL.intersection(lacking):
        raise ConfigurationError(lacks_scopes(lacking))

    if lacking:
        _log.warning("%s", lacks_scopes(lacking))


async def _first(*works: Coroutine[Any, Any, object]) -> None:
    """Runs them until the first ends."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        await _cancel(tasks)


async def _cancel(tasks: Iterable[asyncio.Task[Any]]) -> None:
    ending = list(tasks)
    for task in ending:
        task.cancel()

    await asyncio.gather(*ending, return_exceptions=True)


def build(settings: Settings, services: ChannelServices) -> Slack | None:
    """None without SLACK_BOT_TOKEN."""
    token = settings.slack_bot_token
    if token is None:
        return None

    shared = services.shared_pace(NAME, token)

    return Slack(
        bot_token=token.get_secret_value(),
        governor=Governor(chat=CHAT_RATE, shared=shared),
        slash_commands=partial(services.slash_commands, NAME),
        app_token=_revealed(settings.slack_app_token),
        signing_secret=_revealed(settings.slack_signing_secret),
        api_url=settings.slack_api_url,
        public_url=settings.public_url,
        last_accepted=services.last_accepted,
    )


def _revealed(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None
