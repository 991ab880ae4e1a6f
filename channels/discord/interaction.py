"""Application commands: a use of one becomes a Said, and its answer edits the deferred
response.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from msgspec import Struct

from agent.core.errors import DeliveryError
from agent.core.messages import Address, Pressed, Said
from channels.discord.reading.buttons import is_answered_alone, pressed
from channels.discord.reading.content import name_of
from channels.discord.reading.fields import (
    Payload,
    digits,
    needed,
    number,
    part,
    parts,
    string,
)
from channels.discord.reading.sent import message_of
from channels.discord.rest import (
    ALREADY_ACKNOWLEDGED,
    INVALID_WEBHOOK_TOKEN,
    UNKNOWN_INTERACTION,
    UNKNOWN_MESSAGE,
    UNKNOWN_WEBHOOK,
    Refusal,
    Rest,
)
from channels.pacing import RateLimited
from channels.services import ModelNames

PING, COMMAND, PRESS, TYPING = 1, 2, 3, 4  # types of interactions
PONG, MESSAGE, DEFERRED, SEEN, CHOICES = 1, 4, 5, 6, 8  # types of first responses
EPHEMERAL = 64  # a message that only this person sees

MAX_CHOICES, MAX_CHOICE_CHARS = 25, 100
"""What Discord takes for an argument that is being typed."""

OVERTAKEN_SECONDS = 0.3
"""How long an answer waits for the deferral that it overtook."""

SWITCHED_OFF = "Commands are switched off here. Please write to me instead."
_TOKEN_OVER = {
    UNKNOWN_WEBHOOK,
    UNKNOWN_INTERACTION,
    INVALID_WEBHOOK_TOKEN,
    UNKNOWN_MESSAGE,
}


class CommandUse(Struct, frozen=True):
    """One use of a command or press of a button, from the gateway or over HTTP."""

    id: str
    token: str
    inbound: Said | Pressed

    @property
    def is_press(self) -> bool:
        """Whether a button was pressed. The flag of commands does not concern it."""
        return isinstance(self.inbound, Pressed)

    def response(self, *, heard: bool) -> dict[str, Any]:
        """The first response, once it is durable. `heard`: something will be said."""
        if isinstance(self.inbound, Said):
            return {"type": DEFERRED}
        if not heard:
            return {"type": SEEN}

        alone = is_answered_alone(self.inbound)
        return {"type": DEFERRED, "data": {"flags": EPHEMERAL if alone else 0}}


def use_of(payload: Payload) -> CommandUse | None:
    """What an interaction of a person is; None: nothing of ours. Raises ValueError."""
    kind = number(payload, "type")
    if kind == COMMAND:
        return command_use(payload)

    inbound = pressed(payload) if kind == PRESS else None
    if inbound is None:
        return None

    return CommandUse(inbound.message_id, inbound.address.extra["token"], inbound)


def command_use(payload: Payload) -> CommandUse:
    """A use of a command, as the gateway and the interactions endpoint tell of it. It
    becomes `/name argument`; its address holds what an answer needs.

    Raises ValueError when something is missing without which it cannot be answered.
    """
    id, token = needed(payload, "id"), string(payload, "token")
    application, name = (
        needed(payload, "application_id"),
        string(_data(payload), "name"),
    )
    member = part(payload, "member")
    user = part(member, "user") or part(payload, "user")
    if not token or not name:
        raise ValueError("no token or no name of a command")

    address = Address(
        channel="discord",
        chat=needed(payload, "channel_id"),
        extra={"interaction": id, "token": token, "application": application},
    )
    inbound = Said(
        address=address,
        message_id=id,
        user_id=needed(user, "id"),
        text=" ".join([f"/{name}", *_values(_data(payload))]),
        username=name_of(user, member),
        direct=not digits(payload, "guild_id"),
    )

    return CommandUse(
        id=id,
        token=token,
        inbound=inbound,
    )


def _data(payload: Payload) -> Payload:
    return part(payload, "data")


def _values(data: Payload) -> list[str]:
    values = (option.get("value") for option in parts(data, "options"))
    return [str(value) for value in values if isinstance(value, str | int | float)]


async def respond(
    rest: Rest, id: str, token: str, response: Mapping[str, Any]
) -> None:
    """Gives an interaction its first response. An earlier response stays."""
    try:
        await rest.call(
            "POST", f"/interactions/{id}/{token}/callback", response, signed_in=False
        )
    except Refusal as refusal:
        if refusal.code != ALREADY_ACKNOWLEDGED:
            raise


def switched_off() -> dict[str, Any]:
    """The first response to a command while the flag `enable_slash_commands` is off."""
    return {"type": MESSAGE, "data": {"content": SWITCHED_OFF, "flags": EPHEMERAL}}


async def choices(payload: Payload, names: ModelNames) -> dict[str, Any]:
    """The first response while somebody types an argument: models that it may become."""
    typed = "".join(_values(_data(payload)))
    found = await names("discord", typed)
    short = [name for name in found if len(name) <= MAX_CHOICE_CHARS][:MAX_CHOICES]
    offered = [{"name": name, "value": name} for name in short]

    return {"type": CHOICES, "data": {"choices": offered}}


async def offer_choices(rest: Rest, payload: Payload, names: ModelNames) -> None:
    """Where Discord tells over the gateway what is being typed. Nothing depends on it."""
    response = await choices(payload, names)
    with suppress(DeliveryError, RateLimited):
        await respond(rest, needed(payload, "id"), string(payload, "token"), response)


class InteractionAnswer(Struct, frozen=True):
    """The deferred response of one interaction. Its token lasts 15 minutes."""

    rest: Rest
    id: str
    token: str
    application: str

    @classmethod
    def of(cls, address: Address, rest: Rest) -> InteractionAnswer | None:
        """None when the address is that of an ordinary message."""
        extra = address.extra
        if "token" not in extra:
            return None

        return cls(rest, extra["interaction"], extra["token"], extra["application"])

    async def put(self, body: Mapping[str, Any]) -> str | None:
        """Edits the response and returns its message's id; None when the token is over.

        The deferral follows the commit, and the answer can overtake both. Then it waits a
        moment. If the instance that took the command in has died meanwhile, it defers itself.
        """
        if message := await self._edit(body):
            return message

        await asyncio.sleep(OVERTAKEN_SECONDS)
        if message := await self._edit(body):
            return message

        try:
            await respond(self.rest, self.id, self.token, {"type": DEFERRED})
        except Refusal as refusal:
            if refusal.code in _TOKEN_OVER:
                return None

            raise

        return await self._edit(body)

    async def _edit(self, body: Mapping[str, Any]) -> str | None:
        path = f"/webhooks/{self.application}/{self.token}/messages/@original"
        try:
            sent = await self.rest.call(
                "PATCH", path, body, bucket=f"@original {self.id}", signed_in=False
            )
        except Refusal as refusal:
            if refusal.code in _TOKEN_OVER:
                return None

            raise

        return str(message_of(sent)["id"])
