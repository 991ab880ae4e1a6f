"""`agent flags` and `agent audit` as an operator types them, against servers that run elsewhere."""

from __future__ import annotations

import asyncio
import json
import os
import pty
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from storage.control.disk_copy import FILE
from tests.support.commands import AGENT, Ended, Machine
from tests.support.operators import ADA, EVERYBODY, operator
from tests.support.servers import Postgres
from tests.support.settings import run

Agent = Callable[..., Coroutine[Any, Any, Ended]]


@pytest.fixture
def machine(machine: Machine) -> Machine:
    """With an operator's name in its settings."""
    machine.variables.update(AGENT_OPERATOR="ada", TZ="UTC")
    return machine


@pytest.fixture
def agent(machine: Machine) -> Agent:
    """Runs `agent …`, with changed settings."""

    async def run(*arguments: str, **changes: str) -> Ended:
        return await machine.agent(*arguments, settings=changes)

    return run


async def test_a_flag_is_set_shown_explained_and_undone(agent: Agent) -> None:
    """The way of one change through all commands, the last of which finds the log whole."""
    said = await agent(
        "flags",
        "set",
        "replies",
        "off",
        "--channel",
        "discord",
        "--reason",
        "repairs",
    )
    assert Ended(0, "replies: channel:discord unset → false\n", "") == said
    listed = {
        flag["name"]: flag
        for flag in json.loads((await agent("flags", "list", "--json")).out)
    }
    assert ({"channel:discord": False}, True, 0) == (
        listed["replies"]["rules"],
        listed["replies"]["declared"],
        listed["replies"]["instances"],
    )
    explained = json.loads(
        (
            await agent(
                "flags", "explain", "replies", "--channel", "discord", "--json"
            )
        ).out
    )
    assert (False, "channel") == (explained["value"], explained["rule"])
    assert Ended(0, "replies: channel:discord false → unset\n", "") == await agent(
        "flags", "undo", "replies"
    )
    changes = json.loads((await agent("flags", "history", "replies", "--json")).out)
    assert [("flag.undo", "ada", None), ("flag.set", "ada", "repairs")] == [
        (change["action"], change["actor"], change["reason"]) for change in changes
    ]
    assert changes[0]["origin"].startswith("command line on ")
    verified = json.loads((await agent("audit", "verify", "--json")).out)
    assert (True, 2, changes[0]["hash"]) == (
        verified["well"],
        verified["count"],
        verified["head"],
    )


async def test_tables_are_for_people(agent: Agent) -> None:
    await agent("flags", "set", "overlap", "queue", "--yes", "--as", "bob")
    listed = (await agent("flags", "list")).out.splitlines()
    assert ["FLAG", "TYPE", "DEFAULT", "SET", "APPLIED", "ON"] == listed[0].split()
    assert any(
        line.startswith("overlap ") and 'global "queue"' in line for line in listed
    )
    shown = (await agent("flags", "get", "overlap")).out
    assert "takes merge, queue or interrupt; default (setting); version 1" in shown
    explained = (
        await agent("flags", "explain", "overlap", "--at", "2020-01-01T00:00Z")
    ).out
    assert (
        "overlap at 2020-01-01 00:00:00+00:00: what the channel or the environment says"
        in explained
    )
    assert "bob" in (await agent("audit", "list", "--actor", "bob")).out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("set", "replies", "maybe", "--yes"), "replies takes true or false."),
        (
            ("set", "replies", "--yes"),
            "replies needs a value: it takes true or false.",
        ),
        (
            ("set", "nobody_knows", "1"),
            "There is no flag nobody_knows. There are: answer_tokens, buttons, default_model, ",
        ),
        (
            ("set", "replies", "on", "--channel", "irc"),
            "There are: discord, slack, telegram, terminal.",
        ),
        (
            ("set", "replies", "on", "--person", "discord:99"),
            "No such person has sent a message.",
        ),
        (
            ("set", "replies", "on", "--percentage", "140", "--yes"),
            "A percentage is from 0 to 100",
        ),
        (
            ("set", "default_model", "gpt", "--yes"),
            "A model is written provider:model",
        ),
        (
            ("set", "replies", "off"),
            "Set replies to 'off' for everybody? Add --yes to say so.",
        ),
        (
            ("set", "replies", "off", "--kill"),
            "Set replies to 'off' for everybody, whatever its other rules say? Add",
        ),
        (
            ("set", "replies", "off", "--person", "irc:99"),
            "There are: discord, slack, telegram, terminal.",
        ),
        (
            ("set", "replies", "off", "--percentage", "abc"),
            "Invalid value for '--percentage': it takes a number. `ag",
        ),
        (
            ("history", "replies", "--most", "1.5"),
            "Invalid value for '--most': it takes a whole number. `agent",
        ),
        (
            ("set", "system_prompt", "\udcff\udcfe", "--yes"),
            "takes a text in UTF-8 of at most 20000 characters.",
        ),
        (
            ("set", "replies", "off", "--chat", "5"),
            "A chat is named with its channel. Add --channel.",
        ),
        (
            ("set", "replies", "off", "--percentage", "5", "--kill"),
            "A kill switch is for everybody. Leave the other conditions out.",
        ),
        (
            ("unset", "replies", "--chat", "5"),
            "A chat is named with its channel. Add --channel.",
        ),
        (
            ("explain", "replies", "--at", "noon"),
            "A moment looks like 2026-03-01T14:00",
        ),
        (
            ("set", "replies", "on", "--person", "discord:\udcff"),
            "No such person has sent a message.",
        ),
        (
            ("set", "replies", "off", "--yes", "--reason", "\udcff"),
            "A reason has at most 1000 printable characters",
        ),
        (
            ("set", "replies", "off", "--yes", "--reason", "\x1b[2J"),
            "A reason has at most 1000 printable characters",
        ),
        (("history", "\udcff"), "There is no flag of this name."),
        (("explain", "\udcff"), "There is no flag of this name."),
        (("undo", "replies"), "There is no such change of replies."),
    ],
)
async def test_a_mistake_is_one_sentence_and_changes_nothing(
    agent: Agent, arguments: tuple[str, ...], sentence: str
) -> None:
    """Exit status 2, nothing on standard output, no traceback, and the audit log stays empty."""
    ran = await agent("flags", *arguments)
    assert (2, "", 1) == (ran.status, ran.out, ran.err.count("\n"))
    assert sentence in ran.err
    assert "0 entries" in (await agent("audit", "verify")).out


