"""What a server's words say went wrong: codes differ from server to server, and many send none.

Its words are searched and never shown: they may quote the conversation or a key.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from agent.llm.reading.fields import Fields, objects_in, records

_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]{1,39}")
_DEPTH = 8  # of an error object: what is nested deeper says nothing more
_QUOTES = frozenset({"input", "messages"})  # fields that repeat the request

_STATUS_NAMES = (  # what codes without a number mean, as HTTP says it; the first that fits counts
    (r"ratelimit|toomanyrequests|resourceexhausted|throttl|quota", 429),
    (r"overloaded", 529),
    (r"authentication|invalidapikey|unauthori[sz]ed|unauthenticated", 401),
    (r"billing|payment", 402),
    (r"permission|forbidden", 403),
    (r"notfound", 404),
    (r"timeout|deadline", 504),
    (r"toolarge|contextlength|contextsize", 413),
    (r"unavailable", 503),
    (r"server|internal|apierror", 500),
    (r"invalid|badrequest|precondition|unsupported", 400),
)

_NO_CREDIT_CODES = frozenset(
    {
        "insufficient_quota",
        "billing_error",
        "billing_hard_limit_reached",
        "billing_not_active",
    }
)
_NO_CREDIT = re.compile(
    r"insufficient[ _](\w+ )?(quota|balance|credits?|funds)|"
    r"not[ _]enough[ _](balance|credits?|funds)|"
    r"balance.{0,20}(insufficient|too low|not enough|exhausted)|"
    r"(out of|no remaining|used all available|more) credits|"
    r"credits?.{0,30}(depleted|exhausted|too low|exceeded|insufficient|used up)|"
    r"exceeded.{0,30} credits|"
    r"exceeded your current quota|exceeded_current_quota|payment required|arrearage|"
    r"overdue|recharge|"
    r"spend(ing)?[ _]limit|budget has been exceeded|"
    r"billing.{0,20}(hard limit|disabled|not active|to be enabled)"
)
_PASSES = re.compile(
    r"rate.?limit|(try again|retry) in|retrydelay|per (minute|min|second|day)\b"
)

_TOO_LONG_CODES = frozenset(
    {
        "context_length_exceeded",
        "request_too_large",
        "exceed_context_size_error",
        "string_above_max_length",
        "tokens_limit_reached",
    }
)
_TOO_LONG = re.compile(
    r"context.{0,10}(length|window|size|limit|overflow)|\bn_ctx\b|long context|"
    r"\b(prompt|inputs?|conversation|string|content)\b.{0,40}"
    r"(too (long|large)|longer than|larger than|exceed)|"
    r"inputs must have less|too many tokens|maximum (prompt|input|model) length|"
    r"(input|prompt) length|"
    r"model token limit|`inputs` tokens|more than max tokens|reduce the length|exceeds max length"
)
_NEVER_FITS = re.compile(
    r"request too large|tokens must be reduced|long context"
)  # said of limits per minute, too
_OF_REQUESTS = frozenset({None, 400, 403, 413, 422, 500})
"""Statuses that judge a request (llama.cpp says 500). With others "too many tokens" speaks
of the server's own load.
"""

_LONGEST = re.compile(r"max_(completion_)?tokens")  # the two names of the field
_NO_FIELD = re.compile(
    r"unsupported|not supported|forbidden|not permitted|not allowed|un(known|recognized|expected)"
)
_TOO_LARGE = re.compile(
    r"too (large|long|high|big)|maximum|at most|exceed|range|above|<=|less than"
)
_NO_PATH = re.compile(r"unexpected endpoint|invalid url|unknown request url")

_SUM = re.compile(
    r"(\d{1,9}) \+ \d{1,9} > (\d{1,9})"
)  # Anthropic: prompt + max_tokens > context
_CONTEXT = re.compile(
    r"(?:context|prompt|model|input)[ -](?:length|window|size|limit)\D{0,30}?(\d{3,9})|<= (\d{3,9})"
)
_PROMPT = re.compile(
    r"(\d{1,9}) (?:tokens )?(?:in (?:the messages|(?:your|the) prompt)|"
    r"of text input|`inputs` tokens|input tokens)"
)
_MOST = re.compile(
    r"max_tokens: \d{1,9} > (\d{1,9})"
)  # Anthropic: more than this model ever writes
_WAIT = re.compile(
    r"(?:retrydelay|try again in|retry in|retry after)\W{0,5}(\d{1,6}(?:\.\d{1,9})?) ?(ms|s|m)?"
)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, None: 1.0}


@dataclass(frozen=True, slots=True)
class ServerError:
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
        if self.status == 402 or self.code in _NO_CREDIT_CODES:
            return True
        return bool(_NO_CREDIT.search(self.words)) and not _PASSES.search(self.words)

    @property
    def too_long(self) -> bool:
        """Whether the conversation does not fit, however often it is sent."""
        if (
            self.status == 413
            or self.code in _TOO_LONG_CODES
            or _NEVER_FITS.search(self.words)
        ):
            return True
        return self.status in _OF_REQUESTS and bool(_TOO_LONG.search(self.words))

    @property
    def longest_unknown(self) -> bool:
        """Whether the server has no field of the name that the longest answer was given."""
        return bool(_LONGEST.search(self.words) and _NO_FIELD.search(self.words))

    @property
    def longest_too_long(self) -> bool:
        """Whether a shorter answer may be asked for: its number is too large, or shares a
        context with the prompt.
        """
        named = bool(_LONGEST.search(self.words))
        if self.too_long:
            return named or self.room is not None
        return named and bool(_TOO_LARGE.search(self.words))

    @property
    def no_such_path(self) -> bool:
        """Whether nothing is at this address."""
        if self.status not in (None, 404, 405):
            return False
        return not self.is_api or bool(_NO_PATH.search(self.words))

    @property
    def room(self) -> int | None:
        """Tokens that the context has for an answer beside this prompt, 0 for none; None
        when no numbers were said.
        """
        if found := _SUM.search(self.words):
            return max(0, int(found[2]) - int(found[1]))
        if found := _MOST.search(self.words):
            return int(found[1])

        context, prompt = _CONTEXT.search(self.words), _PROMPT.search(self.words)
        if context is None or prompt is None:
            return None
        return max(0, int(context[1] or context[2]) - int(prompt[1]))

    @property
    def wait(self) -> float | None:
        """Seconds until another try, where only the words say so."""
        found = _WAIT.search(self.words)
        return float(found[1]) * _UNITS[found[2]] if found else None


def error_of(answer: Fields) -> Fields | None:
    """The error that an answer or an event speaks of; None when it speaks of none."""
    error = answer.get("error")
    if isinstance(error, dict):
        return error if any(error.values()) else None
    if error:
        return {**answer, "message": error}
    if (
        answer.get("object") == "error" or answer.get("type") == "error"
    ):  # vLLM puts it on top
        return answer

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
    names = [
        str(error.get(name, "")) for name in ("code", "status", "status_code", "type")
    ]
    for name in names:
        if re.fullmatch(r"[45]\d\d", name):
            return int(name)

    for name in names:
        plain = re.sub(r"[^a-z]", "", name.lower())
        for pattern, status in _STATUS_NAMES:
            if re.search(pattern, plain):
                return status
    return None
