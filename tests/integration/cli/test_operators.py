"""`agent operators` as an operator types it."""

from __future__ import annotations

import json

from tests.support.commands import Machine


async def test_operators_are_added_listed_and_removed(machine: Machine) -> None:
    """The system's user begins with herself; the last one is removed only with --yes."""
    empty = await machine.agent("operators", "list")
    begun = await machine.agent("operators", "add", "ada")
    added = await machine.agent(
        "operators", "add", "grace", "--reason", "on call", "--json"
    )
    again = await machine.agent("operators", "add", "grace")
    listed = await machine.agent("operators", "list")
    as_json = await machine.agent("operators", "list", "--json")
    removed = await machine.agent("operators", "remove", "grace", "--json")
    held = await machine.agent("operators", "remove", "ada")
    opened = await machine.agent("operators", "remove", "ada", "--yes")
    everybody = (
        "Nobody is registered: whoever can reach the database may change "
        "everything, under any name.\n"
    )
    assert (everybody, "Operators: ada.\n", "grace is an operator already.\n") == (
        empty.out,
        begun.out,
        again.out,
    )
    assert {
        "operator": "grace",
        "changed": True,
        "operators": ["ada", "grace"],
    } == json.loads(added.out)
    assert ["OPERATOR", "ada", "grace"] == [
        line.split()[0] for line in listed.out.splitlines()
    ]
    assert ["ada", "grace"] == [view["name"] for view in json.loads(as_json.out)]
    assert {"operator": "grace", "changed": True, "operators": ["ada"]} == json.loads(
        removed.out
    )
    assert (2, "") == (held.status, held.out)
    assert held.err == (
        "agent: Then no operator is left: anybody who can reach the database may "
        "change everything, under any name. Do it? "
        "Add --yes to say so.\n"
    )
    assert "Operators: none; everybody may make changes.\n" == opened.out


async def test_who_is_not_registered_is_told_what_to_do(machine: Machine) -> None:
    """Every command that changes something ends with 2 and one sentence; the log is as it was."""
    await machine.agent("operators", "add", "ada")
    changes = (
        ("flags", "set", "replies", "off", "--yes"),
        ("channels", "set", "discord", "overlap=queue", "--yes"),
        ("budgets", "set", "channel", "slack", "--tokens", "5", "--yes"),
        ("operators", "add", "eve"),
    )
    for change in changes:
        ended = await machine.agent(*change, "--as", "eve")
        assert (2, "", 1) == (ended.status, ended.out, ended.err.count("\n"))
        assert "eve is not a registered operator" in ended.err
    assert "1 entries" in (await machine.agent("audit", "verify")).out


async def test_adding_somebody_else_first_is_asked_about(machine: Machine) -> None:
    """Whoever does it locks themselves out, and has to say that they want it."""
    asked = await machine.agent("operators", "add", "grace")
    done = await machine.agent("operators", "add", "grace", "--yes")
    late = await machine.agent("operators", "add", "ada")
    assert (2, True) == (
        asked.status,
        "Then ada can change nothing: only grace can." in asked.err,
    )
    assert (0, 2) == (done.status, late.status)


async def test_a_role_and_a_link_are_given(machine: Machine) -> None:
    """The link is printed once, whole, and stands nowhere else."""
    begun = await machine.agent("operators", "add", "ada", "--admin")
    again = await machine.agent("operators", "link", "ada", "--json")
    viewer = await machine.agent("operators", "add", "eve", "--role", "viewer")
    moved = await machine.agent("operators", "add", "eve", "--role", "operator")
    listed = await machine.agent("operators", "list")
    nobody = await machine.agent("operators", "link", "bob")
    both = await machine.agent(
        "operators", "add", "bob", "--admin", "--role", "viewer"
    )
    refused = await machine.agent("operators", "link", "ada", "--as", "eve")
    alone = await machine.agent("operators", "add", "ada", "--role", "viewer")
    log = await machine.agent("audit", "list", "--json")
    first, link = begun.out.splitlines()[-1], json.loads(again.out)["links"][0]

    assert "works once" in begun.out
    assert first.startswith("http://127.0.0.1:8080/link/")
    assert first != link
    assert (link.rpartition("/")[2] in log.out, "operator.link" in log.out) == (
        False,
        True,
    )
    assert "Operators: ada, eve.\n" == viewer.out
    assert "eve has the role operator now.\n" == moved.out
    assert [["ada", "admin", "-"], ["eve", "operator", "-"]] == [
        line.split()[:3] for line in listed.out.splitlines()[1:]
    ]
    assert [2, 2, 2, 2] == [one.status for one in (nobody, both, refused, alone)]
    assert "`agent operators add bob` registers them." in nobody.err
    assert "Name one of --role and --admin at a time." in both.err
    assert "eve has the role operator and may not manage operators" in refused.err
    assert "no admin is left" in alone.err


async def test_tokens_are_made_listed_and_revoked(machine: Machine) -> None:
    """The token is printed once, as one line; nobody who is not registered gets one."""
    nobody = await machine.agent("operators", "token", "add", "ci")
    empty = await machine.agent("operators", "token", "list")
    await machine.agent("operators", "add", "ada")
    made = await machine.agent("operators", "token", "add", "ci", "--json")
    shown = await machine.agent(
        "operators", "token", "add", "nightly report", "--scope", "operate"
    )
    token = json.loads(made.out)
    ended = await machine.agent("operators", "token", "revoke", token["id"])
    listed = await machine.agent("operators", "token", "list", "--json")

    assert 2 == nobody.status
    assert "ada is not a registered operator" in nobody.err
    assert "There is no token." in empty.out
    assert shown.out.splitlines()[-1].startswith("agent_")
    assert (49, "read") == (len(token["token"]), token["scope"])
    assert f"{token['id']} is revoked.\n" == ended.out
    assert [("nightly report", False), ("ci", True)] == [
        (one["label"], one["revoked_at"] is not None)
        for one in json.loads(listed.out)
    ]
    assert token["token"] not in listed.out
