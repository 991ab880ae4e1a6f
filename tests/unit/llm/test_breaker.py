"""A model that keeps failing is left alone, and tried again by one call at a time."""

from __future__ import annotations

import pytest

from agent.llm.bulkhead import (
    FIRST_PAUSE,
    LAST_PAUSE,
    MOST_BREAKERS,
    OPENS_AT,
    TRY_SECONDS,
    Breaker,
    Breakers,
)
from agent.llm.provider import AttemptError, NotAsked

GPT = "openai:gpt"
ILL = AttemptError("It broke.", again=True)


def opened(at: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(OPENS_AT):
        breaker.failed("It broke.", at)
    return breaker


def may_ask(breaker: Breaker, now: float) -> bool:
    try:
        breaker.check(GPT, now)
    except NotAsked:
        return False
    return True


def test_a_few_failures_change_nothing() -> None:
    breaker = Breaker()
    for _ in range(OPENS_AT - 1):
        breaker.failed("It broke.", 0.0)
    assert may_ask(breaker, 0.0)


def test_a_success_forgets_the_failures() -> None:
    breaker = Breaker()
    for _ in range(3 * OPENS_AT):
        breaker.failed("It broke.", 0.0)
        breaker.works()
    assert may_ask(breaker, 0.0)


def test_while_it_is_left_alone_people_hear_why_and_for_how_long() -> None:
    with pytest.raises(NotAsked) as caught:
        opened().check(GPT, 1.5)
    assert caught.value.sentence == (
        "openai:gpt failed 5 times in a row, so it is asked again only in 4 s. "
        "The last failure: It broke."
    )
    assert caught.value.retry_after == FIRST_PAUSE - 1.5


def test_after_the_pause_one_call_tries() -> None:
    breaker = opened()
    assert [may_ask(breaker, now) for now in (4.9, 5.0, 5.0, 6.0)] == [
        False,
        True,
        False,
        False,
    ]
    breaker.works()
    assert [may_ask(breaker, 6.0) for _ in range(3)] == [True, True, True]


def test_a_try_of_which_nothing_is_heard_is_followed_by_another() -> None:
    breaker = opened()
    later = FIRST_PAUSE + TRY_SECONDS
    assert [may_ask(breaker, now) for now in (FIRST_PAUSE, later - 0.1, later)] == [
        True,
        False,
        True,
    ]


def test_the_pause_doubles_with_each_vain_try_up_to_a_last_one() -> None:
    breaker, now, pauses = opened(), FIRST_PAUSE, []
    for _ in range(5):
        breaker.check(GPT, now)
        breaker.failed("It broke.", now)
        with pytest.raises(NotAsked) as caught:
            breaker.check(GPT, now)
        pauses.append(caught.value.retry_after)
        now += caught.value.retry_after or 0
    assert pauses == [10.0, 20.0, LAST_PAUSE, LAST_PAUSE, LAST_PAUSE]


def test_calls_that_were_under_way_do_not_make_the_pause_longer() -> None:
    breaker = opened()
    for _ in range(300):
        breaker.failed("It broke.", 1.0)
    assert may_ask(breaker, FIRST_PAUSE)


@pytest.mark.parametrize(
    ("failure", "counts"),
    [
        (ILL, True),
        (AttemptError("No.", again=True, status=503), True),
        (AttemptError("No.", again=True, slow=True), True),
        (AttemptError("No.", again=True, status=429), False),
        (AttemptError("No.", status=401), False),
        (AttemptError("No."), False),
        (NotAsked("No."), False),
    ],
)
def test_only_what_speaks_of_an_ill_server_counts(
    failure: AttemptError, counts: bool
) -> None:
    breakers = Breakers()
    for _ in range(OPENS_AT):
        breakers.failed(GPT, failure, 0.0)
    assert breakers.of(GPT).is_open is counts


def test_one_model_says_nothing_of_another() -> None:
    breakers = Breakers()
    for _ in range(OPENS_AT):
        breakers.failed(GPT, ILL, 0.0)
    assert may_ask(breakers.of("openai:other"), 0.0)


def test_names_that_people_type_do_not_pile_up() -> None:
    breakers = Breakers()
    for name in map(str, range(2 * MOST_BREAKERS)):
        breakers.failed(name, ILL, 0.0)
    breakers.answered(GPT)
    assert (len(breakers._by_model), breakers.of(GPT).answered) == (
        MOST_BREAKERS,
        True,
    )
