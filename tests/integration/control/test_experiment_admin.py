"""What an operator does with experiments: drafted, begun and ended once, each logged; each
mistake refused.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from agent.control.experiments import Experiment, Stage, Variant, definition_of
from agent.control.flags import new_flag
from agent.core.errors import Conflict, Rejected
from storage.control import audit
from storage.control.experiments.admin import ExperimentAdmin
from storage.control.flags import FlagAdmin
from storage.control.targets import RuleTarget
from storage.postgres import connect, open_database
from tests.support.operators import (
    ADA,
    BOB,
    EVERYBODY,
    UNKNOWN_MODEL,
)

HOUR = 3600.0
LOOK = Experiment(
    "look",
    "system_prompt",
    "look",
    (Variant("control", 1), Variant("brief", 1, "Be brief.")),
)


def hence(hours: float) -> datetime:
    return datetime.now(UTC) + timedelta(hours=hours)


async def untouched(database_url: str) -> tuple[int, int, int]:
    """(experiments, audit rows, epoch)"""
    connection = await connect(database_url)
    row = await connection.fetchrow(
        "SELECT (SELECT count(*) FROM experiments), (SELECT count(*) FROM "
        "audit_log), epoch FROM control_epoch"
    )
    await connection.close()

    assert row is not None

    return row[0], row[1], row[2]


async def logged(
    database_url: str,
    name: str = "look",
) -> list[tuple[str, str, str | None, int | None]]:
    """Who did what with an experiment, why, and the epoch it made; oldest first."""
    async with open_database(database_url) as database:
        entries = await audit.list_entries(database, subject=f"experiment:{name}")
    return [
        (entry.actor, entry.action, entry.reason, entry.epoch)
        for entry in reversed(entries)
    ]


async def test_an_experiment_is_drafted_begun_and_ended(
    experiments: ExperimentAdmin,
    database_url: str,
) -> None:
    """Each step once, in this order, and each is told with who, why and its epoch."""
    changes = (
        experiments.create(LOOK, ADA),
        experiments.start("look", BOB),
        experiments.stop("look", ADA),
    )
    stages = [(await change).stage for change in changes]

    assert [Stage.DRAFTED, Stage.RUNNING, Stage.ENDED] == stages

    view = await experiments.get("look")

    assert (LOOK, 3) == (view.experiment, view.version)
    assert view.row.started is not None
    assert view.row.ended is not None
    assert view.row.started < view.row.ended
    assert [
        ("ada", "experiment.create", "because", 2),
        ("bob", "experiment.start", None, 3),
        ("ada", "experiment.stop", "because", 4),
    ] == await logged(database_url)


async def test_the_log_tells_what_an_experiment_was(
    experiments: ExperimentAdmin,
    database_url: str,
) -> None:
    await experiments.create(LOOK, ADA)
    await experiments.start("look", ADA)
    await experiments.create(replace(LOOK, name="other"), ADA)
    await experiments.remove("other", BOB)

    async with open_database(database_url) as database:
        entries = await audit.list_entries(database)
        assert () == (await audit.verify(database)).troubles

    definition, other = (
        definition_of(LOOK),
        definition_of(replace(LOOK, name="other")),
    )

    assert [
        ({}, {"definition": definition, "stage": "drafted"}),
        ({"stage": "drafted"}, {"stage": "running"}),
        ({}, {"definition": other, "stage": "drafted"}),
        ({"definition": other, "stage": "drafted"}, {}),
    ] == [(entry.before, entry.after) for entry in reversed(entries)]


async def test_a_draft_that_was_removed_is_made_again(
    experiments: ExperimentAdmin,
) -> None:
    await experiments.create(LOOK, ADA)
    await experiments.remove("look", ADA)

    assert [] == await experiments.all()
    assert (
        50.0
        == (await experiments.create(replace(LOOK, share=50.0), ADA)).experiment.share
    )


STAGES = {
    "drafted": ["create"],
    "running": ["create", "start"],
    "ended": ["create", "start", "stop"],
}


@pytest.mark.parametrize(
    ("stage", "action", "sentence"),
    [
        (
            "drafted",
            "stop",
            "look has not started; only one that runs can be stopped.",
        ),
        ("running", "start", "look runs; an experiment starts once. Create another."),
        (
            "running",
            "remove",
            "look runs and stays for its report. Only a draft can be removed.",
        ),
        (
            "running",
            "create",
            "There is an experiment look already. Choose another name.",
        ),
        (
            "ended",
            "start",
            "look has ended; an experiment starts once. Create another.",
        ),
        ("ended", "stop", "look has ended; only one that runs can be stopped."),
        (
            "ended",
            "remove",
            "look has ended and stays for its report. Only a draft can be removed.",
        ),
        (
            "ended",
            "create",
            "There is an experiment look already. Choose another name.",
        ),
    ],
)
async def test_no_step_is_taken_twice_or_back(
    experiments: ExperimentAdmin,
    database_url: str,
    stage: str,
    action: str,
    sentence: str,
) -> None:
    for step in STAGES[stage]:
        await act(experiments, step)

    found = await untouched(database_url)

    with pytest.raises(Rejected) as refused:
        await act(experiments, action)

    assert sentence == refused.value.sentence
    assert found == await untouched(database_url)


async def act(
    experiments: ExperimentAdmin,
    action: str,
    name: str = "look",
) -> Any:
    return await (
        experiments.create(LOOK, ADA)
        if action == "create"
        else getattr(experiments, action)(name, ADA)
    )


def valued(flag: str, *values: Any) -> dict[str, Any]:
    return {
        "flag": flag,
        "variants": tuple(
            Variant(f"v{n}", 1, value) for n, value in enumerate(values)
        ),
    }


WRONG: list[tuple[dict[str, Any], str]] = [
    (
        valued("nobody_knows", "a", "b"),
        "There is no flag of this name. There are: replies, ",
    ),
    (valued("replies", None, "off"), "replies takes true or false."),
    (valued("max_conversation_length", 10, 0), "takes a whole number from 1 to 200."),
    (valued("max_conversation_length", 10, 151), "WINDOW_MESSAGES, which is 150:"),
    (
        valued("default_model", None, UNKNOWN_MODEL),
        "default_model: There are test:model and test:other.",
    ),
    (
        {"channels": frozenset({"irc"})},
        "There are: discord, slack, telegram, terminal.",
    ),
    (
        {"starts": datetime(2026, 1, 1, tzinfo=UTC)},
        "The planned start of look is past.",
    ),
    ({"ends": datetime(2026, 1, 1, tzinfo=UTC)}, "The planned end of look is past."),
    ({"share": 0}, "The share of people who take part"),
    ({"name": "No"}, "An experiment's name is"),
]


@pytest.mark.parametrize(("change", "sentence"), WRONG)
async def test_what_cannot_be_is_refused_with_what_can(
    experiments: ExperimentAdmin,
    database_url: str,
    change: dict[str, Any],
    sentence: str,
) -> None:
    """Nothing is half written, and the audit log is as it was."""
    found = await untouched(database_url)

    with pytest.raises(Rejected) as refused:
        await experiments.create(replace(LOOK, **change), ADA)

    assert sentence in refused.value.sentence
    assert found == await untouched(database_url)


@pytest.mark.parametrize("action", ["start", "stop", "remove", "get"])
async def test_an_unknown_experiment_is_refused_with_those_there_are(
    experiments: ExperimentAdmin,
    action: str,
) -> None:
    await experiments.create(LOOK, ADA)
    with pytest.raises(Rejected, match="There is no experiment of this name"):
        await (
            experiments.get("nobody")
            if action == "get"
            else act(experiments, action, "nobody")
        )


async def test_values_are_stored_as_the_flags_are(
    experiments: ExperimentAdmin,
    flags: FlagAdmin,
) -> None:
    """A whole number for a flag of numbers is one of them."""
    await flags.create(new_flag("warmth", "float", "How warm."), 0.5, ADA)
    made = await experiments.create(replace(LOOK, **valued("warmth", None, 2)), ADA)

    assert [None, 2.0] == [variant.value for variant in made.experiment.variants]
    assert isinstance(made.experiment.variants[1].value, float)


async def test_a_flag_has_one_experiment_at_a_time(
    experiments: ExperimentAdmin,
) -> None:
    """The second start is refused with the first's name; after that ended it is not."""
    await experiments.create(LOOK, ADA)
    await experiments.create(replace(LOOK, name="second"), ADA)
    await experiments.create(
        replace(LOOK, name="elsewhere", **valued("replies", None, True)), ADA
    )
    await experiments.start("look", ADA)
    await experiments.start("elsewhere", ADA)

    with pytest.raises(
        Rejected,
        match="look runs on system_prompt, and a flag has one experiment at a time",
    ):
        await experiments.start("second", BOB)

    assert "look" == (await experiments.get("second")).busy

    await experiments.stop("look", ADA)

    assert Stage.RUNNING is (await experiments.start("second", BOB)).stage


