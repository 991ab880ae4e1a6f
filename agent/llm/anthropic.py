"""Anthropic's Messages API, streamed.

https://docs.anthropic.com/en/api/messages-streaming
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import msgspec
from httpx_sse import ServerSentEvent

from agent.core.completion import Prompt
from agent.core.errors import UnknownModel
from agent.llm import http_errors
from agent.llm.http_errors import Server
from agent.llm.http_stream import Wire
from agent.llm.provider import AttemptError, Reported, conversation, system_text
from agent.settings import UNKNOWN_MODEL, Settings

_VERSION = "2023-06-01"  # https://docs.anthropic.com/en/api/versioning
_LAST = "message_stop"


class _Usage(msgspec.Struct):
    input_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens: int | None = None


class _Message(msgspec.Struct):
    usage: _Usage | None = None


class _Delta(msgspec.Struct):
    text: str | None = None
    stop_reason: str | None = None


class _Event(msgspec.Struct):
    type: str
    message: _Message | None = None
    delta: _Delta | None = None
    usage: _Usage | None = None
    error: Any = None


_decode = msgspec.json.Decoder(_Event).decode


def open_model(name: str, settings: Settings, wire: Callable[[], Wire]) -> Anthropic:
    """Raises UnknownModel when there is no key, or an impossible one."""
    if settings.anthropic_api_key is None:
        raise UnknownModel(
            "anthropic: models need ANTHROPIC_API_KEY. Set it or choose another model."
        )
    key = http_errors.sound_key(
        settings.anthropic_api_key.get_secret_value(), "ANTHROPIC_API_KEY"
    )
    server = Server(
        model=f"anthropic:{name}",
        url=f"{settings.anthropic_base_url.rstrip('/').removesuffix('/v1')}/v1/messages",
        key_setting="ANTHROPIC_API_KEY",
        url_setting="ANTHROPIC_BASE_URL",
        headers={"x-api-key": key, "anthropic-version": _VERSION},
    )
    return Anthropic(
        name, server, wire(), settings.models.get(server.model, UNKNOWN_MODEL).longest
    )


@dataclass(slots=True)
class _Tally:
    """What an answer has brought so far."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    said: bool = False
    stop: str = ""

    def add(self, usage: _Usage | None) -> None:
        """The start names the prompt's tokens, every later count of the answer's replaces
        the one before.
        """
        if usage is None:
            return
        prompt = (
            usage.input_tokens,
            usage.cache_creation_input_tokens,
            usage.cache_read_input_tokens,
        )
        self.prompt_tokens = sum(count or 0 for count in prompt) or self.prompt_tokens
        self.completion_tokens = usage.output_tokens or self.completion_tokens


@dataclass(frozen=True, slots=True)
class Anthropic:
    """One of Anthropic's models."""

    name: str
    server: Server
    wire: Wire
    longest: int  # tokens of an answer

    async def stream(self, prompt: Prompt) -> AsyncGenerator[str | Reported]:
        tally = _Tally()
        try:
            async with aclosing(
                self.wire.events(self.server, self._body(prompt), _is_last)
            ) as events:
                async for raw in events:
                    event = self._event(raw)
                    tally.add(event.message.usage if event.message else event.usage)
                    delta = event.delta or _Delta()
                    tally.stop = delta.stop_reason or tally.stop
                    if delta.text:
                        tally.said = True
                        yield delta.text
        except AttemptError:
            if not tally.stop:  # what breaks after the end of the text breaks nothing
                raise
        if tally.prompt_tokens:
            yield Reported(tally.prompt_tokens, tally.completion_tokens)
        self._check_end(tally)

    def _body(self, prompt: Prompt) -> dict[str, Any]:
        body = {
            "model": self.name,
            "max_tokens": self.longest,
            "messages": conversation(prompt),
            "stream": True,
        }
        system = system_text(prompt)
        return {**body, "system": system} if system else body

    def _event(self, raw: ServerSentEvent) -> _Event:
        if not raw.data:
            return _Event(type=raw.event)
        try:
            event = _decode(raw.data)
        except msgspec.DecodeError:
            raise http_errors.garbled(self.server) from None
        if event.type == "error":
            raise http_errors.erred(self.server, event.error)
        return event

    def _check_end(self, tally: _Tally) -> None:
        if not tally.stop:
            raise http_errors.broken(self.server)
        if tally.stop == "refusal":
            raise http_errors.declined(self.server)
        if tally.stop == "max_tokens":
            raise http_errors.cut(self.server, self.longest, said=tally.said)


def _is_last(event: ServerSentEvent) -> bool:
    return event.event == _LAST
