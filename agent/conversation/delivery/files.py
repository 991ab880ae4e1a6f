"""A reply that hands a file over first."""

from __future__ import annotations

import structlog

from agent.core.channel import OutgoingFile, SendsFiles
from agent.core.effects import MakeFile
from agent.core.errors import (
    AnswerRefused,
    DeliveryError,
    StoreUnavailable,
    Undeliverable,
)
from agent.core.messages import Address, Notice, Placed
from agent.ports import Reply

ASK = (
    "Please ask the operator of this agent for it, who gets it by `agent people export` "
    "or from the console."
)
TOO_LARGE = f"Your file is too large for this chat. {ASK}"
NOT_TAKEN = f"Your file could not be sent here. {ASK}"

log = structlog.get_logger()


class ReplyWithFile:
    """Sends the file, then the text. Where the file is not taken, the text says so instead.

    It is made once, and what fails for a while is tried again with the same file.
    """

    drafts_stand = False

    def __init__(
        self, reply: Reply, channel: SendsFiles, address: Address, make: MakeFile
    ) -> None:
        self._reply = reply
        self._channel = channel
        self._address = address
        self._make = make
        self._file: OutgoingFile | None = None
        self._problem: Notice | None = None
        self._is_settled = False

    async def show(self, text: str) -> Placed | None:
        """Nothing grows here."""
        return None

    async def finish(self, text: str) -> Placed:
        """Raises DeliveryError, or Undeliverable when the text will never arrive."""
        if not self._is_settled:
            self._problem = await self._hand_over()
            self._is_settled = True
            self._file = None

        return await self._reply.finish(self._problem or text)

    async def _hand_over(self) -> Notice | None:
        """What to say instead. None: the file arrived."""
        file = self._file = self._file or await self._made()
        if file is None or len(file.content) > self._channel.max_file_bytes:
            return Notice(TOO_LARGE)

        try:
            await self._channel.send_file(self._address, file)
        except (AnswerRefused, Undeliverable) as error:
            log.warning("file not taken", reason=error.sentence)
            return Notice(NOT_TAKEN)

        return None

    async def _made(self) -> OutgoingFile | None:
        try:
            return await self._make()
        except StoreUnavailable as error:
            raise DeliveryError(error.sentence) from error
