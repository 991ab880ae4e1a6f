"""A rule is obeyed for those it is made for, on every channel, and for nobody else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count

import pytest

from agent.control.buckets import bucket_of, edge
from agent.control.flags import SWITCHED_OFF
from storage.control.flags import FlagAdmin
from storage.control.targets import RuleTarget
from tests.conformance.channel_harness import ChannelHarness
from tests.conformance.channels import DRIVERS
from tests.conformance.driver import Place
from tests.conformance.expectations import told
from tests.support.operators import ADA, operator

on, off = told("re: hello"), told(SWITCHED_OFF)


@pytest.fixture
async def desk(stage: ChannelHarness) -> AsyncIterator[FlagAdmin]:
    """An operator in another process."""
    async with operator(stage.database_url, stage.redis_url) as desk:
        yield desk


async def account(stage: ChannelHarness, place: Place) -> str:
    """Who speaks in this direct chat, as `channel:id`."""
    owner = "SELECT user_id FROM conversations WHERE chat_id = $1"
    named = (
        f"SELECT channel_type || ':' || channel_user_id FROM users WHERE id = ({owner})"
    )
    return str(await stage.value(named, place.chat))


async def her_chat(stage: ChannelHarness, ada: Place, bob: Place) -> RuleTarget:
    return RuleTarget(channel=stage.driver.name, chat=ada.chat)


async def herself(stage: ChannelHarness, ada: Place, bob: Place) -> RuleTarget:
    return RuleTarget(person=await account(stage, ada))


async def her_half(stage: ChannelHarness, ada: Place, bob: Place) -> RuleTarget:
    """Half of all people, split so that she is in it and he is not."""
    people = [
        await stage.value(
            "SELECT person_id FROM users WHERE channel_type || ':' || channel_user_id = $1",
            name,
        )
        for name in (await account(stage, ada), await account(stage, bob))
    ]
    salts = map(str, count())
    salt = next(
        salt
        for salt in salts
        if bucket_of(salt, people[0]) < edge(50) <= bucket_of(salt, people[1])
    )
    return RuleTarget(percentage=50, salt=salt)


@pytest.mark.parametrize("hers", [her_chat, herself, her_half])
async def test_a_rule_is_for_those_whom_it_names(
    stage: ChannelHarness,
    desk: FlagAdmin,
    hers: Callable[[ChannelHarness, Place, Place], Awaitable[RuleTarget]],
) -> None:
    """Replies off for one chat, one person, a share of all: Ada is not answered, Bob is;
    then both again.
    """
    ada, bob = stage.driver.direct("ada"), stage.driver.direct("bob")
    async with stage.agent():
        await on(stage, ada)
        await stage.ask(bob, "hello", user="bob")
        target = await hers(stage, ada, bob)
        await desk.set("replies", target, False, ADA)
        await off(stage, ada)
        await stage.ask(bob, "hello", user="bob")
        await desk.unset("replies", target, ADA)
        await on(stage, ada)
    assert ["re: hello"] * 2 == stage.screen(bob)


async def test_a_rule_is_for_one_channel(
    stage: ChannelHarness, desk: FlagAdmin
) -> None:
    """Another channel's is not ours."""
    ada = stage.driver.direct("ada")
    another = next(name for name in DRIVERS if name != stage.driver.name)
    async with stage.agent():
        await desk.set("replies", RuleTarget(channel=another), False, ADA)
        await on(stage, ada)
        await desk.set("replies", RuleTarget(channel=stage.driver.name), False, ADA)
        await off(stage, ada)
        await desk.unset("replies", RuleTarget(channel=stage.driver.name), ADA)
        await on(stage, ada)


async def test_the_kill_switch_goes_before_all_others(
    stage: ChannelHarness, desk: FlagAdmin
) -> None:
    """What is set for a person, a channel, everybody stays, and is obeyed again when the
    kill switch is removed.
    """
    ada = stage.driver.direct("ada")
    async with stage.agent():
        await on(stage, ada)
        for target in (
            RuleTarget(person=await account(stage, ada)),
            RuleTarget(channel=stage.driver.name),
            RuleTarget(),
        ):
            await desk.set("replies", target, True, ADA)
        await desk.set("replies", RuleTarget(kill=True), False, ADA)
        await off(stage, ada)
        await desk.unset("replies", RuleTarget(kill=True), ADA)
        await on(stage, ada)


async def test_in_a_group_the_author_decides(
    stage: ChannelHarness, desk: FlagAdmin
) -> None:
    """Replies off for Ada: in the same group Bob is answered and she is not; then she is again."""
    town = stage.driver.group("town")
    ada = stage.driver.direct("ada")
    async with stage.agent():
        await on(stage, ada)
        stage.model.said = lambda prompt: "answered"
        target = RuleTarget(person=await account(stage, ada))
        await desk.set("replies", target, False, ADA)
        for user in ("ada", "bob"):
            await stage.ask(town, "hello", user=user, mention=True)
        await desk.unset("replies", target, ADA)
        await stage.ask(town, "hello", user="ada", mention=True)
    assert [SWITCHED_OFF, "answered", "answered"] == stage.screen(town)
