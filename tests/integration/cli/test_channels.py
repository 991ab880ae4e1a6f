"""`agent channels`, `agent limits`, `agent budgets` and the keys: what an operator types
and sees.
"""

from __future__ import annotations

import json
import re

import pytest

from storage.control.credentials import new_key
from tests.support.commands import Machine
from tests.support.settings import run

AS = ("--as", "grace", "--reason", "tests")


async def spoken(machine: Machine) -> None:
    """Ada has an account: she spoke in the terminal."""
    ended = await machine.agent("chat", lines=b"hello\n")
    assert ended.status == 0


async def test_a_channel_is_set_shown_and_taken_back(
    machine: Machine, database_url: str
) -> None:
    done = await machine.agent(
        "channels", "set", "discord", "overlap=queue", "deny=1,2", "--yes", *AS
    )
    shown = await machine.agent("channels", "show", "discord", "--json")
    back = await machine.agent(
        "channels", "set", "discord", "--unset", "overlap", "--unset", "deny", "--yes"
    )
    listed = await machine.agent("channels", "list")
    assert done.out == "discord overlap: merge → queue\ndiscord deny: - → 1, 2\n"
    settings = json.loads(shown.out)["settings"]
    assert (settings["overlap"], settings["deny"]) == ("queue", ["1", "2"])
    assert back.out == "discord overlap: queue → merge\ndiscord deny: 1, 2 → -\n"
    assert [line.split()[0] for line in listed.out.splitlines()[1:]] == [
        "discord",
        "slack",
        "telegram",
        "terminal",
    ]
    rows = await run(database_url, "SELECT actor, reason FROM audit_log ORDER BY id")
    assert [tuple(row) for row in rows] == [("grace", "tests"), ("ada", None)]


@pytest.mark.parametrize(
    ("typed", "environment", "line", "actor"),
    [
        ("grace", "bob", "carol", "grace"),
        (None, "bob", "carol", "bob"),
        (None, "", "carol", "carol"),
        (None, "", "", "ada"),
    ],
)
async def test_who_makes_a_change_is_typed_or_set_or_the_systems_user(
    machine: Machine,
    database_url: str,
    typed: str | None,
    environment: str,
    line: str,
    actor: str,
) -> None:
    """`--as` wins, then AGENT_OPERATOR of the environment, then that of .env, then whoever
    is logged in.
    """
    (machine.folder / ".env").write_text(f"AGENT_OPERATOR={line}\n", encoding="utf-8")
    by = ("--as", typed) if typed else ()
    ended = await machine.agent(
        "channels",
        "set",
        "discord",
        "overlap=queue",
        "--yes",
        *by,
        settings={"AGENT_OPERATOR": environment},
    )
    assert (0, "") == (ended.status, ended.err)
    assert [actor] == [
        row["actor"] for row in await run(database_url, "SELECT actor FROM audit_log")
    ]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("channels", "set", "discord", "overlap", "--yes"), "write name=value"),
        (
            ("channels", "set", "discord", "default_model=gpt", "--yes"),
            "provider:model",
        ),
        (
            ("channels", "set", "discord", "overlap=", "--yes"),
            "overlap is not valid: it is merge, queue or interrupt.",
        ),
        (("channels", "set", "discord", "overlap=queue"), "Add --yes to say so."),
        (("channels", "set", "discord", "--yes"), "There is nothing to change"),
        (
            ("budgets", "set", "planet", "mars", "--tokens", "5"),
            "'planet' is not one of 'person', 'channel'. `agent",
        ),
        (
            ("budgets", "set", "channel", "mars", "--tokens", "5"),
            "There are: discord, slack, telegram, terminal.",
        ),
        (
            ("budgets", "set", "channel"),
            "Missing argument 'subject'. `agent budgets set -h` shows what is possible.",
        ),
        (
            ("limits", "set", "discord:1", "5/hour"),
            "No such person has sent a message.",
        ),
        (("budgets", "set", "person", "*", "--yes"), "Name --tokens or --usd."),
        (
            ("budgets", "set", "channel", "discord", "--usd", "5"),
            "Add --yes to say so.",
        ),
        (
            ("budgets", "set", "person", "*", "--usd", "much", "--yes"),
            "Write US dollars as 2.50, or none.",
        ),
        (
            ("budgets", "set", "person", "*", "--tokens", "1.5", "--yes"),
            "Write tokens as 50000, or none.",
        ),
        (
            ("budgets", "set", "person", "*", "--usd", "0.000000001", "--yes"),
            "at most eight decimals",
        ),
        (
            ("budgets", "set", "person", "test:\udcff", "--tokens", "5"),
            "No such person has sent a message.",
        ),
        (
            ("channels", "set", "discord", "overlap=queue", "overlap=merge", "--yes"),
            "overlap is named twice.",
        ),
        (
            (
                "channels",
                "set",
                "discord",
                "overlap=queue",
                "--unset",
                "overlap",
                "--yes",
            ),
            "overlap is named twice.",
        ),
        (
            ("channels", "set", "discord", "overlap=queue", "--yes", "--as", ""),
            "1 to 100 printable characters",
        ),
        (
            (
                "channels",
                "set",
                "discord",
                "overlap=queue",
                "--yes",
                "--reason",
                "\udcff",
            ),
            "1000 printable characters",
        ),
        (
            ("channels", "credential", "irc", "token"),
            "Those that have: discord, slack, telegram.",
        ),
        (
            ("channels", "credential", "slack", "bot_token"),
            "`agent db new-key` makes a key.",
        ),
        (("db", "rotate-keys"), "agent db new-key"),
    ],
)
async def test_what_can_not_be_is_refused_in_one_sentence(
    machine: Machine, database_url: str, arguments: tuple[str, ...], sentence: str
) -> None:
    """The exit status is 2, nothing is written, and the log is as it was."""
    ended = await machine.agent(*arguments, lines=b"xoxb-1\n")
    assert (ended.status, ended.out) == (2, "")
    assert sentence in ended.err
    assert ended.err.count("\n") == 1
    written = (
        "SELECT FROM channel_configs UNION ALL SELECT FROM budgets UNION "
        "ALL SELECT FROM audit_log"
    )
    assert await run(database_url, written) == []


