"""`agent search …`: only operators may, it is audited, and bad input is a sentence."""

from __future__ import annotations

import json

import pytest

from tests.support.chats import Chats
from tests.support.commands import Machine


@pytest.fixture
async def chats(database_url: str) -> Chats:
    made = Chats(database_url, seed=5)
    await made.people(6)
    await made.talk("dm-u0", [0], 1, text="zebra")
    await made.talk("group", [1, 2], 2, text="zebra")
    await made.read()

    return made


async def test_everything_is_found_and_narrowed(
    machine: Machine, chats: Chats
) -> None:
    async def found(*options: str) -> list[dict[str, str]]:
        ran = await machine.agent("search", "zebra", "--json", *options)
        assert (0, "") == (ran.status, ran.err)
        hits: list[dict[str, str]] = json.loads(ran.out)
        return hits

    assert 6 == len(await found())
    assert 2 == len(await found("--person", "telegram:u0"))
    assert 0 == len(await found("--since", "2999-01-01"))
    assert 6 == len(await found("--channel", "telegram"))


async def test_each_search_is_audited_without_its_words(
    machine: Machine, chats: Chats
) -> None:
    await machine.agent("search", "zebra", "--as", "ada", "--reason", "ticket 7")
    listed = await machine.agent("audit", "list", "--json")
    entry = json.loads(listed.out)[0]

    assert ("ada", "search", "messages", "ticket 7") == (
        entry["actor"],
        entry["action"],
        entry["subject"],
        entry["reason"],
    )
    assert 6 == entry["after"]["found"]
    assert "zebra" not in listed.out
    assert 0 == (await machine.agent("audit", "verify")).status


async def test_only_operators_search(machine: Machine, chats: Chats) -> None:
    await machine.agent("operators", "add", "ada", "--as", "ada", "--yes")
    refused = await machine.agent("search", "zebra", "--as", "eve")
    allowed = await machine.agent("search", "zebra", "--as", "ada")

    assert 0 != refused.status
    assert "eve is not a registered operator" in refused.err
    assert "zebra" not in refused.out
    assert "**zebra**" in allowed.out


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("x" * 10_000,), "at most 300 characters"),
        (("--", "-red"), "A minus only leaves out"),
        (("!!",), "Search for what?"),
        (("a", "--person", "telegram:nobody"), "No such person"),
        (("a", "--since", "once"), "A moment looks like"),
    ],
)
async def test_bad_input_is_a_sentence(
    machine: Machine, chats: Chats, options: tuple[str, ...], sentence: str
) -> None:
    ran = await machine.agent("search", *options)

    assert 0 != ran.status
    assert sentence in ran.err
    assert 1 == len(ran.err.splitlines())
