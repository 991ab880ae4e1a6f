"""Messages are found by their words, soon, as they stand, and never by anybody else."""

from __future__ import annotations

import asyncio
import os
from typing import Any
from uuid import uuid4

import pytest

from agent.core.messages import Address, Said
from agent.core.words.search import Found, parse_query
from storage.conversation.records import PostgresChatRecords
from storage.postgres import open_database
from storage.reports import search_candidates
from storage.reports.forgetting import forget_words
from storage.reports.search_index import index_now
from storage.transaction import transaction
from tests.support.chats import LONG_AGO, WORDS, Chats
from tests.support.settings import run


async def search(
    url: str, account: str, words: str, chat: str = "", *, direct: bool = True
) -> list[Found]:
    async with open_database(url) as database:
        return await ask(
            PostgresChatRecords(database), account, words, chat, direct=direct
        )


async def ask(
    records: PostgresChatRecords, account: str, words: str, chat: str, *, direct: bool
) -> list[Found]:
    inbound = Said(
        address=Address("telegram", chat or f"dm-{account}"),
        message_id=uuid4().hex,
        user_id=account,
        text="/search",
        direct=direct,
    )

    return await records.search(inbound, parse_query(words))


@pytest.fixture
async def chats(database_url: str) -> Chats:
    made = Chats(database_url, seed=3)
    await made.people(12)

    return made


@pytest.mark.parametrize("read", [True, False])
@pytest.mark.parametrize("word", WORDS)
async def test_a_word_of_any_script_is_found_at_once_and_later(
    chats: Chats, word: str, read: bool
) -> None:
    """Before its words are read, the newest messages are looked through."""
    if read:
        await chats.talk("dm-u0", [0], 1, text=f"a {word} z")
        await index_now(chats.url, LONG_AGO)
    else:
        await index_now(chats.url)
        await chats.talk("dm-u0", [0], 1, text=f"a {word} z")
        await run(
            chats.url,
            "UPDATE messages SET timestamp = now() - interval '1 s' * (3 - seq)",
        )
    found = await search(chats.url, "u0", word)

    assert ["assistant", "user"] == sorted(hit.role for hit in found)
    assert all("**" in hit.text for hit in found)


