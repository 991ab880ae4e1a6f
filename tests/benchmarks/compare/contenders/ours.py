"""Ours, as a channel uses it: `Engine.accept`, all ports over the real stores, a `Reply`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from uuid import UUID

from uuid_utils.compat import uuid7

from agent.app import wire
from agent.conversation.engine import Engine
from agent.core.completion import Prompt, Spent, Usage
from agent.core.messages import Address, Placed, Said
from agent.core.options import Options
from agent.ports import Accept
from storage.limits.noted import Noted
from storage.postgres import open_database
from storage.redis import open_redis
from tests.benchmarks.compare.contenders import WINDOW, StoreUrls, Turn, answer_to

MODEL = "test:model"


class Model:
    """Answers at once."""

    def check(self, model: str) -> None:
        """Every name is fine."""

    def budget(self, model: str) -> int:
        return 100_000

    async def stream(
        self, model: str, prompt: Prompt
    ) -> AsyncGenerator[str | Usage | Spent]:
        yield answer_to(prompt.messages[-1][1])
        yield Usage(model, 10, 5)


class Chats:
    """A channel whose chats take every answer."""

    name = "test"

    def __init__(self) -> None:
        self.waiting: dict[UUID, asyncio.Future[None]] = {}

    async def run(self, accept: Accept) -> None:
        """People come through the engine's own door."""

    def reply(
        self,
        address: Address,
        placed: Placed | None,
        turns: Sequence[UUID],
        *,
        repeat: bool = False,
    ) -> Chat:
        return Chat(self, turns)


class Chat:
    """The answer in one chat."""

    drafts_stand = True

    def __init__(self, chats: Chats, turns: Sequence[UUID]) -> None:
        self._chats = chats
        self._turns = turns

    async def show(self, text: str) -> Placed | None:
        return None

    async def finish(self, text: str) -> Placed:
        for turn in self._turns:
            if (future := self._chats.waiting.pop(turn, None)) is not None:
                future.set_result(None)

        return Placed((str(self._turns[0]),))


@asynccontextmanager
async def open_contender(stores: StoreUrls) -> AsyncIterator[Turn]:
    """See the package."""
    chats, numbers = Chats(), count()
    async with (
        open_database(stores.postgres) as database,
        open_redis(stores.redis) as pipe,
    ):
        ports = await wire(
            database,
            pipe,
            Model(),
            lambda _: [chats],
            instance=uuid7(),
            noted=Noted(),
            window_messages=WINDOW,
        )
        async with Engine(ports, Options(MODEL)) as engine:

            async def turn(chat: str, text: str) -> None:
                said = Said(
                    Address("test", chat),
                    f"{chat} {next(numbers)}",
                    chat,
                    text,
                    username=chat,
                )
                arrived = asyncio.get_running_loop().create_future()
                chats.waiting[said.turn_id] = arrived
                await engine.accept(said)
                await arrived

            yield turn
