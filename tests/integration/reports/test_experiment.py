"""The report of an experiment from rows of Postgres: which people count, and what is concluded."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest

from agent.control.experiments import Variant
from agent.core.errors import Rejected
from agent.reports.experiment import (
    METRICS,
    Figures,
    MetricName,
    Report,
    ReportVerdict,
    report_of,
)
from storage.postgres import connect
from storage.reports import STATEMENTS
from storage.reports.experiment_figures import experiment_figures
from tests.support.experiment_data import (
    BEGUN,
    INSERT_EXPERIMENT,
    NAME,
    ExperimentData,
)
from tests.support.settings import run

MONTHS = "SELECT relname FROM pg_class WHERE relname ~ '^messages_[0-9]{4}_[0-9]{2}$'"
LITTLE = timedelta(seconds=1)


@pytest.fixture
def lab(database_url: str) -> ExperimentData:
    return ExperimentData(database_url)


def values(figures: Figures, metric: MetricName) -> list[list[float]]:
    """The values of each variant's people, sorted."""
    return [sorted(group.values[metric]) for group in figures.groups.values()]


def verdicts(report: Report) -> set[ReportVerdict | None]:
    return {comparison.verdict for comparison in report.comparisons}


async def test_a_person_counts_once_however_much_they_write(
    lab: ExperimentData,
) -> None:
    """3,000 answers of one person are one value, next to that of a person with one answer."""
    await lab.experiment()
    writer, other, third = (lab.person() for _ in range(3))

    for number in range(3_000):
        lab.reply(
            writer,
            "control",
            tokens=number % 3,
            latency=number % 5,
            cost=None if number % 4 == 0 else "0.02",
        )

    lab.reply(other, "control")
    lab.reply(third, "short", tokens=7)
    figures = await lab.figures()

    assert [2, 1] == [group.people for group in figures.groups.values()]
    assert [[1.0, 3_000.0], [1.0]] == values(figures, "answers")
    assert [[6.0, 15.0], [12.0]] == values(figures, "tokens")
    assert [[2.0, 1_000.0], [1_000.0]] == values(figures, "latency")
    assert [[0.01, 0.02], [0.01]] == values(figures, "cost")
    assert [750, 0] == [group.unknown_costs for group in figures.groups.values()]


async def test_what_is_counted_of_a_person(lab: ExperimentData) -> None:
    """Failures next to answers, retries on the experiment's channels, thumbs of anybody."""
    await lab.experiment(channels=frozenset({"discord"}))
    happy, unhappy, silent = (lab.person() for _ in range(3))
    liked = lab.reply(happy, "control")

    for thumb in (1, 1, -1):
        lab.vote(liked, thumb)
    lab.vote(lab.reply(unhappy, "short"), -1)

    for _ in range(3):
        lab.reply(unhappy, "short", notice=True, latency=9, cost=None)
    lab.reply(silent, "short", note="cut")
    lab.retry(unhappy)
    lab.retry(unhappy)
    lab.retry(lab.person())  # takes no part
    figures = await lab.figures()

    assert [[0.0], [0.0, 0.75]] == values(figures, "failures")
    assert [[1.0], [1.0, 1.0]] == values(figures, "answers")
    assert [[1_000.0], [1_000.0, 1_000.0]] == values(figures, "latency")
    assert [[0.0], [0.0, 2.0]] == values(figures, "retries")
    assert [[pytest.approx(2 / 3)], [0.0]] == values(figures, "thumbs")
    assert [[1.0], [0.0, 0.0]] == values(figures, "thumbs_up")
    assert [[1.0], [0.0, 1.0]] == values(figures, "thumbs_down")


async def test_retries_elsewhere_do_not_count(lab: ExperimentData) -> None:
    """A person's other account is on a channel that takes no part."""
    await lab.experiment(channels=frozenset({"discord"}))
    person = lab.person()
    account = lab.person("telegram")
    lab.reply(person, "control")
    lab.retry(account)
    lab.retry(person)
    await lab.store()
    await run(
        lab.database_url,
        "UPDATE users SET person_id = $1 WHERE id = $2",
        person,
        account,
    )

    figures = await lab.figures()

    assert [[1.0], []] == values(figures, "retries")