async def test_a_short_walk_finds_what_a_long_one_finds(
    chats: Chats, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the newest messages lack, the index of words names, in all scopes."""
    await crowded(chats)
    asked = [(word, group) for word in WORDS[:6] for group in ("", "group-1")]
    found = []
    async with open_database(chats.url) as database:
        records = PostgresChatRecords(database)
        for walked in (search_candidates.WALKED, 2, 1):
            monkeypatch.setattr(search_candidates, "WALKED", walked)
            found += [
                await ask(records, "u1", word, group, direct=not group)
                for word, group in asked
            ]
    long, short, shortest = [
        found[n * len(asked) : (n + 1) * len(asked)] for n in range(3)
    ]

    assert any(long)
    assert long == short == shortest


async def test_linked_accounts_find_the_same(chats: Chats) -> None:
    await chats.talk("dm-u2", [2], 1, text="zebra")
    await chats.talk("dm-u3", [3], 1, text="zebra")
    await index_now(chats.url, LONG_AGO)

    assert 4 == len(await search(chats.url, "u2", "zebra"))
    assert await search(chats.url, "u2", "zebra") == await search(
        chats.url, "u3", "zebra"
    )


async def test_in_a_group_all_of_it_is_found_and_nothing_else(chats: Chats) -> None:
    await chats.talk("group", [0, 1, 2], 4, text="zebra")
    await chats.talk("dm-u0", [0], 2, text="zebra")
    await index_now(chats.url, LONG_AGO)
    found = await search(chats.url, "u0", "zebra", "group", direct=False)

    assert 8 == len(found)
    assert all("in:group" in hit.text.replace("**", "") for hit in found)


async def test_what_was_edited_or_deleted_is_found_as_it_stands(chats: Chats) -> None:
    conversation = await chats.talk("dm-u0", [0], 1, text="zebra")
    await index_now(chats.url, LONG_AGO)
    await run(
        chats.url,
        "UPDATE messages SET content = 'giraffe' WHERE conversation_id = $1 AND role = 'user'",
        conversation,
    )
    assert ["assistant"] == [
        hit.role for hit in await search(chats.url, "u0", "zebra")
    ]
    await index_now(chats.url)
    assert ["user"] == [hit.role for hit in await search(chats.url, "u0", "giraffe")]
    await run(
        chats.url,
        "UPDATE messages SET content = '', metadata = '{\"deleted\": true}'"
        " WHERE conversation_id = $1",
        conversation,
    )
    await index_now(chats.url)

    assert [] == await search(chats.url, "u0", "giraffe")
    assert [] == await run(chats.url, "SELECT * FROM search_messages")


async def test_what_is_removed_leaves_no_words(chats: Chats) -> None:
    conversations = [await chats.talk(f"dm-u{n}", [n], 2) for n in range(3)]
    await index_now(chats.url, LONG_AGO)
    await run(
        chats.url, "DELETE FROM messages WHERE conversation_id = $1", conversations[0]
    )
    words = await run(
        chats.url,
        "SELECT * FROM search_messages WHERE author <> $1",
        chats.accounts[1][0],
    )
    await run(
        chats.url, "DELETE FROM messages WHERE conversation_id = $1", conversations[2]
    )
    await stored_late(chats.url, words)
    async with open_database(chats.url) as database, transaction(database) as erasing:
        await forget_words(
            erasing,
            accounts=[chats.accounts[1][0]],
            conversations=[conversations[2]],
        )

    assert words
    assert [] == await run(chats.url, "SELECT FROM search_messages")


async def stored_late(url: str, words: list[Any]) -> None:
    """By somebody who read the messages before they were removed."""
    for row in words:
        await run(
            url, "INSERT INTO search_messages VALUES ($1, $2, $3, $4, $5)", *row
        )


async def test_words_that_were_read_before_a_change_and_stored_after_go(
    chats: Chats,
) -> None:
    conversation = await chats.talk("dm-u0", [0], 1, text="zebra")
    await index_now(chats.url, LONG_AGO)
    words = await run(chats.url, "SELECT * FROM search_messages")
    await run(
        chats.url,
        "UPDATE messages SET content = CASE role WHEN 'user' THEN '' ELSE 'giraffe' END"
        " WHERE conversation_id = $1",
        conversation,
    )
    await stored_late(chats.url, words)
    await index_now(chats.url)

    found = await search(chats.url, "u0", "giraffe")
    assert ["assistant"] == [hit.role for hit in found]
    assert "zebra" not in str(
        await run(chats.url, "SELECT words FROM search_messages")
    )


async def test_instances_that_read_at_once_read_each_message_once(
    chats: Chats,
) -> None:
    for n in range(6):
        await chats.talk(f"dm-u{n}", [n], 5)
    await asyncio.gather(*(index_now(chats.url, LONG_AGO) for _ in range(4)))
    await index_now(chats.url)
    rows = await run(
        chats.url,
        "SELECT (SELECT count(*) FROM search_messages), (SELECT count(*) FROM messages)",
    )

    assert 60 == rows[0][0] == rows[0][1]


async def test_nobody_finds_what_is_another_persons(chats: Chats) -> None:
    """Whoever asks for whatever wherever."""
    hits, foreign = await storm(await crowded(chats), 100)

    assert hits > 100
    assert [] == foreign


@pytest.mark.chaos
@pytest.mark.timeout(7200)
async def test_nobody_finds_what_is_another_persons_in_many_searches(
    chats: Chats, monkeypatch: pytest.MonkeyPatch
) -> None:
    """REQUESTS=10000 for fewer. Walks are short, so that all ways to a message are gone."""
    requests = int(os.environ.get("REQUESTS", "100000"))
    monkeypatch.setattr(search_candidates, "WALKED", 3)
    monkeypatch.setattr(search_candidates, "CONVERSATIONS_WALKED", 1)
    hits, foreign = await storm(await crowded(chats), requests)

    assert hits > requests
    assert [] == foreign


async def crowded(chats: Chats) -> Chats:
    """Chats of each and groups of some, of which the last words are not read yet."""
    for n in range(12):
        await chats.talk(f"dm-u{n}", [n], 4)
    for n in range(3):
        await chats.talk(f"group-{n}", [n, n + 3, n + 6], 6)
    await index_now(chats.url, LONG_AGO)
    await chats.talk("group-0", [0, 3], 4)

    return chats


async def storm(chats: Chats, requests: int) -> tuple[int, list[str]]:
    hits, foreign = 0, []
    async with open_database(chats.url) as database:
        records = PostgresChatRecords(database)
        for _ in range(requests):
            _, person, account = chats.chance.choice(chats.accounts)
            group = chats.chance.choice(["", "", "group-0", "group-1", "group-2"])
            words = " ".join(
                chats.chance.sample(WORDS, chats.chance.choice((1, 1, 2)))
            )
            found = await ask(records, account, words, group, direct=not group)
            allowed = f"in:{group}" if group else f"of:{person.hex}"
            texts = [hit.text.replace("**", "") for hit in found]
            hits += len(texts)
            foreign += [text for text in texts if allowed not in text]

    return hits, foreign
