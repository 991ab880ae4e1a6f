"""What people are told when a model server does not answer as it should.

A server's own words are never repeated: they may quote the conversation or a key. Only the
status and an error code that is a short identifier are.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

from msgspec import Struct, field

from agent.core.errors import UnknownModel
from agent.llm.error_words import ServerError, read_body, read_error
from agent.llm.provider import (
    LEAST,
    AttemptError,
    LongestReached,
    NotAsked,
    Objection,
)
from agent.llm.reading.waits import wait_asked_for, wait_until_reset

_LIMITED = 429
_RETRIED = frozenset({408, 409, 424, 425, 429, 498, 499})
"""And everything from 500 on, Anthropic's 529 "overloaded" included. TGI says 424 for an
answer that broke off, Groq 498 for too little room, gateways 499 for a call they gave up.
"""


class Server(Struct, frozen=True):
    """Where a model is asked, and how the settings behind that are called."""

    model: str  # `provider:model`
    url: str
    key_setting: str
    url_setting: str
    headers: Mapping[str, str] = field(default_factory=dict)  # hold the key
    has_key: bool = True

    def __repr__(self) -> str:
        """Without the key."""
        return f"Server({self.model!r}, {self.url!r})"

    @property
    def provider(self) -> str:
        """Whose server it is."""
        return self.model.partition(":")[0]


def sound_key(key: str, setting: str) -> str:
    """A key that can be sent in a header. Raises UnknownModel when it cannot."""
    key = key.strip()
    if not (key and key.isascii() and key.isprintable()):
        raise UnknownModel(
            f"{setting} is not a key that can be sent. Set a valid key."
        )
    return key


def refused(
    server: Server, status: int, headers: Mapping[str, str], body: bytes
) -> AttemptError:
    """The failure behind a response that is no answer."""
    return _failure(server, read_body(status, body), headers)


def erred(
    server: Server,
    error: Mapping[str, object],
    headers: Mapping[str, str] | None = None,
    *,
    said: bool = False,
) -> AttemptError:
    """The failure behind an error that came inside an answer, with status 200; `said`:
    after a part of its text.
    """
    found = read_error(error)
    failure = _failure(server, found, headers or {})
    failure.may_cost = failure.again
    if found.lasts or (found.status and not said):
        return failure

    shown = f" ({found.code})" if found.code else ""
    sentence = f"{server.model} failed while answering{shown}. /retry asks again."
    return AttemptError(sentence, again=True, status=found.status, may_cost=True)


def _failure(
    server: Server, error: ServerError, headers: Mapping[str, str]
) -> AttemptError:
    wait = _wait(error, headers)
    passes = error.status is not None and (
        error.status in _RETRIED or error.status >= 500
    )
    return AttemptError(
        _sentence(server, error, wait),
        again=passes and not error.lasts,
        status=error.status,
        objection=_objection(error),
        room=error.room,
        retry_after=wait,
    )


def _wait(error: ServerError, headers: Mapping[str, str]) -> float | None:
    """What the header asks for, else what the words say, else when the limit ends."""
    for wait in (wait_asked_for(headers), error.wait):
        if wait is not None:
            return wait

    return wait_until_reset(headers) if error.status == _LIMITED else None


def _objection(error: ServerError) -> Objection:
    if error.no_credit:
        return "no credit"
    if error.declined:
        return "declined"
    if error.bad_key:
        return "bad key"
    if error.no_system:
        return "no system"
    if error.longest_unknown and not error.too_long:
        return "longest unknown"
    if error.longest_too_long:
        room = error.room
        return (
            "longest too long" if room is None or room >= LEAST else "prompt too long"
        )
    if error.too_long:
        return "prompt too long"
    return "no such path" if error.no_such_path else ""


def _sentence(server: Server, error: ServerError, wait: float | None) -> str:
    status = error.status or 0
    soon = f"in {math.ceil(wait)} s" if wait else "in a moment"
    known = ", ".join(str(part) for part in (error.status, error.code) if part)
    shown = known or "no reason given"
    if error.too_long:
        return (
            f"This conversation is too long for {server.model} ({shown}). "
            "Start a new one with /new."
        )
    if error.no_credit:
        return (
            f"There is no credit left behind {server.key_setting} ({shown}). "
            "Top it up or set another key."
        )
    if error.declined:
        return declined(server).sentence
    if 0 < status < 400 or error.no_such_path:
        return f"There is no model server at {server.url_setting} ({shown}). Correct that setting."
    if error.bad_key:
        return _about_the_key(server, shown)

    match status:
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
        case _ if status == _LIMITED:
            return f"{server.model} gets too many requests right now ({shown}). Try again {soon}."
    if status >= 500 or status in _RETRIED:
        return f"{server.model} is failing at the moment ({shown}). Try again {soon}."
    return f"{server.model} refused the request ({shown}). Choose another with /model NAME."


def _about_the_key(server: Server, shown: str) -> str:
    if not server.has_key:
        return f"The model server wants a key ({shown}). Set {server.key_setting}."

    return (
        f"The model server refused {server.key_setting} ({shown}). Set a valid key."
    )


def unreachable(server: Server, *, may_cost: bool) -> AttemptError:
    return AttemptError(
        f"The model server cannot be reached. Check {server.url_setting} or try "
        "again in a moment.",
        again=True,
        may_cost=may_cost,
    )


def no_address(server: Server) -> AttemptError:
    return AttemptError(
        f"{server.url_setting} is not a web address. Correct that setting."
    )


def no_stream(server: Server) -> AttemptError:
    """Such as a page for people: what was asked for may be at another path."""
    return AttemptError(
        f"The server at {server.url_setting} streams no answers. Check that setting.",
        objection="no such path",
    )


def late(server: Server, seconds: float) -> AttemptError:
    return AttemptError(
        late_sentence(server.model, seconds), again=True, slow=True, may_cost=True
    )


def late_sentence(model: str, seconds: float) -> str:
    """For a model from which no byte came; `seconds` is how long it was waited for."""
    return (
        f"{model} did not begin to answer within {round(seconds, 1):g} s. "
        "Try again in a moment; if it needs longer to load, raise MODEL_FIRST_BYTE_TIMEOUT."
    )


def unfinished(model: str, seconds: float) -> str:
    """For an answer that began, or for several models together."""
    return f"{model} did not finish within {seconds:g} s. /retry asks again."


def crowded(server: Server, calls: int) -> NotAsked:
    sentence = (
        f"The model server is busy with {calls} other answers of mine. "
        "Try again in a moment."
    )
    return NotAsked(sentence)


def left_alone(model: str, failures: int, seconds: float, cause: str) -> NotAsked:
    sentence = (
        f"{model} failed {failures} times in a row, so it is asked again only in "
        f"{math.ceil(seconds)} s. "
        f"The last failure: {cause}"
    )
    return NotAsked(sentence, retry_after=seconds)


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


def too_much(server: Server) -> AttemptError:
    sentence = (
        f"{server.model} sent more than an answer may hold, so it ends "
        "here. /retry asks again."
    )
    return AttemptError(sentence, may_cost=True)


def ended_early(server: Server, reason: str) -> AttemptError:
    """`reason`: the server's own, shown only if it is a short identifier."""
    shown = f" ({reason})" if re.fullmatch(r"[a-z][a-z0-9_]{1,39}", reason) else ""
    sentence = f"{server.model} stopped before its answer was complete{shown}. /retry asks again."
    return AttemptError(sentence, again=True, may_cost=True)


def only_thought(server: Server) -> AttemptError:
    return AttemptError(
        f"{server.model} thought but gave no answer. /retry asks again.",
        may_cost=True,
    )


def declined(server: Server) -> AttemptError:
    return AttemptError(
        f"{server.model} declined to answer this (further). Say it in another way.",
        may_cost=True,
    )


def full(server: Server) -> AttemptError:
    sentence = (
        f"This conversation fills the whole context of {server.model}. "
        "Start a new one with /new."
    )
    return AttemptError(sentence, may_cost=True)


def cut(server: Server, longest: int, *, said: bool) -> AttemptError:
    if said:
        return LongestReached(longest)
    return AttemptError(
        f"{server.model} used up the {longest:,} tokens of an answer by "
        "thinking. Ask for less at once, "
        "or ask whoever runs me to raise its `answer` in MODELS.",
        may_cost=True,
    )
