"""A harness for the engine: real stores, a scripted model, and a platform that keeps what it
is shown.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from uuid import UUID

from uuid_utils.compat import uuid7

from agent.app import wire
from agent.conversation.engine import Engine
from agent.core.completion import Prompt, Spent, Usage
from agent.core.errors import ModelError
from agent.core.messages import Address, Placed, Said
from agent.core.options import Options
from agent.ports import Accept, Ports
from storage.limits.noted import Noted
from storage.postgres import Database, open_database
from storage.redis import RedisPipe, open_redis

MODEL = "test:model"
DEADLINE = 20.0


class Script:
    """A model that answers at once, unless a test makes it wait, fail, or say something else."""

    def __init__(self) -> None:
        self.prompts: list[Prompt] = []
        self.asked: list[str] = []
        self.started = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.said: Callable[[Prompt], str] = lambda prompt: (
            f"re: {prompt.messages[-1][1]}"
        )
        self.error: str | None = None
        self.spent: list[Spent] = []  # calls that end before there is any text

    def hold(self) -> None:
        """After its first word the model waits for `release`."""
        self.started.clear()
        self.go_on.clear()

    def release(self) -> None:
        self.go_on.set()

    def check(self, model: str) -> None:
        """Every name is fine."""

    def budget(self, model: str) -> int:
        return 100_000

    async def stream(
        self, model: str, prompt: Prompt
    ) -> AsyncGenerator[str | Usage | Spent]:
        for call in self.spent:
            yield call
        self.prompts.append(prompt)
        self.asked.append(model)
        first, *rest = self.said(prompt).split(" ")
        if first:
            yield first
        self.started.set()
        await self.go_on.wait()
        if self.error is not None:
            raise ModelError(self.error)

        for word in rest:
            yield f" {word}"
        yield Usage(model, 10, 5)


@dataclass(frozen=True)
class Origin:
    """How a message came to stand on the platform."""

    turn: UUID
    repeat: bool  # the sender said that it may have been sent before
    draft: bool  # placed while the answer was being written


@dataclass
class Platform:
    """Remembers what each chat shows to the people in it; shared by all instances."""

    messages: dict[str, str] = field(default_factory=dict)
    """Texts by message id."""
    final: set[str] = field(default_factory=set)
    """Ids of finished messages."""
    origins: dict[str, Origin] = field(default_factory=dict)
    """By message id."""
    chats: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    """Message ids by chat."""
    finished: dict[UUID, int] = field(default_factory=lambda: defaultdict(int))
    """How often each turn's answer was finished."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    takes_answers: asyncio.Event = field(default_factory=asyncio.Event)
    """While it is clear, finished answers wait."""
    _ids: count[int] = field(default_factory=count)

    def __post_init__(self) -> None:
        self.takes_answers.set()

    def put(
        self, chat: str, placed: Placed | None, text: str, origin: Origin
    ) -> Placed:
        identifier = self._standing(chat, placed, origin) or f"m{next(self._ids)}"
        if identifier not in self.messages:
            self.chats[chat].append(identifier)
            self.origins[identifier] = origin
        self.messages[identifier] = text
        self.changed.set()

        return Placed((identifier,))

    def _standing(
        self, chat: str, placed: Placed | None, origin: Origin
    ) -> str | None:
        """Known by its id, or found by its turn after an instance died over a draft."""
        if placed is None:
            return None
        if placed.ids:
            return placed.ids[0]

        here = (name for name in self.chats[chat] if name in self.origins)

        return next((x for x in here if self.origins[x].turn == origin.turn), None)

    def screen(self, chat: str) -> list[str]:
        return [self.messages[identifier] for identifier in self.chats[chat]]

    async def until(
        self, condition: Callable[[], bool], deadline: float = DEADLINE
    ) -> None:
        """Returns once the condition holds; raises TimeoutError when it does not come true."""
        async with asyncio.timeout(deadline):
            while not condition():
                self.changed.clear()
                await self.changed.wait()


