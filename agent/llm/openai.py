"""Chat Completions, streamed, as OpenAI, Ollama, vLLM, OpenRouter and many others speak them.

https://platform.openai.com/docs/api-reference/chat-streaming
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from agent.core.completion import UNTUNED, Prompt, Tuning
from agent.core.errors import UnknownModel
from agent.llm import base_url, http_errors
from agent.llm.error_words import error_of
from agent.llm.http_errors import Server
from agent.llm.http_stream import Wire
from agent.llm.openai_dialect import Wording
from agent.llm.provider import (
    AttemptError,
    Patience,
    Reported,
    conversation,
    system_text,
)
from agent.llm.reading.answer import AnswerReader, Chunk, as_text, is_thinking
from agent.llm.reading.fields import Fields, count, record, records, word
from agent.llm.reading.finish import reason_of
from agent.llm.reading.usage import counts_in
from agent.settings import ModelSpec, Provider
from agent.settings.model_spec import OURS

_OTHERS = frozenset({"user", "system", "developer", "tool", "function"})
"""Roles that are not the model's."""

_log = logging.getLogger(__name__)


def open_model(
    name: str, provider: Provider, spec: ModelSpec, wire: Callable[[], Wire]
) -> OpenAI:
    """Raises UnknownModel when a provider with keys is to be asked without one, or with an
    impossible one.
    """
    server, *others = servers(name, provider)
    urls = tuple(each.url for each in others)

    return OpenAI(name, server, wire(), spec.longest, spec.tuning, urls)


def servers(name: str, provider: Provider) -> tuple[Server, ...]:
    """Where the model may be asked, the likeliest address first. Raises UnknownModel."""
    key = provider.api_key
    if key is None and provider.needs_key:
        raise UnknownModel(
            f"{provider.name}: models need {provider.key_setting} "
            f"(or {provider.url_setting} of a server without keys)."
        )

    headers = _authorization(key.get_secret_value(), provider) if key else {}
    urls = base_url.chat_completions(provider.base_url)

    return tuple(
        Server(
            model=f"{provider.name}:{name}",
            url=url,
            key_setting=provider.key_setting,
            url_setting=provider.url_setting,
            headers=headers,
            has_key=key is not None,
        )
        for url in urls
    )


def _authorization(key: str, provider: Provider) -> dict[str, str]:
    sound = http_errors.sound_key(key, provider.key_setting)

    return {"authorization": f"Bearer {sound}"}


class OpenAI(Struct, frozen=True):
    """One model of one OpenAI-compatible server."""

    name: str
    server: Server
    wire: Wire
    longest: int  # tokens of an answer
    tuning: Tuning = UNTUNED
    other_urls: tuple[str, ...] = ()  # tried where nothing is at the server's

    async def stream(
        self, prompt: Prompt, patience: Patience
    ) -> AsyncGenerator[str | Reported]:
        body = {"model": self.name, "messages": _messages(prompt), "stream": True}
        learned = self.wire.learned.get(self.server.model)
        tuned = self._taken(_tuned(prompt.tuning.over(self.tuning)))
        longest = prompt.tuning.answer or self.longest
        wording = Wording.first(self.server.url, longest, learned)
        has_system = not self.wire.learned.get(f"{self.server.model} has no system")
        wording = replace(wording, tuned=tuned, has_system=has_system)
        said = False
        while True:
            try:
                async with aclosing(self._located(body, wording, patience)) as pieces:
                    async for piece in pieces:
                        said = True
                        yield piece
                if tuned and not wording.tuned:
                    self._untuned(tuned)
                return
            except AttemptError as failed:
                another = None if said else wording.after(failed)
                if another is None:
                    raise
                wording = another
                if not wording.has_system:
                    self.wire.learned[f"{self.server.model} has no system"] = "yes"
                if wording.renamed:
                    self.wire.learned[self.server.model] = wording.name

    def _taken(self, tuned: dict[str, Any]) -> dict[str, Any]:
        """Nothing of it if the server refused just that before."""
        refused = self.wire.learned.get(f"{self.server.model} refuses")

        return {} if refused == json.dumps(tuned) else tuned

    def _untuned(self, tuned: dict[str, Any]) -> None:
        """Reasoning models refuse a temperature; an answer without it is better than none."""
        self.wire.learned[f"{self.server.model} refuses"] = json.dumps(tuned)
        _log.warning(
            "%s refuses what MODELS or a flag says of it; it is asked without.",
            self.server.model,
        )

    async def _located(
        self, body: dict[str, Any], wording: Wording, patience: Patience
    ) -> AsyncGenerator[str | Reported]:
        """Asks where the server answered before, then where else it may be. The first
        refusal is the one told.
        """
        failures: list[AttemptError] = []
        for url in self._urls():
            said = False
            try:
                async with aclosing(
                    self._answer(
                        replace(self.server, url=url), body, wording, patience
                    )
                ) as pieces:
                    async for piece in pieces:
                        said = True
                        self.wire.learned[self.server.url] = url
                        yield piece
                return
            except AttemptError as failed:
                if said or failed.objection != "no such path":
                    raise
                failures.append(failed)
        raise failures[0]

    def _urls(self) -> list[str]:
        known = self.wire.learned.get(self.server.url)
        return sorted(
            (self.server.url, *self.other_urls), key=lambda url: url != known
        )

    def _answer(
        self,
        server: Server,
        body: dict[str, Any],
        wording: Wording,
        patience: Patience,
    ) -> AsyncGenerator[str | Reported]:
        reader = AnswerReader(server, wording.longest, read=_read, report=_report)
        asked = body if wording.has_system else _without_system(body)
        return reader.pieces(
            self.wire.events(
                server, asked | wording.fields, patience, reader.drain_seconds
            )
        )


