"""The governor under random wishes and refusals: finals arrive in order, nothing comes early."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Collection
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from channels.pacing import Rate, RateLimited, Scope
from tests.support.paced_platform import (
    Call,
    FakeClock,
    Platform,
    governor,
)


@dataclass(frozen=True)
class Ask:
    """A call that a channel wants to make."""

    at: float
    chat: str
    route: str
    final: bool


times = st.integers(0, 80).map(lambda quarter: quarter / 4)
asks = st.lists(
    st.builds(
        Ask,
        times,
        st.sampled_from("abc"),
        st.sampled_from(["send", "edit"]),
        st.booleans(),
    ),
    max_size=25,
)
scopes: st.SearchStrategy[Scope] = st.sampled_from(["chat", "route", "bot"])
refusals = st.lists(
    st.none() | st.builds(RateLimited, st.floats(0.1, 9), scopes), max_size=25
)
rates = st.none() | st.builds(Rate, st.integers(1, 4), st.floats(0.5, 5))


def sent(
    asked: list[Ask],
    refused: list[RateLimited | None],
    chat: Rate | None,
    bot: Rate | None,
    takes: float,
    strict_with: Collection[str] = "abc",
) -> tuple[list[Call], list[object]]:
    """What reaches the platform when all this is asked of one governor, and what the askers
    hear.
    """

    async def play() -> tuple[list[Call], list[object]]:
        clock = FakeClock()
        platform = Platform(
            clock, list(refused), takes=takes, strict_with=strict_with
        )
        pace = governor(clock, chat, bot)

        async def ask(number: int, wish: Ask) -> str | None:
            await clock.sleep(wish.at)
            call = platform.call(wish.chat, str(number), wish.route, final=wish.final)
            say = pace.final if wish.final else pace.draft

            return await say(wish.chat, wish.route, call)

        outcome = await clock.run(
            *(ask(number, wish) for number, wish in enumerate(asked))
        )

        return platform.calls, outcome

    return asyncio.run(play())


@settings(deadline=None)
@given(asks, refusals, rates, rates, st.sampled_from([0.0, 0.3]))
def test_every_final_arrives_once_and_in_the_order_of_its_chat(
    asked: list[Ask],
    refused: list[RateLimited | None],
    chat: Rate | None,
    bot: Rate | None,
    takes: float,
) -> None:
    calls, outcome = sent(asked, refused, chat, bot, takes)
    assert [
        (n, w) for n, w in enumerate(asked) if w.final and outcome[n] != str(n)
    ] == []

    for name in "abc":
        numbers = [
            n for n, wish in enumerate(asked) if wish.final and wish.chat == name
        ]
        expected = [str(n) for n in sorted(numbers, key=lambda n: asked[n].at)]
        actual = [
            call.name
            for call in calls
            if call.chat == name and call.final and not call.refused
        ]
        assert expected == actual


@settings(deadline=None)
@given(asks, refusals, rates, rates, st.sampled_from([0.0, 0.3]))
def test_nothing_is_sent_to_what_the_platform_told_to_wait(
    asked: list[Ask],
    refused: list[RateLimited | None],
    chat: Rate | None,
    bot: Rate | None,
    takes: float,
) -> None:
    calls, _ = sent(asked, refused, chat, bot, takes)
    early = []

    for before in calls:
        if before.refused is None:
            continue

        for after in calls[before.seen :]:
            same = {
                "chat": before.chat == after.chat,
                "route": before.route == after.route,
                "bot": True,
            }
            if (
                same[before.refused.scope]
                and after.at < before.at + takes + before.refused.retry_after
            ):
                early.append((before, after))

    assert early == []


@settings(deadline=None)
@given(asks, refusals, st.builds(Rate, st.integers(1, 4), st.floats(0.5, 5)))
def test_no_chat_ever_gets_more_than_its_rate(
    asked: list[Ask],
    refused: list[RateLimited | None],
    rate: Rate,
) -> None:
    calls, _ = sent(asked, refused, rate, None, 0)
    for name in "abc":
        at = [call.at for call in calls if call.chat == name]
        for first, last in itertools.combinations(range(len(at)), 2):
            allowed = rate.count + (at[last] - at[first]) * rate.count / rate.seconds
            assert last - first + 1 <= allowed + 1e-6


@settings(deadline=None)
@given(
    asks,
    st.lists(st.floats(0.1, 30).map(RateLimited), min_size=1, max_size=10),
    rates,
)
def test_other_chats_are_sent_at_the_same_moments_whether_or_not_a_chat_is_refused(
    asked: list[Ask],
    refused: list[RateLimited | None],
    chat: Rate | None,
) -> None:
    def others(refused: list[RateLimited | None]) -> list[tuple[str, float]]:
        calls, _ = sent(asked, refused, chat, None, 0, strict_with="a")
        return [(call.name, call.at) for call in calls if call.chat != "a"]

    assert others([]) == others(refused)


@pytest.mark.parametrize("rate", [None, Rate(1, 1)])
async def test_quiet_chats_are_forgotten(
    clock: FakeClock, platform: Platform, rate: Rate | None
) -> None:
    pace = governor(clock, chat=rate)
    for number in range(5000):
        await pace.final(str(number), str(number), platform.call(str(number), "x"))
        clock.now += 0.1

    assert len(pace._lanes) <= 512


@pytest.mark.parametrize("takes", [0.0, 50.0])
async def test_a_chat_with_a_call_on_its_way_or_a_pace_to_keep_is_not_forgotten(
    clock: FakeClock, platform: Platform, takes: float
) -> None:
    pace = governor(clock, chat=None if takes else Rate(1, 50))
    platform.takes = takes

    async def others() -> None:
        await clock.sleep(1)
        for number in range(1000):
            await pace.draft(
                str(number), "edit", Platform(clock).call(str(number), "x")
            )

        await pace.final("a", "edit", platform.call("a", "second"))

    await clock.run(pace.draft("a", "edit", platform.call("a", "first")), others())

    assert platform.arrived() == [("first", 0), ("second", 50)]


@pytest.mark.chaos
async def test_ten_thousand_finals_of_which_a_third_is_refused_all_arrive_and_never_early(
    clock: FakeClock,
) -> None:
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")  # shown when it fails
    chance = random.Random(seed)
    platform = Platform(clock, strict_with=set("0123456789"))
    platform.refusals = [
        RateLimited(chance.uniform(0.1, 5)) if chance.random() < 0.3 else None
        for _ in range(20_000)
    ]
    pace = governor(clock)
    wishes = [(str(chance.randrange(20)), str(number)) for number in range(10_000)]
    await clock.run(
        *(
            pace.final(chat, "send", platform.call(chat, name), deadline=86_400)
            for chat, name in wishes
        )
    )

    held: dict[str, float] = {}
    early = []

    for call in platform.calls:
        if call.at < held.get(call.chat, 0):
            early.append(call)

        if call.refused:
            held[call.chat] = call.at + call.refused.retry_after

    assert early == []
    for chat in map(str, range(20)):
        asked = [name for other, name in wishes if other == chat]
        assert asked == [name for name, _ in platform.arrived(chat)]

        if len(chat) > 1:
            assert {at for _, at in platform.arrived(chat)} == {0}, (
                "never refused, so never late"
            )
