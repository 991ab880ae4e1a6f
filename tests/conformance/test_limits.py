"""One chat's trouble is its own, and trouble never costs an answer."""

from __future__ import annotations

import pytest

from tests.conformance.channel_harness import ChannelHarness

OTHERS = 20


async def test_a_limited_chat_delays_no_other(harness: ChannelHarness) -> None:
    """While one chat waits for its limit, twenty others are answered; no call comes early;
    nothing is lost.
    """
    slow = harness.driver.direct("slow")
    others = {
        f"other{number:02}": harness.driver.direct(f"other{number:02}")
        for number in range(OTHERS)
    }

    async with harness.agent():
        harness.driver.limit_chat(slow, retry_after=3.0, times=2)
        await harness.driver.say(slow, "to the slow one", user="slow")
        for name, place in others.items():
            await harness.driver.say(place, f"to {name}", user=name)

        for name, place in others.items():
            await harness.shows(place, f"re: to {name}")

        assert [] == harness.screen(slow)
        await harness.shows(slow, "re: to the slow one")
        await harness.settled()

    assert 0 == harness.driver.early_calls()


async def test_a_limit_while_an_answer_grows_does_not_leave_it_partial(
    harness: ChannelHarness,
) -> None:
    """Refused edits are dropped; the whole answer is not: it is there once."""
    ada = harness.driver.direct("ada")
    harness.model.said = lambda prompt: (
        "once upon a time " + "and so on " * 300 + "the end"
    )

    async with harness.agent():
        harness.model.hold()
        await harness.driver.say(ada, "a story")
        await harness.until(lambda: "once" in "".join(harness.screen(ada)))
        harness.driver.limit_chat(ada, retry_after=0.3, times=2)
        harness.model.release()
        await harness.settled()

    text = " ".join(harness.screen(ada))

    assert (1, 300, 1) == (
        text.count("once upon"),
        text.count("and so on"),
        text.count("the end"),
    )
    assert 0 == harness.driver.early_calls()


async def test_the_platforms_own_trouble_costs_no_answer(
    harness: ChannelHarness,
) -> None:
    """Calls that fail inside the platform are made again."""
    ada = harness.driver.direct("ada")
    async with harness.agent():
        harness.driver.fail_next(ada, times=3)
        await harness.driver.say(ada, "hello")
        await harness.settled()
        await harness.ask(ada, "and again")

    assert ["re: hello", "re: and again"] == [
        text.splitlines()[-1] for text in harness.screen(ada)
    ]


async def test_a_platform_that_is_down_for_long_gets_the_answer_later(
    harness: ChannelHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After too many failures of one delivery the answer stays open, and is delivered by the
    next sweep.
    """
    monkeypatch.setattr("agent.conversation.delivery.sending.FIRST_PAUSE", 0.01)
    ada = harness.driver.direct("ada")
    async with harness.agent():
        harness.driver.fail_next(ada, times=8)
        await harness.ask(ada, "hello")

    assert ["re: hello"] == [text.splitlines()[-1] for text in harness.screen(ada)]


async def test_a_hanging_model_delays_nobody_else(harness: ChannelHarness) -> None:
    """One person's answer does not come; the others' do."""
    slow = harness.driver.direct("slow")
    others = {
        f"other{number:02}": harness.driver.direct(f"other{number:02}")
        for number in range(5)
    }
    harness.model.hangs_on = "forever"

    async with harness.agent() as agent:
        await harness.driver.say(slow, "take forever", user="slow")
        await harness.model.started.wait()
        for name, place in others.items():
            await harness.driver.say(place, f"to {name}", user=name)

        for name, place in others.items():
            await harness.shows(place, f"re: to {name}")

        assert [] == harness.screen(slow)
        await agent.crash()
