"""A thumb on an answer is a vote on it, in each platform's own form."""

from __future__ import annotations

from agent.core.messages import Thumb
from tests.conformance.channel_harness import ChannelHarness
from tests.conformance.driver import Place
from tests.conformance.platform_extras import answers, let_hear_reactions, react
from tests.conformance.thumbs import becomes, votes

UP, DOWN = Thumb.UP, Thumb.DOWN


async def asked(
    harness: ChannelHarness, place: Place, text: str, answer: str, **options: object
) -> str:
    """A person asks and is answered. Returns the platform's id of the answer's last message."""
    harness.model.said = lambda prompt: answer
    await harness.ask(place, text, **options)
    return answers(harness.driver, place)[-1]


async def test_a_thumb_is_given_changed_and_taken_away(
    harness: ChannelHarness,
) -> None:
    """One row, and the person's last word."""
    ada = harness.driver.direct("ada")
    async with harness.agent():
        answer = await asked(harness, ada, "hello", "fine")
        await react(harness.driver, ada, answer, given=UP)
        await becomes(harness, fine=1)
        await react(harness.driver, ada, answer, given=DOWN, taken=UP)
        await becomes(harness, fine=-1)
        await react(harness.driver, ada, answer, taken=DOWN)
        await becomes(harness)

    assert 1 == await harness.value("SELECT count(*) FROM turns")


async def test_a_thumb_that_is_delivered_four_times_is_one_vote(
    harness: ChannelHarness,
) -> None:
    """And each delivery is acknowledged."""
    ada = harness.driver.direct("ada")
    async with harness.agent() as agent:
        answer = await asked(harness, ada, "hello", "fine")
        await react(harness.driver, ada, answer, given=UP, deliver=4)
        await harness.until(lambda: agent.accepted == 1 + 4)
        await harness.until(lambda: harness.driver.unacknowledged() == 0)

    assert {"fine": 1} == await votes(harness)
    assert 1 == await harness.value("SELECT count(*) FROM votes")


async def test_each_message_of_a_long_answer_is_that_answer(
    harness: ChannelHarness,
) -> None:
    """People react where they stopped reading."""
    ada = harness.driver.direct("ada")
    text = "word " * (harness.driver.limit // 3)

    async with harness.agent():
        await asked(harness, ada, "hello", "fine")
        await asked(harness, ada, "tell me all", text)
        _, first, second, *_ = answers(harness.driver, ada)
        await react(harness.driver, ada, second, given=UP)
        await becomes(harness, **{text: 1})
        await react(harness.driver, ada, first, given=DOWN)
        await becomes(harness, **{text: -1})


async def test_a_thumb_on_what_a_person_said_is_no_vote(
    harness: ChannelHarness,
) -> None:
    """Nothing is counted, nothing is answered, and nobody becomes known by it."""
    ada, town = harness.driver.direct("ada"), harness.driver.group("town")
    let_hear_reactions(harness.driver, town)

    async with harness.agent():
        answer = await asked(harness, ada, "hello", "fine")
        message = await harness.ask(town, "hello", user="bob", mention=True)
        await react(harness.driver, town, message, given=UP, user="carl")
        await react(harness.driver, town, message, taken=UP, user="carl")
        await react(harness.driver, ada, answer, given=UP)
        await becomes(harness, fine=1)
        await harness.ask(town, "still there?", user="bob", mention=True)

    assert {"fine": 1} == await votes(harness)
    assert 2 == await harness.value("SELECT count(*) FROM users")


async def test_somebody_who_never_wrote_can_vote_in_a_thread(
    harness: ChannelHarness,
) -> None:
    """A thumb does not say in which thread it was given; the answer is found all the same."""
    town = harness.driver.group("town")
    let_hear_reactions(harness.driver, town)
    plans = harness.driver.thread(town, "plans")

    async with harness.agent():
        answer = await asked(
            harness, plans, "hello", "fine", user="ada", mention=True
        )
        await react(harness.driver, plans, answer, given=UP, user="bob")
        await becomes(harness, fine=1)

    voter = "SELECT count(*) FROM votes v JOIN users u ON u.id = v.user_id WHERE u.person_id = u.id"

    assert 1 == await harness.value(voter)
    assert 2 == await harness.value("SELECT count(*) FROM users")


async def test_a_thumb_on_an_answer_that_another_instance_wrote_is_counted(
    harness: ChannelHarness,
) -> None:
    """Any instance finds it in the store."""
    ada = harness.driver.direct("ada")
    async with harness.agent() as first:
        answer = await asked(harness, ada, "hello", "fine")
        await first.crash()

    async with harness.agent():
        await react(harness.driver, ada, answer, given=UP)
        await becomes(harness, fine=1)
