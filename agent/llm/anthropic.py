"""Anthropic's Messages API, streamed.

https://docs.anthropic.com/en/api/messages-streaming
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any

from msgspec import Struct

from agent.core.completion import UNTUNED, Prompt, Tuning
from agent.core.errors import UnknownModel
from agent.llm import base_url, http_errors
from agent.llm.error_words import error_of
from agent.llm.http_errors import Server
from agent.llm.http_stream import Wire
from agent.llm.provider import (
    LEAST,
    AttemptError,
    Patience,
    Reported,
    conversation,
    system_text,
)
from agent.llm.reading.answer import AnswerReader, Chunk, as_text
from agent.llm.reading.fields import Fields, count, record
from agent.llm.reading.finish import reason_of
from agent.settings import ModelSpec, Provider
from agent.settings.model_spec import OURS

_VERSION = "2023-06-01"  # https://docs.anthropic.com/en/api/versioning
_LAST = "message_stop"


def open_model(
    name: str, provider: Provider, spec: ModelSpec, wire: Callable[[], Wire]
) -> Anthropic:
    """Raises UnknownModel when there is no key, or an impossible one."""
    server = server_of(name, provider)

    return Anthropic(name, server, wire(), spec.longest, spec.tuning)


def server_of(name: str, provider: Provider) -> Server:
    """Where the model is asked. Raises UnknownModel."""
    key = provider.api_key
    if key is None and provider.needs_key:
        raise UnknownModel(
            f"{provider.name}: models need {provider.key_setting}. "
            "Set it or choose another model."
        )

    headers = {"anthropic-version": _VERSION}
    if key is not None:
        headers["x-api-key"] = http_errors.sound_key(
            key.get_secret_value(), provider.key_setting
        )

    return Server(
        model=f"{provider.name}:{name}",
        url=base_url.messages(provider.base_url),
        key_setting=provider.key_setting,
        url_setting=provider.url_setting,
        headers=headers,
        has_key=key is not None,
    )


class Anthropic(Struct, frozen=True):
    """One of Anthropic's models."""

    name: str
    server: Server
    wire: Wire
    longest: int  # tokens of an answer
    tuning: Tuning = UNTUNED

    async def stream(
        self, prompt: Prompt, patience: Patience
    ) -> AsyncGenerator[str | Reported]:
        """Asks for a shorter answer where the server says how much room it has."""
        longest, said = prompt.tuning.answer or self.longest, False
        while True:
            try:
                async with aclosing(
                    self._answer(prompt, longest, patience)
                ) as pieces:
                    async for piece in pieces:
                        said = True
                        yield piece
                return
            except AttemptError as failed:
                if (
                    said
                    or failed.objection != "longest too long"
                    or not LEAST <= (failed.room or 0) < longest
                ):
                    raise
                longest = failed.room or LEAST

    def _answer(
        self, prompt: Prompt, longest: int, patience: Patience
    ) -> AsyncGenerator[str | Reported]:
        reader = AnswerReader(self.server, longest, read=_read, report=_report)
        body = self._body(prompt, longest)
        return reader.pieces(
            self.wire.events(self.server, body, patience, reader.drain_seconds)
        )

    def _body(self, prompt: Prompt, longest: int) -> dict[str, Any]:
        body = {
            **_tuned(prompt.tuning.over(self.tuning)),
            "model": self.name,
            "max_tokens": longest,
            "messages": conversation(prompt),
            "stream": True,
        }
        system = system_text(prompt)
        return {**body, "system": system} if system else body


def _tuned(tuning: Tuning) -> dict[str, Any]:
    """https://platform.claude.com/docs/en/build-with-claude/effort"""
    temperature = {"temperature": tuning.temperature}
    effort = {"output_config": {"effort": tuning.effort}}

    return {
        **(temperature if tuning.temperature is not None else {}),
        **(effort if tuning.effort else {}),
        **tuning.free_fields(OURS),
    }


def _read(event: Fields) -> Chunk:
    """An event of a stream, or a whole message. Fields tell what it is: an event's type may
    be missing or new.
    """
    message, delta = record(event.get("message")), record(event.get("delta"))
    return Chunk(
        text=as_text(event.get("content_block")) or as_text(delta),
        whole=as_text(message.get("content")) or as_text(event.get("content")),
        finish=reason_of(delta.get("stop_reason"))
        or reason_of(event.get("stop_reason")),
        counts=_counts(message, event),
        error=error_of(event),
        is_last=event.get("type") == _LAST,
    )


def _counts(message: Fields, event: Fields) -> dict[str, int | None] | None:
    """The start counts the prompt and one token of the answer; only a later event knows how
    many it became.
    """
    begins = record(message.get("usage"))
    usage = begins or record(event.get("usage"))
    if not usage:
        return None

    return {
        "fresh": count(usage.get("input_tokens")),
        "written": count(usage.get("cache_creation_input_tokens")),
        "cached": count(usage.get("cache_read_input_tokens")),
        "completion": None if begins else count(usage.get("output_tokens")),
    }


def _report(counts: Mapping[str, int]) -> Reported:
    """The prompt is counted in three parts; without the first the sum is unknown."""
    parts = [counts.get(name, 0) for name in ("fresh", "written", "cached")]
    prompt = sum(parts) if "fresh" in counts else None
    return Reported(prompt, counts.get("completion"), counts.get("cached", 0))
