"""Application commands: a use of one becomes a Said, and its answer edits the deferred
response.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from agent.core.messages import Address, Said
from channels.discord.rest import (
    ALREADY_ACKNOWLEDGED,
    INVALID_WEBHOOK_TOKEN,
    UNKNOWN_INTERACTION,
    UNKNOWN_MESSAGE,
    UNKNOWN_WEBHOOK,
    Refusal,
    Rest,
)

PING, COMMAND = 1, 2  # types of interactions
PONG, MESSAGE, DEFERRED = 1, 4, 5  # types of first responses
EPHEMERAL = 64  # a message that only this person sees

OVERTAKEN_SECONDS = 0.3
"""How long an answer waits for the deferral that it overtook."""

SWITCHED_OFF = "Commands are switched off here. Please write to me instead."
_TOKEN_OVER = {
    UNKNOWN_WEBHOOK,
    UNKNOWN_INTERACTION,
    INVALID_WEBHOOK_TOKEN,
    UNKNOWN_MESSAGE,
}


@dataclass(frozen=True, slots=True)
class CommandUse:
    """One use of a command, from the gateway or over HTTP."""

    id: str
    token: str
    application: str
    inbound: Said


def command_use(
    *,
    id: str,
    token: str,
    application: str,
    chat: str,
    user: str,
    username: str,
    direct: bool,
    data: Mapping[str, Any],
) -> CommandUse:
    """A command becomes `/name argument`. Its address holds what an answer needs."""
    text = " ".join([f"/{data['name']}", *_values(data.get("options") or ())])
    address = Address(
        channel="discord",
        chat=chat,
        extra={"interaction": id, "token": token, "application": application},
    )
    inbound = Said(
        address=address,
        message_id=id,
        user_id=user,
        text=text,
        username=username,
        direct=direct,
    )

    return CommandUse(id=id, token=token, application=application, inbound=inbound)


def command_use_of_payload(payload: Mapping[str, Any]) -> CommandUse:
    """The same from the JSON that Discord sends to the interactions endpoint."""
    member = payload.get("member") or {}
    user = member.get("user") or payload["user"]
    return command_use(
        id=payload["id"],
        token=payload["token"],
        application=payload["application_id"],
        chat=payload["channel_id"],
        user=user["id"],
        username=member.get("nick") or user.get("global_name") or user["username"],
        direct="guild_id" not in payload,
        data=payload["data"],
    )


def _values(options: Sequence[Mapping[str, Any]]) -> list[str]:
    return [str(option["value"]) for option in options if "value" in option]


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


@dataclass(frozen=True, slots=True)
class InteractionAnswer:
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

        return str(sent["id"])
