"""The messages of an answer: how they are sent, and recognised later in the history."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from hashlib import blake2b
from typing import Any
from uuid import UUID

import aiohttp

from agent.core.channel import OutgoingFile
from agent.core.errors import DeliveryError
from agent.core.messages import Address
from channels.discord.reading.buttons import components
from channels.discord.rest import UNREADABLE

NONCE_SECONDS = 60.0
"""Discord recognises a nonce for "a few minutes"; this is surely within them."""

_UNQUOTABLE = frozenset({10008, 50035, 160002, 160009, 160010})
"""The question is gone, it is a notice, or the agent may not read the history there:
https://docs.discord.com/developers/topics/opcodes-and-status-codes, "JSON error codes".
"""

NO_MENTIONS = {"parse": [], "replied_user": False}

_PAGE = 100  # Discord's most
_PAGES = 20

Message = Mapping[str, Any]
Ask = Callable[[str], Awaitable[Any]]


def nonce(turn: UUID, piece: int, again: str = "") -> str:
    """Names one piece of a turn's answer in at most 25 characters, as Discord demands.

    22 characters are the turn's 128 bits in base64; two more hold the number of the piece,
    so pieces past 256 (half a million characters) are not told apart.
    """
    name = urlsafe_b64encode(turn.bytes).decode().rstrip("=")
    return f"{name}{piece % 256:02x}{again}"


def new_message(
    address: Address,
    turn: UUID,
    piece: int,
    text: str,
    again: str = "",
) -> dict[str, Any]:
    """The body that sends a piece of an answer. The first one in a channel quotes its question."""
    body: dict[str, Any] = {
        "content": text,
        "nonce": nonce(turn, piece, again),
        "enforce_nonce": True,
        "allowed_mentions": NO_MENTIONS,
    }
    if buttons := components(text):
        body["components"] = buttons
    if piece == 0 and address.extra.get("quote") and address.message:
        body["message_reference"] = {
            "message_id": address.message,
            "fail_if_not_exists": False,
        }

    return body


def new_file(file: OutgoingFile) -> aiohttp.FormData:
    """The form that sends a file. One that was sent just now is not sent twice."""
    fields = {
        "nonce": blake2b(file.content, digest_size=12).hexdigest(),
        "enforce_nonce": True,
        "attachments": [{"id": 0, "filename": file.name}],
    }
    form = aiohttp.FormData()
    form.add_field(
        "payload_json", json.dumps(fields), content_type="application/json"
    )
    form.add_field("files[0]", file.content, filename=file.name)

    return form


def edited(text: str) -> dict[str, Any]:
    """The body that makes a message show this text, and under it these buttons alone."""
    return {
        "content": text,
        "allowed_mentions": NO_MENTIONS,
        "components": components(text),
    }


def without_quote(
    body: Mapping[str, Any],
    code: int,
) -> dict[str, Any] | None:
    """The body that quotes no question, if Discord may have refused it for that alone: an
    answer is worth more than its quotation.
    """
    if code not in _UNQUOTABLE or "message_reference" not in body:
        return None

    return {
        name: value for name, value in body.items() if name != "message_reference"
    }


def message_of(answer: Any) -> Message:
    """A message as Discord answers with it. Raises DeliveryError for anything else: it came
    from somebody in between, so the message itself may have arrived.
    """
    match answer:
        case {"id": str(), "content": str()}:
            message: Message = answer
            return message

    raise DeliveryError(UNREADABLE)


class BotMessages:
    """What bots wrote in a chat since a message, read page by page. Where reading was
    interrupted, the next one goes on.
    """

    def __init__(self) -> None:
        self._since = ""
        self._found: list[Message] = []

    async def read(self, since: str, ask: Ask) -> list[Message]:
        """Those messages, oldest first, of the first `_PAGES` pages; of the latest page when
        `since` is "". `ask` takes a query. Raises DeliveryError.
        """
        if not since:
            return _of_bots(_page(await ask(f"?limit={_PAGE}")))

        self._since = self._since or since
        for _ in range(_PAGES):
            page = _page(await ask(f"?after={self._since}&limit={_PAGE}"))
            self._found += _of_bots(page)
            if len(page) < _PAGE:
                break
            self._since = max((message["id"] for message in page), key=int)

        found, self._found, self._since = self._found, [], ""

        return found


def _page(answer: Any) -> Sequence[Message]:
    if isinstance(answer, list) and all(
        isinstance(message_of(each).get("author"), dict) for each in answer
    ):
        return answer

    raise DeliveryError(UNREADABLE)


def _of_bots(newest_first: Sequence[Message]) -> list[Message]:
    return [
        message
        for message in reversed(newest_first)
        if message["author"].get("bot") and message["content"]
    ]


def is_near(message: Message, address: Address) -> bool:
    """Whether it may be a part of this answer. In channels answers quote their question."""
    if not address.extra.get("quote"):
        return True

    quoted = message.get("message_reference") or {}

    return bool(quoted.get("message_id") == address.message)


def beginning(piece: str, messages: Sequence[Message]) -> Message | None:
    """The first message with which this piece begins."""
    return next((m for m in messages if piece.startswith(m["content"])), None)


def near(messages: Sequence[Message], address: Address) -> set[str]:
    """The ids of those that may be a part of this answer."""
    return {str(each["id"]) for each in messages if is_near(each, address)}


class LostSends:
    """Sends of one answer of which nobody knows whether they arrived, by number of a piece."""

    def __init__(self, address: Address, clock: Callable[[], float]) -> None:
        self._address = address
        self._clock = clock
        self._since: dict[int, dict[str, float]] = {}  # by piece and text

    def __bool__(self) -> bool:
        return bool(self._since)

    def add(self, at: int, text: str) -> None:
        """Discord's reply to this send was lost."""
        self._since.setdefault(at, {}).setdefault(text.strip(), self._clock())

    def settle(self, at: int) -> None:
        """It is known now where this piece stands."""
        self._since.pop(at, None)

    @property
    def are_old(self) -> bool:
        """Whether Discord may have forgotten a nonce of theirs."""
        first = min(min(texts.values()) for texts in self._since.values())

        return self._clock() - first > NONCE_SECONDS

    def take(
        self, found: list[Message], ids: Sequence[str]
    ) -> list[tuple[int, Message]]:
        """Those that arrived, taken out of `found`. `ids` are known already. None is lost then."""
        arrived = []
        for at, texts in sorted(self._since.items()):
            message = self._sent(at, texts, [m for m in found if m["id"] not in ids])
            if message is not None:
                found.remove(message)
                arrived.append((at, message))
        self._since.clear()

        return arrived

    def _sent(
        self, at: int, texts: Collection[str], messages: Sequence[Message]
    ) -> Message | None:
        """Only the first message of an answer quotes its question."""
        for message in messages:
            is_own = at > 0 or is_near(message, self._address)
            if is_own and message["content"] in texts:
                return message

        return None
