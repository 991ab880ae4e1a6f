"""A reply that hands a file over first."""

from __future__ import annotations

import asyncio

import structlog

from agent.core.channel import SendsFiles
from agent.core.effects import MakeFile
from agent.core.errors import (
    AgentError,
    AnswerRefused,
    Conflict,
    DeliveryError,
    NotHere,
    Refused,
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

TRIES = 6
"""How often a file is tried at most. With the pauses between the tries of a delivery, trouble
of 15 seconds is waited for.
"""

FILE_SECONDS = 300.0
"""How long a file may take, with all its tries. The text waits for it, and others in the chat
wait for the text.
"""

log = structlog.get_logger()


class ReplyWithFile:
    """Sends the file, then the text. Where the file is not taken, the text says so instead.

    What fails for a while is tried again, `TRIES` times, within `FILE_SECONDS`. The file is made
    for each try, so that none waits in memory between two.
    """

    drafts_stand = False

    def __init__(
        self, reply: Reply, channel: SendsFiles, address: Address, make: MakeFile
    ) -> None:
        self._reply = reply
        self._channel = channel
        self._address = address
        self._make = make
        self._problem: Notice | None = None
        self._is_settled = False
        self._tries = 0
        self._until: float | None = None

    async def show(self, text: str) -> Placed | None:
        """Nothing grows here."""
        return None

    async def finish(self, text: str) -> Placed:
        """Raises DeliveryError, or Undeliverable when the text will never arrive."""
        if not self._is_settled:
            self._problem = await self._hand_over()
            self._is_settled = True

        return await self._reply.finish(self._problem or text)

    async def _hand_over(self) -> Notice | None:
        """What to say instead of the text. None: nothing else."""
        self._tries += 1
        until = self._until = self._until or _now() + FILE_SECONDS
        try:
            async with asyncio.timeout_at(until):
                return await self._try()
        except NotHere:
            raise
        except (Conflict, Refused) as error:
            return Notice(error.sentence)
        except Exception as error:
            is_lasting = isinstance(error, AnswerRefused | Undeliverable)
            if not is_lasting and self._tries < TRIES and _now() < until:
                raise

            log.warning("file not taken", reason=_reason(error), tries=self._tries)

            return Notice(NOT_TAKEN)

    async def _try(self) -> Notice | None:
        largest = self._channel.max_file_bytes
        try:
            async with self._make(largest) as file:
                if len(file.content) > largest:
                    return Notice(TOO_LARGE)

                await self._channel.send_file(self._address, file)

                return Notice(file.remark) if file.remark else None
        except StoreUnavailable as error:
            raise DeliveryError(error.sentence) from error


def _now() -> float:
    return asyncio.get_running_loop().time()


def _reason(error: Exception) -> str:
    return error.sentence if isinstance(error, AgentError) else type(error).__name__
