"""One chat's trouble is its own, and trouble never costs an answer."""

from __future__ import annotations

import pytest

from tests.conformance.channel_harness import ChannelHarness

OTHERS = 20


async def test_a_limited_chat_delays_no_other(stage: ChannelHarness) -> None:
    """While one chat waits out its limit twenty others are answered; no call comes early;
    nothing is lost.
    """
    slow = stage.driver.direct("slow")
    others = {
        f"other{number:02}": stage.driver.direct(f"other{number:02}")
        for number in range(OTHERS)
    }
    async with stage.agent():
        stage.driver.limit_chat(slow, retry_after=3.0, times=2)
        await stage.driver.say(slow, "to the slow one", user="slow")
        for name, place in others.items():
            await stage.driver.say(place, f"to {name}", user=name)
        for name, place in others.items():
            await stage.shows(place, f"re: to {name}")
        assert [] == stage.screen(slow)
        await stage.shows(slow, "re: to the slow one")
        await stage.settled()
    assert 0 == stage.driver.early_calls()


async def test_a_limit_while_an_answer_grows_does_not_leave_it_partial(
    stage: ChannelHarness,
) -> None:
    """Edits that are refused are dropped, the whole answer is not: it stands there once."""
    ada = stage.driver.direct("ada")
    stage.model.said = lambda prompt: (
        "once upon a time " + "and so on " * 300 + "the end"
    )
    async with stage.agent():
        stage.model.hold()
        await stage.driver.say(ada, "a story")
        await stage.until(lambda: "once" in "".join(stage.screen(ada)))
        stage.driver.limit_chat(ada, retry_after=0.3, times=2)
        stage.model.release()
        await stage.settled()
    text = " ".join(stage.screen(ada))
    assert (1, 300, 1) == (
        text.count("once upon"),
        text.count("and so on"),
        text.count("the end"),
    )
    assert 0 == stage.driver.early_calls()


async def test_the_platforms_own_trouble_costs_no_answer(stage: ChannelHarness) -> None:
    """Calls that fail inside the platform are made again."""
    ada = stage.driver.direct("ada")
    async with stage.agent():
        stage.driver.fail_next(ada, times=3)
        await stage.driver.say(ada, "hello")
        await stage.settled()
        await stage.ask(ada, "and again")
    assert ["re: hello", "re: and again"] == [
        text.splitlines()[-1] for text in stage.screen(ada)
    ]


async def test_a_platform_that_is_down_for_long_gets_the_answer_later(
    stage: ChannelHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More failures than one delivery bears: the answer stays open and is delivered by the
    next sweep.
    """
    monkeypatch.setattr("agent.conversation.delivery.FIRST_PAUSE", 0.01)
    ada = stage.driver.direct("ada")
    async with stage.agent():
        stage.driver.fail_next(ada, times=8)
        await stage.ask(ada, "hello")
    assert ["re: hello"] == [text.splitlines()[-1] for text in stage.screen(ada)]


async def test_a_hanging_model_delays_nobody_else(stage: ChannelHarness) -> None:
    """One person's answer does not come; the others' do."""
    slow = stage.driver.direct("slow")
    others = {
        f"other{number:02}": stage.driver.direct(f"other{number:02}")
        for number in range(5)
    }
    stage.model.hangs_on = "forever"
    async with stage.agent() as agent:
        await stage.driver.say(slow, "take forever", user="slow")
        await stage.model.started.wait()
        for name, place in others.items():
            await stage.driver.say(place, f"to {name}", user=name)
        for name, place in others.items():
            await stage.shows(place, f"re: to {name}")
        assert [] == stage.screen(slow)
        await agent.crash()
