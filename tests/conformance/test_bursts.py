"""Messages that arrive during an answer: none is dropped, none overtakes another."""

from __future__ import annotations

import asyncio

from agent.core.messages import Overlap
from tests.conformance.channel_harness import ChannelHarness

LATER = ["two", "three", "four", "five", "six"]


async def burst(harness: ChannelHarness) -> list[str]:
    """The screen after five messages during an answer."""
    ada = harness.driver.direct("ada")
    async with harness.agent() as agent:
        harness.model.hold()
        await harness.driver.say(ada, "one")
        await harness.model.started.wait()
        await harness.until(lambda: "re:" in harness.screen(ada))
        for text in LATER:
            await harness.driver.say(ada, text)

        await harness.until(lambda: agent.accepted == 6)
        harness.model.release()
        await harness.settled()

    return harness.screen(ada)


async def test_merge_answers_together_what_came_meanwhile(
    harness: ChannelHarness,
) -> None:
    """Five messages during an answer are answered by one more, which sees them all in order."""
    assert ["re: one", "re: six"] == await burst(harness)
    assert ["one", "re: one", *LATER] == harness.asked()


async def test_queue_answers_one_by_one(harness: ChannelHarness) -> None:
    """Five messages during an answer get five answers, in their order."""
    await harness.set_overlap(Overlap.QUEUE)
    assert [f"re: {text}" for text in ["one", *LATER]] == await burst(harness)


async def test_interrupt_cuts_the_answer_and_sees_both(
    harness: ChannelHarness,
) -> None:
    """The running answer is kept as it is and marked; the last message is answered with all
    before it.
    """
    await harness.set_overlap(Overlap.INTERRUPT)
    first, *_, last = await burst(harness)

    assert first.startswith("re:")
    assert "interrupted by your next message" in first
    assert "re: six" == last
    assert ["one", *LATER] == [
        text for text in harness.asked() if not text.startswith("re:")
    ]


async def test_a_burst_before_any_answer_keeps_its_order(
    harness: ChannelHarness,
) -> None:
    """Twenty messages at once from one person are all stored, in the order in which they
    were written.
    """
    ada = harness.driver.direct("ada")
    texts = [f"message {number}" for number in range(20)]

    async with harness.agent() as agent:
        for text in texts:
            await harness.driver.say(ada, text)

        await harness.until(lambda: agent.accepted == 20)
        await harness.settled()

    stored = await harness.value(
        "SELECT array_agg(content ORDER BY seq) FROM messages WHERE role = 'user'"
    )

    assert texts == stored
    assert "re: message 19" == harness.screen(ada)[-1]


async def test_many_people_at_once_each_get_their_own_answer(
    harness: ChannelHarness,
) -> None:
    """Forty people write at the same moment; each sees one answer, to their own message."""
    people = [f"person{number:02}" for number in range(40)]
    async with harness.agent():
        places = {name: harness.driver.direct(name) for name in people}
        await asyncio.gather(
            *(
                harness.driver.say(places[name], f"I am {name}", user=name)
                for name in people
            )
        )
        for name in people:
            await harness.shows(places[name], f"re: I am {name}")

    assert 40 == await harness.value(
        "SELECT count(*) FROM messages WHERE role = 'assistant'"
    )
