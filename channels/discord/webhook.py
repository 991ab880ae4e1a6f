"""Discord's interactions endpoint. Deliveries over HTTP are verified before they are read."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from agent.core.channel import WebhookReply
from agent.core.errors import ConfigurationError, StoreUnavailable
from agent.ports import Accept
from channels.discord.interaction import (
    PING,
    PONG,
    TYPING,
    CommandUse,
    choices,
    switched_off,
    use_of,
)
from channels.discord.reading.fields import Payload, record
from channels.services import ModelNames, no_names
from channels.unreadable import UnreadableEvents, storable

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

MAX_AGE = 300.0
"""Seconds. A delivery dated further away, before or after now, is a copy."""

_SIGNATURE = re.compile(r"[0-9a-f]{128}")
_TIMESTAMP = re.compile(r"[0-9]{1,12}")


class Interactions:
    """Answers deliveries to `/webhooks/discord`."""

    def __init__(
        self,
        *,
        public_key: str,
        slash_commands: Callable[[], bool],
        unreadable: UnreadableEvents,
        model_names: ModelNames = no_names,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._key = _load_key(public_key)
        self._slash_commands = slash_commands
        self._now = now
        self._unreadable = unreadable
        self._model_names = model_names

    async def answer(
        self, headers: Mapping[str, str], body: bytes, accept: Accept | None
    ) -> WebhookReply:
        """401: Discord did not sign it in the last minutes. 503: it is not durable. What cannot
        be read is passed over.

        A command is deferred once it is durable. `accept` is None while nothing takes
        messages in.
        """
        if not self._is_genuine(headers, body):
            return WebhookReply(401)

        use: CommandUse | None = None
        typing: Payload | None = None
        with self._unreadable.reading("interaction"):
            payload = json.loads(body)
            if payload["type"] == PING:
                return _json({"type": PONG})
            if payload["type"] == TYPING:
                typing = record(payload)
            if use := use_of(record(payload)):
                storable(use.inbound)

        if typing is not None:
            return _json(await choices(typing, self._model_names))
        if (
            use is None
        ):  # Discord offers nothing else of ours, and shows that it failed
            return WebhookReply(200)
        if not use.is_press and not self._slash_commands():
            return _json(switched_off())
        if accept is None:
            return WebhookReply(503)

        try:
            heard = await accept(use.inbound)
        except StoreUnavailable:
            return WebhookReply(503)

        return _json(use.response(heard=heard))

    def _is_genuine(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Ed25519 over timestamp and raw body. Only Discord's own spelling is accepted."""
        signature = headers.get("x-signature-ed25519", "")
        timestamp = headers.get("x-signature-timestamp", "")
        if not _SIGNATURE.fullmatch(signature) or not _TIMESTAMP.fullmatch(timestamp):
            return False

        from cryptography.exceptions import InvalidSignature

        try:
            self._key.verify(bytes.fromhex(signature), timestamp.encode() + body)
        except InvalidSignature:
            return False

        return abs(self._now() - int(timestamp)) <= MAX_AGE


def _load_key(public_key: str) -> Ed25519PublicKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        return Ed25519PublicKey.from_public_bytes(bytes.fromhex(public_key))
    except ValueError as error:
        raise ConfigurationError(
            "DISCORD_PUBLIC_KEY is not a key; copy Public Key from the page General Information of "
            "your application at https://discord.com/developers/applications."
        ) from error


def _json(content: object) -> WebhookReply:
    return WebhookReply(200, json.dumps(content).encode(), "application/json")
