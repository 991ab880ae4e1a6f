"""Flags as a file: what is exported can be imported, and an import is whole or not at all."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from agent.control.about import About
from agent.control.flag_document import read_document
from agent.control.flags import Kind, new_flag
from agent.core.errors import Conflict, Rejected
from storage.control import audit
from storage.control.flag_rules import ValueCheck
from storage.control.flags import FlagAdmin
from storage.control.flags.files import FlagFiles
from storage.control.flags.named_targets import NamedTarget
from storage.control.targets import RuleTarget
from storage.postgres import open_database
from storage.redis import open_redis
from tests.support.control import untouched
from tests.support.operators import ADA, BOB, EVERYBODY, UNKNOWN_MODEL, OperatorModels
from tests.support.settings import run

NOBODY = str(uuid4())


@pytest.fixture
async def files(database_url: str, redis_url: str) -> AsyncIterator[FlagFiles]:
    async with open_database(database_url) as database, open_redis(redis_url) as pipe:
        yield FlagFiles(database, pipe, ValueCheck(OperatorModels(), window=150))


def written(flags: Any, version: Any = 1) -> bytes:
    return json.dumps({"version": version, "flags": flags}).encode()


def with_rules(rules: dict[str, Any], name: str = "replies") -> bytes:
    return written({name: {"rules": rules}})


async def imported(files: FlagFiles, raw: bytes) -> int:
    wanted = read_document(raw)
    return len(await files.apply(wanted, await files.plan(wanted), ADA))


async def test_what_is_exported_is_so_already_and_makes_an_empty_database_so(
    flags: FlagAdmin, files: FlagFiles, database_url: str
) -> None:
    """Every kind of rule, a flag of an operator's, owner and tags."""
    soon = datetime.now(UTC) + timedelta(hours=1)
    await run(
        database_url,
        "INSERT INTO users (id, person_id, channel_type, channel_user_id) "
        "VALUES (gen_random_uuid(), gen_random_uuid(), 'slack', 'U1')",
    )
    await flags.create(new_flag("ratio", Kind.FLOAT, "How much."), 1e16, ADA)
    for target in (
        EVERYBODY,
        RuleTarget(kill=True),
        RuleTarget(person="slack:U1"),
        RuleTarget(channel="slack"),
        RuleTarget(channel="slack", chat="C:1"),
        RuleTarget(percentage=12.5),
        NamedTarget("some", ("slack:U1",), ("slack",), None, 5.0, ends=soon),
    ):
        await flags.set("ratio", target, 0.5, ADA)
    await flags.set("replies", NamedTarget(kill=True, ends=soon), None, ADA)
    await flags.describe("replies", About("chat team", ("ops",)), ADA)
    exported = json.dumps(await files.export()).encode()

    assert 0 == await imported(files, exported)
    before = await run(database_url, "SELECT * FROM feature_flags ORDER BY 1, 2")
    await run(database_url, "DELETE FROM feature_flags")
    assert 2 == await imported(files, exported)
    after = await run(database_url, "SELECT * FROM feature_flags ORDER BY 1, 2")
    without_time = [[tuple(row)[:3] for row in rows] for rows in (before, after)]
    assert without_time[0] == without_time[1]
    assert exported == json.dumps(await files.export()).encode()


async def test_flags_that_the_file_does_not_name_stay(
    flags: FlagAdmin, files: FlagFiles, database_url: str
) -> None:
    """Rules that it does not name go. Each flag has its own row in the log, all of one epoch."""
    await flags.set("streaming", EVERYBODY, False, ADA)
    await flags.set("replies", EVERYBODY, False, ADA)
    await flags.set("overlap", EVERYBODY, "queue", ADA)
    changed = written({"replies": {"rules": {"channel:slack": False}}, "overlap": {}})
    assert 2 == await imported(files, changed)

    assert {"global": False} == (await flags.get("streaming")).rules
    assert {"channel:slack": False} == (await flags.get("replies")).rules
    assert {} == (await flags.get("overlap")).rules
    async with open_database(database_url) as database:
        log = (await audit.list_entries(database, limit=2))[::-1]
    assert ["flag:overlap", "flag:replies"] == [entry.subject for entry in log]
    assert 1 == len({entry.epoch for entry in log})
    await flags.undo("replies", ADA)
    assert {"global": False} == (await flags.get("replies")).rules


async def test_a_flag_that_an_operator_made_stays_without_its_definition(
    flags: FlagAdmin, files: FlagFiles
) -> None:
    await flags.create(new_flag("colour", Kind.STRING, "How it looks."), "red", ADA)
    await imported(files, with_rules({"global": "blue"}, "colour"))

    assert "blue" == (await flags.explain("colour", EVERYBODY)).decided.value


async def test_what_was_not_shown_is_not_done(
    flags: FlagAdmin, files: FlagFiles
) -> None:
    """Somebody was faster between the look and the word."""
    wanted = read_document(with_rules({"global": False}))
    seen = await files.plan(wanted)
    await flags.set("replies", RuleTarget(channel="slack"), False, BOB)

    with pytest.raises(Conflict, match="changed meanwhile"):
        await files.apply(wanted, seen, ADA)
    assert {"channel:slack": False} == (await flags.get("replies")).rules


