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
from tests.conformance.expectations import answers_hello
from tests.support.operators import ADA, operator

on, off = answers_hello("re: hello"), answers_hello(SWITCHED_OFF)


@pytest.fixture
async def admin(harness: ChannelHarness) -> AsyncIterator[FlagAdmin]:
    """An operator in another process."""
    async with operator(harness.database_url, harness.redis_url) as admin:
        yield admin


async def account(harness: ChannelHarness, place: Place) -> str:
    """The person of this direct chat, as `channel:id`."""
    owner = "SELECT user_id FROM conversations WHERE chat_id = $1"
    named = f"SELECT channel_type || ':' || channel_user_id FROM users WHERE id = ({owner})"
    return str(await harness.value(named, place.chat))


async def her_chat(
    harness: ChannelHarness,
    ada: Place,
    bob: Place,
) -> RuleTarget:
    return RuleTarget(channel=harness.driver.name, chat=ada.chat)


async def herself(
    harness: ChannelHarness,
    ada: Place,
    bob: Place,
) -> RuleTarget:
    return RuleTarget(person=await account(harness, ada))


async def her_half(
    harness: ChannelHarness,
    ada: Place,
    bob: Place,
) -> RuleTarget:
    """Half of all people, split so that she is in it and he is not."""
    people = [
        await harness.value(
            "SELECT person_id FROM users WHERE channel_type || ':' || channel_user_id = $1",
            name,
        )
        for name in (await account(harness, ada), await account(harness, bob))
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
    harness: ChannelHarness,
    admin: FlagAdmin,
    hers: Callable[[ChannelHarness, Place, Place], Awaitable[RuleTarget]],
) -> None:
    """Replies off for one chat, one person, a share of all: Ada is not answered, Bob is;
    then both again.
    """
    ada, bob = harness.driver.direct("ada"), harness.driver.direct("bob")
    async with harness.agent():
        await on(harness, ada)
        await harness.ask(bob, "hello", user="bob")
        target = await hers(harness, ada, bob)
        await admin.set("replies", target, False, ADA)
        await off(harness, ada)
        await harness.ask(bob, "hello", user="bob")
        await admin.unset("replies", target, ADA)
        await on(harness, ada)

    assert ["re: hello"] * 2 == harness.screen(bob)


async def test_a_rule_is_for_one_channel(
    harness: ChannelHarness, admin: FlagAdmin
) -> None:
    """Another channel's is not ours."""
    ada = harness.driver.direct("ada")
    another = next(name for name in DRIVERS if name != harness.driver.name)

    async with harness.agent():
        await admin.set("replies", RuleTarget(channel=another), False, ADA)
        await on(harness, ada)
        await admin.set(
            "replies", RuleTarget(channel=harness.driver.name), False, ADA
        )
        await off(harness, ada)
        await admin.unset("replies", RuleTarget(channel=harness.driver.name), ADA)
        await on(harness, ada)


async def test_the_kill_switch_goes_before_all_others(
    harness: ChannelHarness, admin: FlagAdmin
) -> None:
    """What is set for a person, a channel, everybody stays, and is obeyed again when the
    kill switch is removed.
    """
    ada = harness.driver.direct("ada")
    async with harness.agent():
        await on(harness, ada)
        for target in (
            RuleTarget(person=await account(harness, ada)),
            RuleTarget(channel=harness.driver.name),
            RuleTarget(),
        ):
            await admin.set("replies", target, True, ADA)

        await admin.set("replies", RuleTarget(kill=True), False, ADA)
        await off(harness, ada)
        await admin.unset("replies", RuleTarget(kill=True), ADA)
        await on(harness, ada)


async def test_in_a_group_the_author_decides(
    harness: ChannelHarness, admin: FlagAdmin
) -> None:
    """Replies off for Ada: in the same group Bob is answered and she is not; then she is again."""
    town = harness.driver.group("town")
    ada = harness.driver.direct("ada")

    async with harness.agent():
        await on(harness, ada)
        harness.model.said = lambda prompt: "answered"
        target = RuleTarget(person=await account(harness, ada))
        await admin.set("replies", target, False, ADA)
        for user in ("ada", "bob"):
            await harness.ask(town, "hello", user=user, mention=True)

        await admin.unset("replies", target, ADA)
        await harness.ask(town, "hello", user="ada", mention=True)

    assert [SWITCHED_OFF, "answered", "answered"] == harness.screen(town)