def _tuned(tuning: Tuning) -> dict[str, Any]:
    said = {"temperature": tuning.temperature, "reasoning_effort": tuning.effort}

    return {
        **{name: value for name, value in said.items() if value not in (None, "")},
        **tuning.free_fields(OURS),
    }


def _messages(prompt: Prompt) -> list[dict[str, str]]:
    system = system_text(prompt)
    head = [{"role": "system", "content": system}] if system else []
    return head + conversation(prompt)


def _without_system(body: dict[str, Any]) -> dict[str, Any]:
    """The instructions stand before the first words of a person."""
    head, *rest = body["messages"]
    if head["role"] != "system" or not rest or rest[0]["role"] != "user":
        return body

    words = f"{head['content']}\n\n{rest[0]['content']}"
    return {**body, "messages": [{"role": "user", "content": words}, *rest[1:]]}


def _read(chunk: Fields) -> Chunk:
    """A chunk of a stream, or a whole answer. Only one choice was asked for; others are not
    mixed in.
    """
    choice = _first_choice(chunk)
    delta, message = choice.get("delta"), record(choice.get("message"))
    return Chunk(
        text=word(delta) or _said(record(delta)) or as_text(choice.get("text")),
        whole=_said(message) or _said(record(chunk.get("message"))),
        finish=_finish(choice) or _finish(record(delta)) or _finish(chunk),
        counts=_counts(chunk, choice),
        error=error_of(chunk) or error_of(choice),
        is_last=chunk.get("done") is True,
    )


def _finish(found: Fields) -> str:
    """vLLM's `stop_reason` is the text at which it stopped, next to the reason itself."""
    if "finish_reason" in found:
        return reason_of(found["finish_reason"])

    return reason_of(found.get("stop_reason") or found.get("done_reason"))


def _first_choice(chunk: Fields) -> Fields:
    for choice in records(chunk.get("choices")):
        if count(choice.get("index")) in (None, 0):
            return choice
    return {}


def _said(message: Fields) -> str:
    """What the model says to people. An echo of the question, a tool's result and its
    thinking are no part of it.
    """
    if is_thinking(message) or word(message.get("role")).lower() in _OTHERS:
        return ""

    spoken = record(message.get("audio"))
    return (
        as_text(message.get("content"))
        or as_text(message.get("text"))
        or word(message.get("refusal"))
        or word(spoken.get("transcript"))
    )


def _counts(chunk: Fields, choice: Fields) -> dict[str, int | None] | None:
    """Most put them into the chunk, Moonshot into the choice, Groq into a field of its own."""
    usage = record(
        chunk.get("usage")
        or choice.get("usage")
        or record(chunk.get("x_groq")).get("usage")
    )

    return counts_in(usage) if usage else None


def _report(counts: Mapping[str, int]) -> Reported:
    return Reported(
        counts.get("prompt"), counts.get("completion"), counts.get("cached", 0)
    )