async def test_a_kill_switch_without_a_value_is_the_default(agent: Agent) -> None:
    changed = await agent("flags", "set", "replies", "--kill", "--yes")
    assert "replies: kill unset → the default\n" == changed.out
    listed = (await agent("flags", "list")).out.splitlines()
    assert "replies bool true kill the default no instance runs" == " ".join(
        next(line for line in listed if line.startswith("replies ")).split()
    )


async def test_a_rule_that_leaves_it_to_the_setting_is_told_as_a_sentence(
    agent: Agent,
) -> None:
    await agent("flags", "set", "overlap", "queue", "--channel", "discord")
    await agent("flags", "set", "overlap", "--kill", "--yes")
    said = (await agent("flags", "explain", "overlap", "--channel", "discord")).out
    assert (
        "it matches with what the channel or the environment says, but kill comes first"
        in said
    )


async def test_a_percentage_reads_alike_everywhere(agent: Agent) -> None:
    rule = "50 % (salt streaming): false"
    changed = await agent(
        "flags", "set", "streaming", "off", "--percentage", "50", "--yes"
    )
    assert Ended(0, f"streaming: percentage unset → {rule}\n", "") == changed
    again = await agent(
        "flags", "set", "streaming", "off", "--percentage", "75", "--yes"
    )
    assert (
        f"streaming: percentage {rule} → 75 % (salt streaming): false\n" == again.out
    )
    await agent("flags", "undo", "streaming", "--yes")
    shown = [
        (await agent(*words)).out
        for words in (
            ("flags", "list"),
            ("flags", "get", "streaming"),
            ("audit", "list"),
        )
    ]
    assert [True] * 3 == [rule in text and 'salt"' not in text for text in shown]


async def test_a_running_experiment_is_seen_with_its_flag_and_in_the_status(
    agent: Agent,
) -> None:
    variants = ("--variant", "control", "--variant", "no=off")
    await agent("experiments", "create", "silent", "--flag", "replies", *variants)
    drafted = json.loads((await agent("flags", "get", "replies", "--json")).out)
    await agent("experiments", "start", "silent", "--yes")
    listed = json.loads((await agent("flags", "list", "--json")).out)
    assert (None, ["silent"]) == (
        drafted["experiment"],
        [f["experiment"] for f in listed if f["experiment"]],
    )
    assert "experiment silent  no instance runs" in (await agent("flags", "list")).out
    assert (
        "experiment silent  variants control, no; "
        in (await agent("flags", "get", "replies")).out
    )
    status = (await agent("status")).out
    assert "0 set, epoch 3, no instance runs, experiments running: silent" in status


async def test_the_log_is_readable_on_a_narrow_screen(agent: Agent) -> None:
    """However much is told of a change: lines of at most a hundred characters, and what
    changed below what was done.
    """
    await agent(
        "flags",
        "create",
        "tone",
        "--type",
        "string",
        "--default",
        "x" * 90,
        "--meaning",
        "y" * 90,
    )
    await agent("operators", "add", "ada", "--reason", "first")
    await agent("budgets", "set", "person", "*", "--usd", "2", "--yes")
    lines = (await agent("audit", "list")).out.splitlines()
    assert ["NO", "WHEN", "WHO", "DID;"] == lines[0].split()[:4]
    assert 7 == len(lines)
    assert 'usd unset → "2" (command line on ' in lines[2]
    assert '    [] → ["ada"] (first; command line on ' in lines[4]
    assert 100 >= max(len(line.partition(" (command line on")[0]) for line in lines)


