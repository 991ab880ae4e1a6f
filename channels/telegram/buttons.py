"""Buttons under messages: how they are drawn, read when pressed, and answered."""

from __future__ import annotations

from contextlib import suppress

from msgspec.structs import replace

from agent.core.errors import DeliveryError
from agent.core.messages import Address, Inbound, Placed, Pressed
from agent.core.words.buttons import Act, buttons_of, read_press
from agent.ports import Accept, Reply
from channels.fields import Json, identity, mapping, text
from channels.pacing import RateLimited
from channels.telegram.api import BotApi
from channels.telegram.errors import Declined, UnknownMethodError
from channels.telegram.reading.attachments import said_by
from channels.telegram.reading.places import address_of, is_direct
from channels.telegram.text import Piece, render

MAX_TOAST = 200
"""Characters of an answer to a press: https://core.telegram.org/bots/api#answercallbackquery"""

_GLANCE = 60  # characters that can be read before a toast vanishes


def offered(pieces: list[Piece], said: str) -> list[Piece]:
    """The messages of a text, its buttons under the last."""
    buttons = buttons_of(said)
    if not buttons:
        return pieces

    return [*pieces[:-1], replace(pieces[-1], buttons=buttons)]


def pressed(query: Json) -> Pressed | None:
    """A press of one of our buttons. None: of something else.

    An answer of the model is a message; what else is to be said answers the press itself.
    """
    message, user = mapping(query, "message"), mapping(query, "from")
    press = read_press(text(query, "data"))
    if press is None or not message or user.get("is_bot") is True:
        return None

    id = text(query, "id")
    extra = {} if press.act is Act.RETRY else {"query": id}

    return Pressed(
        replace(address_of(message), extra=extra),
        id,
        str(identity(user, "id")),
        text(query, "data"),
        str(identity(message, "message_id")),
        username=said_by(user) or None,
        direct=is_direct(message),
    )


async def take(inbound: Inbound | None, accept: Accept, api: BotApi) -> None:
    """Accepts it. A press that nothing else answers is answered at once: until then the
    button shows that it waits. Raises StoreUnavailable.
    """
    if inbound is None:
        return

    heard = await accept(inbound)
    if not isinstance(inbound, Pressed) or (
        heard and "query" in inbound.address.extra
    ):
        return

    with suppress(DeliveryError, RateLimited):
        await api.answer_press(inbound.message_id, stays=False)


class PressReply:
    """The answer to a press: a sentence that is shown over the chat for a moment."""

    drafts_stand = False

    def __init__(self, api: BotApi, address: Address, otherwise: Reply) -> None:
        """`otherwise`: a message, where Telegram does not take the sentence any more."""
        self._api = api
        self._query = address.extra["query"]
        self._otherwise = otherwise

    async def show(self, text: str) -> Placed | None:
        """Nothing: a press has one answer."""
        return None

    async def finish(self, text: str) -> Placed:
        """The sentence. Raises DeliveryError."""
        plain = render(text)[0].text
        if len(plain) <= MAX_TOAST:
            try:
                await self._api.answer_press(
                    self._query, plain, stays=len(plain) > _GLANCE
                )
                return Placed(())
            except (Declined, UnknownMethodError):
                pass  # some minutes have passed

        return await self._otherwise.finish(text)
