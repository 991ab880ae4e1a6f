"""Answers of the agent on Telegram, on a clock that only they move."""

from __future__ import annotations

import asyncio
from uuid import UUID

from agent.core.messages import Address, Placed
from channels.pacing import Governor, Rate
from channels.telegram.channel import Telegram
from channels.telegram.reply import TelegramReply
from tests.support.platforms.telegram import Chat, TelegramServer

TURN = UUID(int=42)


class Clock:
    """Time that passes when somebody waits."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


def patient_channel(
    server: TelegramServer,
    *,
    interval: float = 0.0,
    clock: Clock | None = None,
) -> Telegram:
    """The channel on a clock that only it moves."""
    clock = clock or Clock()
    governor = Governor(
        chat=Rate(1000, 1),
        clock=clock,
        sleep=clock.sleep,
    )
    return Telegram(
        token=server.token,
        api_url=server.url,
        governor=governor,
        interval=interval,
        group_interval=interval,
        clock=clock,
    )


def reply(
    telegram: Telegram,
    chat: Chat,
    *,
    thread: str = "",
    message: str = "",
    placed: Placed | None = None,
    repeat: bool = False,
) -> TelegramReply:
    """The reply of turn `TURN` in this chat."""
    address = Address("telegram", str(chat.id), thread, message)
    made = telegram.reply(address, placed, [TURN], repeat=repeat)
    assert isinstance(made, TelegramReply)

    return made