async def test_no_text_of_an_operator_drives_the_terminal_of_another(
    agent: Agent, database_url: str
) -> None:
    """Whatever is in the log or a value is shown with escapes, also marks that turn a text
    around or are not seen.
    """
    row = "INSERT INTO audit_log (actor, action, subject, reason) VALUES ('eve', 'did', 'x', $1)"
    await run(database_url, row, "g\x1b[31m\x07h")
    shown = (await agent("audit", "list")).out
    await agent(
        "flags",
        "create",
        "tone",
        "--type",
        "string",
        "--default",
        "a\x1b\u202eb",
        "--meaning",
        "c\u200b\x07d",
    )
    changed = await agent("flags", "set", "tone", "e\u202ef", "--yes")
    shown += (
        (await agent("flags", "list")).out
        + (await agent("flags", "get", "tone")).out
        + changed.out
    )
    shown += (await agent("flags", "explain", "tone")).out + (
        await agent("audit", "list")
    ).out
    assert set() == {char for char in shown if not char.isprintable()} - {"\n"}
    for escaped in (
        r"g\u001b[31m\u0007h",
        r"a\u001b\u202eb",
        r"c\u200b\u0007d",
        r"e\u202ef",
    ):
        assert escaped in shown


async def test_a_change_that_was_overtaken_is_refused(agent: Agent) -> None:
    """A script says which version it saw; exit status 1 names what somebody else did since."""
    await agent("flags", "set", "replies", "off", "--yes", "--as", "bob")
    ran = await agent("flags", "set", "replies", "on", "--yes", "--expect", "0")
    assert (1, "") == (ran.status, ran.out)
    assert "replies was changed meanwhile (bob: global unset → false)." in ran.err


async def test_the_second_operator_is_shown_the_change_and_asked_again(
    machine: Machine,
) -> None:
    """At a terminal: while the question stands, somebody else changes the flag; yes twice,
    and the second counts.
    """
    terminal, other_end = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        AGENT,
        "flags",
        "set",
        "replies",
        "on",
        cwd=machine.folder,
        env={**machine.environment, "TERM": "dumb"},
        stdin=other_end,
        stdout=other_end,
        stderr=other_end,
    )
    os.close(other_end)
    seen = ""

    async def read_until(text: str) -> None:
        nonlocal seen
        async with asyncio.timeout(30):
            while text not in " ".join(seen.split()):  # folded where lines end
                seen += (await asyncio.to_thread(os.read, terminal, 4096)).decode()

    await read_until("Set replies to 'on' for everybody? [y/N]:")
    async with operator(
        machine.variables["DATABASE_URL"], machine.variables["REDIS_URL"]
    ) as desk:
        await desk.set("replies", EVERYBODY, False, ADA)
        os.write(terminal, b"y\n")
        await read_until(
            "(ada: global unset → false). Look at it and say again. Do it now? [y/N]:"
        )
        os.write(terminal, b"y\n")
        assert 0 == await process.wait()
        os.close(terminal)
        assert {"global": True} == (await desk.get("replies")).rules


async def test_a_broken_chain_is_exit_status_one(
    agent: Agent, _postgres: Postgres, database_url: str
) -> None:
    from storage.postgres import connect

    await agent("flags", "set", "replies", "off", "--yes")
    connection = await connect(database_url)
    await connection.execute("UPDATE audit_log SET actor = 'eve'")
    await connection.close()
    ran = await agent("audit", "verify")
    assert 1 == ran.status
    assert "Row 1 is not as it was written." in ran.out


async def test_status_says_where_flags_are_in_force(agent: Agent) -> None:
    await agent("flags", "set", "replies", "off", "--yes")
    status = json.loads((await agent("status", "--json")).out)
    flags = next(part for part in status["parts"] if part["part"] == "flags")
    assert ("ok", "1 set, epoch 2, no instance runs") == (
        flags["state"],
        flags["text"],
    )


async def test_status_says_stale_without_postgres(
    agent: Agent, tmp_path: Path
) -> None:
    """Running instances go on; what one that starts would take is named: from Redis, from
    disk, or the defaults.
    """
    from storage.control.disk_copy import save
    from storage.control.state import ControlSnapshot

    nowhere = {"DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}

    async def told(**changes: str) -> str:
        ran = await agent("status", "--json", **nowhere, **changes)
        assert 1 == ran.status
        return str(
            next(
                part["text"]
                for part in json.loads(ran.out)["parts"]
                if part["part"] == "flags"
            )
        )

    stale = (
        "STALE: no change arrives; an instance keeps what it knows, one that starts"
    )
    assert f"{stale} has the defaults" == await told()
    save(tmp_path / "home" / FILE, ControlSnapshot(7))
    assert f"{stale} has epoch 7 from AGENT_HOME" == await told()
    await agent("flags", "set", "replies", "off", "--yes")
    assert f"{stale} has epoch 2 from Redis" == await told()