async def test_of_many_who_start_at_once_one_does(
    experiments: ExperimentAdmin,
    database_url: str,
) -> None:
    """Ten experiments on one flag, and ten operators for each of them."""
    for number in range(10):
        await experiments.create(replace(LOOK, name=f"e{number}"), ADA)

    starts = [
        experiments.start(f"e{number}", ADA)
        for number in range(10)
        for _ in range(10)
    ]
    outcomes = await asyncio.gather(*starts, return_exceptions=True)

    assert 99 == sum(isinstance(outcome, Rejected) for outcome in outcomes)
    assert 1 == sum(view.stage is Stage.RUNNING for view in await experiments.all())
    assert (10, 11, 12) == await untouched(database_url)


async def test_the_second_of_two_operators_is_told_what_the_first_did(
    experiments: ExperimentAdmin,
) -> None:
    """Both saw the draft; the second's change is not made. After looking again it is."""
    seen = (await experiments.create(LOOK, ADA)).version
    await experiments.start("look", ADA, expected=seen)

    for change in (experiments.start, experiments.stop, experiments.remove):
        with pytest.raises(Conflict) as conflict:
            await change("look", BOB, expected=seen)
        assert (
            'look was changed meanwhile (ada: stage "drafted" → "running"). Look '
            "at it and say again." == conflict.value.sentence
        )

    view = await experiments.get("look")

    assert Stage.RUNNING is view.stage
    assert (
        Stage.ENDED
        is (await experiments.stop("look", BOB, expected=view.version)).stage
    )


