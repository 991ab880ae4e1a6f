"""How long a server asks to be left alone, in every form that was seen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from agent.llm.http_errors import Server, refused
from agent.llm.reading.waits import wait_asked_for, wait_in_words, wait_until_reset

SERVER = Server("openai:gpt", "http://127.0.0.1", "OPENAI_API_KEY", "OPENAI_BASE_URL")


def soon() -> datetime:
    return datetime.now(UTC) + timedelta(seconds=90)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("90", 90),
        (" 1.5 ", 1.5),
        ("0", 0),
        ("1m30s", 90),
        ("1m30.5s", 90.5),
        ("60s", 60),
        ("500ms", 0.5),
        ("2 minutes", 120),
        ("1h", 3600),
        ("1d2h", 93_600),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 0),
        ("Mon, 01 Jan 0001 00:00:00 +2300", 0),
        ("1735689600", 0),
        *(
            (value, None)
            for value in ("", "-1", "inf", "nan", "1e3", "5, 5", "5.5.5")
        ),
        *((value, None) for value in ("soon", "00:01:30", "٥", "9" * 40, "1m30x")),
        ("Fri, 31 Dec 9999 23:59:59 -2300", None),
        ("2099-01-01T00:00:00Z", None),
    ],
)
def test_a_header_is_read(value: str, seconds: float | None) -> None:
    assert seconds == wait_asked_for({"retry-after": value})


@pytest.mark.parametrize("form", ["RFC 9110", "ISO 8601", "seconds", "milliseconds"])
def test_a_moment_is_as_far_as_it_is(form: str) -> None:
    moment = soon()
    value = {
        "RFC 9110": format_datetime(moment),
        "ISO 8601": moment.isoformat(),
        "seconds": str(int(moment.timestamp())),
        "milliseconds": str(int(moment.timestamp() * 1000)),
    }[form]
    wait = wait_asked_for({"retry-after": value})
    assert wait is not None
    assert 85 < wait < 91


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"x-ratelimit-reset-requests": "1m30s"}, 90),
        (
            {
                "X-RateLimit-Reset-Requests": "9h",
                "x-ratelimit-remaining-requests": "7",
                "x-ratelimit-reset-tokens": "6m0s",
                "x-ratelimit-remaining-tokens": "0",
            },
            360,
        ),
        ({"x-ratelimit-reset": "30"}, 30),
        ({"ratelimit-reset": "30"}, 30),
        ({"x-ratelimit-reset": "1741305600000"}, 0),
        ({"anthropic-ratelimit-requests-reset": "2020-01-01T00:00:00Z"}, 0),
        ({"x-ratelimit-limit-requests": "30"}, None),
        ({"x-ratelimit-reset": "later"}, None),
        ({}, None),
    ],
)
def test_the_end_of_a_limit_is_read(
    headers: dict[str, str], seconds: float | None
) -> None:
    """Where a limit has some left, it is not the one."""
    lower = {name.lower(): value for name, value in headers.items()}
    assert seconds == wait_until_reset(lower)


def test_the_end_of_a_limit_counts_for_what_a_limit_refused() -> None:
    headers = {"x-ratelimit-reset-requests": "30s"}
    asked = {**headers, "retry-after": "2"}
    assert 30.0 == refused(SERVER, 429, headers, b"").retry_after
    assert 2.0 == refused(SERVER, 429, asked, b"").retry_after
    assert 9.0 == refused(SERVER, 429, headers, b"try again in 9s").retry_after
    assert None is refused(SERVER, 503, headers, b"").retry_after


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("please try again in 1h27m33.6s. visit us", 5253.6),
        ("try again in 7m12s", 432),
        ("try again in 20 seconds", 20),
        ("try again in 2 minutes and 5 seconds", 125),
        ("try again in 20 milliseconds", 0.02),
        ("try again in 5 hours", 18_000),
        ("try again in 1 day", 86_400),
        ("try again after 30 seconds", 30),
        ("try again in about 20 seconds", 20),
        ("please wait 12345 seconds before retrying", 12_345),
        ("limit resets in 2m30s", 150),
        ("estimated_time 20.0", 20),
        ("retry_after_ms 500", 0.5),
        ("retry_after_seconds 5", 5),
        ("retrydelay 38s", 38),
        ("retry after 12", 12),
        ("retry after 2025-10-10", None),
        ("try again in 14:30", None),
        ("try again in 400 days", None),
        ("try again later", None),
    ],
)
def test_words_are_read(words: str, seconds: float | None) -> None:
    assert seconds == pytest.approx(wait_in_words(words))


def test_a_server_that_loads_its_model_is_given_a_moment() -> None:
    loading = refused(SERVER, 503, {}, b'{"error": {"message": "Loading model"}}')
    assert (loading.again, loading.retry_after) == (True, 5.0)
