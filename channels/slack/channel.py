"""Slack: Socket Mode, or signed webhooks when Slack can reach the agent."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from cachetools import TTLCache
from pydantic import SecretStr
from slack_bolt.request.async_request import AsyncBoltRequest

from agent.core.background import end
from agent.core.channel import (
    Diagnosable,
    Finding,
    Listening,
    OutgoingFile,
    SendsFiles,
    Webhook,
    WebhookReply,
)
from agent.core.errors import ConfigurationError, StoreUnavailable
from agent.core.messages import Address, Inbound, Placed
from agent.ports import Accept, LastAccepted, Reply
from agent.settings import Settings
from channels.connection import Connection
from channels.pacing import Governor, Rate
from channels.services import ChannelServices
from channels.slack.api import SlackApi, judged
from channels.slack.assistant import AssistantWindow
from channels.slack.catch_up import CatchUp, catch_up, until_stored
from channels.slack.directory import Directory, Threads
from channels.slack.doctor import Link, diagnose
from channels.slack.events import SlackEvents
from channels.slack.incoming.above import MessagesAbove
from channels.slack.incoming.payloads import parsed_delivery
from channels.slack.reply import EphemeralReply, SlackReply
from channels.slack.sign_in import Identity, sign_in
from channels.slack.signature import is_genuine
from channels.slack.socket_mode import SocketMode
from channels.slack.writer import Abilities, Writer
from channels.unreadable import Note, UnreadableEvents, unnoted

NAME = "slack"
CHAT_RATE = Rate(5, 5)
"""About one message a second and channel, in short bursts:
https://docs.slack.dev/apis/web-api/rate-limits
"""

MAX_FILE_BYTES = 50_000_000
"""Slack takes 1 GB, but a file is in memory while it is sent."""

_COMMANDS = 10_000  # slash commands whose address is remembered
_RESPONSE_URL_S = 1800.0
"""30 minutes: https://docs.slack.dev/interactivity/handling-user-interaction"""

_KNOWN_CHATS_S = 6.0  # Slack delivers again what is not acknowledged by then

_log = logging.getLogger(__name__)


