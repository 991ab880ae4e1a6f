"""Discord: messages over the gateway, commands over it or over HTTP, answers over REST."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING
from uuid import UUID

from agent.core.background import backoff, end
from agent.core.channel import (
    Diagnosable,
    Finding,
    Listening,
    OutgoingFile,
    SendsFiles,
    Webhook,
    WebhookReply,
)
from agent.core.messages import Address, Placed
from agent.ports import Accept, LastAccepted
from agent.settings import Settings
from channels.connection import Connection
from channels.discord.commands import keep_registered
from channels.discord.doctor import diagnose
from channels.discord.events import DiscordEvents
from channels.discord.gateway import Gateway, hold_session
from channels.discord.reading.sent import new_file
from channels.discord.reply import DiscordReply
from channels.discord.rest import API_URL, Rest
from channels.discord.webhook import Interactions
from channels.pacing import Governor, Rate
from channels.services import ChannelServices, ModelNames, no_names
from channels.unreadable import Note, UnreadableEvents, unnoted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

NAME = "discord"
WEBHOOK_PATH = "/webhooks/discord"
BOT_RATE = Rate(50, 1)
"""Global: https://docs.discord.com/developers/topics/rate-limits"""

MAX_FILE_BYTES = 10 * 1024 * 1024 - 4096
"""10 MiB, less what stands around it: https://docs.discord.com/developers/reference#uploading-files
"""

LASTING_SECONDS = 120.0
"""After a session this long, the pauses between sessions start small again."""


class Discord(Webhook, Diagnosable, Listening, SendsFiles):
    """The channel. `public_url` and `public_key` together let Discord send commands to
    `/webhooks/discord`.

    Raises ConfigurationError when `public_key` is not a key. `governor` paces what the bot
    sends (`BOT_RATE`); the limits of single channels come from Discord's headers.
    `identify_pause` is what Discord wants between two sessions, in seconds.
    """

    name = NAME
    max_file_bytes = MAX_FILE_BYTES

    def __init__(
        self,
        *,
        token: str,
        governor: Governor,
        api_url: str = API_URL,
        public_url: str | None = None,
        public_key: str | None = None,
        last_accepted: LastAccepted | None = None,
        note_unreadable: Note = unnoted,
        slash_commands: Callable[[], bool] = lambda: True,
        model_names: ModelNames = no_names,
        identify_pause: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._token = token
        self._governor = governor
        self._unreadable = UnreadableEvents(NAME, note_unreadable)
        self._api_url = api_url
        self._public_key = public_key
        self._last_accepted = last_accepted
        self._slash_commands = slash_commands
        self._model_names = model_names
        self._identify_pause = identify_pause
        self._clock = clock
        self._rest = Rest(token=token, api_url=api_url, clock=clock)
        self._accept: Accept | None = None
        self._gateway: Gateway | None = None  # the current session
        self._connection = Connection(NAME)
        self._interactions = self._endpoint_for(public_key, now)
        self._endpoint = _endpoint(public_url, public_key)

    def _endpoint_for(
        self, public_key: str | None, now: Callable[[], float]
    ) -> Interactions | None:
        """None without a key: nobody could know that a delivery is genuine."""
        if not public_key:
            return None

        return Interactions(
            public_key=public_key,
            slash_commands=self._slash_commands,
            now=now,
            unreadable=self._unreadable,
            model_names=self._model_names,
        )

    async def run(self, accept: Accept) -> None:
        """Takes messages in until cancelled; waits for a lost network to return.

        Raises ConfigurationError when Discord refuses the token or the intents.
        """
        async with self._rest.open(), self._registering():
            self._accept = accept
            try:
                await self._sessions(accept)
            finally:
                self._accept = None
                self._connection.close()

    async def _sessions(self, accept: Accept) -> None:
        while True:
            for pause in backoff(0.25, 60.0, spread=True):
                began = self._clock()
                await self._session(accept)
                await asyncio.sleep(pause)
                if self._clock() - began > LASTING_SECONDS:
                    break

    async def _session(self, accept: Accept) -> None:
        intake = DiscordEvents(
            accept=accept,
            rest=self._rest,
            last_accepted=self._last_accepted,
            slash_commands=self._slash_commands,
            unreadable=self._unreadable,
            model_names=self._model_names,
            clock=self._clock,
        )
        self._gateway = Gateway(
            intake,
            api_url=self._api_url,
            unreadable=self._unreadable,
            connection=self._connection,
            identify_pause=self._identify_pause,
        )

        try:
            await hold_session(self._gateway, self._token)
        except ConnectionError as error:
            self._connection.lost(str(error))
        finally:
            self._gateway = None
            await intake.close()

    @property
    def listening(self) -> bool:
        """Whether messages arrive over the gateway."""
        return self._gateway is not None and self._gateway.begun

    @asynccontextmanager
    async def _registering(self) -> AsyncIterator[None]:
        task = asyncio.create_task(
            keep_registered(
                self._rest, endpoint=self._endpoint, enabled=self._slash_commands
            )
        )
        try:
            yield
        finally:
            await end({task})

    def reply(
        self,
        address: Address,
        placed: Placed | None,
        turns: Sequence[UUID],
        *,
        repeat: bool = False,
    ) -> DiscordReply:
        """Any process with the token can show and finish an answer, also one that takes no
        messages in.
        """
        return DiscordReply(
            rest=self._rest,
            governor=self._governor,
            address=address,
            placed=placed,
            turn=turns[0],
            repeat=repeat,
            clock=self._clock,
        )

    async def send_file(self, address: Address, file: OutgoingFile) -> None:
        """Raises DeliveryError; Undeliverable when Discord will never take it."""
        path = f"/channels/{address.chat}/messages"

        async def send() -> None:
            await self._rest.call(
                "POST",
                path,
                new_file(file),
                bucket=f"POST {address.chat}",
                seconds=file.upload_seconds,
            )

        await self._governor.final(address.chat, "send", send)

    async def webhook(self, headers: Mapping[str, str], body: bytes) -> WebhookReply:
        """One interaction sent over HTTP; 404 when no DISCORD_PUBLIC_KEY is set."""
        if self._interactions is None:
            return WebhookReply(404)

        return await self._interactions.answer(headers, body, self._accept)

    async def diagnose(self) -> list[Finding]:
        """Checks the token, the intents, the commands' address, servers and permissions."""
        return await diagnose(
            self._rest,
            endpoint=self._endpoint,
            public_key=self._public_key,
            last_accepted=self._last_accepted,
        )


def _endpoint(
    public_url: str | None,
    public_key: str | None,
) -> str | None:
    """Where Discord sends commands, if it may send them over HTTP."""
    if not public_url or not public_key:
        return None

    return f"{public_url.rstrip('/')}{WEBHOOK_PATH}"


def build(settings: Settings, services: ChannelServices) -> Discord | None:
    """None without DISCORD_TOKEN. Raises ConfigurationError for a wrong DISCORD_PUBLIC_KEY."""
    token = settings.discord_token
    if token is None:
        return None

    return Discord(
        token=token.get_secret_value(),
        governor=Governor(bot=BOT_RATE, shared=services.shared_pace(NAME, token)),
        api_url=settings.discord_api_url,
        public_url=settings.public_url,
        public_key=settings.discord_public_key,
        slash_commands=partial(services.slash_commands, NAME),
        model_names=services.model_names,
        last_accepted=services.last_accepted,
        note_unreadable=services.note_unreadable,
    )