PAST = "2020-01-01T00:00:00+00:00"
FAR = "2100-01-01T00:00:00+00:00"
NAMED = "rule:some"
WRONG: list[tuple[bytes, str]] = [
    (b"", "The file is no JSON (line 1, column 1)."),
    (b"{", "The file is no JSON (line 1, column 2)."),
    (b"flags:\n  replies: off\n", "The file is no JSON (line 1, column 1)."),
    (b"\xff\xfe", "The file is no JSON."),
    (b'{"a": NaN}', "The file is no JSON."),
    (b"[" * 100_000, "The file is no JSON."),
    (b'{"version": 1, "version": 1}', "version stands there twice"),
    (b"7", "no flags of version 1"),
    (b"{}", "no flags of version 1"),
    (written({}, version=2), "no flags of version 1"),
    (written([]), "no flags of version 1"),
    (b" " * 5_000_001, "larger than 5 MB"),
    (written({"replies": []}), "owner, tags, rules and definition"),
    (written({"replies": {"colour": 1}}), "owner, tags, rules and definition"),
    (written({"replies": {"rules": []}}), "are an object by scope."),
    (with_rules({"about": {}}), "are an object by scope."),
    (written({"replies": {"owner": 7}}), "The owner of replies is a text"),
    (written({"replies": {"owner": ""}}), "An owner has 1 to 100"),
    (written({"replies": {"tags": "ops"}}), "its tags are a list."),
    (written({"replies": {"tags": ["A B"]}}), "at most 20 tags"),
    (with_rules({"global": 1}, "nobody_knows"), "There is no flag nobody_knows."),
    (written({"n": {"definition": 7}}), "The flag n is of another version"),
    (written({"replies": {"definition": {}}}), "is declared in the code"),
    (with_rules({"global": "maybe"}), "replies takes true or false."),
    (with_rules({"global": 1}), "replies takes true or false."),
    (with_rules({"global": UNKNOWN_MODEL}, "default_model"), "test:model"),
    (with_rules({"global": 151}, "max_conversation_length"), "WINDOW_MESSAGES"),
    (with_rules({"weather:sunny": True}), "which is no scope"),
    (with_rules({"experiment": True}), "which is no scope"),
    (with_rules({"person:ada": True}), "which is no scope"),
    (with_rules({"chat:slack": True}), "which is no scope"),
    (with_rules({f"person:{NOBODY}": True}), "No such person"),
    (with_rules({"channel:irc": True}), "There is no such channel."),
    (with_rules({"percentage": 5}), "has share, salt and value."),
    (
        with_rules({"percentage": {"share": 101, "salt": "s", "value": True}}),
        "A percentage is from 0 to 100",
    ),
    (with_rules({NAMED: True}), "conditions that this version does not know"),
    (
        with_rules({NAMED: {"value": True, "weather": "sunny"}}),
        "conditions that this version does not know",
    ),
    (with_rules({NAMED: {"value": "maybe"}}), "replies takes true or false."),
    (with_rules({NAMED: {"value": None}}), "replies takes true or false."),
    (with_rules({NAMED: {"value": True, "ends": PAST}}), "it would never hold."),
    (
        with_rules({NAMED: {"value": True, "starts": FAR, "ends": FAR}}),
        "starts after its end.",
    ),
    (
        with_rules({NAMED: {"value": True, "share": 0, "salt": "s"}}),
        "with 0 it would never hold.",
    ),
    (with_rules({NAMED: {"value": True, "people": [NOBODY]}}), "No such person"),
    (with_rules({NAMED: {"value": True, "channels": ["irc"]}}), "no such channel."),
    (with_rules({"rule:A b": {"value": True}}), "A rule's name is"),
    (
        with_rules({f"rule:r{n}": {"value": True} for n in range(21)}),
        "more than 20 rules",
    ),
]


@pytest.mark.parametrize(("raw", "sentence"), WRONG)
async def test_a_file_that_cannot_be_is_one_sentence_and_nothing_is_written(
    files: FlagFiles, database_url: str, raw: bytes, sentence: str
) -> None:
    """Even if all its other flags could be."""
    found = await untouched(database_url)
    if raw.startswith(b'{"version": 1, "flags": {"'):
        raw = raw.replace(
            b'"flags": {',
            b'"flags": {"a_first": {"definition": {"type": "bool", '
            b'"default": true, "meaning": "x"}}, ',
            1,
        )

    with pytest.raises(Rejected) as refused:
        await imported(files, raw)

    assert sentence in refused.value.sentence
    assert "\n" not in refused.value.sentence
    assert found == await untouched(database_url)


async def test_an_ended_rule_that_stands_already_is_no_mistake(
    flags: FlagAdmin, files: FlagFiles, database_url: str
) -> None:
    """Only what changes is judged: a file of last month can be imported again."""
    soon = datetime.now(UTC) + timedelta(hours=1)
    await flags.set("replies", NamedTarget("night", ends=soon), False, ADA)
    await run(
        database_url,
        "UPDATE feature_flags SET value = value || jsonb_build_object('ends', $1::text)",
        PAST,
    )

    assert 0 == await imported(files, json.dumps(await files.export()).encode())
