"""Messages that arrive while an answer is written: none is dropped, none overtakes another."""

from __future__ import annotations

import asyncio

from agent.core.messages import Overlap
from tests.conformance.channel_harness import ChannelHarness

LATER = ["two", "three", "four", "five", "six"]


async def burst(stage: ChannelHarness) -> list[str]:
    """Five messages during an answer; what stands there in the end."""
    ada = stage.driver.direct("ada")
    async with stage.agent() as agent:
        stage.model.hold()
        await stage.driver.say(ada, "one")
        await stage.model.started.wait()
        await stage.until(lambda: "re:" in stage.screen(ada))
        for text in LATER:
            await stage.driver.say(ada, text)
        await stage.until(lambda: agent.accepted == 6)
        stage.model.release()
        await stage.settled()
    return stage.screen(ada)


async def test_merge_answers_together_what_came_meanwhile(
    stage: ChannelHarness,
) -> None:
    """Five messages during an answer are answered by one more, which sees them all in order."""
    assert ["re: one", "re: six"] == await burst(stage)
    assert ["one", "re: one", *LATER] == stage.asked()


async def test_queue_answers_one_by_one(stage: ChannelHarness) -> None:
    """Five messages during an answer get five answers, in the order in which they were written."""
    await stage.set_overlap(Overlap.QUEUE)
    assert [f"re: {text}" for text in ["one", *LATER]] == await burst(stage)


async def test_interrupt_cuts_the_answer_and_sees_both(stage: ChannelHarness) -> None:
    """The running answer is kept as it is and marked; the last message is answered with all
    before it.
    """
    await stage.set_overlap(Overlap.INTERRUPT)
    first, *_, last = await burst(stage)
    assert first.startswith("re:") and "interrupted by your next message" in first
    assert "re: six" == last
    assert ["one", *LATER] == [
        text for text in stage.asked() if not text.startswith("re:")
    ]


async def test_a_burst_before_any_answer_keeps_its_order(stage: ChannelHarness) -> None:
    """Twenty messages at once from one person are all stored, in the order in which they
    were written.
    """
    ada = stage.driver.direct("ada")
    texts = [f"message {number}" for number in range(20)]
    async with stage.agent() as agent:
        for text in texts:
            await stage.driver.say(ada, text)
        await stage.until(lambda: agent.accepted == 20)
        await stage.settled()
    stored = await stage.value(
        "SELECT array_agg(content ORDER BY seq) FROM messages WHERE role = 'user'"
    )
    assert texts == stored
    assert "re: message 19" == stage.screen(ada)[-1]


async def test_many_people_at_once_each_get_their_own_answer(
    stage: ChannelHarness,
) -> None:
    """Forty people write at the same moment; each sees one answer, and it is to what they wrote."""
    people = [f"person{number:02}" for number in range(40)]
    async with stage.agent():
        places = {name: stage.driver.direct(name) for name in people}
        await asyncio.gather(
            *(
                stage.driver.say(places[name], f"I am {name}", user=name)
                for name in people
            )
        )
        for name in people:
            await stage.shows(places[name], f"re: I am {name}")
    assert 40 == await stage.value(
        "SELECT count(*) FROM messages WHERE role = 'assistant'"
    )