async def test_a_flag_with_a_running_experiment_stays(
    experiments: ExperimentAdmin,
    flags: FlagAdmin,
) -> None:
    """Neither removed nor undone; afterwards a draft on it cannot start."""
    made = await flags.create(
        new_flag("new_look", "string", "How it looks."), "plain", ADA
    )
    on_it = valued("new_look", None, "bright")

    for name in ("look", "later"):
        await experiments.create(replace(LOOK, name=name, **on_it), ADA)

    await experiments.start("look", ADA)

    for change in (
        flags.remove("new_look", BOB),
        flags.undo("new_look", BOB, entry=made.version),
    ):
        with pytest.raises(Rejected, match="The experiment look runs on new_look"):
            await change

    await experiments.stop("look", ADA)
    await flags.remove("new_look", BOB)

    with pytest.raises(Rejected, match="There is no flag of this name"):
        await experiments.start("later", ADA)


async def explained(
    flags: FlagAdmin,
    person: str,
    at: datetime | None = None,
) -> tuple[str, Any, str]:
    """The rule that decides for a person, its value, and what is said of the experiment."""
    found = await flags.explain("system_prompt", RuleTarget(person=person), at)
    said = next(step.sentence for step in found.steps if step.rule == "experiment")
    return found.decided.rule, found.decided.value, said


async def test_an_explanation_knows_the_experiments_of_then(
    experiments: ExperimentAdmin,
    flags: FlagAdmin,
    database_url: str,
) -> None:
    """Before, during and after; now, and asked about each of these moments later."""
    connection = await connect(database_url)
    person = str(
        await connection.fetchval(
            "INSERT INTO users (id, person_id, channel_type, channel_user_id)"
            " VALUES (gen_random_uuid(), gen_random_uuid(), 'discord', '1') RETURNING person_id"
        )
    )
    await connection.close()
    await flags.set("system_prompt", EVERYBODY, "Be kind.", ADA)
    one = tuple(Variant(name, 1, "Be brief.") for name in ("one", "two"))
    await experiments.create(replace(LOOK, variants=one), ADA)
    found, moments = [await explained(flags, person)], [datetime.now(UTC)]

    for change in (experiments.start, experiments.stop):
        await change("look", ADA)
        found.append(await explained(flags, person))
        moments.append(datetime.now(UTC))

    assert [
        ("global", "Be kind."),
        ("experiment", "Be brief."),
        ("global", "Be kind."),
    ] == [step[:2] for step in found]
    assert found[1][2].startswith("it matches: variant ")
    assert found == [await explained(flags, person, at) for at in moments]
