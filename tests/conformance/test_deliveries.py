"""The same message never becomes two rows or two answers, whatever the platform repeats,
changes or takes back.
"""

from __future__ import annotations

from functools import partial

from tests.conformance.channel_harness import ChannelHarness
from tests.conformance.driver import Place
from tests.conformance.platform_extras import attach, delete


def _is_shown(harness: ChannelHarness, place: Place, text: str) -> bool:
    return text in harness.screen(place)


async def users(harness: ChannelHarness) -> int:
    """Rows of what people wrote."""
    count: int = await harness.value(
        "SELECT count(*) FROM messages WHERE role = 'user'"
    )
    return count


async def test_the_same_delivery_four_times_at_once_is_one_answer(
    harness: ChannelHarness,
) -> None:
    """Concurrent repeats are one message."""
    ada = harness.driver.direct("ada")
    async with harness.agent() as agent:
        await harness.driver.say(ada, "once", deliver=4)
        await harness.until(lambda: agent.accepted >= 4)
        await harness.settled()
        await harness.shows(ada, "re: once")

    assert (1, 1) == (await users(harness), len(harness.model.prompts))


async def test_a_delivery_that_is_repeated_after_the_answer_is_known(
    harness: ChannelHarness,
) -> None:
    """A repeat that comes late changes nothing."""
    ada = harness.driver.direct("ada")
    async with harness.agent() as agent:
        message = await harness.ask(ada, "once")
        await harness.driver.redeliver(message)
        await harness.until(lambda: agent.accepted == 2)
        await harness.ask(ada, "twice")

    assert ["re: once", "re: twice"] == harness.screen(ada)
    assert 2 == await users(harness)


async def test_a_delivery_that_is_repeated_after_a_restart_is_known(
    harness: ChannelHarness,
) -> None:
    """The next process knows it, too."""
    ada = harness.driver.direct("ada")
    async with harness.agent():
        message = await harness.ask(ada, "once")

    async with harness.agent() as agent:
        await harness.driver.redeliver(message)
        await harness.until(lambda: agent.accepted >= 1)
        await harness.ask(ada, "twice")

    assert ["re: once", "re: twice"] == harness.screen(ada)
    assert 2 == await users(harness)


async def test_two_instances_that_hear_the_same_answer_once(
    harness: ChannelHarness,
) -> None:
    """If one of two instances takes a message in, or both, it has one row and one
    answer.
    """
    ada = harness.driver.direct("ada")
    async with harness.agent() as one, harness.agent() as two:
        for number in range(4):
            await harness.driver.say(ada, f"message {number}", deliver=2)
            answer = f"re: message {number}"
            await harness.until(partial(_is_shown, harness, ada, answer))

        await harness.settled()
        assert one.accepted + two.accepted >= 8

    assert [f"re: message {number}" for number in range(4)] == harness.screen(ada)
    assert 4 == await users(harness)


async def test_everything_accepted_is_acknowledged(harness: ChannelHarness) -> None:
    """When all is stored the platform has nothing left to deliver."""
    ada = harness.driver.direct("ada")
    async with harness.agent():
        for number in range(3):
            await harness.driver.say(ada, f"message {number}")

        await harness.until(lambda: "re: message 2" in harness.screen(ada))
        await harness.until(lambda: harness.driver.unacknowledged() == 0)


async def test_an_edit_before_the_answer_is_used(harness: ChannelHarness) -> None:
    """The newer text is answered, once, and the older is not shown to the model again."""
    ada = harness.driver.direct("ada")
    async with harness.agent():
        harness.model.hold()
        message = await harness.driver.say(ada, "helo")
        await harness.model.started.wait()
        await harness.driver.edit(message, "hello")
        await harness.until(lambda: len(harness.model.prompts) == 2)
        harness.model.release()
        await harness.settled()
        await harness.shows(ada, "re: hello")

    assert ["hello"] == harness.asked()


async def test_an_edit_that_another_instance_hears_is_used(
    harness: ChannelHarness,
) -> None:
    """The instance that writes the answer learns of it, and the draft becomes the
    answer to the newer text.
    """
    ada = harness.driver.direct("ada")
    async with harness.agent() as writing:
        harness.model.hold()
        message = await harness.driver.say(ada, "helo")
        await harness.model.started.wait()
        await harness.until(lambda: writing.accepted == 1)
        await writing.hush()

        async with harness.agent():
            await harness.driver.edit(message, "hello")
            await harness.until(lambda: len(harness.model.prompts) == 2)
            harness.model.release()
            await harness.settled()
            await harness.shows(ada, "re: hello")

    assert ["hello"] == harness.asked()


async def test_an_edit_after_the_answer_changes_nothing(
    harness: ChannelHarness,
) -> None:
    """What was answered stays answered."""
    ada = harness.driver.direct("ada")
    async with harness.agent() as agent:
        message = await harness.ask(ada, "hello")
        await harness.driver.edit(message, "goodbye")
        await harness.until(lambda: agent.accepted == 2)
        await harness.ask(ada, "still there?")

    assert ["re: hello", "re: still there?"] == harness.screen(ada)


async def test_a_message_that_is_deleted_while_it_waits_is_not_answered(
    harness: ChannelHarness,
) -> None:
    """The model never sees it."""
    ada = harness.driver.direct("ada")
    async with harness.agent() as agent:
        harness.model.hold()
        await harness.driver.say(ada, "one")
        await harness.model.started.wait()
        secret = await harness.driver.say(ada, "oops, my password")
        await harness.until(lambda: agent.accepted == 2)
        await delete(harness.driver, secret)
        await harness.until(lambda: agent.accepted == 3)
        harness.model.release()
        await harness.settled()
        await harness.ask(ada, "two")

    assert ["re: one", "re: two"] == harness.screen(ada)
    assert ["one", "re: one", "two"] == harness.asked()


async def test_what_is_attached_is_named(harness: ChannelHarness) -> None:
    """Until models see files, words name them."""
    ada = harness.driver.direct("ada")
    async with harness.agent():
        await attach(harness.driver, ada, "look at this")
        await harness.until(lambda: harness.model.prompts)
        await harness.settled()

    [text] = harness.asked()

    assert text.startswith("look at this\n[image ")
    assert text.endswith("kB]")
