"""`agent experiments report` as an operator types it and reads it."""

from __future__ import annotations

import json
from pathlib import Path
from unittest.mock import AsyncMock

import pytest

from agent.reports.experiment import METRICS, PRIMARY
from agent.settings import Settings
from storage.reports.experiment_figures import experiment_report
from tests.support.commands import CLOSED, Machine
from tests.support.experiment_data import NAME, ExperimentData
from tests.support.servers import Postgres


@pytest.fixture
def lab(database_url: str) -> ExperimentData:
    return ExperimentData(database_url)


async def shorter_answers(lab: ExperimentData, *, control: int, short: int) -> None:
    """Short answers take half the tokens; all else is alike but for chance."""
    await lab.experiment()
    for variant, people in (("control", control), ("short", short)):
        for number in range(people):
            person = lab.person()
            for _ in range(1 + number % 7):
                tokens = (
                    100 + number % 50 if variant == "control" else 45 + number % 50
                )
                lab.reply(
                    person,
                    variant,
                    tokens=tokens,
                    cost=None if number == 3 else "0.001",
                )
    await lab.store()


async def test_the_table_is_for_people(machine: Machine, lab: ExperimentData) -> None:
    """Which variant, in which metric, by how much, and whether that may be believed."""
    await shorter_answers(lab, control=140, short=150)
    ran = await machine.agent("experiments", "report", NAME, "--metric", "tokens")
    assert (0, "") == (ran.status, ran.err)
    lines = ran.out.splitlines()
    assert lines[0].startswith("shorter (flag system_prompt), since ")
    assert lines[0].endswith(". People: 290.")
    assert "tokens per answer: short compared with control: better." == lines[1]
    assert [
        "METRIC",
        "VARIANT",
        "PEOPLE",
        "MEAN",
        "DIFFERENCE",
        "95 % INTERVAL",
        "VERDICT",
    ] == _cells(lines[3])
    assert ["tokens per answer *", "control", "140"] == _cells(lines[4])[:3]
    assert lines[5].endswith("better")
    answers = next(line for line in lines if line.startswith("answers per person"))
    assert "not yet: about " in lines[lines.index(answers) + 1]
    assert (
        "Not in the cost of control: 4 answers of unknown price. Add prices to MODELS."
        in lines
    )


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


async def test_before_anybody_came_it_says_how_many_it_takes_at_least(
    machine: Machine, lab: ExperimentData
) -> None:
    await lab.experiment()
    ran = await machine.agent("experiments", "report", NAME)
    assert (0, "") == (ran.status, ran.err)
    first, second, *_ = ran.out.splitlines()
    assert first.endswith(". People: 0.")
    assert (
        "not yet: at least 100 more people per variant."
        == second.rpartition("control: ")[2]
    )


async def test_the_document_is_complete(
    machine: Machine, lab: ExperimentData
) -> None:
    """Both intervals, absolute and relative, the verdict and what it lacks, for each metric
    and variant.
    """
    await shorter_answers(lab, control=140, short=150)
    document = json.loads(
        (await machine.agent("experiments", "report", NAME, "--json")).out
    )
    assert (None, {"control": 140, "short": 150}, 0) == (
        document["error"],
        document["people"],
        document["crossed"],
    )
    assert ("answers", "control", 0.95) == (
        document["primary"],
        document["control"],
        document["confidence"],
    )
    assert list(METRICS) == [
        compared["metric"] for compared in document["comparisons"]
    ]
    tokens = document["comparisons"][2]
    assert ("better", 0) == (tokens["verdict"], tokens["lacking_people"])
    ends = tokens["sequential_interval"], tokens["fixed_interval"]
    assert (
        ends[0][0] < ends[1][0] < tokens["difference"] < ends[1][1] < ends[0][1] < 0
    )
    low, high = tokens["sequential_interval_relative"]
    assert -1 < low < tokens["relative_difference"] < high < 0
    assert tokens["difference"] == pytest.approx(
        tokens["variant_sample"]["mean"] - tokens["control_sample"]["mean"]
    )
    thumbs = document["comparisons"][6]
    assert (0, None) == (
        thumbs["variant_sample"]["people"],
        thumbs["variant_sample"]["mean"],
    )


