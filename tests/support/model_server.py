"""A model server on loopback that speaks Chat Completions and Anthropic's Messages, and
fails as it is told.

    async with model_server() as server:
        server.script(refusal(429, retry_after=1), Answer("Hello Ada.", fault="cut", after=1))

The n-th request gets the n-th answer of the script; when that is used up, the model repeats
the last message. A fault strikes after so many words: `cut` drops the connection, `end`
closes the stream as if all were well, `stall` says nothing more until the client leaves,
`garbage` sends what is no JSON, `error` sends the API's own error event. Three strike after
the whole text: `late cut` drops the connection before the very last event, `linger` keeps
the finished stream open, `no end` does so without the very last event. `silence()` stalls
before the first byte.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Literal

Fault = Literal[
    "", "cut", "end", "stall", "garbage", "error", "late cut", "linger", "no end"
]
_LATE: tuple[Fault, ...] = ("", "late cut", "linger", "no end")
_LONGEST = ("max_tokens", "max_completion_tokens")
_WORD = re.compile(r"\S+\s*|\s+")
_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "content_filter": "refusal",
}  # OpenAI's: Anthropic's


@dataclass(frozen=True)
class Answer:
    """How one request is answered."""

    text: str | None = None  # None: repeats the last message
    fault: Fault = ""
    after: int = 0  # words before the fault; -1: nothing but the response's head
    usage: bool = True
    finish: str = "stop"
    pause: float = 0.0  # seconds between two words
    hold: asyncio.Event | None = None  # nothing after the first word until it is set
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None  # a plain response instead of a stream
    silent: bool = False  # no byte at all
    load: float = 0.0  # seconds before the first byte


def refusal(
    status: int,
    code: str = "",
    message: str = "No.",
    retry_after: float | str | None = None,
) -> Answer:
    """An error as both APIs send it."""
    error = {
        "type": "error",
        "error": {
            "message": message,
            "type": code or "api_error",
            "code": code or None,
        },
    }
    headers = {} if retry_after is None else {"retry-after": str(retry_after)}
    return Answer(status=status, headers=headers, body=json.dumps(error).encode())


def silence() -> Answer:
    """Not one byte, until the client leaves."""
    return Answer(silent=True)


@dataclass(frozen=True)
class Request:
    """One request as it arrived."""

    path: str
    headers: Mapping[str, str]
    body: Any


class ModelServer:
    """Use `model_server()`."""

    def __init__(self) -> None:
        self.port = 0
        self.requests: list[Request] = []
        self.accepted = 0  # connections ever
        self.open = 0  # connections now
        self.knows_stream_options = True  # False: refuses requests that have it
        self.knows = {
            "max_tokens",
            "max_completion_tokens",
        }  # what the longest answer may be called; others are refused
        self.chat_path = "/v1/chat/completions"
        self.room = 10**9  # tokens: a longer answer than this is refused, not cut
        self.models: list[str] | bytes | None = None  # None: it has no list
        self.list_hold: asyncio.Event | None = None  # no list until it is set
        self.listings = 0  # how often it was asked for one
        self._script: deque[Answer] = deque()
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """For OPENAI_BASE_URL."""
        return f"{self.anthropic_url}/v1"

    @property
    def anthropic_url(self) -> str:
        """For ANTHROPIC_BASE_URL."""
        return f"http://127.0.0.1:{self.port}"

    def script(self, *answers: Answer) -> None:
        """What the next requests get, in their order."""
        self._script.extend(answers)

    async def until(self, holds: Callable[[], bool], seconds: float = 5.0) -> None:
        """Waits for a condition on this server's attributes. Raises TimeoutError."""
        async with asyncio.timeout(seconds):
            while not holds():
                self._changed.clear()
                await self._changed.wait()

    def connected(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.get_running_loop().create_task(
            self._serve(_Connection(reader, writer))
        )
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def aclose(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, connection: _Connection) -> None:
        self.accepted, self.open = self.accepted + 1, self.open + 1
        try:
            while request := await connection.request():
                if request.path.partition("?")[0].endswith("/models"):
                    await self._list(connection)
                    continue
                self.requests.append(request)
                self._changed.set()
                await self._answer(connection, request)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            await connection.aclose()
            self.open -= 1
            self._changed.set()

    async def _list(self, connection: _Connection) -> None:
        self.listings += 1
        if self.list_hold is not None:
            await connection.wait(self.list_hold)
        if self.models is None:
            await connection.plain(
                Answer(status=404, body=b'{"detail": "Not Found"}')
            )
            return

        body = self.models
        if not isinstance(body, bytes):
            listed = [{"id": name, "object": "model"} for name in body]
            body = json.dumps({"object": "list", "data": listed}).encode()
        await connection.plain(Answer(body=body))

    async def _answer(self, connection: _Connection, request: Request) -> None:
        answer = self._script.popleft() if self._script else Answer()
        path = (
            "/v1/chat/completions" if request.path == self.chat_path else request.path
        )
        dialect = (
            None
            if request.path != self.chat_path and path.endswith("/completions")
            else _DIALECTS.get(path)
        )
        if dialect is None:
            answer = Answer(status=404, body=b'{"detail": "Not Found"}')
        elif refused := self._refusal(request.body):
            self._script.appendleft(answer)
            answer = refused
        if answer.silent:
            await connection.wait()
        if answer.load:
            await connection.wait(seconds=answer.load)
        if dialect is None or answer.body is not None:
            await connection.plain(answer)
        else:
            await _stream(connection, answer, dialect(answer, request.body))

    def _refusal(self, body: Mapping[str, Any]) -> Answer | None:
        """In OpenAI's words."""
        if "stream_options" in body and not self.knows_stream_options:
            return refusal(400, "unknown_parameter")
        if name := next(
            (name for name in _LONGEST if name in body and name not in self.knows),
            None,
        ):
            words = (
                f"Unsupported parameter: '{name}' is not supported with this model."
            )
            return refusal(400, "unsupported_parameter", words)
        if (longest := _longest(body)) > self.room:
            words = (
                f"max_tokens is too large: {longest}. This model supports at "
                f"most {self.room} completion tokens."
            )
            return refusal(400, "invalid_request_error", words)
        return None


@asynccontextmanager
async def model_server() -> AsyncIterator[ModelServer]:
    """A model server for as long as the context lasts."""
    server = ModelServer()
    listener = await asyncio.start_server(server.connected, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        await server.aclose()
        await listener.wait_closed()


class _Connection:
    """HTTP/1.1 on one connection, as much of it as a streaming API needs."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._reader = reader
        self._writer = writer

    async def request(self) -> Request | None:
        try:
            head = (
                (await self._reader.readuntil(b"\r\n\r\n"))
                .decode("latin-1")
                .split("\r\n")
            )
        except asyncio.IncompleteReadError:
            return None
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in head[1:])
        }
        body = await self._reader.readexactly(int(headers.get("content-length", 0)))
        return Request(head[0].split()[1], headers, json.loads(body or b"{}"))

    async def plain(self, answer: Answer) -> None:
        body = answer.body or b""
        await self._head(
            answer,
            {"content-type": "application/json", "content-length": str(len(body))},
        )
        await self._write(body)

    async def begin(self, answer: Answer) -> None:
        await self._head(
            answer,
            {"content-type": "text/event-stream", "transfer-encoding": "chunked"},
        )

    async def chunk(self, data: bytes) -> None:
        """One piece of a stream; the empty one ends it."""
        await self._write(b"%x\r\n%s\r\n" % (len(data), data))

    async def wait(
        self, event: asyncio.Event | None = None, seconds: float | None = None
    ) -> None:
        """Until the event or for that long. Raises ConnectionResetError when the client is
        faster.
        """
        left = asyncio.ensure_future(self._reader.read(1))
        waits: set[asyncio.Future[Any]] = {
            left,
            *({asyncio.ensure_future(event.wait())} if event else ()),
        }
        try:
            done, _ = await asyncio.wait(
                waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            for future in waits:
                future.cancel()
            await asyncio.gather(*waits, return_exceptions=True)
        if left in done:
            raise ConnectionResetError

    def cut(self) -> None:
        self._writer.transport.abort()
        raise ConnectionResetError

    async def aclose(self) -> None:
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()

    async def _head(self, answer: Answer, headers: dict[str, str]) -> None:
        lines = [
            f"HTTP/1.1 {answer.status} .",
            *(f"{k}: {v}" for k, v in {**headers, **answer.headers}.items()),
        ]
        await self._write("\r\n".join([*lines, "", ""]).encode("latin-1"))

    async def _write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()


@dataclass(frozen=True)
class _Script:
    """The events of one answer in one API's form."""

    head: tuple[bytes, ...]
    words: tuple[bytes, ...]
    tail: tuple[bytes, ...]
    error: bytes


async def _stream(connection: _Connection, answer: Answer, script: _Script) -> None:
    await connection.begin(answer)
    for event in script.head if answer.after >= 0 else ():
        await connection.chunk(event)
    for count, word in enumerate(script.words):
        if answer.fault not in _LATE and count >= answer.after:
            break
        if count and answer.pause:
            await connection.wait(seconds=answer.pause)
        if count == 1 and answer.hold:
            await connection.wait(answer.hold)
        await connection.chunk(word)
    await _strike(connection, answer.fault, script)
    await connection.chunk(b"")


async def _strike(connection: _Connection, fault: Fault, script: _Script) -> None:
    match fault:
        case "cut":
            connection.cut()
        case "stall":
            await connection.wait()
        case "garbage":
            await connection.chunk(b'data: {"choices": [{"del\n\n')
        case "error":
            await connection.chunk(script.error)
        case "late cut":
            await connection.chunk(b"".join(script.tail[:-1]))
            connection.cut()
        case "linger":
            await connection.chunk(b"".join(script.tail))
            await connection.wait()
        case "no end":
            await connection.chunk(b"".join(script.tail[:-1]))
            await connection.wait()
        case "":
            for event in script.tail:
                await connection.chunk(event)


def _words(answer: Answer, body: Any) -> list[str]:
    """What is said: one token a word, and no more than was asked for."""
    return _whole(answer, body)[: _longest(body)]


def _whole(answer: Answer, body: Any) -> list[str]:
    said: list[str] = _WORD.findall(
        str(body["messages"][-1]["content"]) if answer.text is None else answer.text
    )
    return said


def _finish(answer: Answer, body: Any) -> str:
    """Why the answer ends, as OpenAI calls it."""
    return "length" if len(_whole(answer, body)) > _longest(body) else answer.finish


def _longest(body: Mapping[str, Any]) -> int:
    """Tokens (words) that the answer may have."""
    return min((int(body[name]) for name in _LONGEST if name in body), default=10**9)


def _prompt_tokens(body: Any) -> int:
    """One token a word: easy to count by hand in a test."""
    texts = [
        body.get("system", ""),
        *(message["content"] for message in body["messages"]),
    ]
    return sum(len(text.split()) for text in texts)


def _event(data: Mapping[str, Any], name: str = "") -> bytes:
    line = f"event: {name}\n" if name else ""
    return f"{line}data: {json.dumps(data)}\n\n".encode()


def _openai(answer: Answer, body: Any) -> _Script:
    def chunk(delta: Mapping[str, Any], finish: str | None = None) -> bytes:
        return _event(
            {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
        )

    words = _words(answer, body)
    used = {"prompt_tokens": _prompt_tokens(body), "completion_tokens": len(words)}
    wanted = answer.usage and body.get("stream_options", {}).get("include_usage")
    usage = [_event({"choices": [], "usage": used})] if wanted else []
    return _Script(
        head=(chunk({"role": "assistant", "content": ""}),),
        words=tuple(chunk({"content": word}) for word in words),
        tail=(chunk({}, _finish(answer, body)), *usage, b"data: [DONE]\n\n"),
        error=_event(
            {
                "error": {
                    "message": f"said {words}",
                    "type": "server_error",
                    "code": None,
                }
            }
        ),
    )


def _anthropic(answer: Answer, body: Any) -> _Script:
    def event(name: str, **data: Any) -> bytes:
        return _event({"type": name, **data}, name)

    words = _words(answer, body)
    used = (
        {"input_tokens": _prompt_tokens(body), "output_tokens": 1}
        if answer.usage
        else {}
    )
    end = {"stop_reason": _REASONS[_finish(answer, body)], "stop_sequence": None}
    block = {"type": "text", "text": ""}
    return _Script(
        head=(
            event(
                "message_start",
                message={"role": "assistant", "content": [], "usage": used},
            ),
            event("content_block_start", index=0, content_block=block),
            event("ping"),
        ),
        words=tuple(
            event(
                "content_block_delta",
                index=0,
                delta={"type": "text_delta", "text": word},
            )
            for word in words
        ),
        tail=(
            event("content_block_stop", index=0),
            event(
                "message_delta",
                delta=end,
                usage={"output_tokens": len(words)} if answer.usage else {},
            ),
            event("message_stop"),
        ),
        error=event(
            "error", error={"type": "overloaded_error", "message": f"said {words}"}
        ),
    )


_DIALECTS: Mapping[str, Callable[[Answer, Any], _Script]] = {
    "/v1/chat/completions": _openai,
    "/v1/messages": _anthropic,
}
