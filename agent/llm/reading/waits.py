"""How long a server asks to be left alone: in seconds, as a span, as a moment, in words.

RFC 9110, 10.2.3 knows seconds and a date. Servers also write `1m30s`, `20ms`, a moment as
ISO 8601 or in seconds since 1970, and say it in a sentence only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MOST_SECONDS = 31 * 86_400.0
"""A longer wait is none that anybody meant: quotas are counted by the month at most."""

_UNITS = {
    "ms": 0.001,
    "milli": 0.001,
    "msec": 0.001,
    "d": 86_400.0,
    "h": 3600.0,
    "m": 60.0,
    "s": 1.0,
}
_NUMBER = r"(\d{1,13}(?:\.\d{1,9})?)"
_UNIT = r"(milliseconds?|msecs?|ms|days?|d|hours?|hrs?|h|minutes?|mins?|m|seconds?|secs?|s)"
_PART = re.compile(rf"{_NUMBER} ?{_UNIT}(?![a-z])(?:,| and)? ?|{_NUMBER}{_UNIT}")
_BARE = re.compile(rf"{_NUMBER}(?![\d.]*[-/:\d])")
_SAID = re.compile(
    r"(?:retry_?delay|(?:try again|retry|retrying) (?:in|after)|retry_?after(?:_?seconds)?|"
    r"(?P<ms>retry_?after_?ms)|wait(?: for)?|(?:resets?|available) in|estimated_time)"
    r"\W{0,5}(?:about |approximately |another )?(?=\d)"
)

_IN_MS = "retry-after-ms"
_ASKED = ("retry-after", "x-retry-after")
_SINCE_1970 = 1_000_000_000
"""Numbers above this are moments: in seconds, or above a thousand times this in ms."""

_RESET = re.compile(r"(?:x-|anthropic-)?ratelimit-(?:.*-)?reset(?:-.*)?")


def wait_asked_for(headers: Mapping[str, str]) -> float | None:
    """Seconds until another try, from `retry-after-ms` (OpenAI) or `Retry-After`."""
    milliseconds = headers.get(_IN_MS, "").strip()
    if re.fullmatch(_NUMBER, milliseconds, re.ASCII):
        return _bounded(float(milliseconds) / 1000)

    waits = (_wait_in(headers.get(name, "")) for name in _ASKED)
    return next((wait for wait in waits if wait is not None), None)


def wait_until_reset(headers: Mapping[str, str]) -> float | None:
    """Seconds until the limit that was reached counts from zero again; None: nobody says so.

    For a refusal because of a limit: other answers have these headers, too.
    """
    waits = [
        wait
        for name, value in headers.items()
        if _RESET.fullmatch(name.lower())
        and headers.get(name.lower().replace("reset", "remaining"), "0").strip()
        in ("0", "0.0")
        and (wait := _wait_in(value)) is not None
    ]

    return max(waits, default=None)


def wait_in_words(words: str) -> float | None:
    """Seconds until another try, where a sentence in small letters says so."""
    found = _SAID.search(words)
    if found is None:
        return None
    if found["ms"]:
        number = _BARE.match(words, found.end())
        return _bounded(float(number[1]) / 1000) if number else None
    if (span := _span(words, found.end())) is not None:
        return _bounded(span[0])

    number = _BARE.match(words, found.end())
    return _bounded(float(number[1])) if number else None


def _wait_in(value: str) -> float | None:
    """From the value of a header."""
    value = value.strip().lower()
    if re.fullmatch(_NUMBER, value, re.ASCII):
        return _bounded(_from_now(float(value)))

    span = _span(value, 0)
    if span is not None and span[1] == len(value):
        return _bounded(span[0])

    moment = _moment(value)
    if moment is None:
        return None
    return _bounded(max(0.0, (moment - datetime.now(UTC)).total_seconds()))


def _from_now(number: float) -> float:
    if number < _SINCE_1970:
        return number

    moment = number / 1000 if number > _SINCE_1970 * 1000 else number
    return max(0.0, moment - datetime.now(UTC).timestamp())


def _span(text: str, begin: int) -> tuple[float, int] | None:
    """The seconds of parts such as `1h30m`, and where they end."""
    seconds, end = 0.0, begin
    while part := _PART.match(text, end):
        number, unit = part[1] or part[3], part[2] or part[4]
        seconds += float(number) * _seconds_of(unit)
        end = part.end()

    return (seconds, end) if end > begin else None


def _seconds_of(unit: str) -> float:
    for name, seconds in _UNITS.items():
        if unit.startswith(name):
            return seconds
    raise AssertionError(unit)


def _moment(value: str) -> datetime | None:
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        with suppress(ValueError, OverflowError):
            when = read(value.upper())
            return when if when.tzinfo else when.replace(tzinfo=UTC)
    return None


def _bounded(seconds: float) -> float | None:
    return seconds if seconds <= MOST_SECONDS else None
