"""`agent people …`, as operators use it."""

from __future__ import annotations

import json

import pytest

from tests.support.commands import Machine
from tests.support.settings import run

ADD = """
INSERT INTO users (id, person_id, channel_type, channel_user_id, username)
SELECT id, id, 'discord', $1, 'Xaverine' FROM (SELECT gen_random_uuid() AS id) new
"""


async def test_a_person_is_listed_shown_exported_and_erased(
    machine: Machine, database_url: str
) -> None:
    await run(database_url, ADD, "80351110224678912")
    person = "discord:80351110224678912"
    listed = await machine.agent("people", "list")
    shown = await machine.agent("people", "show", person)
    exported = await machine.agent(
        "people", "export", person, "out", "--as", "grace", "--reason", "they asked"
    )
    unasked = await machine.agent("people", "erase", person)
    erased = await machine.agent("people", "erase", person, "--yes", "--json")
    again = await machine.agent("people", "erase", person, "--yes")
    erasures = await machine.agent("people", "erasures", "--json")

    assert "Xaverine" in listed.out
    assert "Use for training: not allowed." in shown.out
    assert 0 == exported.status
    found = json.loads((machine.folder / "out" / "export.json").read_text())
    assert "Xaverine" == found["accounts"][0]["name"]
    assert "Add --yes to say so." in unasked.err
    assert 0 == json.loads(erased.out)["messages"]
    assert "No such person has sent a message." in again.err
    assert ["done"] == [one["step"] for one in json.loads(erasures.out)]
    log = await run(
        database_url,
        "SELECT action, reason FROM audit_log WHERE action LIKE 'person.%' ORDER BY id",
    )
    assert [
        ("person.export", "they asked"),
        ("person.erase.asked", None),
        ("person.erase", None),
    ] == [tuple(row) for row in log]


@pytest.mark.parametrize("command", ["show", "erase"])
async def test_nobody_of_that_name_is_one_sentence(
    machine: Machine, command: str
) -> None:
    ended = await machine.agent("people", command, "discord:1")

    assert (2, 1) == (ended.status, ended.err.count("\n"))
    assert "No such person has sent a message." in ended.err


async def test_erasing_somebody_who_is_being_erased_is_one_sentence(
    machine: Machine, database_url: str
) -> None:
    await run(database_url, ADD, "5")
    await run(
        database_url,
        "INSERT INTO erasures (id, person_id, requested_by, receipts) "
        "SELECT gen_random_uuid(), person_id, 'grace', '{}' FROM users",
    )
    ended = await machine.agent("people", "erase", "discord:5", "--yes")

    assert "is being erased already" in ended.err
    assert (2, 1) == (ended.status, ended.err.count("\n"))
