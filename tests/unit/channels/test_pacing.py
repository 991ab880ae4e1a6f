"""The outbound governor (invariant 9): finals arrive, drafts give way, a penalty holds only
its own.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import random
from collections.abc import Awaitable, Callable, Collection, Coroutine
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.core.errors import DeliveryError
from channels.pacing import Governor, Rate, RateLimited, Scope


class FakeClock:
    """Time that passes only when everybody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.steps = 0  # how often somebody did something
        self.sleeps = 0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._number = itertools.count()

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.steps += 1
        self.sleeps += 1
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + seconds, next(self._number), woken))
        await woken
        self.steps += 1

    async def run(self, *work: Coroutine[object, object, object]) -> list[object]:
        """All of it to its end; an exception is a result."""
        everything = asyncio.gather(*work, return_exceptions=True)
        await self.settle()

        while not everything.done():
            due, _, woken = heapq.heappop(self._sleepers)
            self.now = max(self.now, due)
            if not woken.done():
                woken.set_result(None)

            await self.settle()

        return list(everything.result())

    async def settle(self) -> None:
        """Until nobody does anything more at this moment."""
        idle = 0
        while idle < 10:
            before = self.steps
            await asyncio.sleep(0)
            idle = idle + 1 if self.steps == before else 0


@dataclass
class Call:
    """One call that reached the platform."""

    at: float
    chat: str
    route: str
    name: str
    final: bool
    refused: RateLimited | None = None
    seen: int = 0  # how many calls had left when its answer was known


@dataclass
class Platform:
    """Takes calls, refuses those it is told to, and remembers all of them."""

    clock: FakeClock
    # of the next calls, in order
    refusals: list[RateLimited | None] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    takes: float = 0.0  # seconds a call lasts
    strict_with: Collection[str] = "abc"  # the chats that may be refused

    def call(
        self,
        chat: str,
        name: str,
        route: str = "send",
        *,
        final: bool = True,
    ) -> Callable[[], Awaitable[str]]:
        async def send() -> str:
            refused = (
                self.refusals.pop(0)
                if self.refusals and chat in self.strict_with
                else None
            )
            self.clock.steps += 1
            call = Call(self.clock(), chat, route, name, final, refused)
            self.calls.append(call)
            if self.takes:
                await self.clock.sleep(self.takes)

            call.seen = len(self.calls)
            if refused:
                raise refused

            return name

        return send

    def arrived(self, chat: str | None = None) -> list[tuple[str, float]]:
        """What was taken, and how many seconds after the start."""
        return [
            (call.name, call.at - 1000)
            for call in self.calls
            if not call.refused and chat in (None, call.chat)
        ]


class SharedFake:
    """What instances would keep in Redis: a slot each `seconds / count`, and penalties."""

    def __init__(self, clock: FakeClock, takes: float = 0.0) -> None:
        self._clock = clock
        self._takes = takes  # seconds until it answers
        self._free: dict[str, float] = {}

    async def reserve(self, key: str, rate: Rate) -> float:
        if self._takes:
            await self._clock.sleep(self._takes)

        now = self._clock()
        if (wait := self._free.get(key, now) - now) > 0:
            return wait

        self._free[key] = now + rate.seconds / rate.count

        return 0

    async def penalise(self, key: str, seconds: float) -> None:
        self._free[key] = max(self._free.get(key, 0), self._clock() + seconds)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def platform(clock: FakeClock) -> Platform:
    return Platform(clock)


def governor(
    clock: FakeClock,
    chat: Rate | None = None,
    bot: Rate | None = None,
) -> Governor:
    return Governor(
        chat=chat,
        bot=bot,
        clock=clock,
        sleep=clock.sleep,
    )


# --- finals -------------------------------------------------------------------


async def test_a_final_returns_what_the_platform_answered(
    clock: FakeClock, platform: Platform
) -> None:
    pace = governor(clock)
    assert await clock.run(pace.final("a", "send", platform.call("a", "one"))) == [
        "one"
    ]


async def test_a_refused_final_is_tried_again_exactly_when_the_platform_said(
    clock: FakeClock, platform: Platform
) -> None:
    platform.refusals = [RateLimited(3.5), RateLimited(0.25)]
    await clock.run(governor(clock).final("a", "send", platform.call("a", "one")))

    assert [call.at - 1000 for call in platform.calls] == [0, 3.5, 3.75]


