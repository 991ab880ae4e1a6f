"""A thumb on an answer is a vote on it, as each platform tells of thumbs."""

from __future__ import annotations

import asyncio
import json

from agent.core.messages import Thumb
from tests.conformance.channel_harness import DEADLINE, LOOK, ChannelHarness
from tests.conformance.driver import Place
from tests.conformance.platform_extras import answers, let_hear_reactions, react

VOTES = """
SELECT coalesce(jsonb_object_agg(m.content, v.thumb), '{}')
FROM votes v JOIN messages m ON m.id = v.message_id AND m.conversation_id = v.conversation_id
"""
UP, DOWN = Thumb.UP, Thumb.DOWN


async def votes(stage: ChannelHarness) -> dict[str, int]:
    """The thumb on each answer, in scenarios in which one person votes."""
    found: dict[str, int] = json.loads(await stage.value(VOTES))
    return found


async def becomes(stage: ChannelHarness, **expected: int) -> None:
    """Returns once these are the votes."""
    async with asyncio.timeout(DEADLINE):
        while await votes(stage) != expected:
            await asyncio.sleep(LOOK)


async def asked(
    stage: ChannelHarness, place: Place, text: str, answer: str, **options: object
) -> str:
    """A person asks and is answered. Returns the platform's id of the answer's last message."""
    stage.model.said = lambda prompt: answer
    await stage.ask(place, text, **options)
    return answers(stage.driver, place)[-1]


async def test_a_thumb_is_given_changed_and_taken_away(stage: ChannelHarness) -> None:
    """One row, and the person's last word."""
    ada = stage.driver.direct("ada")
    async with stage.agent():
        answer = await asked(stage, ada, "hello", "fine")
        await react(stage.driver, ada, answer, given=UP)
        await becomes(stage, fine=1)
        await react(stage.driver, ada, answer, given=DOWN, taken=UP)
        await becomes(stage, fine=-1)
        await react(stage.driver, ada, answer, taken=DOWN)
        await becomes(stage)
    assert 1 == await stage.value("SELECT count(*) FROM turns")


async def test_a_thumb_that_is_delivered_four_times_is_one_vote(
    stage: ChannelHarness,
) -> None:
    """And each delivery is acknowledged."""
    ada = stage.driver.direct("ada")
    async with stage.agent() as agent:
        answer = await asked(stage, ada, "hello", "fine")
        await react(stage.driver, ada, answer, given=UP, deliver=4)
        await stage.until(lambda: agent.accepted == 1 + 4)
        await stage.until(lambda: stage.driver.unacknowledged() == 0)
    assert {"fine": 1} == await votes(stage)
    assert 1 == await stage.value("SELECT count(*) FROM votes")


async def test_each_message_of_a_long_answer_is_that_answer(
    stage: ChannelHarness,
) -> None:
    """People react where they stopped reading."""
    ada = stage.driver.direct("ada")
    text = "word " * (stage.driver.limit // 3)
    async with stage.agent():
        await asked(stage, ada, "hello", "fine")
        await asked(stage, ada, "tell me all", text)
        _, first, second, *_ = answers(stage.driver, ada)
        await react(stage.driver, ada, second, given=UP)
        await becomes(stage, **{text: 1})
        await react(stage.driver, ada, first, given=DOWN)
        await becomes(stage, **{text: -1})


async def test_a_thumb_on_what_a_person_said_is_no_vote(stage: ChannelHarness) -> None:
    """Nothing is counted, nothing is answered, and nobody becomes known by it."""
    ada, town = stage.driver.direct("ada"), stage.driver.group("town")
    let_hear_reactions(stage.driver, town)
    async with stage.agent():
        answer = await asked(stage, ada, "hello", "fine")
        message = await stage.ask(town, "hello", user="bob", mention=True)
        await react(stage.driver, town, message, given=UP, user="carl")
        await react(stage.driver, town, message, taken=UP, user="carl")
        await react(stage.driver, ada, answer, given=UP)
        await becomes(stage, fine=1)
        await stage.ask(town, "still there?", user="bob", mention=True)
    assert {"fine": 1} == await votes(stage)
    assert 2 == await stage.value("SELECT count(*) FROM users")


async def test_somebody_who_never_wrote_can_vote_in_a_thread(
    stage: ChannelHarness,
) -> None:
    """A thumb does not say in which thread it was given; the answer is found all the same."""
    town = stage.driver.group("town")
    let_hear_reactions(stage.driver, town)
    plans = stage.driver.thread(town, "plans")
    async with stage.agent():
        answer = await asked(stage, plans, "hello", "fine", user="ada", mention=True)
        await react(stage.driver, plans, answer, given=UP, user="bob")
        await becomes(stage, fine=1)
    voter = "SELECT count(*) FROM votes v JOIN users u ON u.id = v.user_id WHERE u.person_id = u.id"
    assert 1 == await stage.value(voter)
    assert 2 == await stage.value("SELECT count(*) FROM users")


async def test_a_thumb_on_an_answer_that_another_instance_wrote_is_counted(
    stage: ChannelHarness,
) -> None:
    """Whoever hears of it finds it in the store."""
    ada = stage.driver.direct("ada")
    async with stage.agent() as first:
        answer = await asked(stage, ada, "hello", "fine")
        await first.crash()
    async with stage.agent():
        await react(stage.driver, ada, answer, given=UP)
        await becomes(stage, fine=1)