class Slack(Webhook, Diagnosable, Listening, SendsFiles):
    """The agent as a Slack app in one workspace.

    Events come over HTTP when `public_url` and `signing_secret` are given, else over sockets
    with `app_token`. `interval` is the minimum time in seconds between two states of a
    growing answer. `clock` is wall time in seconds, because other instances read when a
    stream began.
    """

    name = NAME
    max_file_bytes = MAX_FILE_BYTES

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
        note_unreadable: Note = unnoted,
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
        self._link = Link(self._api, app, signing_secret, public_url, last_accepted)
        self._governor = governor
        self._unreadable = UnreadableEvents(NAME, note_unreadable)
        self._slash_commands = slash_commands
        self._interval = interval
        self._clock = clock
        self._sleep = sleep
        self._abilities = Abilities()
        self._window = AssistantWindow(self._api, clock)
        self._connection = Connection(NAME)
        self._events: SlackEvents | None = None
        self._chats_known = asyncio.Event()  # the last accepted message of each chat
        self._response_urls: TTLCache[UUID, str] = TTLCache(
            _COMMANDS, _RESPONSE_URL_S, clock
        )

    async def run(self, accept: Accept) -> None:
        """Takes messages in until cancelled.

        Raises ConfigurationError when Slack does not accept a token (any more), when a
        scope is missing without which nothing works, or when there is no way for events to
        come in.
        """
        async with self._api.session():
            me = await sign_in(self._api, self._connection, self._sleep)
            events = self._events_of(me, accept)
            catching_up = CatchUp(partial(self._catch_up, events))
            self._events = events

            try:
                await _first(
                    self._listen(events, catching_up), self._api.signed_out.wait()
                )
            finally:
                self._events = None
                self._connection.close()
                await catching_up.stop()
                await events.above.close()
                await self._window.close()

        raise ConfigurationError(self._api.revoked)

    def reply(
        self,
        address: Address,
        placed: Placed | None,
        turns: Sequence[UUID],
        *,
        repeat: bool = False,
    ) -> Reply:
        """An answer for this address; what `placed` names is edited."""
        writer = Writer(self._api, address, turns, self._abilities, self._clock)
        extra, is_direct = address.extra, address.chat.startswith("D")
        if "press" in extra or ("command" in extra and not is_direct):
            return EphemeralReply(
                api=self._api,
                governor=self._governor,
                address=address,
                url=self._response_urls.get(turns[-1]),
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

    async def send_file(self, address: Address, file: OutgoingFile) -> None:
        """Raises DeliveryError; AnswerRefused or Undeliverable when Slack does not take it."""
        send = partial(self._api.upload, address.chat, address.thread, file)
        with judged():
            await self._governor.final(address.chat, "files", send)

    @property
    def listening(self) -> bool:
        """Whether it is signed in and takes webhooks."""
        return self._events is not None

    async def webhook(self, headers: Mapping[str, str], body: bytes) -> WebhookReply:
        """One delivery of Slack. 401: not signed by Slack. 503: not durable, deliver it again.
        What cannot be read is passed over: it would come again forever.
        """
        secret = self._link.signing_secret
        if not (secret and is_genuine(secret, headers, body, now=self._clock())):
            return WebhookReply(401)
        if self._events is None:
            return WebhookReply(503)

        text, parsed = "", None
        with self._unreadable.reading("delivery"):
            text = body.decode()
            parsed = parsed_delivery(headers, text)

        if parsed is None:
            return WebhookReply(200)

        response = await self._events.take(
            parsed,
            partial(AsyncBoltRequest, body=text, headers=dict(headers)),
        )
        content_type = response.first_headers().get("content-type", "text/plain")

        return WebhookReply(
            response.status,
            (response.body or "").encode(),
            content_type.partition(";")[0],
        )

    async def diagnose(self) -> list[Finding]:
        """Signs in, tries the transport, and looks whether messages arrive."""
        async with self._api.session():
            return await diagnose(self._link)

    def _events_of(self, me: Identity, accept: Accept) -> SlackEvents:
        async def accept_in_order(inbound: Inbound) -> bool:
            await self._until_chats_known()
            taken = await accept(inbound)
            self._window.accepted(inbound)

            return taken

        people = Directory(self._api, self._clock)

        return SlackEvents(
            me=me,
            accept=accept_in_order,
            people=people,
            above=MessagesAbove(self._api, me, people),
            threads=Threads(self._api, self._clock),
            slash_commands=self._slash_commands,
            opened=self._window.opened,
            response_urls=self._response_urls,
            unreadable=self._unreadable,
        )

    async def _listen(self, events: SlackEvents, catching_up: CatchUp) -> None:
        if self._link.by_http:
            self._connection.established()
            catching_up.start()
            await asyncio.Event().wait()

        if self._link.app is None:
            missing = (
                "SLACK_SIGNING_SECRET" if self._link.public_url else "SLACK_APP_TOKEN"
            )
            raise ConfigurationError(
                f"{missing} is not set, so no event of Slack can come in; see docs/slack.md."
            )

        await SocketMode(
            self._link.app,
            events.take_envelope,
            connected=catching_up.start,
            connection=self._connection,
            unreadable=self._unreadable,
            sleep=self._sleep,
        ).run()

    async def _catch_up(self, events: SlackEvents) -> None:
        if self._link.last_accepted is None:
            return

        self._chats_known.clear()
        accepted = await until_stored(
            partial(self._link.last_accepted, self.name), self._sleep
        )
        self._chats_known.set()
        await catch_up(
            self._api,
            accepted,
            events.message,
            self._unreadable,
            clock=self._clock,
            sleep=self._sleep,
        )

    async def _until_chats_known(self) -> None:
        """A message accepted before that would hide the missed messages before it.

        Raises StoreUnavailable when it takes long; Slack delivers the message again.
        """
        if self._link.last_accepted is None:
            return

        try:
            async with asyncio.timeout(_KNOWN_CHATS_S):
                await self._chats_known.wait()
        except TimeoutError:
            raise StoreUnavailable(StoreUnavailable.__doc__) from None


async def _first(*works: Coroutine[Any, Any, object]) -> None:
    """Runs them until the first ends."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        await end(tasks)


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
        note_unreadable=services.note_unreadable,
    )


def _revealed(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None
