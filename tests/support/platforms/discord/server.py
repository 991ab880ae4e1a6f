"""The server: the state behind REST and gateway, listening on loopback."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any, Self

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.support.platforms.discord.faults import Faults
from tests.support.platforms.discord.gateway import Gateway
from tests.support.platforms.discord.rest import Routes
from tests.support.platforms.discord.state import DiscordState


class DiscordServer:
    """Use as `async with`. Afterwards everything it held is closed."""

    def __init__(self, token: str = "discord-token", *, port: int = 0) -> None:
        self._port = port
        self.token = token
        # set whenever something changed that a test may wait for
        self.heard = asyncio.Event()
        self.gateway = Gateway(token, self.heard)
        self.state = DiscordState(self._dispatch)
        self.faults = Faults()
        self.calls: list[
            tuple[str, str]
        ] = []  # method and channel of every outbound call, refused ones too
        self.files: list[tuple[str, str, bytes]] = []  # channel, name, content
        self.refuses_files = False
        self.command_syncs = 0
        self.command_lists = 0
        self.histories = 0
        self.asked_who_i_am = 0
        self.endpoint_reachable = True
        self.may_set_flags = True
        self.expired_tokens: set[str] = set()
        self.key = Ed25519PrivateKey.generate()
        self.state.application["verify_key"] = self.public_key
        self._runner: web.AppRunner | None = None
        self.api_url = ""

    def _dispatch(self, event: str, data: Any) -> None:
        self.gateway.dispatch(event, data)
        self.heard.set()

    async def until(
        self, condition: Callable[[], object], *, seconds: float = 10.0
    ) -> None:
        """Returns when the condition holds; looks again whenever something changed. Raises
        TimeoutError.
        """
        async with asyncio.timeout(seconds):
            while not condition():
                self.heard.clear()
                await self.heard.wait()

    @property
    def public_key(self) -> str:
        """What the portal shows, in hex."""
        return self.key.public_key().public_bytes_raw().hex()

    async def __aenter__(self) -> Self:
        self._runner = web.AppRunner(
            Routes(self).application(), access_log=None, shutdown_timeout=0.1
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self._port)
        await site.start()
        port = self._runner.addresses[0][1]
        self.api_url = f"http://127.0.0.1:{port}/api/v10"
        self.gateway.url = f"ws://127.0.0.1:{port}/gateway"

        return self

    async def __aexit__(self, *_: object) -> None:
        await self.gateway.drop(resumable=False)
        assert self._runner is not None
        await self._runner.cleanup()

    def use_command(
        self,
        channel: str,
        name: str,
        argument: str = "",
        *,
        user: str = "ada",
    ) -> str:
        """A person uses a command, over the gateway or over HTTP. Returns
        its token.
        """
        use = self.state.use_command(channel, name, argument, user=user)
        if not self.state.application.get("interactions_endpoint_url"):
            self._dispatch("INTERACTION_CREATE", use)

        return str(use["token"])

    def press(self, message: str, data: str, *, user: str = "ada") -> str:
        """A person presses a button under a message. Returns the interaction's token."""
        use = self.state.press(message, data, user=user)
        if not self.state.application.get("interactions_endpoint_url"):
            self._dispatch("INTERACTION_CREATE", use)

        return str(use["token"])

    def signed(
        self, content: object, *, at: float | None = None
    ) -> tuple[dict[str, str], bytes]:
        """Headers (lower case) and body of a delivery to the interactions endpoint; bytes go
        as they are.
        """
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        timestamp = str(int(time.time() if at is None else at))
        signature = self.key.sign(timestamp.encode() + body).hex()

        return {
            "x-signature-ed25519": signature,
            "x-signature-timestamp": timestamp,
        }, body

    def screen(self, channel: str) -> list[str]:
        """What the bot's messages in this channel say, oldest first; a deferred answer is
        not there yet.
        """
        mine = (
            m
            for m in self.state.messages[channel]
            if m["author"]["id"] == self.state.bot["id"]
        )
        return [message["content"] for message in mine if message["content"]]