@pytest.mark.parametrize("named", [0, -1, math.nan, math.inf])
async def test_a_refusal_that_names_no_wait_means_one_second(
    clock: FakeClock, platform: Platform, named: float
) -> None:
    platform.refusals = [RateLimited(named)]
    await clock.run(governor(clock).final("a", "send", platform.call("a", "one")))

    assert platform.arrived() == [("one", 1)]


async def test_finals_of_a_chat_keep_their_order_through_a_refusal(
    clock: FakeClock, platform: Platform
) -> None:
    platform.refusals = [RateLimited(5)]
    pace = governor(clock)
    await clock.run(
        *(pace.final("a", "send", platform.call("a", name)) for name in ("1", "2", "3"))
    )

    assert platform.arrived() == [("1", 5), ("2", 5), ("3", 5)]


@pytest.mark.parametrize(
    ("scope", "others"),
    [
        ("chat", [("same route", 0), ("other route", 0)]),
        ("route", [("other route", 0), ("same route", 5)]),
        ("bot", [("same route", 5), ("other route", 5)]),
    ],
)
async def test_a_penalty_holds_its_scope_and_nothing_else(
    clock: FakeClock,
    platform: Platform,
    scope: Scope,
    others: list[tuple[str, float]],
) -> None:
    platform.refusals = [RateLimited(5, scope)]
    pace = governor(clock)
    await clock.run(
        pace.final("a", "send", platform.call("a", "refused")),
        pace.final("b", "send", platform.call("b", "same route")),
        pace.final("c", "edit", platform.call("c", "other route")),
    )

    assert sorted([("refused", 5), *others]) == sorted(platform.arrived())


async def test_a_chat_is_paced_by_itself(clock: FakeClock, platform: Platform) -> None:
    pace = governor(clock, chat=Rate(2, 10))
    await clock.run(
        *(pace.final("a", "send", platform.call("a", name)) for name in "1234"),
        pace.final("b", "send", platform.call("b", "5")),
    )

    assert platform.arrived("a") == [("1", 0), ("2", 0), ("3", 5), ("4", 10)]
    assert platform.arrived("b") == [("5", 0)]


async def test_all_chats_together_keep_the_pace_of_the_bot(
    clock: FakeClock, platform: Platform
) -> None:
    pace = governor(clock, bot=Rate(2, 1))
    await clock.run(
        *(pace.final(chat, "send", platform.call(chat, chat)) for chat in "abcd")
    )

    assert platform.arrived() == [("a", 0), ("b", 0), ("c", 0.5), ("d", 1)]


async def test_a_chat_that_waited_for_the_bot_still_keeps_its_own_pace(
    clock: FakeClock, platform: Platform
) -> None:
    pace = governor(clock, chat=Rate(1, 1), bot=Rate(1, 4))
    await clock.run(
        *(pace.final(chat, "send", platform.call(chat, chat)) for chat in "baa")
    )

    assert [at for _, at in platform.arrived("a")] == [4, 8]


async def test_a_chat_under_penalty_does_not_hold_up_the_line_for_the_bot(
    clock: FakeClock, platform: Platform
) -> None:
    platform.refusals = [RateLimited(60)]
    pace = governor(clock, bot=Rate(1, 1))
    await clock.run(
        *(pace.final(chat, "send", platform.call(chat, chat)) for chat in "abc")
    )

    assert platform.arrived() == [("b", 1), ("c", 2), ("a", 60)]


async def test_a_penalty_that_comes_while_a_chat_waits_for_the_bot_holds_it_too(
    clock: FakeClock, platform: Platform
) -> None:
    platform.takes = 0.5
    platform.refusals = [RateLimited(5, "route")]
    pace = governor(clock, bot=Rate(1, 1))
    await clock.run(
        *(pace.final(chat, "send", platform.call(chat, chat)) for chat in "ab")
    )

    assert [call.at - 1000 for call in platform.calls] == [0, 5.5, 6.5]


async def test_a_shorter_penalty_does_not_end_a_longer_one(
    clock: FakeClock, platform: Platform
) -> None:
    platform.takes = 1
    platform.refusals = [RateLimited(9, "route"), RateLimited(0.5, "route")]
    pace = governor(clock)
    await clock.run(
        *(pace.final(chat, "send", platform.call(chat, chat)) for chat in "ab")
    )

    assert platform.arrived() == [("a", 10), ("b", 10)]


