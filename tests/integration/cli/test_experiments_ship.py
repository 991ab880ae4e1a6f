"""`agent experiments ship` as an operator types it."""

from __future__ import annotations

import json

from tests.support.commands import Machine

AS = ("--as", "grace", "--reason", "tests")


async def test_a_variant_becomes_what_the_flag_is_and_the_experiment_ends(
    machine: Machine,
) -> None:
    """Without figures nobody has won, so the variant is named; doing it again says so."""
    create = ("create", "brief", "--flag", "system_prompt")
    variants = ("--variant", "control", "--variant", "short=Be brief.")
    made = await machine.agent("experiments", *create, *variants, *AS)
    assert 0 == made.status, made.err
    started = await machine.agent("experiments", "start", "brief", *AS, "--yes")
    assert 0 == started.status, started.err

    nobody = await machine.agent("experiments", "ship", "brief", *AS, "--yes")
    assert 0 != nobody.status
    assert "Name the variant to ship." in nobody.err

    unknown = await machine.agent(
        "experiments", "ship", "brief", "shorter", *AS, "--yes"
    )
    assert 0 != unknown.status
    assert "short" in unknown.err

    shipped = await machine.agent(
        "experiments", "ship", "brief", "short", *AS, "--yes"
    )
    assert 0 == shipped.status, shipped.err
    assert "system_prompt: " in shipped.out
    assert "brief is ended." in shipped.out

    again = ("experiments", "ship", "brief", "short", *AS, "--yes", "--json")
    document = json.loads((await machine.agent(*again)).out)
    assert (False, "system_prompt") == (document["stopped"], document["flag"])
    value = await machine.agent("flags", "get", "system_prompt")
    assert "Be brief." in value.out
