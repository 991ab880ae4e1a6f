"""Redis may hold anything or nothing: a wrong hint is no hint, and nobody ever hears an error."""

from __future__ import annotations

import time
from uuid import UUID, uuid4

import msgspec
import pytest
from fakeredis import FakeServer
from fakeredis.aioredis import FakeRedis

from agent.core.messages import Address, Message, Said, Window
from agent.core.turns import Arrival, Session
from storage.conversation.cache import RedisCache
from storage.people.active_people import active_people, noted
from storage.redis import RedisPipe

USER, CONVERSATION = UUID(int=1), UUID(int=2)
HELLO = Said(Address("test", "ada"), "p1", "ada", "hello")
SESSION = Session(HELLO.address.key, HELLO.user_id, USER, CONVERSATION)
WINDOW = Window(
    2,
    (
        Message(1, "user", "one", author="ada"),
        Message(2, "assistant", "re: one", 1, notice=True),
    ),
)
SESSION_KEY, WINDOW_KEY = "session:test:ada", f"context:conv:{CONVERSATION}"


@pytest.fixture
def cache(pipe: RedisPipe) -> RedisCache:
    return RedisCache(pipe)


@pytest.fixture
def elsewhere(pipe: RedisPipe) -> RedisCache:
    """Another instance: it remembers nothing by itself."""
    return RedisCache(pipe)


async def test_what_was_kept_is_known_to_every_instance(
    cache: RedisCache,
    elsewhere: RedisCache,
) -> None:
    await cache.keep(SESSION, WINDOW)
    expected = Arrival(USER, CONVERSATION, WINDOW, 0)

    assert await cache.arrive(HELLO) == expected
    assert await elsewhere.arrive(HELLO) == expected


async def test_a_remembered_chat_costs_one_round_trip_and_an_unknown_one_two(
    cache: RedisCache,
    elsewhere: RedisCache,
    pipe: RedisPipe,
) -> None:
    await cache.keep(SESSION, WINDOW)
    before = pipe.round_trips
    await cache.arrive(HELLO)

    assert pipe.round_trips - before == 1

    await elsewhere.arrive(HELLO)

    assert pipe.round_trips - before == 3


async def test_nothing_is_known_of_a_stranger(cache: RedisCache) -> None:
    assert await cache.arrive(HELLO) == Arrival(epoch=0)


async def test_every_key_has_a_time_to_live(
    cache: RedisCache,
    client: FakeRedis,
) -> None:
    await cache.keep(SESSION, WINDOW)
    names = [key.decode() for key in await client.keys("*") if isinstance(key, bytes)]
    lives = {name: await client.ttl(name) for name in names}

    assert lives == {SESSION_KEY: 3600, WINDOW_KEY: 7200, "active:test": 300}


async def test_a_session_names_a_conversation_for_each_chat_of_the_person(
    cache: RedisCache,
    elsewhere: RedisCache,
) -> None:
    group, other = Address("test", "room", "t1"), uuid4()
    await cache.keep(SESSION, WINDOW)
    await cache.keep(Session(group.key, "ada", USER, other), Window(9, ()))

    assert (await elsewhere.arrive(HELLO)).conversation == CONVERSATION

    arrival = await elsewhere.arrive(Said(group, "p2", "ada", "hi"))

    assert (arrival.conversation, arrival.window) == (other, Window(9, ()))


async def test_only_the_last_messages_are_kept(pipe: RedisPipe) -> None:
    cache = RedisCache(pipe, window_messages=3)
    messages = tuple(Message(seq, "user", str(seq)) for seq in range(1, 10))
    await cache.keep(SESSION, Window(9, messages))
    window = (await cache.arrive(HELLO)).window

    assert window is not None
    assert window.version == 9
    assert window.messages == messages[-3:]


async def test_without_redis_the_process_still_knows_ids_but_no_window(
    cache: RedisCache,
    server: FakeServer,
) -> None:
    await cache.keep(SESSION, WINDOW)
    server.connected = False

    assert (await cache.arrive(HELLO)) == Arrival(user=USER)

    await cache.keep(SESSION, WINDOW)  # nothing is raised


async def test_after_redis_lost_everything_there_is_no_window(
    cache: RedisCache,
    client: FakeRedis,
) -> None:
    await cache.keep(SESSION, WINDOW)
    await client.flushall()

    assert await cache.arrive(HELLO) == Arrival(USER, CONVERSATION, None, 0)