async def test_linked_accounts_are_one_person_and_people_of_several_variants_are_left_out(
    lab: ExperimentData,
) -> None:
    """Two accounts that saw the same variant count once, as the person they are now; so do
    retries.
    """
    await lab.experiment()
    first, second, crossed, also = (lab.person() for _ in range(4))

    for person, variant in (
        (first, "short"),
        (second, "short"),
        (crossed, "short"),
        (also, "control"),
    ):
        lab.reply(person, variant)

    lab.retry(second)
    lab.retry(also)
    await lab.store()

    for stays, joins in ((first, second), (crossed, also)):
        await run(
            lab.database_url,
            "UPDATE users SET person_id = $1 WHERE id = $2",
            stays,
            joins,
        )

    figures = await lab.figures()

    assert 1 == figures.crossed
    assert [0, 1] == [group.people for group in figures.groups.values()]
    assert [[], [2.0]] == values(figures, "answers")
    assert [[], [1.0]] == values(figures, "retries")


async def test_a_person_whose_account_is_gone_still_counts(
    lab: ExperimentData,
) -> None:
    await lab.experiment()
    lab.reply(uuid4(), "short")

    assert [0, 1] == [group.people for group in (await lab.figures()).groups.values()]


async def test_only_the_time_of_the_experiment_counts_and_nothing_twice(
    lab: ExperimentData,
) -> None:
    """Nothing before or after it, no other experiment, no messages that linking copied."""
    ended = BEGUN + timedelta(hours=1)
    await lab.experiment(ended=ended)
    person = lab.person()
    lab.reply(person, "short")
    lab.reply(person, "short", at=BEGUN)
    lab.reply(person, "short", at=BEGUN - timedelta(seconds=1))
    lab.reply(person, "short", at=ended)
    lab.reply(person, "short", experiment="another")
    lab.reply(person, "short", carried=True)
    lab.retry(person, carried=True)
    figures = await lab.figures()

    assert [[], [2.0]] == values(figures, "answers")
    assert [[], [0.0]] == values(figures, "retries")
    assert BEGUN == figures.started_at
    assert ended == figures.ended_at


@pytest.mark.parametrize(
    "people", [(0, 0), (1, 0), (1, 1), (200, 0), (200, 1), (200, 199)]
)
async def test_too_few_or_too_equal_people_allow_no_verdict(
    lab: ExperimentData, people: tuple[int, int]
) -> None:
    """Nobody, one person, a variant without people, and people that are all alike."""
    await lab.experiment(
        variants=(Variant("control", people[0] + 1), Variant("short", people[1] + 1))
    )
    for variant, count in zip(("control", "short"), people, strict=True):
        for _ in range(count):
            lab.reply(lab.person(), variant)

    report = report_of(await lab.figures())

    assert {ReportVerdict.NOT_YET} == verdicts(report)
    assert len(METRICS) == len(report.comparisons)

    lacking = report.comparisons[0].lacking
    assert (None if min(people) >= 100 else 100 - min(people)) == lacking


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("longer", "There is no experiment longer. There are: shorter."),
        ("x\ny", "There is no experiment of this name."),
        (
            "drafted",
            "The experiment drafted has not started yet: there is nothing to report.",
        ),
    ],
)
async def test_what_cannot_be_reported_is_said_in_a_sentence(
    lab: ExperimentData, name: str, sentence: str
) -> None:
    await lab.experiment()
    await lab.experiment("drafted", started=None)

    with pytest.raises(Rejected) as refused:
        await experiment_figures(lab.database_url, name)

    assert refused.value.sentence.startswith(sentence)


async def test_a_definition_of_another_version_is_said_to_be_one(
    lab: ExperimentData,
) -> None:
    await run(
        lab.database_url,
        INSERT_EXPERIMENT,
        NAME,
        '{"flags": ["a", "b"]}',
        BEGUN,
        None,
    )
    with pytest.raises(Rejected, match="this one cannot read it"):
        await experiment_figures(lab.database_url, NAME)


async def test_it_reads_only_the_time_of_the_experiment(lab: ExperimentData) -> None:
    """Partitions of other months are not touched."""
    connection = await connect(lab.database_url)
    now = await connection.fetchval("SELECT now()")
    plan = "\n".join(
        row[0]
        for row in await connection.fetch(
            f"EXPLAIN {STATEMENTS['people_of_experiment']}",
            NAME,
            now - LITTLE,
            now,
            [],
        )
    )
    months = {row[0] for row in await connection.fetch(MONTHS)}
    await connection.close()
    read = {month for month in months if f"on {month}" in plan}

    assert 4 == len(months)
    assert read
    assert read < months


async def test_where_nothing_was_ever_started_it_says_so(lab: ExperimentData) -> None:
    with pytest.raises(Rejected, match="None was ever started"):
        await experiment_figures(lab.database_url, NAME)
