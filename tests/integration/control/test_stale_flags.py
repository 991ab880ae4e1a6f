"""Flags that nobody asks for, or that are always the same, are found."""

from __future__ import annotations

from agent.control.flags import Kind, new_flag
from agent.control.uses import FlagUse, FlagUses
from storage.control.flags import FlagAdmin
from storage.control.flags.uses import write_uses
from storage.control.targets import RuleTarget
from storage.postgres import open_database
from tests.support.operators import ADA, EVERYBODY
from tests.support.settings import run

_AGE_USES = """
UPDATE flag_uses SET first_at = first_at - make_interval(days => $1),
                     asked_at = asked_at - make_interval(days => $1),
                     same_since = same_since - make_interval(days => $1)
"""


async def age(url: str, days: int) -> None:
    """All that was noted, and all changes, become older by this."""
    await run(url, _AGE_USES, days)
    await run(url, "UPDATE audit_log SET at = at - make_interval(days => $1)", days)


async def note(url: str, *uses: FlagUse) -> None:
    async with open_database(url) as database:
        await write_uses(database, uses)


def asked(name: str, digest: str = "a", *, varied: bool = False) -> FlagUse:
    return FlagUse(name, digest, varied)


async def stale(flags: FlagAdmin) -> dict[str, str]:
    return {found.name: found.why for found in await flags.stale(30)}


async def test_a_flag_with_rules_that_nobody_asks_for_is_stale(
    flags: FlagAdmin, database_url: str
) -> None:
    """One that an operator made, too; a declared one without rules is none."""
    await flags.create(new_flag("colour", Kind.STRING, "How it looks."), "red", ADA)
    await flags.create(new_flag("size", Kind.INT, "How big."), 1, ADA)
    await note(database_url, asked("size"), asked("replies"), asked("overlap"))
    await flags.set("overlap", RuleTarget(channel="slack"), "queue", ADA)
    await age(database_url, 31)
    await note(database_url, asked("replies"), asked("overlap", "b"))

    assert {
        "colour": "it was never asked for",
        "size": "it was not asked for",
    } == await stale(flags)


async def test_a_flag_that_is_always_the_same_is_stale_and_one_that_varies_is_not(
    flags: FlagAdmin, database_url: str
) -> None:
    for name in ("replies", "streaming", "enable_slash_commands"):
        await flags.set(name, EVERYBODY, False, ADA)
    first = [
        asked(name) for name in ("enable_slash_commands", "replies", "streaming")
    ]
    await note(database_url, *first)
    await age(database_url, 31)
    await note(
        database_url,
        asked("enable_slash_commands"),
        asked("replies", varied=True),
        asked("streaming", "b"),
    )

    same = {"enable_slash_commands": "it was the same for everybody"}
    assert same == await stale(flags)


async def test_what_was_changed_lately_is_not_judged(
    flags: FlagAdmin, database_url: str
) -> None:
    await note(database_url, asked("replies"))
    await age(database_url, 31)
    await flags.set("replies", EVERYBODY, False, ADA)

    assert {} == await stale(flags)


async def test_nothing_is_judged_before_uses_were_noted_for_so_long(
    flags: FlagAdmin, database_url: str
) -> None:
    await flags.set("replies", EVERYBODY, False, ADA)
    await run(database_url, "UPDATE audit_log SET at = at - interval '90 days'")
    assert {} == await stale(flags)

    await note(database_url, asked("streaming"))
    assert {} == await stale(flags)


async def test_uses_of_a_process_are_written_in_one_statement(
    flags: FlagAdmin, database_url: str
) -> None:
    """Also those of flags that no declaration knows."""
    uses = FlagUses()
    for name, value in (("replies", True), ("replies", False), ("look", {"a": 1})):
        uses.note(name, value)
    await note(database_url, *uses.take())
    rows = await run(database_url, "SELECT name, digest FROM flag_uses ORDER BY name")

    assert ["look", "replies"] == [row["name"] for row in rows]
    assert all(len(row["digest"]) == 16 for row in rows)