async def test_the_limit_of_a_person_is_set_shown_and_reset(machine: Machine) -> None:
    await spoken(machine)
    done = await machine.agent("limits", "set", "terminal:ada", "5/hour", *AS)
    await machine.agent("chat", lines=b"one\ntwo\n")
    shown = await machine.agent("limits", "show", "terminal:ada", "--json")
    reset = await machine.agent("limits", "reset", "terminal:ada", *AS)
    after = await machine.agent("limits", "show", "terminal:ada", "--json")
    overtaken = await machine.agent(
        "limits", "set", "terminal:ada", "6/hour", "--expect", "1", "--as", "bob"
    )
    unset = await machine.agent(
        "limits", "unset", "terminal:ada", "--expect", "2", "--json"
    )
    nothing = await machine.agent("limits", "unset", "terminal:ada")
    everywhere = await machine.agent("limits", "show", "--json")
    assert (done.out, reset.out) == (
        "terminal:ada: 5/hour.\n",
        "terminal:ada may speak again.\n",
    )
    facts = {
        "subject": "terminal:ada",
        "scope": "user",
        "limit": "5/hour",
        "default": False,
    }
    assert (json.loads(shown.out), json.loads(after.out)) == (
        [{**facts, "used": 2, "version": 1}],
        [{**facts, "used": 0, "version": 2}],
    )
    assert 1 == overtaken.status
    assert (
        "The limit of terminal:ada was changed meanwhile (grace: limit.reset)"
        in overtaken.err
    )
    document = {
        "person": "terminal:ada",
        "before": "5/hour",
        "after": None,
        "version": 3,
        "changed": True,
    }
    assert document == json.loads(unset.out)
    assert "terminal:ada is so already.\n" == nothing.out
    limits = {
        view["subject"]: view["limit"]
        for view in json.loads(everywhere.out)
        if view["scope"] == "user"
    }
    assert limits == {
        "discord": "60/minute",
        "slack": "60/minute",
        "telegram": "60/minute",
        "terminal": "off",
    }


async def test_a_budget_is_set_kept_shown_and_removed(machine: Machine) -> None:
    await spoken(machine)
    done = await machine.agent(
        "budgets",
        "set",
        "person",
        "terminal:ada",
        "--tokens",
        "100",
        "--usd",
        "2.50",
        *AS,
    )
    refused = await machine.agent("chat", lines=b"hello\n")
    shown = await machine.agent("budgets", "list", "--json")
    table = await machine.agent("budgets", "list")
    parts = await machine.agent("budgets", "show")
    again = await machine.agent(
        "budgets", "set", "person", "terminal:ada", "--tokens", "100", "--json"
    )
    unset = await machine.agent(
        "budgets", "unset", "person", "terminal:ada", "--json"
    )
    answered = await machine.agent("chat", lines=b"hello\n")
    assert done.out == "person terminal:ada: 100 tokens, 2.50 USD a day.\n"
    budget = {"scope": "person", "subject": "terminal:ada", "period": "day"}
    left = {"tokens": 100, "usd": "2.50000000", "version": 1, "without_price": []}
    assert budget | left == json.loads(again.out)
    assert budget | {"tokens": None, "usd": None, "version": 2} == json.loads(
        unset.out
    )
    assert "Your budget for today (100 tokens)" in refused.out + refused.err
    [view] = json.loads(shown.out)
    assert (
        view["accounts"],
        view["tokens"],
        view["used_tokens"],
        view["version"],
    ) == (
        "terminal:ada",
        100,
        0,
        1,
    )
    assert table.out.splitlines()[1].split("  ")[1:4] == [
        "terminal:ada",
        "day",
        "0 of 100",
    ]
    used = ["person", "terminal:ada", "day", "0 tokens, 0.0000 USD", "-", "-"]
    assert [
        cell.strip() for cell in re.split("  +", parts.out.splitlines()[1])
    ] == used
    assert answered.status == 0


