"""What every cache promises: the newest value, of the right chat, or nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs
from msgspec.structs import replace

from agent.core.messages import Address, Message, Said, Window
from agent.core.turns import Arrival, Session
from agent.ports import Cache
from storage.conversation.cache import RedisCache
from storage.redis import open_redis
from tests.contract.memory import MemoryCache

LIMIT = 4
USER = uuid4()
CONVERSATION = uuid4()
HELLO = Said(Address("test", "ada"), "p1", "ada", "hello")
SESSION = Session(HELLO.address.key, HELLO.user_id, USER, CONVERSATION)
WINDOW = Window(2, (Message(1, "user", "one"), Message(2, "assistant", "re: one", 1)))


@pytest.fixture(params=["memory", "redis"])
def where(request: pytest.FixtureRequest) -> str | None:
    """A Redis's URL, or None for this process's memory."""
    url: str | None = (
        request.getfixturevalue("redis_url") if request.param == "redis" else None
    )

    return url


@pytest.fixture
async def cache(where: str | None) -> AsyncIterator[Cache]:
    if where is None:
        yield MemoryCache(LIMIT)
    else:
        async with open_redis(where) as pipe:
            yield RedisCache(pipe, LIMIT)


async def test_a_stranger_is_unknown(cache: Cache) -> None:
    assert await cache.arrive(HELLO) == Arrival(epoch=0)


async def test_what_was_kept_comes_back(cache: Cache) -> None:
    await cache.keep(SESSION, WINDOW)
    arrival = await cache.arrive(HELLO)

    assert arrival == Arrival(USER, CONVERSATION, WINDOW, 0)


async def test_the_last_word_counts(cache: Cache) -> None:
    await cache.keep(SESSION, WINDOW)
    newer = Window(
        4,
        (
            *WINDOW.messages,
            Message(3, "user", "two"),
            Message(4, "assistant", "re: two", 3),
        ),
    )
    await cache.keep(SESSION, newer)

    arrival = await cache.arrive(HELLO)

    assert arrival.window == newer


async def test_a_new_conversation_of_a_chat_replaces_the_old_one(
    cache: Cache,
) -> None:
    await cache.keep(SESSION, WINDOW)
    newer = uuid4()
    await cache.keep(structs.replace(SESSION, conversation=newer), Window(2, ()))

    arrival = await cache.arrive(HELLO)

    assert arrival == Arrival(USER, newer, Window(2, ()), 0)


@pytest.mark.parametrize(
    "address",
    [Address("test", "room"), Address("test", "ada", "t1"), Address("other", "ada")],
)
async def test_a_window_is_never_told_in_another_chat(
    cache: Cache, address: Address
) -> None:
    await cache.keep(SESSION, WINDOW)
    arrival = await cache.arrive(replace(HELLO, address=address))

    assert arrival.conversation is None
    assert arrival.window is None


async def test_each_chat_of_a_person_has_its_own_window(cache: Cache) -> None:
    room = Address("test", "room")
    conversation = uuid4()
    await cache.keep(SESSION, WINDOW)
    await cache.keep(Session(room.key, "ada", USER, conversation), Window(7, ()))

    arrival = await cache.arrive(HELLO)

    assert arrival == Arrival(USER, CONVERSATION, WINDOW, 0)
    assert await cache.arrive(replace(HELLO, address=room)) == Arrival(
        USER, conversation, Window(7, ()), 0
    )


async def test_the_newest_messages_are_kept_in_reading_order(cache: Cache) -> None:
    """By seq, as the store reads them: otherwise an answer would depend on Redis."""
    read = (
        Message(1, "user", "one"),
        Message(3, "assistant", "to one", 1),
        Message(2, "user", "two"),
        Message(4, "assistant", "to two", 2),
        Message(5, "user", "three"),
        Message(6, "assistant", "to three", 5),
    )
    await cache.keep(SESSION, Window(6, read))
    window = (await cache.arrive(HELLO)).window

    assert window == Window(6, (read[1], read[3], read[4], read[5]))


MESSAGES = st.builds(
    Message,
    st.integers(1, 2**62),
    st.sampled_from(["user", "assistant", "system"]),
    st.text(max_size=50),
    st.none() | st.integers(0, 2**62),
    st.none() | st.text(max_size=10),
    st.booleans(),
)


@given(st.integers(0, 2**62), st.lists(MESSAGES, max_size=LIMIT).map(tuple))
@settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
async def test_any_window_comes_back_exactly(
    cache: Cache, version: int, messages: tuple[Message, ...]
) -> None:
    """One cache serves all examples: each is replaced by the next."""
    await cache.keep(SESSION, Window(version, messages))
    arrival = await cache.arrive(HELLO)

    assert arrival.window == Window(version, messages)