async def test_a_window_without_its_session_is_found_by_who_remembers_the_chat(
    cache: RedisCache,
    elsewhere: RedisCache,
    client: FakeRedis,
) -> None:
    await cache.keep(SESSION, WINDOW)
    await client.delete(SESSION_KEY)

    assert (await cache.arrive(HELLO)).window == WINDOW
    assert await elsewhere.arrive(HELLO) == Arrival(epoch=0)


async def test_a_wrong_hint_is_corrected_by_the_session(
    cache: RedisCache,
    elsewhere: RedisCache,
) -> None:
    newer = uuid4()
    await cache.keep(SESSION, WINDOW)
    await elsewhere.keep(Session(SESSION.key, "ada", USER, newer), Window(5, ()))

    assert await cache.arrive(HELLO) == Arrival(USER, newer, Window(5, ()), 0)


def packed(
    schema: bytes,
    version: object,
    messages: object,
) -> bytes:
    return msgspec.msgpack.encode([schema, version, messages])


GARBAGE = {
    "empty": b"",
    "text": b"not a window",
    "cut": packed(b"1", 2, [[1, "user", "one", None, None, False]])[:-4],
    "an older schema": packed(b"1", 2, []),
    "a newer schema": packed(b"3", 2, []),
    "no version": packed(b"1", None, []),
    "an unknown role": packed(b"1", 2, [[1, "tool", "one", None, None, False]]),
    "too few fields": packed(b"1", 2, [[1, "user"]]),
    "another type": msgspec.msgpack.encode({"version": 2}),
}


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE)
async def test_garbage_is_no_window(
    cache: RedisCache,
    client: FakeRedis,
    data: bytes,
) -> None:
    await cache.keep(SESSION, WINDOW)
    await client.set(WINDOW_KEY, data)

    assert await cache.arrive(HELLO) == Arrival(USER, CONVERSATION, None, 0)

    await cache.keep(SESSION, WINDOW)

    assert (await cache.arrive(HELLO)).window == WINDOW


@pytest.mark.parametrize(
    "key", [SESSION_KEY, WINDOW_KEY, "features:global", "active:test"]
)
async def test_a_key_of_the_wrong_type_spoils_no_other(
    cache: RedisCache,
    client: FakeRedis,
    key: str,
) -> None:
    await cache.keep(SESSION, WINDOW)
    await client.delete(key)
    await client.lpush(key, "a list")
    arrival = await cache.arrive(HELLO)

    assert (arrival.user, arrival.conversation, arrival.epoch) == (
        USER,
        CONVERSATION,
        0,
    )
    assert arrival.window == (None if key == WINDOW_KEY else WINDOW)

    await cache.keep(SESSION, WINDOW)

    assert (await cache.arrive(HELLO)).window == WINDOW


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("user_id", "nobody"),
        ("user_id", ""),
        ("conversation_id:ada:", "\0"),
        ("conversation_id:ada:", "17"),
    ],
)
async def test_an_id_that_is_none_is_not_believed(
    cache: RedisCache,
    elsewhere: RedisCache,
    client: FakeRedis,
    field: str,
    value: str,
) -> None:
    await cache.keep(SESSION, WINDOW)
    await client.hset(SESSION_KEY, field, value)
    arrival = await elsewhere.arrive(HELLO)
    expected: tuple[UUID | None, UUID | None] = (
        (None, CONVERSATION) if field == "user_id" else (USER, None)
    )

    assert (arrival.user, arrival.conversation) == expected
    assert (await cache.arrive(HELLO)).window == WINDOW


@pytest.mark.parametrize("schema", ["1", "3", ""])
async def test_a_session_of_another_schema_is_not_read(
    cache: RedisCache,
    elsewhere: RedisCache,
    client: FakeRedis,
    schema: str,
) -> None:
    await cache.keep(SESSION, WINDOW)
    await client.hset(SESSION_KEY, "schema", schema)

    assert await elsewhere.arrive(HELLO) == Arrival(epoch=0)


@pytest.mark.parametrize("field", ["schema", "user_id", "conversation_id:ada:"])
async def test_a_session_that_lost_a_field_gives_what_is_left(
    cache: RedisCache,
    elsewhere: RedisCache,
    client: FakeRedis,
    field: str,
) -> None:
    await cache.keep(SESSION, WINDOW)
    await client.hdel(SESSION_KEY, field)
    expected = {
        "schema": Arrival(epoch=0),
        "user_id": Arrival(None, CONVERSATION, WINDOW, 0),
        "conversation_id:ada:": Arrival(USER, None, None, 0),
    }

    assert await elsewhere.arrive(HELLO) == expected[field]


