"""The promise under anything that can happen, in any order: hypothesis plays, a model checks.

A run sends messages to three chats through two instances. In between it crashes instances at
any await, lets calls fail, lets time pass, empties Redis, edits, stops and starts new
conversations. At its end everything settles. Then the invariants of docs/architecture.md are
checked against what people see and what Postgres holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)
from redis.asyncio import Redis

from agent.core.errors import StoreUnavailable
from agent.core.messages import Deleted, Edited, Overlap, Said
from storage.postgres import connect
from tests.support.clock import let_pass
from tests.support.engine_harness import EngineHarness, Instance
from tests.support.faults import Fuse, Pulse, When, through
from tests.support.inbound import change_of, text_of
from tests.support.invariant_checks import digest, judge

T = TypeVar("T")

WINDOW = 4
SETTLE_SECONDS = 30.0
CHATS = st.sampled_from(["ada", "bob", "room"])
MEMBERS = st.integers(0, 1)
PICKS = st.integers(0, 5)
WHENS = st.sampled_from(["before", "during", "after"])

_EMPTY = """
TRUNCATE users, conversations, messages, turns, instances, channel_configs, audit_log,
    link_codes CASCADE;
UPDATE control_epoch SET epoch = 1;
INSERT INTO instances (id, host, pid, channels, seen_at)
VALUES (gen_random_uuid(), 'always just died', 0, '{}', '-infinity');
"""
_SET_OVERLAP = """
INSERT INTO channel_configs (id, channel_type, settings)
VALUES (gen_random_uuid(), 'test', jsonb_build_object('overlap', $1::text))
ON CONFLICT (channel_type) DO UPDATE SET settings = excluded.settings
"""


@dataclass
class Member:
    """An instance that can die."""

    instance: Instance
    fuse: Fuse
    stack: AsyncExitStack

    async def die(self) -> None:
        """Ends as after kill -9. What was already sent to a store still arrives there."""
        self.fuse.blown = True
        await self.instance.crash()
        await self.fuse.settle()

        with suppress(asyncio.CancelledError):  # its last words are not heard
            await self.stack.aclose()

    async def rest(self) -> None:
        """Ends in good order: drains, and hands back the rest."""
        with suppress(asyncio.CancelledError):  # it may die over that
            await self.stack.aclose()
        await self.fuse.settle()


class Promise(RuleBasedStateMachine):
    """Two instances, three chats."""

    def __init__(self, database_url: str, redis_url: str) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.world = EngineHarness(
            database_url,
            redis_url,
            lease=5.0,
            beat=0.03,
            drain=0.1,
            window_messages=WINDOW,
        )
        self.world.model.said = lambda prompt: (
            f"{digest(prompt)} re: {prompt.messages[-1][1]}"
        )
        self.pulse = Pulse()
        self.members: list[Member] = []
        self.fuses: list[Fuse] = []  # of the dead, too
        self.sent: list[Said | Edited | Deleted] = []
        self.acknowledged: list[Said | Edited | Deleted] = []

    @initialize(streams=st.booleans())
    def begin(self, streams: bool) -> None:
        self.world.streams = streams
        self.run(self._begin())

    def run(self, work: Awaitable[T]) -> T:
        async def within() -> T:
            async with asyncio.timeout(2 * SETTLE_SECONDS):
                return await work

        return self.runner.run(within())

    async def _begin(self) -> None:
        connection = await connect(self.world.database_url)
        await connection.execute(_EMPTY)
        await connection.close()
        await self._flush()
        self.members = [await self._born() for _ in range(2)]

    async def _born(self) -> Member:
        fuse = Fuse(self.pulse)
        stack = AsyncExitStack()
        self.fuses.append(fuse)
        instance = await stack.enter_async_context(
            self.world.instance(lambda ports: through(fuse, ports))
        )

        return Member(instance, fuse, stack)

    async def _flush(self) -> None:
        async with Redis.from_url(self.world.redis_url) as client:
            await client.flushall()

    async def _accept(self, number: int, inbound: Said | Edited | Deleted) -> None:
        self.sent.append(inbound)
        member = self.members[number]

        try:
            await member.instance.engine.accept(inbound)
        except StoreUnavailable:
            return
        except asyncio.CancelledError:
            if not member.fuse.blown:
                raise

            return

        self.acknowledged.append(inbound)

    async def _replace_the_dead(self) -> None:
        for number, member in enumerate(self.members):
            if member.fuse.blown:
                await member.die()
                self.members[number] = await self._born()

    def play(self, work: Awaitable[None]) -> None:
        async def and_go_on() -> None:
            await work
            await self._replace_the_dead()

        self.run(and_go_on())

    # --- people ---------------------------------------------------------------

    @rule(number=MEMBERS, chat=CHATS, ada=st.booleans())
    def send(self, number: int, chat: str, ada: bool) -> None:
        user = ("ada" if ada else "bob") if chat == "room" else None
        inbound = self.world.message(f"m{len(self.sent)}", chat=chat, user=user)
        self.play(self._accept(number, inbound))

    @rule(
        number=MEMBERS,
        chat=CHATS,
        text=st.sampled_from(["/stop", "/new", "/model test:other", "/history", " "]),
    )
    def command(self, number: int, chat: str, text: str) -> None:
        inbound = self.world.message(
            text, chat=chat, user="ada" if chat == "room" else None
        )
        self.play(self._accept(number, inbound))

    @rule(number=MEMBERS, pick=PICKS)
    def deliver_again(self, number: int, pick: int) -> None:
        if self.sent:
            self.play(self._accept(number, self.sent[-1 - pick % len(self.sent)]))

    @rule(
        number=MEMBERS,
        pick=PICKS,
        text=st.sampled_from(["edited", "edited again", None]),
    )
    def change(self, number: int, pick: int, text: str | None) -> None:
        if not self.sent:
            return

        old = self.sent[-1 - pick % len(self.sent)]
        before = text_of(old) or old.message_id
        new = change_of(old, f"{before} {text}" if text else None)
        self.play(self._accept(number, new))

    # --- the model and operators ----------------------------------------------

    @rule()
    def hold(self) -> None:
        self.world.model.hold()

    @rule()
    def release(self) -> None:
        self.world.model.release()

    @rule(error=st.sampled_from([None, "The model is away."]))
    def let_the_model_fail(self, error: str | None) -> None:
        self.world.model.error = error

    @rule(open=st.booleans())
    def let_the_platform_wait(self, open: bool) -> None:
        takes = self.world.platform.takes_answers
        takes.set() if open else takes.clear()

    @rule(overlap=st.sampled_from(Overlap))
    def set_overlap(self, overlap: Overlap) -> None:
        async def store() -> None:
            connection = await connect(self.world.database_url)
            async with connection.transaction():
                await connection.execute(_SET_OVERLAP, overlap.value)
                await connection.execute("UPDATE control_epoch SET epoch = epoch + 1")

            await connection.close()

        self.play(store())

    # --- faults ---------------------------------------------------------------

    @rule(calls=st.integers(1, 12))
    def go_on(self, calls: int) -> None:
        self.play(self._pass(calls))

    async def _pass(self, calls: int) -> None:
        """Returns after this many calls, or once no instance is left to make one."""
        passing = asyncio.ensure_future(self.pulse.wait(calls))
        while not passing.done() and not all(
            member.fuse.blown for member in self.members
        ):
            await asyncio.wait({passing}, timeout=0.05)

        passing.cancel()

    @rule(number=MEMBERS)
    def restart(self, number: int) -> None:
        async def restarted() -> None:
            await self.members[number].rest()
            self.members[number] = await self._born()

        self.play(restarted())

    @rule(number=MEMBERS)
    def kill(self, number: int) -> None:
        self.members[number].fuse.blown = True
        self.play(asyncio.sleep(0))

    @rule(number=MEMBERS, calls=st.integers(1, 15), when=WHENS)
    def kill_soon(self, number: int, calls: int, when: When) -> None:
        self.members[number].fuse.arm(calls, when)

    @rule(number=MEMBERS, calls=st.integers(1, 15), when=WHENS)
    def fail_soon(self, number: int, calls: int, when: When) -> None:
        self.members[number].fuse.arm(calls, when, kills=False)

    @rule()
    def stand_still(self) -> None:
        """Freezes all instances past their leases."""
        self.play(let_pass(self.world.database_url, 6))

    @rule()
    def empty_redis(self) -> None:
        self.play(self._flush())

    # --- the end --------------------------------------------------------------

    def teardown(self) -> None:
        try:
            self.run(self._settle())
            broken = self.run(judge(self.world, self.sent, self.acknowledged))

            assert broken == [], "\n".join(broken)
        finally:
            self.run(self._end())
            self.runner.close()

    async def _settle(self) -> None:
        """From now on nothing fails; returns when nothing is left to do."""
        await self._replace_the_dead()
        for member in self.members:
            member.fuse.disarm()
        self.world.model.release()
        self.world.platform.takes_answers.set()

        async with asyncio.timeout(SETTLE_SECONDS):
            while await self._restless():
                await let_pass(self.world.database_url, 6)
                await self.pulse.wait(40)

    async def _restless(self) -> bool:
        connection = await connect(self.world.database_url)
        try:
            is_open = await connection.fetchval(
                "SELECT EXISTS (SELECT FROM turns WHERE state = 'open')"
            )
        finally:
            await connection.close()

        busy = any(
            member.instance.engine._background.running for member in self.members
        )

        return (
            is_open or busy or not all([await fuse.settle() for fuse in self.fuses])
        )

    async def _end(self) -> None:
        for member in self.members:
            await member.die()
        left = asyncio.all_tasks() - {
            asyncio.current_task()
        }  # of the dead: perhaps on their way to a store

        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

        for _ in range(3):  # connections that were ended say so to the loop
            await asyncio.sleep(0)


ORDINARY = settings(
    max_examples=40,
    stateful_step_count=30,
    deadline=None,
    print_blob=True,
    database=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],  # real stores; a run is a story
)


def play(how: settings, database_url: str, redis_url: str) -> None:
    class Here(Promise):
        def __init__(self) -> None:
            super().__init__(database_url, redis_url)

    run_state_machine_as_test(Here, settings=how)


@pytest.mark.timeout(900)
def test_the_promise_holds_whatever_happens(
    database_url: str, redis_url: str
) -> None:
    play(ORDINARY, database_url, redis_url)


@pytest.mark.chaos
@pytest.mark.timeout(7200)
def test_the_promise_holds_for_long(database_url: str, redis_url: str) -> None:
    long = settings(ORDINARY, max_examples=1500, stateful_step_count=80)
    play(long, database_url, redis_url)
