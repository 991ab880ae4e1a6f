"""The outbound governor (invariant 9): finals arrive, drafts give way, a penalty holds only
its own.
"""

from __future__ import annotations

import asyncio
import itertools
import math

import pytest

from agent.core.errors import DeliveryError
from channels.pacing import Governor, Rate, RateLimited, Scope
from tests.support.paced_platform import (
    FakeClock,
    Platform,
    SharedFake,
    governor,
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
        *(
            pace.final("a", "send", platform.call("a", name))
            for name in ("1", "2", "3")
        )
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


async def test_a_chat_is_paced_by_itself(
    clock: FakeClock, platform: Platform
) -> None:
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
    first = asyncio.ensure_future(
        pace.final("a", "send", platform.call("a", "first"))
    )
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
    outcome = [
        await pace.draft("a", "edit", platform.call("a", name)) for name in "12"
    ]
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
