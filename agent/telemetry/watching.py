"""The engine's ports, each call in a span of its own; the conversation knows nothing of it."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import Any
from uuid import UUID

from msgspec.structs import replace
from opentelemetry.trace import Span, SpanKind

from agent.core.channel import OutgoingFile, SendsFiles
from agent.core.completion import ModelFacts, Prompt, Spent, Usage
from agent.core.messages import Address, Inbound, Placed
from agent.core.turns import (
    Accepted,
    Answer,
    Loaded,
    NewTurn,
    Outdated,
    StoredAnswer,
)
from agent.core.words.model_lists import (
    KnowsModels,
    ListsModels,
    ModelList,
)
from agent.ports import Accept, Channel, LanguageModels, Ports, Reply, Turns
from agent.ports.tracing import GOES_WITH, Work
from agent.telemetry import names
from agent.telemetry.spans import Spans, headers_of

Piece = str | Usage | Spent


def watched(
    ports: Ports,
    spans: Spans,
) -> Ports:
    """For an engine. Whoever asks a port what else it can do gets the ports themselves."""
    return replace(
        ports,
        turns=_WatchedTurns(ports.turns, spans),
        models=_models(ports.models, spans),
        channels={
            name: _channel(channel, spans) for name, channel in ports.channels.items()
        },
        tracing=_Followed(spans),
    )


class _Followed:
    def __init__(
        self,
        spans: Spans,
    ) -> None:
        self._spans = spans

    async def follow(
        self,
        inbound: Inbound,
        work: Work,
    ) -> None:
        with self._spans.turn(inbound):
            await work


class _WatchedTurns:
    def __init__(
        self,
        turns: Turns,
        spans: Spans,
    ) -> None:
        self._turns = turns
        self._spans = spans

    async def accept(
        self,
        turn: NewTurn,
    ) -> Accepted | None:
        with self._spans.step(names.ACCEPT) as span:
            accepted = await self._turns.accept(turn)
            if accepted is not None:
                _name_conversation(span, accepted.conversation)
            return accepted

    async def load(
        self,
        conversation: UUID,
    ) -> Loaded:
        with self._spans.step(names.LOAD) as span:
            _name_conversation(span, conversation)
            return await self._turns.load(conversation)

    async def answer(
        self,
        answer: Answer,
    ) -> StoredAnswer | Outdated | None:
        with self._spans.step(names.STORE) as span:
            _name_conversation(span, answer.claim.conversation)
            return await self._turns.answer(answer)


def _name_conversation(
    span: Span,
    conversation: UUID,
) -> None:
    span.set_attribute(names.CONVERSATION, str(conversation))


def _models(
    models: LanguageModels,
    spans: Spans,
) -> LanguageModels:
    if isinstance(models, ListsModels) and isinstance(models, KnowsModels):
        return _WatchedLists(models, models, models, spans)

    return _WatchedModels(models, spans)


class _WatchedModels:
    def __init__(
        self,
        models: LanguageModels,
        spans: Spans,
    ) -> None:
        self._models = models
        self._spans = spans

    def check(
        self,
        model: str,
    ) -> None:
        self._models.check(model)

    def budget(
        self,
        model: str,
    ) -> int:
        return self._models.budget(model)

    async def stream(
        self,
        model: str,
        prompt: Prompt,
    ) -> AsyncGenerator[Piece]:
        asked = names.asked(model)
        title = f"{names.CHAT} {asked[names.REQUEST_MODEL]}"
        with self._spans.step(title, SpanKind.CLIENT, asked) as span:
            began, headers = time.monotonic(), headers_of(span)
            has_begun = False
            async with aclosing(self._models.stream(model, prompt)) as pieces:
                while (piece := await _next(pieces, headers)) is not None:
                    if isinstance(piece, str) and not has_begun:
                        seconds, has_begun = time.monotonic() - began, True
                        span.set_attribute(names.FIRST_TEXT_SECONDS, seconds)
                    if isinstance(piece, Usage):
                        span.set_attributes(names.used(piece))
                    yield piece


async def _next(
    pieces: AsyncGenerator[Piece],
    headers: Mapping[str, str],
) -> Piece | None:
    """The next piece; None: there is none. What is asked meanwhile goes with these headers."""
    token = GOES_WITH.set(headers)
    try:
        return await anext(pieces, None)
    finally:
        GOES_WITH.reset(token)


class _WatchedLists(_WatchedModels):
    """Models that can also say which ones there are."""

    def __init__(
        self,
        models: LanguageModels,
        lists: ListsModels,
        known: KnowsModels,
        spans: Spans,
    ) -> None:
        super().__init__(models, spans)
        self._lists = lists
        self._known = known

    async def listed(
        self,
        seconds: float,
    ) -> Mapping[str, ModelList]:
        return await self._lists.listed(seconds)

    async def objection(
        self,
        model: str,
        seconds: float,
    ) -> str:
        return await self._lists.objection(model, seconds)

    async def facts(
        self,
        model: str,
    ) -> ModelFacts:
        return await self._known.facts(model)


def _channel(
    channel: Channel,
    spans: Spans,
) -> Channel:
    if isinstance(channel, SendsFiles):
        return _WatchedFiles(channel, channel, spans)

    return _WatchedChannel(channel, spans)


class _WatchedChannel:
    """For its replies. What else the engine may ask a channel for, `_channel` keeps."""

    def __init__(
        self,
        channel: Channel,
        spans: Spans,
    ) -> None:
        self.name = channel.name
        self._channel = channel
        self._spans = spans

    async def run(
        self,
        accept: Accept,
    ) -> None:
        await self._channel.run(accept)

    def reply(
        self,
        address: Address,
        placed: Placed | None,
        turns: Sequence[UUID],
        **more: Any,
    ) -> Reply:
        reply = self._channel.reply(address, placed, turns, **more)

        return _WatchedReply(reply, self.name, self._spans)


class _WatchedFiles(_WatchedChannel):
    """A channel on which people can be handed a file."""

    def __init__(
        self,
        channel: Channel,
        files: SendsFiles,
        spans: Spans,
    ) -> None:
        super().__init__(channel, spans)
        self.max_file_bytes = files.max_file_bytes
        self._files = files

    async def send_file(
        self,
        address: Address,
        file: OutgoingFile,
    ) -> None:
        await self._files.send_file(address, file)


class _WatchedReply:
    def __init__(
        self,
        reply: Reply,
        channel: str,
        spans: Spans,
    ) -> None:
        self._reply = reply
        self._channel = channel
        self._spans = spans

    @property
    def drafts_stand(self) -> bool:
        return self._reply.drafts_stand

    async def show(
        self,
        text: str,
    ) -> Placed | None:
        return await self._reply.show(text)

    async def finish(
        self,
        text: str,
    ) -> Placed:
        where = {names.CHANNEL: self._channel}
        with self._spans.step(names.DELIVER, SpanKind.CLIENT, where):
            return await self._reply.finish(text)