class PlatformReply:
    """A reply that stands on the platform from its first word on when `streams`."""

    def __init__(
        self,
        platform: Platform,
        address: Address,
        placed: Placed | None,
        turn: UUID,
        *,
        streams: bool,
        repeat: bool = False,
    ) -> None:
        self._platform = platform
        self._address = address
        self._placed = placed
        self._turn = turn
        self._streams = streams
        self._repeat = repeat

    @property
    def drafts_stand(self) -> bool:
        return self._streams

    async def show(self, text: str) -> Placed | None:
        if text and self._streams:
            origin = Origin(self._turn, self._repeat, draft=True)
            self._placed = self._platform.put(
                self._address.chat, self._placed, text, origin
            )

        return self._placed

    async def finish(self, text: str) -> Placed:
        await self._platform.takes_answers.wait()
        self._platform.finished[self._turn] += 1
        origin = Origin(self._turn, self._repeat, draft=False)
        self._placed = self._platform.put(
            self._address.chat, self._placed, text, origin
        )
        self._platform.final.update(self._placed.ids)
        self._platform.changed.set()

        return self._placed


class PlatformChannel:
    """The channel of one instance on the shared platform."""

    def __init__(
        self, platform: Platform, name: str = "test", *, streams: bool = True
    ) -> None:
        self.name = name
        self._platform = platform
        self._streams = streams

    async def run(self, accept: Accept) -> None:
        """Tests hand messages to the engine themselves."""

    def reply(
        self,
        address: Address,
        placed: Placed | None,
        turns: Sequence[UUID],
        *,
        repeat: bool = False,
    ) -> PlatformReply:
        return PlatformReply(
            self._platform,
            address,
            placed,
            turns[0],
            streams=self._streams,
            repeat=repeat,
        )


async def crash(engine: Engine) -> None:
    """Ends all work of the instance, without any cleanup."""
    tasks = [*engine._background.running, *([engine._beats] if engine._beats else [])]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    engine._worker._active.clear()
    engine._beats = None


@dataclass
class Instance:
    """One running agent of the harness."""

    engine: Engine
    ports: Ports
    database: Database
    pipe: RedisPipe
    identifier: UUID

    async def crash(self) -> None:
        """Ends as after kill -9: nothing is stored, handed back or said any more."""
        await crash(self.engine)


@dataclass
class EngineHarness:
    """Stores, people and a model, for as many instances as a test wants."""

    database_url: str
    redis_url: str
    platform: Platform = field(default_factory=Platform)
    model: Script = field(default_factory=Script)
    lease: float = 5.0
    beat: float = 1.0
    drain: float = 2.0
    streams: bool = True
    window_messages: int = 20
    _ids: count[int] = field(default_factory=count)

    @asynccontextmanager
    async def instance(
        self, wrap: Callable[[Ports], Ports] = lambda ports: ports
    ) -> AsyncIterator[Instance]:
        """A running agent; `wrap` may put something between its engine and what it stands on."""
        identifier = uuid7()
        channel = PlatformChannel(self.platform, streams=self.streams)

        async with (
            open_database(self.database_url) as database,
            open_redis(self.redis_url) as pipe,
        ):
            ports = await wire(
                database,
                pipe,
                self.model,
                lambda _: [channel],
                noted=Noted(),
                instance=identifier,
                lease=self.lease,
                window_messages=self.window_messages,
            )
            ports = wrap(ports)
            options = Options(
                MODEL,
                beat_seconds=self.beat,
                lease_seconds=self.lease,
                drain_seconds=self.drain,
            )

            async with Engine(ports, options) as engine:
                yield Instance(engine, ports, database, pipe, identifier)

    def message(
        self,
        text: str,
        *,
        chat: str = "ada",
        message_id: str | None = None,
        user: str | None = None,
    ) -> Said:
        """A new message. `user` is its author in a group; else the chat is the person's own."""
        return Said(
            Address("test", chat),
            message_id or f"p{next(self._ids)}",
            user or chat,
            text,
            username=user or chat,
            direct=user is None,
        )

    async def ask(self, agent: Instance, text: str, *, chat: str = "ada") -> None:
        """Sends a message and returns once its answer is finished."""
        message = self.message(text, chat=chat)
        await agent.engine.accept(message)
        await self.platform.until(lambda: self.platform.finished[message.turn_id] > 0)

    async def answered(self, chat: str, *texts: str) -> None:
        """Returns once the chat shows exactly these finished answers."""
        await self.platform.until(
            lambda: (
                self.platform.screen(chat) == list(texts)
                and self.platform.final >= set(self.platform.chats[chat])
            )
        )
