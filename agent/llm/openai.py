"""Chat Completions, streamed, as OpenAI, Ollama, vLLM, OpenRouter and many others speak them.

https://platform.openai.com/docs/api-reference/chat-streaming
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
from agent.llm.openai_dialect import OPENAI, Wording
from agent.llm.provider import AttemptError, Reported, conversation, system_text
from agent.settings import UNKNOWN_MODEL, Settings

_DONE = "[DONE]"


class _Delta(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta | None = None
    finish_reason: str | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int
    completion_tokens: int = 0


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: _Usage | None = None
    error: Any = None


_decode = msgspec.json.Decoder(_Chunk).decode


def open_model(name: str, settings: Settings, wire: Callable[[], Wire]) -> OpenAI:
    """Raises UnknownModel when OpenAI itself is to be asked without a key, or with an
    impossible one.
    """
    base = settings.openai_base_url.rstrip("/")
    key = settings.openai_api_key
    if key is None and f"{base}/".startswith(OPENAI):
        raise UnknownModel(
            "openai: models need OPENAI_API_KEY (or OPENAI_BASE_URL of a server without keys)."
        )
    server = Server(
        model=f"openai:{name}",
        url=f"{base}/chat/completions",
        key_setting="OPENAI_API_KEY",
        url_setting="OPENAI_BASE_URL",
        headers=_authorization(key.get_secret_value()) if key else {},
        has_key=key is not None,
    )
    longest = settings.models.get(server.model, UNKNOWN_MODEL).longest
    return OpenAI(name, server, wire(), longest)


def _authorization(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {http_errors.sound_key(key, 'OPENAI_API_KEY')}"}


@dataclass(frozen=True, slots=True)
class OpenAI:
    """One model of one OpenAI-compatible server."""

    name: str
    server: Server
    wire: Wire
    longest: int  # tokens of an answer

    async def stream(self, prompt: Prompt) -> AsyncGenerator[str | Reported]:
        body = {"model": self.name, "messages": _messages(prompt), "stream": True}
        wording: Wording | None = Wording.first(
            self.server.url, self.longest, self.wire.learned.get(self.server.model)
        )
        while wording:
            try:
                async with aclosing(self._answer(body, wording)) as pieces:
                    async for piece in pieces:
                        yield piece
                return
            except AttemptError as failed:
                wording = wording.after(failed)
                if wording is None:
                    raise
                if wording.renamed:
                    self.wire.learned[self.server.model] = wording.name

    async def _answer(
        self, body: dict[str, Any], wording: Wording
    ) -> AsyncGenerator[str | Reported]:
        finish, usage, said = "", None, False
        try:
            async with aclosing(
                self.wire.events(self.server, body | wording.fields, _is_last)
            ) as events:
                async for event in events:
                    chunk = self._chunk(event)
                    usage = chunk.usage or usage
                    text, reason = _content(chunk)
                    finish = reason or finish
                    if text:
                        said = True
                        yield text
                    if event.data == _DONE:
                        finish = finish or "stop"
        except AttemptError:
            if not finish:  # what breaks after the end of the text breaks nothing
                raise
        if usage:
            yield Reported(usage.prompt_tokens, usage.completion_tokens)
        self._check_end(finish, wording.longest, said=said)

    def _chunk(self, event: ServerSentEvent) -> _Chunk:
        if event.data in ("", _DONE):
            return _Chunk()
        try:
            chunk = _decode(event.data)
        except msgspec.DecodeError:
            raise http_errors.garbled(self.server) from None
        if chunk.error is not None or event.event == "error":
            raise http_errors.erred(self.server, chunk.error)
        return chunk

    def _check_end(self, finish: str, longest: int, *, said: bool) -> None:
        if not finish:
            raise http_errors.broken(self.server)
        if finish == "content_filter":
            raise http_errors.declined(self.server)
        if finish == "length":
            raise http_errors.cut(self.server, longest, said=said)


def _messages(prompt: Prompt) -> list[dict[str, str]]:
    system = system_text(prompt)
    head = [{"role": "system", "content": system}] if system else []
    return head + conversation(prompt)


def _content(chunk: _Chunk) -> tuple[str, str]:
    """The text and the reason to stop that a chunk brings, "" for what it does not."""
    if not chunk.choices:
        return "", ""
    choice = chunk.choices[0]
    delta = choice.delta or _Delta()
    return delta.content or delta.refusal or "", choice.finish_reason or ""


def _is_last(event: ServerSentEvent) -> bool:
    return event.data == _DONE
