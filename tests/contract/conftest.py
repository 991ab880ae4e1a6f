"""Every implementation of the stores' ports, two instances of each, and a clock that can be
moved.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from uuid import UUID

import pytest
from uuid_utils.compat import uuid7

from agent.core.messages import Address, Said
from agent.core.turns import Answer, Claim, NewTurn
from agent.ports import Deliveries, Leases, Recovery, Turns
from agent.ports.chat import Edits
from storage.conversation.deliveries import PostgresDeliveries
from storage.conversation.edits import PostgresEdits
from storage.conversation.leases import PostgresLeases
from storage.conversation.turns import PostgresTurns
from storage.postgres import open_database
from tests.contract.memory import (
    Memory,
    MemoryDeliveries,
    MemoryEdits,
    MemoryLeases,
    MemoryTurns,
)
from tests.support.clock import let_pass

WINDOW = 5
LEASE = 5.0
CHANNELS = ("test",)


@dataclass(frozen=True)
class Member:
    """One instance's stores."""

    turns: Turns
    deliveries: Deliveries
    leases: Leases
    recovery: Recovery
    edits: Edits


@dataclass(frozen=True)
class Stores:
    """Two instances on the same truth."""

    one: Member
    other: Member
    let_pass: Callable[[float], Awaitable[None]]  # seconds


@pytest.fixture(params=["memory", "postgres"])
def truth(request: pytest.FixtureRequest) -> str | None:
    """Where the truth is: a database's URL, or None for this process's memory."""
    url: str | None = (
        request.getfixturevalue("database_url")
        if request.param == "postgres"
        else None
    )

    return url


@pytest.fixture
async def stores(truth: str | None, redis_url: str) -> AsyncIterator[Stores]:
    async with AsyncExitStack() as stack:
        if truth is None:
            yield _in_memory()
        else:
            one, other = [
                await _on_postgres(stack, truth, redis_url) for _ in range(2)
            ]
            yield Stores(one, other, lambda seconds: let_pass(truth, seconds))


def _in_memory() -> Stores:
    memory = Memory()

    def member() -> Member:
        turns = MemoryTurns(memory, window_messages=WINDOW, lease=LEASE)
        leases = MemoryLeases(memory, uuid7(), CHANNELS, lease=LEASE)

        return Member(
            turns,
            MemoryDeliveries(memory),
            leases,
            leases,
            MemoryEdits(memory),
        )

    async def later(seconds: float) -> None:
        memory.now += seconds

    return Stores(member(), member(), later)


async def _on_postgres(stack: AsyncExitStack, url: str, redis_url: str) -> Member:
    database = await stack.enter_async_context(open_database(url))
    instance = uuid7()
    turns = PostgresTurns(database, instance, WINDOW, lease=LEASE)
    leases = PostgresLeases(database, instance, CHANNELS, lease=LEASE)

    return Member(
        turns,
        PostgresDeliveries(database),
        leases,
        leases,
        PostgresEdits(database),
    )


def inbound(
    text: str, *, chat: str = "ada", thread: str = "", user: str | None = None
) -> Said:
    """A message named by its text; `user` is its author in a group."""
    address = Address("test", chat, thread, f"reply to {text}", {"team": "T1"})
    author = user or chat

    return Said(address, text, author, text, username=author, direct=user is None)


def new_turn(message: Said) -> NewTurn:
    return NewTurn(message, uuid7(), uuid7(), uuid7(), user_known=False)


def answer_to(
    claim: Claim, up_to_seq: int, content: str = "fine", **metadata: object
) -> Answer:
    return Answer(claim, uuid7(), uuid7(), up_to_seq, content, metadata=metadata)


async def claimed(member: Member, text: str, **where: str) -> Claim:
    """Accepts a message that begins an answer."""
    accepted = await member.turns.accept(new_turn(inbound(text, **where)))
    assert accepted is not None
    assert accepted.claim is not None

    return accepted.claim


async def waits(member: Member, text: str, **where: str) -> UUID:
    """Accepts a message while another is being answered; its turn."""
    accepted = await member.turns.accept(new_turn(inbound(text, **where)))
    assert accepted is not None
    assert accepted.claim is None

    return accepted.turn
