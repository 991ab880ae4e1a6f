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

from agent.errors import UnknownModel
from agent.llm import refusals
from agent.llm.provider import AttemptError, Reported, conversation, system_text
from agent.llm.refusals import Server
from agent.llm.wire import Wire
from agent.models import Prompt
from agent.settings import Settings

_NEEDS_KEY = "https://api.openai.com/"
_UNKNOWN_FIELD = frozenset({400, 422})  # how servers answer to a field they do not know
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
    """Raises UnknownModel when OpenAI itself is to be asked without a key, or with an impossible one."""
    base = settings.openai_base_url.rstrip("/")
    key = settings.openai_api_key
    if key is None and f"{base}/".startswith(_NEEDS_KEY):
        raise UnknownModel("openai: models need OPENAI_API_KEY (or OPENAI_BASE_URL of a server without keys).")
    server = Server(
        model=f"openai:{name}",
        url=f"{base}/chat/completions",
        key_setting="OPENAI_API_KEY",
        url_setting="OPENAI_BASE_URL",
        headers=_authorization(key.get_secret_value()) if key else {},
        has_key=key is not None,
    )
    return OpenAI(name, server, wire())


def _authorization(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {refusals.sound_key(key, 'OPENAI_API_KEY')}"}


@dataclass(frozen=True, slots=True)
class OpenAI:
    """One model of one OpenAI-compatible server."""

    name: str
    server: Server
    wire: Wire

    async def stream(self, prompt: Prompt) -> AsyncGenerator[str | Reported]:
        body = {"model": self.name, "messages": _messages(prompt), "stream": True}
        with_usage = {**body, "stream_options": {"include_usage": True}}
        begun = False
        try:
            async with aclosing(self._answer(with_usage)) as pieces:
                async for piece in pieces:
                    begun = True
                    yield piece
        except AttemptError as failed:
            if begun or failed.status not in _UNKNOWN_FIELD:
                raise
        else:
            return
        # Older servers do not know stream_options; without it they report no usage.
        async with aclosing(self._answer(body)) as pieces:
            async for piece in pieces:
                yield piece

    async def _answer(self, body: dict[str, Any]) -> AsyncGenerator[str | Reported]:
        finish, usage = "", None
        try:
            async with aclosing(self.wire.events(self.server, body, _is_last)) as events:
                async for event in events:
                    chunk = self._chunk(event)
                    usage = chunk.usage or usage
                    text, reason = _content(chunk)
                    finish = reason or finish
                    if text:
                        yield text
                    if event.data == _DONE:
                        finish = finish or "stop"
        except AttemptError:
            if not finish:  # what breaks after the end of the text breaks nothing
                raise
        if usage:
            yield Reported(usage.prompt_tokens, usage.completion_tokens)
        self._check_end(finish)

    def _chunk(self, event: ServerSentEvent) -> _Chunk:
        if event.data in ("", _DONE):
            return _Chunk()
        try:
            chunk = _decode(event.data)
        except msgspec.DecodeError:
            raise refusals.garbled(self.server) from None
        if chunk.error is not None or event.event == "error":
            raise refusals.erred(self.server, chunk.error)
        return chunk

    def _check_end(self, finish: str) -> None:
        if not finish:
            raise refusals.broken(self.server)
        if finish == "content_filter":
            raise refusals.declined(self.server)


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