async def test_many_chats_waiting_for_the_bot_need_one_timer_for_each_call(
    clock: FakeClock, platform: Platform
) -> None:
    pace = governor(clock, bot=Rate(1, 1))
    await clock.run(
        *(
            pace.final(chat, "send", platform.call(chat, chat))
            for chat in map(str, range(100))
        )
    )

    assert clock.sleeps == 99


async def test_a_wait_longer_than_the_deadline_fails_at_once(
    clock: FakeClock, platform: Platform
) -> None:
    platform.refusals = [RateLimited(700)]
    pace = governor(clock)
    [outcome] = await clock.run(pace.final("a", "send", platform.call("a", "one")))

    assert type(outcome) is DeliveryError
    assert clock() == 1000


async def test_a_final_that_failed_still_leaves_the_penalty_in_force(
    clock: FakeClock, platform: Platform
) -> None:
    platform.refusals = [RateLimited(50)]
    pace = governor(clock)
    await clock.run(
        pace.final("a", "send", platform.call("a", "short"), deadline=10),
        pace.final("a", "send", platform.call("a", "patient")),
    )

    assert platform.arrived() == [("patient", 50)]


async def test_a_call_that_hangs_ends_at_the_deadline_and_frees_its_chat(
    clock: FakeClock, platform: Platform
) -> None:
    pace = governor(clock)

    async def hang() -> None:
        await asyncio.Event().wait()

    with pytest.raises(DeliveryError):
        await pace.final("a", "send", hang, deadline=0.01)

    assert await pace.final("a", "send", platform.call("a", "next")) == "next"


@pytest.mark.parametrize(
    "fault", [TimeoutError("platform"), DeliveryError("gone"), ValueError("ours")]
)
async def test_other_errors_go_to_the_caller_as_they_are(
    clock: FakeClock, fault: Exception
) -> None:
    async def fail() -> None:
        raise fault

    pace = governor(clock)

    assert await clock.run(pace.final("a", "send", fail)) == [fault]
    assert await clock.run(pace.draft("a", "send", fail)) == [fault]


async def test_a_cancelled_final_lets_the_next_one_pass(
    clock: FakeClock, platform: Platform
) -> None:
    platform.refusals = [RateLimited(50)]
    pace = governor(clock)
    first = asyncio.ensure_future(pace.final("a", "send", platform.call("a", "first")))
    await clock.settle()
    first.cancel()
    await clock.run(pace.final("a", "send", platform.call("a", "second")))

    assert first.cancelled()
    assert platform.arrived() == [("second", 50)]


# --- drafts -------------------------------------------------------------------


async def test_a_draft_goes_when_nothing_stands_in_its_way(
    clock: FakeClock, platform: Platform
) -> None:
    pace = governor(clock, chat=Rate(1, 1), bot=Rate(1, 1))
    assert await pace.draft("a", "edit", platform.call("a", "draft")) == "draft"


async def test_a_draft_is_dropped_while_a_final_of_its_chat_waits(
    clock: FakeClock, platform: Platform
) -> None:
    platform.refusals = [RateLimited(5, "route")]
    pace = governor(clock)
    outcome = await clock.run(
        pace.final("a", "send", platform.call("a", "final")),
        pace.draft("a", "edit", platform.call("a", "draft")),
        pace.draft("b", "edit", platform.call("b", "other chat")),
    )

    assert outcome == ["final", None, "other chat"]


async def test_a_final_waits_for_the_draft_on_its_way_so_that_it_lands_last(
    clock: FakeClock, platform: Platform
) -> None:
    platform.takes = 2
    pace = governor(clock)
    await clock.run(
        pace.draft("a", "edit", platform.call("a", "draft")),
        pace.final("a", "edit", platform.call("a", "final")),
    )

    assert platform.arrived() == [("draft", 0), ("final", 2)]


async def test_a_draft_does_not_slip_in_between_a_draft_and_the_final_that_waits_for_it(
    clock: FakeClock, platform: Platform
) -> None:
    platform.takes = 2
    pace = governor(clock)

    async def drafts() -> list[str | None]:
        return [
            await pace.draft("a", "edit", platform.call("a", name)) for name in "12"
        ]

    outcome = await clock.run(
        drafts(), pace.final("a", "edit", platform.call("a", "final"))
    )

    assert outcome == [["1", None], "final"]