async def test_a_wrong_split_is_an_error_above_the_numbers(
    machine: Machine, lab: ExperimentData
) -> None:
    """Exit status 1; the numbers stand below it, without a verdict."""
    await shorter_answers(lab, control=100, short=200)
    ran = await machine.agent("experiments", "report", NAME)
    assert 1 == ran.status
    first, *rest = ran.out.splitlines()
    assert first.startswith(
        "ERROR: the split is not the configured one: control has 100 people "
        "(33.3 % instead of 50.0 %)"
    )
    assert any("tokens per answer" in line for line in rest)
    assert not any(
        word in line
        for line in rest[:-3]
        for word in ("better", "worse", "not yet", "no difference")
    )
    ran = await machine.agent("experiments", "report", NAME, "--json")
    document = json.loads(ran.out)
    assert (1, {None}) == (
        ran.status,
        {compared["verdict"] for compared in document["comparisons"]},
    )
    assert first.removeprefix("ERROR: ") == document["error"]


async def test_a_replica_that_is_far_behind_is_not_read(
    database_url: str,
    empty_database_url: str,
    lab: ExperimentData,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As of all reports: it would tell old figures without a word."""
    await shorter_answers(lab, control=5, short=5)
    monkeypatch.setattr(
        "storage.reports.reading.replica.replica_lag", AsyncMock(return_value=3_600.0)
    )
    settings = Settings(_env_file=None, database_replica_url=empty_database_url)
    report = await experiment_report(settings, database_url, NAME, PRIMARY)

    assert NAME == report.figures.experiment.name


async def test_a_replica_is_read_where_there_is_one(
    machine: Machine, lab: ExperimentData, _postgres: Postgres
) -> None:
    """It may be read-only. When nobody answers there, the log names its setting."""
    async with _postgres.database(_postgres.template) as url:
        replica = ExperimentData(url)
        await shorter_answers(replica, control=5, short=5)
        await _postgres.execute(
            f"ALTER DATABASE {url.split('/')[3].split('?')[0]} SET "
            "default_transaction_read_only = on"
        )
        ran = await machine.agent(
            "experiments", "report", NAME, settings={"DATABASE_REPLICA_URL": url}
        )
        assert (0, "") == (ran.status, ran.err)
    gone = {"DATABASE_REPLICA_URL": f"postgresql://postgres@{CLOSED}/replica"}
    ran = await machine.agent("experiments", "report", NAME, settings=gone)
    assert "There is no experiment" in ran.err
    assert "DATABASE_REPLICA_URL" in ran.err


async def test_an_unknown_experiment_or_metric_is_wrong_usage(
    machine: Machine, lab: ExperimentData
) -> None:
    await lab.experiment()
    ran = await machine.agent("experiments", "report", "longer")
    assert (2, "", "agent: There is no experiment longer. There are: shorter.\n") == (
        ran.status,
        ran.out,
        ran.err,
    )
    assert (
        2
        == (
            await machine.agent("experiments", "report", NAME, "--metric", "luck")
        ).status
    )


async def test_without_the_extra_it_says_how_to_install_it(
    machine: Machine, tmp_path: Path
) -> None:
    (tmp_path / "scipy.py").write_text("raise ImportError")
    machine.warm = None  # it is imported at the start
    ran = await machine.agent(
        "experiments", "report", NAME, settings={"PYTHONPATH": str(tmp_path)}
    )
    sentence = (
        'run `pip install ".[reports]"` in the folder of the source, or '
        "`uv run --extra reports`."
    )
    assert (2, "", f"agent: The report needs scipy: {sentence}\n") == (
        ran.status,
        ran.out,
        ran.err,
    )
