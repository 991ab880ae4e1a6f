"""Reads the events of one answer, whatever the server. What is not understood is passed
over, never what was.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing

from msgspec import Struct, field

from agent import metrics
from agent.llm import http_errors
from agent.llm.http_errors import Server
from agent.llm.provider import AttemptError, Reported
from agent.llm.reading.fields import Fields, record, word
from agent.llm.reading.finish import end_of, plain
from agent.llm.reading.torn import TornObjects, is_error
from agent.llm.reading.visible_text import VisibleText

CHARS_PER_TOKEN = 16
"""An answer with more characters than this for each token it was allowed is cut. Ordinary
text has three to five.
"""

USAGE_SECONDS = 2.0
"""After the reason to stop, the tokens used may follow in an event of their own. They are
waited for this long.
"""

DRAIN_SECONDS = 0.25
"""After the last event: a connection that is read to its end can be used again."""

_DONE = "[DONE]"
_LAST = "message_stop"
_LAST_NAMES = frozenset({_LAST, "done", "end", "complete", "close", "finish"})
_log = logging.getLogger(__name__)


class Event(Struct, frozen=True):
    """One event of a stream; `is_body`: a response that is no stream, as a whole."""

    name: str
    data: str
    is_body: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)


class Chunk(Struct, frozen=True):
    """What one object brings, as its provider reads it."""

    text: str = ""
    whole: str = (
        ""  # all of an answer at once: counts only when it did not come in pieces
    )
    finish: str = ""
    counts: Mapping[str, int | None] | None = (
        None  # of tokens, by names of the provider's own
    )
    error: Fields | None = None
    is_last: bool = False


class AnswerReader:
    """One answer. `read` takes an event's objects apart, `report` makes tokens of all
    counts that came.
    """

    def __init__(
        self,
        server: Server,
        longest: int,
        *,
        read: Callable[[Fields], Chunk],
        report: Callable[[Mapping[str, int]], Reported],
    ) -> None:
        self._server = server
        self._longest = longest
        self._read = read
        self._report = report
        self._visible = VisibleText()
        self._finish = ""
        self._ended = False
        self._counts: dict[str, int] = {}
        self._said = 0  # characters
        self._overflows = False
        self._body: Fields | None = None  # of a response that was no stream
        self._odd: Fields | None = (
            None  # it looks like an error, and is not called one
        )
        self._whole: str | None = (
            ""  # of an answer in messages; None: it comes in pieces
        )
        self._objects = TornObjects()
        self._headers: Mapping[str, str] = {}

    def drain_seconds(self) -> float | None:
        """How long to wait for more, once the answer has ended; None before."""
        if self._ended:
            return DRAIN_SECONDS
        return USAGE_SECONDS if self._finish else None

    async def pieces(
        self, events: AsyncGenerator[Event]
    ) -> AsyncGenerator[str | Reported]:
        """Text as it comes, then the tokens. Raises AttemptError when this is not the whole
        answer.
        """
        failure: AttemptError | None = None
        try:
            async with aclosing(events):
                async for event in events:
                    for text in self._texts(event):
                        yield text
        except AttemptError as failed:
            failure = failed
        if text := self._bounded(self._visible.close()):
            yield text

        self._tell_unreadable()
        if (
            failure and not self._finish
        ):  # what breaks after the end of the text breaks nothing
            raise failure
        if self._counts:
            yield self._reported()
        self._check_end()

    def _texts(self, event: Event) -> Iterator[str]:
        """Raises AttemptError for an error inside the answer, after the text that came with it."""
        self._headers = event.headers
        data = _data(event)
        is_done = data[-len(_DONE) :].upper() == _DONE
        for chunk in self._chunks(event, data[: -len(_DONE)] if is_done else data):
            if shown := self._shown(chunk):
                yield shown
            self._note(chunk, is_body=event.is_body)
        if is_done or event.name.lower() in _LAST_NAMES:
            self._conclude()

    def _chunks(self, event: Event, data: str) -> list[Chunk]:
        objects = self._objects.of(data) if data else []
        if event.is_body:
            self._body = objects[-1] if objects else {}
        if event.name.lower() == "error":
            whole: Fields = objects[0] if objects else {"message": data}
            return [Chunk(error=self._read(whole).error or whole)]

        self._odd = next(filter(is_error, objects), self._odd)
        return [self._read(found) for found in objects]

    def _shown(self, chunk: Chunk) -> str:
        text = self._new_in(chunk)
        return self._bounded(self._visible.feed(text)) if text else ""

    def _new_in(self, chunk: Chunk) -> str:
        """Some servers send messages instead of pieces: each is all so far, or what is new."""
        if chunk.text:
            self._whole = None
        if self._whole is None:
            return chunk.text

        known = self._whole
        new = chunk.whole.removeprefix(known)
        self._whole = known + new

        return new

    def _note(self, chunk: Chunk, *, is_body: bool) -> None:
        """What a chunk says besides its text. Raises AttemptError where that ends the answer."""
        if chunk.counts:
            self._counts |= {
                name: count
                for name, count in chunk.counts.items()
                if count or (count == 0 and name not in self._counts)
            }
        if chunk.error:
            raise http_errors.erred(
                self._server, chunk.error, self._headers, said=bool(self._said)
            )

        self._finish = plain(chunk.finish) or self._finish
        if chunk.is_last:
            self._conclude()
        if is_body and chunk.whole:
            self._finish = self._finish or "stop"
        if self._overflows:
            self._finish = "length"
            raise http_errors.cut(self._server, self._longest, said=True)

    def _conclude(self) -> None:
        """The server said that nothing more will come."""
        self._ended = True
        self._finish = self._finish or (
            "" if self._objects.unreadable and not self._said else "stop"
        )

    def _bounded(self, text: str) -> str:
        room = CHARS_PER_TOKEN * self._longest - self._said
        self._overflows = len(text) > room
        self._said += min(len(text), room)
        return text[:room]

    def _reported(self) -> Reported:
        """A prompt is never empty, and neither is an answer that was read: a count of 0 is
        no count.
        """
        reported = self._report(self._counts)
        prompt = reported.prompt_tokens or None
        completion = reported.completion_tokens or (
            None if self._said else reported.completion_tokens
        )
        return Reported(prompt, completion, min(reported.cached_tokens, prompt or 0))

    def _tell_unreadable(self) -> None:
        if count := self._objects.unreadable:
            metrics.model_garbled(self._server.model, count)
            _log.warning(
                "%d events of %s could not be read.", count, self._server.model
            )

    def _check_end(self) -> None:
        if not self._finish:
            raise self._unfinished()
        if self._odd and not self._said:
            raise http_errors.erred(self._server, self._odd, self._headers)

        end = end_of(self._finish)
        if end == "declined":
            raise http_errors.declined(self._server)
        if end == "full":
            raise http_errors.full(self._server)
        if end == "cut":
            raise http_errors.cut(self._server, self._longest, said=bool(self._said))
        if end == "unknown":
            raise http_errors.ended_early(self._server, self._finish)
        if self._visible.thinks:
            raise http_errors.only_thought(self._server)

    def _unfinished(self) -> AttemptError:
        if (
            self._body is not None and not self._said
        ):  # neither an answer nor called an error
            failure = http_errors.erred(self._server, self._body, self._headers)
            return (
                failure
                if failure.status or failure.objection
                else http_errors.no_stream(self._server)
            )
        if self._odd and not self._said:
            return http_errors.erred(self._server, self._odd, self._headers)
        if self._objects.unreadable:
            return http_errors.garbled(self._server)
        return http_errors.broken(self._server)


def _data(event: Event) -> str:
    """Some proxies put their own mark before the one that is there, or quote the last line."""
    data = event.data.strip().removeprefix("data:").strip()

    return data.strip('"') if data.upper() == f'"{_DONE}"' else data


def as_text(content: object) -> str:
    """The text of a message's content: a text, or parts of which some are text. Thinking is
    no part of it.
    """
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(
            as_text(part) for part in content if isinstance(part, str | dict)
        )
    if not isinstance(content, dict) or is_thinking(content):
        return ""

    text = content.get("text")
    if isinstance(text, dict):
        return word(text.get("value"))
    return word(text) or word(content.get("refusal"))


def is_thinking(part: Fields) -> bool:
    """Whether a message or a part of one is marked as what the model thinks (Gemini: `thought`)."""
    kind = word(part.get("type")).lower()
    google = record(record(part.get("extra_content")).get("google"))

    return (
        "think" in kind
        or "reason" in kind
        or part.get("thought") is True
        or google.get("thought") is True
    )