async def test_a_final_that_comes_while_the_shared_pace_is_asked_goes_before_the_draft(
    clock: FakeClock, platform: Platform
) -> None:
    shared = SharedFake(clock, takes=0.1)
    pace = Governor(
        chat=Rate(1, 1),
        shared=shared,
        clock=clock,
        sleep=clock.sleep,
    )
    draft = pace.draft("a", "edit", platform.call("a", "draft"))
    final = pace.final("a", "edit", platform.call("a", "final"))

    assert await clock.run(draft, final) == [None, "final"]


async def test_one_draft_at_a_time(clock: FakeClock, platform: Platform) -> None:
    platform.takes = 2
    pace = governor(clock)
    drafts = (pace.draft("a", "edit", platform.call("a", name)) for name in "12")

    assert await clock.run(*drafts) == ["1", None]


@pytest.mark.parametrize("rates", [{"chat": Rate(1, 1)}, {"bot": Rate(1, 1)}])
async def test_a_draft_that_the_pace_would_make_wait_is_dropped(
    clock: FakeClock,
    platform: Platform,
    rates: dict[str, Rate],
) -> None:
    pace = governor(clock, **rates)
    outcome = [await pace.draft("a", "edit", platform.call("a", name)) for name in "12"]
    clock.now += 1
    outcome.append(await pace.draft("a", "edit", platform.call("a", "3")))

    assert outcome == ["1", None, "3"]


async def test_a_draft_dropped_for_the_bot_costs_its_chat_nothing(
    clock: FakeClock, platform: Platform
) -> None:
    pace = governor(clock, chat=Rate(1, 10), bot=Rate(1, 1))
    outcome = [
        await pace.draft(chat, "edit", platform.call(chat, chat)) for chat in "ab"
    ]
    clock.now += 1
    outcome.append(await pace.draft("b", "edit", platform.call("b", "b")))

    assert outcome == ["a", None, "b"]


@pytest.mark.parametrize(
    ("scope", "other"), [("chat", "sent"), ("route", None), ("bot", None)]
)
async def test_a_refused_draft_is_dropped_and_its_penalty_remembered(
    clock: FakeClock,
    platform: Platform,
    scope: Scope,
    other: str | None,
) -> None:
    platform.refusals = [RateLimited(5, scope)]
    pace = governor(clock)
    assert await pace.draft("a", "edit", platform.call("a", "draft")) is None
    assert await pace.draft("a", "edit", platform.call("a", "draft")) is None
    assert await pace.draft("b", "edit", platform.call("b", "sent")) == other
    await clock.run(pace.final("a", "edit", platform.call("a", "final")))

    assert platform.arrived("a") == [("final", 5)]


# --- instances ----------------------------------------------------------------


async def test_instances_keep_one_pace_together(
    clock: FakeClock, platform: Platform
) -> None:
    shared = SharedFake(clock)
    paces = [
        Governor(
            bot=Rate(1, 1),
            shared=shared,
            clock=clock,
            sleep=clock.sleep,
        )
        for _ in range(3)
    ]
    calls = itertools.product(paces, "ab")
    await clock.run(
        *(pace.final(chat, "send", platform.call(chat, chat)) for pace, chat in calls)
    )

    assert [at for _, at in platform.arrived()] == [0, 1, 2, 3, 4, 5]


async def test_a_penalty_reaches_the_other_instances(
    clock: FakeClock, platform: Platform
) -> None:
    shared = SharedFake(clock)
    one, two = (
        Governor(
            chat=Rate(5, 1),
            shared=shared,
            clock=clock,
            sleep=clock.sleep,
        )
        for _ in range(2)
    )
    platform.refusals = [RateLimited(7)]
    await one.draft("a", "edit", platform.call("a", "refused"))
    assert await two.draft("a", "edit", platform.call("a", "dropped")) is None
    await clock.run(two.final("a", "edit", platform.call("a", "final")))

    assert platform.arrived() == [("final", 7)]


# --- properties ---------------------------------------------------------------


@dataclass(frozen=True)
class Ask:
    """Something a channel wants to send."""

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
        platform = Platform(clock, list(refused), takes=takes, strict_with=strict_with)
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
    asks, st.lists(st.floats(0.1, 30).map(RateLimited), min_size=1, max_size=10), rates
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
