"""`agent experiments` as an operator types it, against servers that run elsewhere."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.clock import let_pass
from tests.support.commands import Machine
from tests.support.settings import run

CREATE = (
    "create",
    "brief",
    "--flag",
    "system_prompt",
    "--variant",
    "control",
    "--variant",
    "short:3=Be brief.",
)
AS = ("--as", "grace", "--reason", "tests")


async def document(machine: Machine, *arguments: str) -> Any:
    ended = await machine.agent("experiments", *arguments, "--json")
    assert (0, "") == (ended.status, ended.err)
    return json.loads(ended.out)


async def test_an_experiment_is_drafted_begun_shown_and_ended(
    machine: Machine, database_url: str
) -> None:
    """The way of one experiment through all commands; the log names who, and why."""
    made = await document(
        machine,
        *CREATE,
        "--share",
        "12.5",
        "--channel",
        "discord",
        "--detect",
        "0.2",
        *AS,
    )
    assert (
        "brief",
        "drafted",
        "system_prompt",
        "brief",
        12.5,
        ["discord"],
        0.2,
        None,
        None,
        1,
    ) == tuple(
        made[part]
        for part in (
            "name",
            "stage",
            "flag",
            "salt",
            "share",
            "channels",
            "detect",
            "started_at",
            "ended_at",
            "version",
        )
    )
    assert [
        {"name": "control", "weight": 1.0, "value": None},
        {"name": "short", "weight": 3.0, "value": "Be brief."},
    ] == made["variants"]
    started = await document(machine, "start", "brief", "--yes", *AS)
    explained = await machine.agent(
        "flags", "explain", "system_prompt", "--channel", "slack", "--json"
    )
    why = next(
        step
        for step in json.loads(explained.out)["steps"]
        if step["rule"] == "experiment"
    )
    assert (
        "experiment:brief",
        "it needs a person, channel or chat that was not given",
    ) == (
        why["scope"],
        why["why"],
    )
    ended = await document(machine, "stop", "brief", "--yes", *AS)
    assert ["running", "ended"] == [started["stage"], ended["stage"]]
    assert [ended] == await document(machine, "list")
    assert ended == await document(machine, "show", "brief")
    rows = await run(
        database_url,
        "SELECT actor, action, subject, reason FROM audit_log ORDER BY id",
    )
    assert [tuple(row) for row in rows] == [
        ("grace", f"experiment.{action}", "experiment:brief", "tests")
        for action in ("create", "start", "stop")
    ]


async def test_tables_are_for_people(machine: Machine) -> None:
    """Who takes part, in which state, with which values; a removed draft is gone from the list."""
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    await machine.agent("experiments", *CREATE, "--starts", tomorrow.isoformat())
    await machine.agent(
        "experiments",
        "create",
        "silent",
        "--flag",
        "replies",
        "--variant",
        "yes",
        "--variant",
        "no=off",
        "--share",
        "5",
        "--channel",
        "slack",
        "--channel",
        "discord",
    )
    lines = (await machine.agent("experiments", "list")).out.splitlines()
    assert [
        "EXPERIMENT",
        "STATE",
        "FLAG",
        "VARIANTS",
        "WHO",
        "TAKES",
        "PART",
    ] == lines[0].split()
    assert ["brief", "drafted,", "starts"] == lines[1].split()[:3]
    assert lines[1].endswith("system_prompt  control 1, short 3  everybody")
    assert (
        "silent drafted replies yes 1, no 1 5 % of all people on discord, slack"
        == " ".join(lines[2].split())
    )
    shown = (await machine.agent("experiments", "show", "silent")).out
    assert "silent on replies: drafted; version 2" in shown
    assert ["no", "1", "false"] == shown.splitlines()[-1].split()
    assert (
        "silent is removed.\n"
        == (await machine.agent("experiments", "remove", "silent")).out
    )
    assert 2 == len((await machine.agent("experiments", "list")).out.splitlines())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("start", "brief"),
            "Start brief on system_prompt for everybody? Add --yes to say so.",
        ),
        (
            ("stop", "brief"),
            "Stop brief for everybody? It cannot be started again. Add --yes to say so.",
        ),
        (
            ("stop", "brief", "--yes"),
            "brief has not started; only one that runs can be stopped.",
        ),
        (
            ("start", "nobody", "--yes"),
            "There is no experiment of this name. There are: brief.",
        ),
        (CREATE, "There is an experiment brief already."),
        (
            ("create", "x", "--flag", "nobody", "--variant", "a", "--variant", "b"),
            "There is no flag nobody.",
        ),
        (
            (
                "create",
                "x",
                "--flag",
                "replies",
                "--variant",
                "a",
                "--variant",
                "b=maybe",
            ),
            "replies takes true or false.",
        ),
        (
            (
                "create",
                "x",
                "--flag",
                "replies",
                "--variant",
                "a",
                "--variant",
                "b:many=on",
            ),
            "a weight is a number",
        ),
        (
            ("create", "x", "--flag", "replies", "--variant", "a"),
            "An experiment has 2 to 10 variants",
        ),
        (
            (
                "create",
                "x",
                "--flag",
                "replies",
                "--variant",
                "a",
                "--variant",
                "b",
                "--starts",
                "noon",
            ),
            "looks like 2026",
        ),
        (
            (
                "create",
                "x",
                "--flag",
                "default_model",
                "--variant",
                "a",
                "--variant",
                "b=gpt",
            ),
            "A model is written provider:model",
        ),
        (
            (
                "create",
                "x",
                "--flag",
                "replies",
                "--variant",
                "a",
                "--variant",
                "b",
                "--channel",
                "irc",
            ),
            "There are: discord, slack, telegram, terminal.",
        ),
    ],
)
async def test_a_mistake_is_one_sentence_and_changes_nothing(
    machine: Machine, database_url: str, arguments: tuple[str, ...], sentence: str
) -> None:
    """Exit status 2, nothing on standard output, no traceback, and only the draft is in the log."""
    await machine.agent("experiments", *CREATE)
    ended = await machine.agent("experiments", *arguments)
    assert (2, "", 1) == (ended.status, ended.out, ended.err.count("\n"))
    assert sentence in ended.err
    assert 1 == len(await run(database_url, "SELECT id FROM audit_log"))


async def test_a_draft_that_is_late_says_why(
    machine: Machine, database_url: str
) -> None:
    """Nobody was there; then its flag is busy; then its end is past as well."""
    soon = datetime.now(UTC) + timedelta(hours=1)
    later = soon + timedelta(hours=1)
    await machine.agent(
        "experiments",
        *CREATE,
        "--starts",
        soon.isoformat(),
        "--ends",
        later.isoformat(),
    )
    await let_pass(database_url, 3600)

    async def told() -> str:
        first, *_ = (
            await machine.agent("experiments", "show", "brief")
        ).out.splitlines()
        return first.partition(": ")[2].partition(": ")[2]

    assert (
        "no instance could start it yet; the log says why; version 1" == await told()
    )
    await machine.agent("experiments", "create", "other", *CREATE[2:])
    await machine.agent("experiments", "start", "other", "--yes")
    assert "other runs on system_prompt; version 1" == await told()
    await let_pass(database_url, 3600)
    assert "its planned end is past, too; version 1" == await told()


async def test_a_change_that_was_overtaken_is_refused(machine: Machine) -> None:
    """A script says which version it saw; exit status 1 names what somebody else did since."""
    await machine.agent("experiments", *CREATE)
    await machine.agent("experiments", "start", "brief", "--yes", "--as", "bob")
    ended = await machine.agent(
        "experiments", "stop", "brief", "--yes", "--expect", "1"
    )
    assert (1, "") == (ended.status, ended.out)
    assert (
        'brief was changed meanwhile (bob: stage "drafted" → "running").' in ended.err
    )
