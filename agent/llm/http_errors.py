"""What people are told when a model server does not answer as it should.

A server's own words are never repeated: they may quote the conversation or a key. Only the
status and an error code that is a short identifier are.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from agent.core.errors import UnknownModel
from agent.llm.provider import AttemptError, LongestReached, Objection

_RETRIED = frozenset(
    {408, 409, 429}
)  # and everything from 500 on, Anthropic's 529 "overloaded" included
_IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]{1,39}")
_NO_CREDIT = frozenset(
    {"insufficient_quota", "billing_error"}
)  # 429 or 402: waiting does not help
_TOO_LONG = frozenset({"context_length_exceeded", "request_too_large"})
_LONGEST = re.compile(rb"max_(completion_)?tokens")  # the two names of the field
_NO_FIELD = re.compile(
    rb"unsupported|not supported|forbidden|not permitted|not allowed|un(known|recognized|expected)"
)
_TOO_LARGE = re.compile(
    rb"context.{0,3}(length|window|size)|too (large|long|high|big)|maximum|at most|exceed|range|above|<=|less than"
)


@dataclass(frozen=True, slots=True)
class Server:
    """Where a model is asked, and how the settings behind that are called."""

    model: str  # `provider:model`
    url: str
    key_setting: str
    url_setting: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # hold the key
    has_key: bool = True


def sound_key(key: str, setting: str) -> str:
    """A key that can be sent in a header. Raises UnknownModel when it can not."""
    key = key.strip()
    if not (key and key.isascii() and key.isprintable()):
        raise UnknownModel(f"{setting} is not a key that can be sent. Set a valid key.")
    return key


def error_code(error: object) -> str | None:
    """The short identifier in an error object of either API: `code`, else `type`."""
    if not isinstance(error, dict):
        return None
    found = (error.get("code"), error.get("type"))
    return next(
        (c for c in found if isinstance(c, str) and _IDENTIFIER.fullmatch(c)), None
    )


def error_in(body: bytes) -> dict[str, object] | None:
    """The error object of a response, None when it is no API's answer."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return None
    if not isinstance(answer, dict):
        return None
    if answer.get("object") == "error":  # vLLM puts it on top
        return answer
    error = answer.get("error")
    return error if error is None or isinstance(error, dict) else {}


def wait_asked_for(headers: Mapping[str, str]) -> float | None:
    """Seconds until another try, from `retry-after-ms` (OpenAI) or `Retry-After` (RFC 9110,
    10.2.3).
    """
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        value = headers.get(name, "").strip()
        if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value):
            return float(value) * unit
    try:
        when = parsedate_to_datetime(headers.get("retry-after", ""))
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())


def refused(
    server: Server, status: int, headers: Mapping[str, str], body: bytes
) -> AttemptError:
    """The failure behind a response that is no answer."""
    error = error_in(body)
    code = error_code(error)
    wait = wait_asked_for(headers)
    return AttemptError(
        _sentence(server, status, code, wait, is_api=error is not None),
        again=(status in _RETRIED or status >= 500) and code not in _NO_CREDIT,
        status=status,
        objection=_objection(body.lower()),
        retry_after=wait,
    )


def _objection(body: bytes) -> Objection:
    """Read from a server's words, since codes differ: OpenAI's `unsupported_parameter`,
    pydantic's `extra_forbidden`, and for a number that is too large often none at all."""
    named = _LONGEST.search(body)
    if named and _NO_FIELD.search(body):
        return "longest unknown"
    return (
        "longest too long"
        if _TOO_LARGE.search(body) and (named or b"context" in body)
        else ""
    )


def _sentence(
    server: Server, status: int, code: str | None, wait: float | None, *, is_api: bool
) -> str:
    soon = f"in {math.ceil(wait)} s" if wait else "in a moment"
    shown = f"{status}, {code}" if code else f"{status}"
    if code in _NO_CREDIT or status == 402:
        return (
            f"There is no credit left behind {server.key_setting} ({shown}). "
            "Top it up or set another key."
        )
    if code in _TOO_LONG or status == 413:
        return (
            f"This conversation is too long for {server.model} ({shown}). "
            "Start a new one with /new."
        )
    if status < 400 or (status == 404 and not is_api):
        return f"There is no model server at {server.url_setting} ({shown}). Correct that setting."
    match status:
        case 401 if not server.has_key:
            return f"The model server wants a key ({shown}). Set {server.key_setting}."
        case 401:
            return f"The model server refused {server.key_setting} ({shown}). Set a valid key."
        case 403:
            return (
                f"The model server does not allow {server.model} ({shown}). "
                f"Choose another with /model NAME or check {server.key_setting}."
            )
        case 404:
            return (
                f"{server.model} does not exist on this server. Choose "
                "another with /model NAME or DEFAULT_MODEL."
            )
        case 429:
            return f"{server.model} gets too many requests right now ({shown}). Try again {soon}."
    if status >= 500 or status in _RETRIED:
        return f"{server.model} is failing at the moment ({shown}). Try again {soon}."
    return f"{server.model} refused the request ({shown}). Choose another with /model NAME."


def unreachable(server: Server, *, may_cost: bool) -> AttemptError:
    return AttemptError(
        f"The model server can not be reached. Check {server.url_setting} or try "
        "again in a moment.",
        again=True,
        may_cost=may_cost,
    )


def no_address(server: Server) -> AttemptError:
    return AttemptError(
        f"{server.url_setting} is not a web address. Correct that setting."
    )


def no_stream(server: Server) -> AttemptError:
    return AttemptError(
        f"The server at {server.url_setting} streams no answers. Check that setting."
    )


def late(server: Server, seconds: float) -> AttemptError:
    sentence = (
        f"{server.model} did not begin to answer within {seconds:g} s. "
        "Try again in a moment."
    )
    return AttemptError(sentence, again=True, slow=True, may_cost=True)


def silent(server: Server, seconds: float) -> AttemptError:
    sentence = f"{server.model} fell silent for {seconds:g} s. /retry asks again."
    return AttemptError(sentence, again=True, slow=True, may_cost=True)


def broken(server: Server) -> AttemptError:
    sentence = (
        f"The connection to {server.model} broke before its answer was "
        "complete. /retry asks again."
    )
    return AttemptError(sentence, again=True, may_cost=True)


def garbled(server: Server) -> AttemptError:
    return AttemptError(
        f"{server.model} sent something unreadable. /retry asks again.", may_cost=True
    )


def erred(server: Server, error: object) -> AttemptError:
    code = error_code(error)
    shown = f" ({code})" if code else ""
    sentence = f"{server.model} failed while answering{shown}. /retry asks again."
    return AttemptError(sentence, again=True, may_cost=True)


def declined(server: Server) -> AttemptError:
    return AttemptError(
        f"{server.model} declined to answer this (further). Say it in another way.",
        may_cost=True,
    )


def cut(server: Server, longest: int, *, said: bool) -> AttemptError:
    if said:
        return LongestReached(longest)
    return AttemptError(
        f"{server.model} used up the {longest:,} tokens of an answer by "
        "thinking. Ask for less at once, "
        "or ask whoever runs me to raise its `answer` in MODELS.",
        may_cost=True,
    )
