"""What a server's words say went wrong: codes differ from server to server, and many send none.

Its words are searched and never shown: they may quote the conversation or a key.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from msgspec import Struct

from agent.llm.reading import phrases
from agent.llm.reading.fields import Fields, count, objects_in, record, records
from agent.llm.reading.waits import wait_in_words

_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]{1,39}")
_DEPTH = 8  # of an error object: what is nested deeper says nothing more
_QUOTES = frozenset({"input", "messages"})  # fields that repeat the request

LOADING_SECONDS = 5.0
"""Until a server that is loading its model is asked again, where it names no time."""

_STATUS_FIELDS = (
    "code",
    "status",
    "status_code",
    "statusCode",
    "http_code",
    "http_status",
    "httpStatus",
    "error_code",
    "type",
)


class ServerError(Struct, frozen=True):
    """What a server said went wrong."""

    status: int | None  # as HTTP counts
    code: str | None  # a short identifier: this alone may be shown
    words: str  # all it said, in lower case
    is_api: bool = True  # False: not the answer of any API

    @property
    def no_credit(self) -> bool:
        """Whether somebody has to pay before it works again."""
        if self.too_long:
            return False
        if self.status == 402 or self.code in phrases.NO_CREDIT_CODES:
            return True

        found = phrases.NO_CREDIT.search(self.words)
        return bool(found) and not phrases.PASSES.search(self.words)

    @property
    def bad_key(self) -> bool:
        """Whether the server knows no such key."""
        if self.status in phrases.OF_KEYS:
            return bool(phrases.BAD_KEY.search(self.words))

        return self.status == 401

    @property
    def declined(self) -> bool:
        """Whether a filter lets this conversation not pass."""
        if self.too_long or self.no_credit or self.status not in phrases.OF_FILTERS:
            return False

        return bool(phrases.DECLINED.search(self.words))

    @property
    def too_long(self) -> bool:
        """Whether the conversation does not fit, however often it is sent."""
        if (
            self.status == 413
            or self.code in phrases.TOO_LONG_CODES
            or phrases.NEVER_FITS.search(self.words)
        ):
            return True
        return self.status in phrases.OF_REQUESTS and bool(
            phrases.TOO_LONG.search(self.words)
        )

    @property
    def longest_unknown(self) -> bool:
        """Whether the server has no field of the name that the longest answer was given."""
        return bool(
            phrases.LONGEST.search(self.words) and phrases.NO_FIELD.search(self.words)
        )

    @property
    def longest_too_long(self) -> bool:
        """Whether a shorter answer may be asked for: its number is too large, or shares a
        context with the prompt.
        """
        named = bool(phrases.LONGEST.search(self.words))
        if self.too_long:
            return named or self.room is not None
        return named and bool(phrases.TOO_LARGE.search(self.words))

    @property
    def no_system(self) -> bool:
        """Whether the model knows no instructions besides what people say."""
        found = phrases.NO_SYSTEM.search(self.words)
        return bool(found) and self.status in phrases.OF_REQUESTS

    @property
    def no_such_path(self) -> bool:
        """Whether nothing is at this address."""
        if self.status not in (None, 404, 405):
            return False
        if phrases.NO_MODEL.search(self.words):
            return False

        return not self.is_api or bool(phrases.NO_PATH.search(self.words))

    @property
    def room(self) -> int | None:
        """Tokens that the context has for an answer beside this prompt, 0 for none; None
        when no numbers were said.
        """
        if found := phrases.SUM.search(self.words):
            return max(0, int(found[2]) - int(found[1]))
        if found := phrases.MOST.search(self.words):
            return int(found[1])

        context = phrases.CONTEXT.search(self.words)
        prompt = phrases.PROMPT.search(self.words)
        if context is None or prompt is None:
            return None

        return max(0, int(context[1] or context[2]) - int(prompt[1]))

    @property
    def wait(self) -> float | None:
        """Seconds until another try, where only the words say so."""
        wait = wait_in_words(self.words)
        if wait is None and phrases.LOADING.search(self.words):
            return LOADING_SECONDS

        return wait

    @property
    def lasts(self) -> bool:
        """Whether the same request will be refused again, whenever it is sent."""
        return (
            self.no_credit
            or self.too_long
            or self.no_such_path
            or self.bad_key
            or self.declined
            or self.no_system
        )


def error_of(answer: Fields) -> Fields | None:
    """The error that an answer or an event speaks of; None when it speaks of none."""
    error = answer.get("error")
    if isinstance(error, dict):
        return error if any(error.values()) else None
    if isinstance(error, str | list) and error:
        return {**answer, "message": error}
    if error or "error" in (answer.get("object"), answer.get("type")):
        return answer  # vLLM puts it on top

    response = record(answer.get("base_resp"))  # MiniMax
    if count(response.get("status_code")):
        return response

    errors = answer.get("errors")
    return next(iter(records(errors)), None) if errors else None


def read_body(status: int, body: bytes) -> ServerError:
    """The error behind a response that is no answer."""
    text = body.decode("utf-8", "replace")
    answers = objects_in(text) or []
    found = [error for answer in answers if (error := error_of(answer)) is not None]
    if not found:
        return ServerError(
            status,
            None,
            " ".join(_said(answers)).lower() or text.lower(),
            is_api=False,
        )

    return ServerError(status, _code(found[0]), _words(found[0]))


def read_error(error: Mapping[str, object]) -> ServerError:
    """An error object that came inside an answer; its status is what the code means."""
    return ServerError(_status(error), _code(error), _words(error))


def _code(error: Mapping[str, object]) -> str | None:
    found = (error.get("code"), error.get("type"))
    return next(
        (c for c in found if isinstance(c, str) and _IDENTIFIER.fullmatch(c)), None
    )


def _words(error: object) -> str:
    return " ".join(_said(error)).lower()


def _said(value: object, depth: int = 0) -> Iterator[str]:
    if isinstance(value, str | int | float):
        yield str(value)
    elif depth < _DEPTH and isinstance(value, dict):
        for name, inner in value.items():
            if name not in _QUOTES:
                yield str(name)
                yield from _said(inner, depth + 1)
    elif depth < _DEPTH and isinstance(value, list):
        for inner in value:
            yield from _said(inner, depth + 1)


def _status(error: Mapping[str, object]) -> int | None:
    for name in _STATUS_FIELDS:
        number = count(error.get(name))
        if number is not None and 400 <= number < 600:
            return number

    names = [str(error.get(name, "")) for name in _STATUS_FIELDS]
    plain = [re.sub(r"[^a-z]", "", name.lower()) for name in names]
    for name in (*plain, _words(error)):
        for pattern, status in (
            phrases.STATUS_NAMES if name in plain else phrases.STATUS_WORDS
        ):
            if re.search(pattern, name):
                return status
    return None