async def test_the_half_of_a_budget_that_is_not_named_stays(machine: Machine) -> None:
    """`none` takes one back; the last one goes with `unset`."""
    budget = ("budgets", "set", "channel", "slack", "--yes")
    said = [
        (await machine.agent(*budget, *halves)).out
        for halves in (("--usd", "20"), ("--tokens", "1000"), ("--usd", "none"))
    ]
    neither = await machine.agent(*budget, "--tokens", "none")
    assert [
        "channel slack: any tokens, 20.00 USD a day.\n",
        "channel slack: 1,000 tokens, 20.00 USD a day.\n",
        "channel slack: 1,000 tokens, any USD a day.\n",
    ] == said
    assert (2, "") == (neither.status, neither.out)
    assert "`agent budgets unset` removes it." in neither.err
    [view] = json.loads((await machine.agent("budgets", "list", "--json")).out)
    assert (1000, None, 3) == (view["tokens"], view["usd"], view["version"])


async def test_who_was_slower_with_a_budget_is_told_what_was_changed(
    machine: Machine,
) -> None:
    """Exit status 1, and the budget stays as the faster one set it."""
    budget = ("budgets", "set", "channel", "slack", "--yes")
    await machine.agent(*budget, "--usd", "20", "--as", "bob")
    await machine.agent(*budget, "--usd", "30", "--as", "bob")
    slower = await machine.agent(*budget, "--tokens", "5", "--expect", "1")
    unset = await machine.agent(
        "budgets", "unset", "channel", "slack", "--yes", "--expect", "0"
    )
    assert [(1, ""), (1, "")] == [
        (ended.status, ended.out) for ended in (slower, unset)
    ]
    assert (
        "The budget of channel slack for a day was changed meanwhile "
        '(bob: usd "20" → "30").' in slower.err
    )
    assert 'meanwhile (bob: usd unset → "20"; bob: usd "20" → "30").' in unset.err
    [view] = json.loads((await machine.agent("budgets", "list", "--json")).out)
    assert (None, "30.00000000", 2) == (view["tokens"], view["usd"], view["version"])


async def test_a_credential_is_stored_encrypted_and_rotated(
    machine: Machine, database_url: str
) -> None:
    old, new = new_key(), new_key()
    stored = await machine.agent(
        "channels",
        "credential",
        "slack",
        "bot_token",
        *AS,
        lines=b"xoxb-1\n",
        settings={"ENCRYPTION_KEYS": old},
    )
    added = await machine.agent(
        "channels",
        "credential",
        "slack",
        "app_token",
        "--json",
        lines=b"xapp-1\n",
        settings={"ENCRYPTION_KEYS": old},
    )
    rotated = await machine.agent(
        "db", "rotate-keys", "--json", settings={"ENCRYPTION_KEYS": f"{new},{old}"}
    )
    locked = await machine.agent(
        "db", "rotate-keys", settings={"ENCRYPTION_KEYS": old}
    )
    assert stored.out == "slack bot_token: stored, encrypted.\n"
    assert {
        "channel": "slack",
        "credential": "app_token",
        "stored": True,
    } == json.loads(added.out)
    assert json.loads(rotated.out) == {
        "well": True,
        "renewed": 1,
        "newest": 1,
        "lost": [],
    }
    assert (
        locked.status,
        "No key opens the credentials of slack." in locked.err,
    ) == (
        1,
        True,
    )
    [row] = await run(database_url, "SELECT credentials FROM channel_configs")
    assert b"xoxb" not in row["credentials"]


async def test_a_new_key_is_a_key(machine: Machine) -> None:
    key = (await machine.agent("db", "new-key")).out.strip()
    ended = await machine.agent(
        "db", "rotate-keys", settings={"ENCRYPTION_KEYS": key}
    )
    assert (ended.status, ended.out) == (0, "0 renewed; 0 under the newest key.\n")
