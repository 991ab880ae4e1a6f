"""Whenever an instance ends, nothing that was accepted is lost, and nothing is silently
said twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from uuid import UUID

import pytest

from agent.core.completion import Prompt, Usage
from agent.core.messages import Inbound, Overlap, Placed
from agent.core.turns import Ending
from agent.ports import Deliveries
from tests.conformance.channel_harness import ChannelHarness, Speaker
from tests.conformance.driver import Driver, Place
from tests.conformance.platform_extras import lose_answers, wait_out_retries

LABELS = ("before", "repeat", "already", "earlier")


class Mute:
    """Deliveries of an instance that dies before it can record what became of an answer."""

    def __init__(
        self, deliveries: Deliveries, *, places: bool, announces: bool
    ) -> None:
        self._deliveries = deliveries
        self._announces = announces
        self._places = places
        self.reached = asyncio.Event()

    async def placed(self, turn: UUID, placed: Placed, *, late: bool = False) -> None:
        """Still recorded, if the scenario wants it."""
        if self._places:
            await self._deliveries.placed(turn, placed, late=late)

    async def is_open(self, turn: UUID) -> bool:
        """Still known."""
        return await self._deliveries.is_open(turn)

    async def announce(self, turn: UUID) -> None:
        """Still recorded, if the scenario wants it."""
        if self._announces:
            await self._deliveries.announce(turn)

    async def done(
        self, endings: Sequence[Ending], *, failed: str | None = None
    ) -> None:
        """Never ends."""
        self.reached.set()
        await asyncio.Event().wait()


def stands_once(
    harness: ChannelHarness,
    place: Place,
    answer: str,
) -> None:
    """The answer stands there once; what else stands there says of itself that it may be a
    repeat.
    """
    screen = harness.screen(place)
    plain = [text for text in screen if text == answer]
    labelled = [
        text
        for text in screen
        if text.endswith(answer) and any(label in text for label in LABELS)
    ]

    assert len(plain) <= 1, screen
    assert plain + labelled, screen
    assert len(plain) + len(labelled) == len(screen), screen


async def test_a_restart_between_accept_and_answer_answers_once(
    harness: ChannelHarness,
) -> None:
    """The message was acknowledged, so the answer comes, from any instance."""
    ada = harness.driver.direct("ada")
    async with harness.agent() as agent:
        harness.model.hesitates = True
        harness.model.hold()
        await harness.driver.say(ada, "are you there?")
        await harness.model.started.wait()
        await harness.until(lambda: agent.accepted == 1)
        await agent.crash()

    harness.model.release()
    async with harness.agent():
        await harness.settled()

    stands_once(harness, ada, "re: are you there?")


async def test_a_restart_while_an_answer_grows_leaves_one_answer(
    harness: ChannelHarness,
) -> None:
    """The draft is edited into the whole answer, not left next to it."""
    ada = harness.driver.direct("ada")
    async with harness.agent() as agent:
        harness.model.hold()
        await harness.driver.say(ada, "a long story")
        await harness.until(lambda: "re:" in "".join(harness.screen(ada)))
        await harness.until(lambda: agent.accepted == 1)
        await agent.crash()

    harness.model.release()
    async with harness.agent():
        await harness.settled()

    answers = [text for text in harness.screen(ada) if "a long story" in text]

    assert 1 == len(answers)


async def test_a_restart_between_finishing_and_recording_leaves_one_answer(
    harness: ChannelHarness,
) -> None:
    """The answer arrived but nobody knows: it is edited or recognised, else labelled, never
    silently doubled.
    """
    ada = harness.driver.direct("ada")
    harness.model.said = lambda prompt: "well"
    mutes: list[Mute] = []

    async with harness.agent(
        last_words=lambda real: _muted(mutes, real, places=True)
    ) as agent:
        await harness.driver.say(ada, "how are you?")
        await mutes[0].reached.wait()
        await agent.crash()

    async with harness.agent():
        await harness.settled()

    stands_once(harness, ada, "well")


async def test_a_restart_when_not_even_the_place_was_recorded_leaves_one_answer(
    harness: ChannelHarness,
) -> None:
    """Without any trace of what was sent, the platform is asked, or the text is labelled."""
    ada = harness.driver.direct("ada")
    harness.model.said = lambda prompt: "well"
    mutes: list[Mute] = []

    async with harness.agent(
        last_words=lambda real: _muted(mutes, real, places=False)
    ) as agent:
        await harness.driver.say(ada, "how are you?")
        await mutes[0].reached.wait()
        await agent.crash()

    async with harness.agent():
        await harness.settled()

    stands_once(harness, ada, "well")


def _muted(
    mutes: list[Mute],
    real: Deliveries,
    *,
    places: bool,
    announces: bool | None = None,
) -> Mute:
    if announces is None:
        announces = places
    mutes.append(Mute(real, places=places, announces=announces))

    return mutes[-1]


@pytest.mark.parametrize("among", ["two", "many"])
async def test_a_restart_before_the_place_of_a_draft_was_recorded_leaves_one_answer(
    harness: ChannelHarness, among: str
) -> None:
    """It is found, although the model writes something else now; else the answer says so."""
    many = among == "many"
    place = harness.driver.group("town") if many else harness.driver.direct("ada")
    harness.model.hold()

    async with harness.agent(
        last_words=lambda real: _muted([], real, places=False, announces=True)
    ) as agent:
        await harness.driver.say(place, "a story", user="ada", mention=many)
        await harness.until(lambda: "re:" in "".join(harness.screen(place)))
        await harness.until(lambda: agent.accepted >= 1)
        await agent.crash()

    harness.model.said = lambda prompt: "well well"
    harness.model.release()
    async with harness.agent():
        await harness.settled()

    screen = harness.screen(place)

    assert ["well well"] == screen or (
        screen[-1].endswith("well well") and "may stand above" in screen[-1]
    )


async def test_an_answer_whose_arrival_was_not_confirmed_is_not_silently_doubled(
    harness: ChannelHarness,
) -> None:
    """The platform took the message, but its response is lost: recognised, else labelled."""
    ada = harness.driver.direct("ada")
    harness.model.said = lambda prompt: "well"
    lose_answers(harness.driver, ada)
    async with harness.agent():
        await harness.ask(ada, "how are you?")

    stands_once(harness, ada, "well")


async def test_a_graceful_stop_hands_over_at_once(harness: ChannelHarness) -> None:
    """An instance that is stopped while it answers leaves the work to another, long before
    the lease ends.
    """
    ada = harness.driver.direct("ada")
    harness.lease = 3600.0
    harness.model.hesitates = True

    async with harness.agent() as leaving:
        harness.model.hold()
        await harness.driver.say(ada, "hand this on")
        await harness.until(lambda: leaving.accepted == 1)
        await harness.model.started.wait()
        await leaving.hush()
        await leaving.engine.stop()

    harness.model.release()
    async with harness.agent():
        await harness.settled()

    stands_once(harness, ada, "re: hand this on")


async def test_a_graceful_stop_lets_answers_finish(harness: ChannelHarness) -> None:
    """What is nearly done is done before the instance ends."""
    ada = harness.driver.direct("ada")
    async with harness.agent() as agent:
        harness.model.hold()
        await harness.driver.say(ada, "nearly done")
        await harness.until(lambda: agent.accepted == 1)
        await harness.model.started.wait()
        stopping = asyncio.create_task(agent.engine.stop())
        harness.model.release()
        await stopping
        assert 0 == await harness.value(
            "SELECT count(*) FROM turns WHERE state = 'open'"
        )

    stands_once(harness, ada, "re: nearly done")


async def test_a_restart_keeps_the_conversation(harness: ChannelHarness) -> None:
    """A new process knows what was said to the old one."""
    ada = harness.driver.direct("ada")
    async with harness.agent():
        await harness.ask(ada, "my name is Ada")

    async with harness.agent():
        await harness.ask(ada, "what is my name?")

    assert [
        "my name is Ada",
        "re: my name is Ada",
        "what is my name?",
    ] == harness.asked()


async def test_ten_minutes_of_backlog_are_answered_in_order_and_once(
    harness: ChannelHarness,
) -> None:
    """What people wrote while nobody ran is not lost, not doubled, and not out of order."""
    await harness.set_overlap(Overlap.QUEUE)
    places = {name: harness.driver.direct(name) for name in ("ada", "bob", "eve")}
    async with harness.agent():
        for name, place in places.items():
            await harness.ask(place, "hello", user=name)

    for number in range(4):
        for name, place in places.items():
            await harness.driver.say(place, f"message {number}", user=name)

    await wait_out_retries(harness.driver, 600.0)
    async with harness.agent():
        for place in places.values():
            await harness.shows(
                place, "re: hello", *(f"re: message {number}" for number in range(4))
            )

        await harness.settled()

    assert 15 == await harness.value(
        "SELECT count(*) FROM messages WHERE role = 'user'"
    )


async def test_what_is_written_after_a_crash_is_answered_with_what_was_left(
    harness: ChannelHarness,
) -> None:
    """The next message does not overtake the one that waits for another instance: both are
    answered, in order.
    """
    ada = harness.driver.direct("ada")
    async with harness.agent() as agent:
        harness.model.hesitates = True
        harness.model.hold()
        await harness.driver.say(ada, "the first")
        await harness.until(lambda: agent.accepted == 1)
        await harness.model.started.wait()
        await agent.crash()

    harness.model.release()
    await harness.driver.say(ada, "the second")
    async with harness.agent():
        await harness.until(lambda: "re: the second" in "".join(harness.screen(ada)))
        await harness.settled()

    answered = [text for text in harness.asked() if not text.startswith("re:")]

    assert ["the first", "the second"] == answered


async def test_an_instance_that_is_cut_off_from_its_lease_says_nothing_more(
    harness: ChannelHarness,
) -> None:
    """Two instances, one conversation: the second takes over when the first stops beating;
    one answer stands.
    """
    ada = harness.driver.direct("ada")
    harness.model.hesitates = True

    async with harness.agent() as frozen:
        harness.model.hold()
        await harness.driver.say(ada, "who answers?")
        await harness.until(lambda: frozen.accepted == 1)
        await frozen.hush()
        assert frozen.engine._beats is not None
        frozen.engine._beats.cancel()

        async with harness.agent():
            await harness.until(lambda: len(harness.model.prompts) == 2)
            harness.model.release()
            await harness.settled()

    stands_once(harness, ada, "re: who answers?")

    assert 1 == await harness.value(
        "SELECT count(*) FROM messages WHERE role = 'assistant'"
    )


async def test_a_channel_can_be_stopped_at_any_moment(driver: Driver) -> None:
    """While it signs in, connects or listens, it ends when it is cancelled."""

    async def accept(inbound: Inbound) -> bool:
        raise AssertionError("nobody writes")

    for ticks in range(0, 200, 8):
        run = asyncio.create_task(driver.channel().run(accept))
        for _ in range(ticks):
            await asyncio.sleep(0)

        run.cancel()
        done, _ = await asyncio.wait({run}, timeout=10)
        assert {run} == done, f"still running, cancelled after {ticks} ticks"


class Torn(Speaker):
    """Its first answer breaks off: a word, a pause, one more word, then nothing."""

    async def stream(self, model: str, prompt: Prompt) -> AsyncGenerator[str | Usage]:
        self.prompts.append(prompt)
        if len(self.prompts) > 1:
            yield f"whole: {prompt.messages[-1][1]}"
            yield Usage(model, 10, 5)
            return

        yield "torn"
        await self.go_on.wait()
        yield " apart"
        await asyncio.Event().wait()


async def test_a_draft_of_an_instance_without_its_lease_does_not_touch_the_finished_answer(
    harness: ChannelHarness,
) -> None:
    """It stops beating while it writes and another finishes; what it goes on to write is
    not shown.
    """
    harness.model = Torn()
    ada, bob = harness.driver.direct("ada"), harness.driver.direct("bob")

    async with harness.agent() as frozen:
        harness.model.hold()
        await harness.driver.say(ada, "a story")
        await harness.until(lambda: "torn" in "".join(harness.screen(ada)))
        await harness.until(lambda: frozen.accepted == 1)
        await frozen.hush()
        assert frozen.engine._beats is not None
        frozen.engine._beats.cancel()

        async with harness.agent():
            await harness.until(lambda: "whole: a story" in harness.screen(ada))
            await harness.settled()
            before = harness.screen(ada)
            harness.model.release()
            for number in range(3):
                await harness.ask(bob, f"question {number}", user="bob")

            assert before == harness.screen(ada)

        await frozen.crash()
