"""The same message never becomes two rows or two answers, whatever the platform repeats,
changes or takes back.
"""

from __future__ import annotations

from tests.conformance.channel_harness import ChannelHarness
from tests.conformance.platform_extras import attach, delete


async def users(stage: ChannelHarness) -> int:
    """Rows of what people wrote."""
    count: int = await stage.value("SELECT count(*) FROM messages WHERE role = 'user'")
    return count


async def test_the_same_delivery_four_times_at_once_is_one_answer(
    stage: ChannelHarness,
) -> None:
    """Repeats that race with each other are one message."""
    ada = stage.driver.direct("ada")
    async with stage.agent() as agent:
        await stage.driver.say(ada, "once", deliver=4)
        await stage.until(lambda: agent.accepted >= 4)
        await stage.settled()
        await stage.shows(ada, "re: once")
    assert (1, 1) == (await users(stage), len(stage.model.prompts))


async def test_a_delivery_that_is_repeated_after_the_answer_is_known(
    stage: ChannelHarness,
) -> None:
    """A repeat that comes late changes nothing."""
    ada = stage.driver.direct("ada")
    async with stage.agent() as agent:
        message = await stage.ask(ada, "once")
        await stage.driver.redeliver(message)
        await stage.until(lambda: agent.accepted == 2)
        await stage.ask(ada, "twice")
    assert ["re: once", "re: twice"] == stage.screen(ada)
    assert 2 == await users(stage)


async def test_a_delivery_that_is_repeated_after_a_restart_is_known(
    stage: ChannelHarness,
) -> None:
    """What is known is known to the next process too."""
    ada = stage.driver.direct("ada")
    async with stage.agent():
        message = await stage.ask(ada, "once")
    async with stage.agent() as agent:
        await stage.driver.redeliver(message)
        await stage.until(lambda: agent.accepted >= 1)
        await stage.ask(ada, "twice")
    assert ["re: once", "re: twice"] == stage.screen(ada)
    assert 2 == await users(stage)


async def test_two_instances_that_hear_the_same_answer_once(
    stage: ChannelHarness,
) -> None:
    """Whoever of two instances takes a message in, and if both do, it has one row and one
    answer.
    """
    ada = stage.driver.direct("ada")
    async with stage.agent() as one, stage.agent() as two:
        for number in range(4):
            await stage.driver.say(ada, f"message {number}", deliver=2)
            await stage.until(
                lambda number=number: f"re: message {number}" in stage.screen(ada)  # type: ignore[misc]
            )
        await stage.settled()
        assert one.accepted + two.accepted >= 8
    assert [f"re: message {number}" for number in range(4)] == stage.screen(ada)
    assert 4 == await users(stage)


async def test_everything_accepted_is_acknowledged(stage: ChannelHarness) -> None:
    """When all is stored the platform has nothing left to deliver."""
    ada = stage.driver.direct("ada")
    async with stage.agent():
        for number in range(3):
            await stage.driver.say(ada, f"message {number}")
        await stage.until(lambda: "re: message 2" in stage.screen(ada))
        await stage.until(lambda: stage.driver.unacknowledged() == 0)


async def test_an_edit_before_the_answer_is_used(stage: ChannelHarness) -> None:
    """The newer text is answered, once, and the older is not shown to the model again."""
    ada = stage.driver.direct("ada")
    async with stage.agent():
        stage.model.hold()
        message = await stage.driver.say(ada, "helo")
        await stage.model.started.wait()
        await stage.driver.edit(message, "hello")
        await stage.until(lambda: len(stage.model.prompts) == 2)
        stage.model.release()
        await stage.settled()
        await stage.shows(ada, "re: hello")
    assert ["hello"] == stage.asked()


async def test_an_edit_that_another_instance_hears_is_used(
    stage: ChannelHarness,
) -> None:
    """Whoever writes the answer learns of it, and what stood there already becomes the
    answer to the newer text.
    """
    ada = stage.driver.direct("ada")
    async with stage.agent() as writing:
        stage.model.hold()
        message = await stage.driver.say(ada, "helo")
        await stage.model.started.wait()
        await stage.until(lambda: writing.accepted == 1)
        await writing.hush()
        async with stage.agent():
            await stage.driver.edit(message, "hello")
            await stage.until(lambda: len(stage.model.prompts) == 2)
            stage.model.release()
            await stage.settled()
            await stage.shows(ada, "re: hello")
    assert ["hello"] == stage.asked()


async def test_an_edit_after_the_answer_changes_nothing(stage: ChannelHarness) -> None:
    """What was answered stays answered."""
    ada = stage.driver.direct("ada")
    async with stage.agent() as agent:
        message = await stage.ask(ada, "hello")
        await stage.driver.edit(message, "goodbye")
        await stage.until(lambda: agent.accepted == 2)
        await stage.ask(ada, "still there?")
    assert ["re: hello", "re: still there?"] == stage.screen(ada)


async def test_a_message_that_is_deleted_while_it_waits_is_not_answered(
    stage: ChannelHarness,
) -> None:
    """The model never sees it."""
    ada = stage.driver.direct("ada")
    async with stage.agent() as agent:
        stage.model.hold()
        await stage.driver.say(ada, "one")
        await stage.model.started.wait()
        secret = await stage.driver.say(ada, "oops, my password")
        await stage.until(lambda: agent.accepted == 2)
        await delete(stage.driver, secret)
        await stage.until(lambda: agent.accepted == 3)
        stage.model.release()
        await stage.settled()
        await stage.ask(ada, "two")
    assert ["re: one", "re: two"] == stage.screen(ada)
    assert ["one", "re: one", "two"] == stage.asked()


async def test_what_is_attached_is_named(stage: ChannelHarness) -> None:
    """Until models see files, they are told of them in words."""
    ada = stage.driver.direct("ada")
    async with stage.agent():
        await attach(stage.driver, ada, "look at this")
        await stage.until(lambda: stage.model.prompts)
        await stage.settled()
    [text] = stage.asked()
    assert text.startswith("look at this\n[image ") and text.endswith("kB]")
