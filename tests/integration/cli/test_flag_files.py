"""Rules with conditions, files of flags, owners and monthly budgets as an operator types them."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import Ended, Machine

Agent = Callable[..., Coroutine[Any, Any, Ended]]


@pytest.fixture
def agent(machine: Machine) -> Agent:
    """Runs `agent …` as ada."""
    machine.variables.update(AGENT_OPERATOR="ada", TZ="UTC")

    async def run(*arguments: str) -> Ended:
        return await machine.agent(*arguments)

    return run


async def test_off_for_an_hour_on_two_channels(agent: Agent) -> None:
    """Several conditions make a rule with a name, by which it is shown, explained and removed."""
    places = ("--channel", "slack", "--channel", "discord")
    said = await agent("flags", "set", "replies", "off", *places, "--for", "1h")
    assert 0 == said.status
    assert (
        "replies: rule:discord_slack unset → false for on discord, slack until"
        in said.out
    )

    explained = await agent("flags", "explain", "replies", "--channel", "slack")
    assert "replies: false, because of the rule discord_slack" in explained.out
    listed = await agent("flags", "get", "replies")
    assert "rule:discord_slack" in listed.out
    gone = await agent(
        "flags", "unset", "replies", "--rule", "discord_slack", "--yes"
    )
    assert (0, "") == (gone.status, gone.err)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--for", "soon"), "A duration looks like 30m, 1h or 2d12h."),
        (("--for", "1h", "--ends", "2100-01-01"), "A rule has one end."),
        (("--ends", "2020-01-01T00:00"), "The end of the rule is past"),
        (
            ("--starts", "2100-01-02T00:00", "--ends", "2100-01-01T00:00"),
            "The rule starts after its end.",
        ),
        (("--person", "slack:1", "--person", "slack:2"), "needs a name. Add --rule."),
    ],
)
async def test_a_rule_that_never_holds_is_one_sentence(
    agent: Agent, arguments: tuple[str, ...], sentence: str
) -> None:
    ran = await agent("flags", "set", "replies", "off", "--yes", *arguments)

    assert (2, "", 1) == (ran.status, ran.out, ran.err.count("\n"))
    assert sentence in ran.err


async def test_a_file_is_exported_shown_as_a_difference_and_imported(
    agent: Agent, tmp_path: Path
) -> None:
    """Without a word of consent nothing changes; the second import has nothing to do."""
    file = tmp_path / "flags.json"
    await agent("flags", "set", "replies", "off", "--channel", "slack")
    await agent("flags", "about", "replies", "--owner", "chat team", "--tag", "ops")
    said = Ended(0, f"Wrote one flag to {file}.\n", "")
    assert said == await agent("flags", "export", str(file))
    printed = await agent("flags", "export")
    assert file.read_text() == printed.out

    document = json.loads(file.read_text())
    document["flags"]["replies"]["rules"] = {"channel:discord": False}
    file.write_text(json.dumps(document))
    shown = await agent("flags", "import", str(file))
    difference = (
        "replies: channel:discord unset → false, channel:slack false → unset\n"
    )
    assert (2, difference) == (shown.status, shown.out)
    assert "Add --yes to say so." in shown.err
    assert printed.out == (await agent("flags", "export")).out

    made = await agent("flags", "import", str(file), "--yes", "--reason", "reviewed")
    assert Ended(0, difference + "Done: flags are as the file says.\n", "") == made
    again = await agent("flags", "import", str(file), "--json")
    assert {"changed": []} == json.loads(again.out)


async def test_a_file_that_cannot_be_read_is_one_sentence(
    agent: Agent, tmp_path: Path
) -> None:
    file = tmp_path / "flags.json"
    for content, sentence in (
        (None, "cannot be read"),
        ("replies: off", "is no JSON"),
    ):
        if content:
            file.write_text(content)
        ran = await agent("flags", "import", str(file), "--yes")
        assert (2, "", 1) == (ran.status, ran.out, ran.err.count("\n"))
        assert sentence in ran.err


async def test_flags_are_listed_by_owner_and_tag_and_stale_ones_found(
    agent: Agent,
) -> None:
    tagged = ("--owner", "chat team", "--tag", "ops", "--tag", "night")
    assert 0 == (await agent("flags", "about", "replies", *tagged)).status
    listed = await agent("flags", "list", "--tag", "ops", "--json")

    assert [("replies", "chat team", ["night", "ops"])] == [
        (flag["name"], flag["owner"], flag["tags"]) for flag in json.loads(listed.out)
    ]
    other = await agent("flags", "list", "--owner", "nobody", "--json")
    assert [] == json.loads(other.out)
    stale = await agent("flags", "stale")
    assert Ended(0, "No flag is stale by what was noted in 30 days.\n", "") == stale


async def test_a_budget_is_set_for_a_month(agent: Agent) -> None:
    month = ("channel", "slack", "--per", "month")
    said = await agent("budgets", "set", *month, "--tokens", "5000", "--yes")
    assert "channel slack: 5,000 tokens, any USD a month.\n" == said.out
    await agent("budgets", "set", "channel", "slack", "--tokens", "100", "--yes")
    found = json.loads((await agent("budgets", "list", "--json")).out)

    assert [("day", 100), ("month", 5000)] == [
        (budget["period"], budget["tokens"]) for budget in found
    ]
    gone = await agent("budgets", "unset", *month, "--yes")
    assert "channel slack: no budget of its own for a month.\n" == gone.out