@pytest.mark.parametrize(
    ("stored", "epoch"),
    [(None, 0), ("7", 7), ("-1", 0), ("seven", 0), ("", 0), ("7.5", 0)],
)
async def test_an_epoch_that_is_no_number_counts_as_lost(
    cache: RedisCache,
    client: FakeRedis,
    stored: str | None,
    epoch: int,
) -> None:
    if stored is not None:
        await client.hset("features:global", "_epoch", stored)
    assert (await cache.arrive(HELLO)).epoch == epoch


async def test_texts_of_any_kind_come_back_exactly(cache: RedisCache) -> None:
    texts = ["", "\0", "שלום", "👩‍👩‍👧‍👦", "e\u0301 \u202e", "x" * 100_000]
    window = Window(
        9, tuple(Message(seq, "user", text) for seq, text in enumerate(texts))
    )
    await cache.keep(SESSION, window)

    assert (await cache.arrive(HELLO)).window == window


async def test_a_person_is_active_for_five_minutes_after_each_answer(
    pipe: RedisPipe,
) -> None:
    """By themselves: others who go on do not keep them active, as one time to live would."""
    for account, at in (("ada", 0), ("bob", 100), ("ada", 200), ("carol", 450)):
        await pipe.send(*noted("test", account, 1000.0 + at))

    channels = ("test", "other")
    seen = [
        await active_people(pipe, channels, 1000.0 + at) for at in (450, 500, 751)
    ]
    assert seen == [
        {"test": 2, "other": 0},
        {"test": 1, "other": 0},
        {"test": 0, "other": 0},
    ]


async def test_those_who_left_are_trimmed_by_those_who_come(
    pipe: RedisPipe, client: FakeRedis
) -> None:
    for number in range(50):
        await pipe.send(*noted("test", f"person {number}", 1000.0 + number))
    await pipe.send(*noted("test", "late", 1400.0))

    assert await client.zrange("active:test", 0, -1) == [b"late"]


async def test_the_set_of_an_older_version_makes_room(
    cache: RedisCache, client: FakeRedis, pipe: RedisPipe
) -> None:
    """Its time to live would be renewed forever, and nobody be counted."""
    await client.sadd("active:test", "bob")
    await cache.keep(SESSION, WINDOW)
    await cache.keep(SESSION, WINDOW)

    assert await active_people(pipe, ["test"], time.time()) == {"test": 1}


async def test_without_redis_nobody_knows_who_is_active(
    pipe: RedisPipe, server: FakeServer
) -> None:
    server.connected = False

    assert await active_people(pipe, ["test"], 0.0) is None


async def test_a_session_holds_only_what_is_read(
    cache: RedisCache, client: FakeRedis
) -> None:
    await cache.keep(SESSION, WINDOW)

    assert {b"schema", b"user_id", b"person_id", b"conversation_id:ada:"} == set(
        await client.hkeys(SESSION_KEY)
    )


@pytest.mark.parametrize("lost", ["user_id", "conversation_id:ada:", "schema", None])
async def test_a_session_is_written_again_when_a_part_of_it_was_lost(
    cache: RedisCache, elsewhere: RedisCache, client: FakeRedis, lost: str | None
) -> None:
    """What Redis has as it is only lives longer; an instance that trusts that is soon put right."""
    await cache.keep(SESSION, WINDOW)
    await cache.arrive(HELLO)
    if lost is None:
        await client.flushall()
    else:
        await client.hdel(SESSION_KEY, lost)

    await cache.arrive(HELLO)
    await cache.keep(SESSION, WINDOW)

    assert await elsewhere.arrive(HELLO) == Arrival(USER, CONVERSATION, WINDOW, 0)


async def test_a_session_that_names_somebody_else_now_is_written(
    cache: RedisCache, elsewhere: RedisCache
) -> None:
    await cache.keep(SESSION, WINDOW)
    await cache.arrive(HELLO)
    newer = Session(SESSION.key, "ada", USER, uuid4(), person=uuid4())
    await cache.keep(newer, Window(5, ()))

    assert (await elsewhere.arrive(HELLO)).conversation == newer.conversation


async def test_someone_who_goes_on_is_noted_now_and_then(
    cache: RedisCache, client: FakeRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted_at = []
    for seconds in (0, 3, 9, 10, 12, 20):
        monkeypatch.setattr(time, "time", lambda at=seconds: 1000.0 + at)
        await cache.keep(SESSION, WINDOW)
        noted_at.append(await client.zscore("active:test", "ada"))

    assert [1000.0, 1000.0, 1000.0, 1010.0, 1010.0, 1020.0] == noted_at
