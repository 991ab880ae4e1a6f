"""Rate limits: the pure part."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.limits import PER_PERSON, Limit, Limited, LocalLimiter, Rule, waiting

MINUTE = Limit(3, 60)


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def rule(subject: str, limit: Limit = MINUTE, scope: str = "user") -> Rule:
    return Rule(scope, subject, limit, subject)


ADA = [rule("test:ada")]


def admitted(
    limiter: LocalLimiter,
    rules: list[Rule],
    times: int,
    *,
    share: int = 1,
    slack: float = 0.0,
) -> int:
    return sum(
        limiter.judge(rules, share=share, slack=slack) is None for _ in range(times)
    )


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("60/minute", Limit(60, 60)),
        ("500 / hour", Limit(500, 3600)),
        ("1 per day", Limit(1, 86_400)),
        ("5/10s", Limit(5, 10)),
        ("3 per 2 hours", Limit(3, 7200)),
        ("7/SECOND", Limit(7, 1)),
    ],
)
def test_a_limit_is_read_as_people_write_it(text: str, limit: Limit) -> None:
    assert Limit.parse(text) == limit
    assert Limit.parse(str(limit)) == limit


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "60",
            "0/minute",
            "60/0s",
            "60/00s",
            "-1/hour",
            "1.5/hour",
            "60/year",
            "140%",
            "1/minute/x",
        ),
        *("1000001/second", "1/11575 days"),
    ],
)
def test_what_is_no_limit_is_refused_with_the_forms_that_are(text: str) -> None:
    with pytest.raises(ValueError, match="60/minute"):
        Limit.parse(text)


@given(
    st.integers(0, 10**9),
    st.integers(0, 10**9),
    st.sampled_from(["s", " seconds", " minutes", " hours", " days"]),
)
def test_what_is_taken_can_be_kept_and_read_again(
    count: int, length: int, unit: str
) -> None:
    """In the store as it is shown, and in Redis as whole µs between two messages."""
    try:
        limit = Limit.parse(f"{count}/{length}{unit}")
    except ValueError:
        return

    assert limit == Limit.parse(str(limit))
    assert round(limit.interval * 1e6) >= 1


@pytest.mark.parametrize("text", ["1000000/second", "1/11574 days", "1000/30 days"])
def test_the_outermost_limits_are_read_again_as_they_are_stored(text: str) -> None:
    assert Limit.parse(text) == Limit.parse(str(Limit.parse(text)))


def test_the_specification_says_sixty_a_minute_and_how_keys_look() -> None:
    assert Limit(60, 60) == PER_PERSON
    assert rule("test:123", PER_PERSON).key == "rate:user:test:123:minute"


def test_as_many_as_the_limit_may_come_at_once_and_then_one_in_each_interval() -> (
    None
):
    clock = Clock()
    limiter = LocalLimiter(clock)

    assert admitted(limiter, ADA, 10) == 3

    clock.now += 19.9
    assert admitted(limiter, ADA, 10) == 0

    clock.now += 0.1
    assert admitted(limiter, ADA, 10) == 1

    clock.now += 60
    assert admitted(limiter, ADA, 10) == 3


def test_the_waiting_time_is_the_time_until_one_more_may_come() -> None:
    clock = Clock()
    limiter = LocalLimiter(clock)
    admitted(limiter, ADA, 3)
    clock.now += 5

    assert limiter.judge(ADA) == Limited("user", 15.0, tell=True)

    clock.now += 15
    assert limiter.judge(ADA) is None


def test_a_refusal_is_told_once_in_a_window() -> None:
    clock = Clock()
    limiter = LocalLimiter(clock)
    told = []

    for _ in range(130):  # more than the limit, for more than two windows
        clock.now += 1
        limited = limiter.judge([rule("test:ada", Limit(1, 60))])
        told.append(bool(limited and limited.tell))

    assert sum(told) == 3


def test_a_message_counts_in_all_its_limits_or_in_none() -> None:
    limiter = LocalLimiter(Clock())
    chat = rule("test:room", Limit(5, 60), "chat")
    ada = [rule("test:ada"), chat]
    bob = [rule("test:bob"), chat]

    # What ada was refused is not counted against the chat, …
    assert admitted(limiter, ada, 10) == 3
    assert admitted(limiter, bob, 10) == 2
    # … nor what the chat refused against bob.
    assert admitted(limiter, [rule("test:bob")], 10) == 1


def test_the_limit_one_has_to_wait_for_longest_is_named() -> None:
    limiter = LocalLimiter(Clock())
    rules = [
        rule("test:ada", Limit(1, 60)),
        rule("test:room", Limit(1, 3600), "chat"),
    ]

    assert limiter.judge(rules) is None
    assert limiter.judge(rules) == Limited("chat", 3600.0, tell=True)


@given(
    limit=st.builds(Limit, st.integers(1, 20), st.integers(1, 100)),
    pauses=st.lists(st.integers(0, 20_000), max_size=200),
)
def test_it_admits_exactly_what_an_ideal_bucket_admits(
    limit: Limit, pauses: list[int]
) -> None:
    """A bucket of `count` tokens that fills evenly, computed in exact fractions of milliseconds."""
    clock = Clock()
    limiter = LocalLimiter(clock)
    tokens = Fraction(limit.count)

    for pause in pauses:
        clock.now += pause / 1000
        tokens = min(
            Fraction(limit.count),
            tokens + Fraction(pause * limit.count, limit.seconds * 1000),
        )
        ideal = tokens >= 1
        tokens -= ideal

        assert (limiter.judge([rule("x", limit)]) is None) == ideal


def test_a_share_is_a_part_of_the_limit_and_at_least_one() -> None:
    clock = Clock()
    limiter = LocalLimiter(clock)

    assert admitted(limiter, [rule("a", Limit(60, 60))], 100, share=4) == 15
    assert admitted(limiter, [rule("b", Limit(2, 60))], 100, share=4) == 1

    clock.now += 60
    assert admitted(limiter, [rule("a", Limit(60, 60))], 100, share=4) == 15


@pytest.mark.parametrize("count", [1, 3, 60, 5000])
def test_slack_never_makes_room_for_one_more_at_once(count: int) -> None:
    assert (
        admitted(
            LocalLimiter(Clock()),
            [rule("a", Limit(count, 60))],
            count + 5,
            slack=0.05,
        )
        == count
    )


def test_slack_forgives_a_message_that_seems_a_moment_too_early() -> None:
    clock = Clock()
    limiter = LocalLimiter(clock)
    admitted(limiter, ADA, 3)
    clock.now += 19.96

    assert limiter.judge(ADA) is not None
    assert limiter.judge(ADA, slack=0.05) is None


def test_memory_is_bounded_and_the_least_lately_used_is_forgotten() -> None:
    limiter = LocalLimiter(Clock(), size=2)
    one = Limit(1, 60)

    for subject in ("a", "b", "c"):
        assert limiter.judge([rule(subject, one)]) is None

    assert limiter.judge([rule("c", one)]) is not None
    assert limiter.judge([rule("a", one)]) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.01, "1 second"),
        (1.0, "1 second"),
        (1.2, "2 seconds"),
        (59.5, "60 seconds"),
        (90.0, "90 seconds"),
        (91.0, "2 minutes"),
        (3600.0, "60 minutes"),
        (6000.0, "2 hours"),
    ],
)
def test_waiting_times_are_rounded_up_for_people(seconds: float, text: str) -> None:
    assert waiting(seconds) == text


def test_the_sentence_names_the_waiting_time() -> None:
    limited = Limited("user", 11.2, tell=True)

    assert limited.sentence == (
        "You are sending messages too quickly. Please try again in 12 seconds."
    )
