"""The report of an experiment from rows of Postgres: who counts, what counts, and what is said of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from agent.errors import Rejected
from agent.experiments import Experiment, Variant, definition_of
from agent.report import METRICS, Figures, MetricName, Report, Verdict, report_of
from storage.experiment_figures import PEOPLE, experiment_figures
from storage.postgres import connect
from tests.integration.test_cli import CLOSED, Machine
from tests.servers import Postgres
from tests.steering import run

BEGUN = datetime.now(UTC) - timedelta(hours=6)
NAME = "shorter"
VARIANTS = (Variant("control", 1), Variant("short", 1, "Be brief."))

_EXPERIMENT = "INSERT INTO experiments (name, definition, started_at, ended_at) VALUES ($1, $2, $3, $4)"
_USER = "INSERT INTO users (id, person_id, channel_type, channel_user_id) VALUES ($1, $1, $2, $3)"
_MESSAGE = """
INSERT INTO messages (conversation_id, "timestamp", seq, id, role, content, user_id, prompt_tokens, token_count,
                      cost_usd, latency_ms, metadata)
VALUES (gen_random_uuid(), $1, 1, $2, $3, '', $4, $5, $6, $7, $8, $9)
"""
_MONTHS = "SELECT relname FROM pg_class WHERE relname ~ '^messages_[0-9]{4}_[0-9]{2}$'"
LITTLE = timedelta(seconds=1)
_VOTE = "INSERT INTO votes (message_id, user_id, conversation_id, thumb) VALUES ($1, $2, gen_random_uuid(), $3)"


@dataclass
class Lab:
    """What the agent would have written; `store` writes it."""

    database_url: str
    users: list[tuple[Any, ...]] = field(default_factory=list)
    messages: list[tuple[Any, ...]] = field(default_factory=list)
    votes: list[tuple[Any, ...]] = field(default_factory=list)

    async def experiment(self, name: str = NAME, variants: tuple[Variant, ...] = VARIANTS, **more: Any) -> None:
        started, ended = more.pop("started", BEGUN), more.pop("ended", None)
        definition = definition_of(Experiment(name, "system_prompt", name, variants, **more))
        await run(self.database_url, _EXPERIMENT, name, json.dumps(definition), started, ended)

    def person(self, channel: str = "discord") -> UUID:
        person = uuid4()
        self.users.append((person, channel, str(person)))
        return person

    def reply(
        self, person: UUID, variant: str, *, experiment: str = NAME, tokens: int = 10, latency: int = 1_000,
        cost: str | None = "0.01", at: datetime | None = None, **metadata: Any,
    ) -> UUID:  # fmt: skip
        """An answer, unless `notice`; 0.01 USD, 5 + 10 tokens and a second if nothing else is said."""
        noted = {"epoch": 7, "variants": {experiment: variant}, "person": str(person), **metadata}
        identifier = uuid4()
        when = at or BEGUN + timedelta(minutes=1)
        self.messages.append((when, identifier, "assistant", None, 5, tokens, cost, latency, json.dumps(noted)))
        return identifier

    def retry(self, account: UUID, **metadata: Any) -> None:
        when = BEGUN + timedelta(minutes=1)
        noted = json.dumps({"retry": True, **metadata})
        self.messages.append((when, uuid4(), "user", account, None, None, None, None, noted))

    def vote(self, answer: UUID, thumb: int) -> None:
        self.votes.append((answer, self.person(), thumb))

    async def store(self) -> None:
        connection = await connect(self.database_url)
        for sql, rows in ((_USER, self.users), (_MESSAGE, self.messages), (_VOTE, self.votes)):
            await connection.executemany(sql, rows)
            rows.clear()
        await connection.close()

    async def figures(self) -> Figures:
        await self.store()
        return await experiment_figures(self.database_url, NAME)


@pytest.fixture
def lab(database_url: str) -> Lab:
    return Lab(database_url)


def values(figures: Figures, metric: MetricName) -> list[list[float]]:
    """Of the people of each variant, in no order of their own."""
    return [sorted(group.values[metric]) for group in figures.groups.values()]


def verdicts(report: Report) -> set[Verdict | None]:
    return {comparison.verdict for comparison in report.comparisons}


async def test_a_person_counts_once_however_much_they_write(lab: Lab) -> None:
    """3,000 answers of one person are one value beside that of a person with one answer."""
    await lab.experiment()
    writer, other, third = (lab.person() for _ in range(3))
    for number in range(3_000):
        lab.reply(writer, "control", tokens=number % 3, latency=number % 5, cost=None if number % 4 == 0 else "0.02")
    lab.reply(other, "control")
    lab.reply(third, "short", tokens=7)
    figures = await lab.figures()
    assert [2, 1] == [group.people for group in figures.groups.values()]
    assert [[1.0, 3_000.0], [1.0]] == values(figures, "answers")
    assert [[6.0, 15.0], [12.0]] == values(figures, "tokens")
    assert [[2.0, 1_000.0], [1_000.0]] == values(figures, "latency")
    assert [[0.01, 0.02], [0.01]] == values(figures, "cost")
    assert [750, 0] == [group.unknown_costs for group in figures.groups.values()]


async def test_what_is_counted_of_a_person(lab: Lab) -> None:
    """Failures beside answers, retries on the experiment's channels, thumbs whoever gave them."""
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


async def test_retries_elsewhere_do_not_count(lab: Lab) -> None:
    """A person's other account is on a channel that takes no part."""
    await lab.experiment(channels=frozenset({"discord"}))
    person, account = lab.person(), lab.person("telegram")
    lab.reply(person, "control")
    lab.retry(account)
    lab.retry(person)
    await lab.store()
    await run(lab.database_url, "UPDATE users SET person_id = $1 WHERE id = $2", person, account)
    assert [[1.0], []] == values(await lab.figures(), "retries")


async def test_linked_accounts_are_one_person_and_who_saw_several_variants_is_left_out(lab: Lab) -> None:
    """Two that saw the same are counted once, under who they are now; a retry of either is theirs."""
    await lab.experiment()
    first, second, crossed, also = (lab.person() for _ in range(4))
    for person, variant in ((first, "short"), (second, "short"), (crossed, "short"), (also, "control")):
        lab.reply(person, variant)
    lab.retry(second)
    lab.retry(also)
    await lab.store()
    for stays, joins in ((first, second), (crossed, also)):
        await run(lab.database_url, "UPDATE users SET person_id = $1 WHERE id = $2", stays, joins)
    figures = await lab.figures()
    assert (1, [0, 1]) == (figures.crossed, [group.people for group in figures.groups.values()])
    assert ([[], [2.0]], [[], [1.0]]) == (values(figures, "answers"), values(figures, "retries"))


async def test_a_person_whose_account_is_gone_still_counts(lab: Lab) -> None:
    await lab.experiment()
    lab.reply(uuid4(), "short")
    assert [0, 1] == [group.people for group in (await lab.figures()).groups.values()]


async def test_only_the_time_of_the_experiment_counts_and_nothing_twice(lab: Lab) -> None:
    """Not what was before or after it, not another experiment, not what linking copied to another chat."""
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
    assert ([[], [2.0]], [[], [0.0]]) == (values(figures, "answers"), values(figures, "retries"))
    assert (BEGUN, ended) == (figures.started_at, figures.ended_at)


@pytest.mark.parametrize("people", [(0, 0), (1, 0), (1, 1), (200, 0), (200, 1), (200, 199)])
async def test_too_few_or_too_equal_people_allow_no_verdict(lab: Lab, people: tuple[int, int]) -> None:
    """Nobody, one person, a variant without anybody, and people who are all alike."""
    await lab.experiment(variants=(Variant("control", people[0] + 1), Variant("short", people[1] + 1)))
    for variant, count in zip(("control", "short"), people, strict=True):
        for _ in range(count):
            lab.reply(lab.person(), variant)
    report = report_of(await lab.figures())
    assert ({Verdict.NOT_YET}, len(METRICS)) == (verdicts(report), len(report.comparisons))
    lacking = report.comparisons[0].lacking
    assert (None if min(people) >= 100 else 100 - min(people)) == lacking


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("longer", "There is no experiment longer. There are: shorter."),
        ("x\ny", "There is no experiment of this name."),
        ("drafted", "The experiment drafted has not started yet: there is nothing to report."),
    ],
)
async def test_what_can_not_be_reported_is_said_in_a_sentence(lab: Lab, name: str, sentence: str) -> None:
    await lab.experiment()
    await lab.experiment("drafted", started=None)
    with pytest.raises(Rejected) as refused:
        await experiment_figures(lab.database_url, name)
    assert refused.value.sentence.startswith(sentence)


async def test_a_definition_of_another_version_is_said_to_be_one(lab: Lab) -> None:
    await run(lab.database_url, _EXPERIMENT, NAME, '{"flags": ["a", "b"]}', BEGUN, None)
    with pytest.raises(Rejected, match="this one can not read it"):
        await experiment_figures(lab.database_url, NAME)


async def test_it_reads_only_the_time_of_the_experiment(lab: Lab) -> None:
    """Partitions of other months are not touched."""
    connection = await connect(lab.database_url)
    now = await connection.fetchval("SELECT now()")
    plan = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN {PEOPLE}", NAME, now - LITTLE, now, []))
    months = {row[0] for row in await connection.fetch(_MONTHS)}
    await connection.close()
    read = {month for month in months if f"on {month}" in plan}
    assert (4, True, True) == (len(months), bool(read), read < months)


async def test_where_nothing_was_ever_started_it_says_so(lab: Lab) -> None:
    with pytest.raises(Rejected, match="None was ever started"):
        await experiment_figures(lab.database_url, NAME)


# --- what an operator types and sees ----------------------------------------------------------------------


@pytest.fixture
def machine(tmp_path: Path, database_url: str, redis_url: str) -> Machine:
    return Machine(tmp_path, {"DATABASE_URL": database_url, "REDIS_URL": redis_url})


async def shorter_answers(lab: Lab, *, control: int, short: int) -> None:
    """Short answers take half the tokens; all else is alike but for chance."""
    await lab.experiment()
    for variant, people in (("control", control), ("short", short)):
        for number in range(people):
            person = lab.person()
            for _ in range(1 + number % 7):
                tokens = 100 + number % 50 if variant == "control" else 45 + number % 50
                lab.reply(person, variant, tokens=tokens, cost=None if number == 3 else "0.001")
    await lab.store()


async def test_the_table_is_for_people(machine: Machine, lab: Lab) -> None:
    """Which variant, in which metric, by how much, and whether that may be believed."""
    await shorter_answers(lab, control=140, short=150)
    ran = await machine.agent("experiments", "report", NAME, "--metric", "tokens")
    assert (0, "") == (ran.status, ran.err)
    lines = ran.out.splitlines()
    assert lines[0].startswith("shorter (flag system_prompt), since ")
    assert lines[0].endswith(": 290 people.")
    assert "tokens per answer: short compared with control: better." == lines[1]
    assert ["METRIC", "VARIANT", "PEOPLE", "MEAN", "DIFFERENCE", "95 % INTERVAL", "VERDICT"] == _cells(lines[3])
    assert ["tokens per answer *", "control", "140"] == _cells(lines[4])[:3]
    assert lines[5].endswith("better")
    answers = next(line for line in lines if line.startswith("answers per person"))
    assert "not yet: about " in lines[lines.index(answers) + 1]
    assert "Not in the cost of control: 4 answers of unknown price. Add prices to MODELS." in lines


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


async def test_the_document_is_complete(machine: Machine, lab: Lab) -> None:
    """Both intervals, absolute and relative, the verdict and what it lacks, for each metric and variant."""
    await shorter_answers(lab, control=140, short=150)
    document = json.loads((await machine.agent("experiments", "report", NAME, "--json")).out)
    assert (None, {"control": 140, "short": 150}, 0) == (document["error"], document["people"], document["crossed"])
    assert ("answers", "control", 0.95) == (document["primary"], document["control"], document["confidence"])
    assert list(METRICS) == [compared["metric"] for compared in document["comparisons"]]
    tokens = document["comparisons"][2]
    assert ("better", 0) == (tokens["verdict"], tokens["lacking_people"])
    ends = tokens["sequential_interval"], tokens["fixed_interval"]
    assert ends[0][0] < ends[1][0] < tokens["difference"] < ends[1][1] < ends[0][1] < 0
    low, high = tokens["sequential_interval_relative"]
    assert -1 < low < tokens["relative_difference"] < high < 0
    assert tokens["difference"] == pytest.approx(tokens["variant_sample"]["mean"] - tokens["control_sample"]["mean"])
    thumbs = document["comparisons"][6]
    assert (0, None) == (thumbs["variant_sample"]["people"], thumbs["variant_sample"]["mean"])


async def test_a_wrong_split_is_an_error_above_the_numbers(machine: Machine, lab: Lab) -> None:
    """Exit status 1; the numbers stand below it, without a verdict."""
    await shorter_answers(lab, control=100, short=200)
    ran = await machine.agent("experiments", "report", NAME)
    assert 1 == ran.status
    first, *rest = ran.out.splitlines()
    assert first.startswith(
        "ERROR: the split is not the configured one: control has 100 people (33.3 % instead of 50.0 %)"
    )
    assert any("tokens per answer" in line for line in rest)
    assert not any(word in line for line in rest[:-3] for word in ("better", "worse", "not yet", "no difference"))
    ran = await machine.agent("experiments", "report", NAME, "--json")
    document = json.loads(ran.out)
    assert (1, {None}) == (ran.status, {compared["verdict"] for compared in document["comparisons"]})
    assert first.removeprefix("ERROR: ") == document["error"]


async def test_a_replica_is_read_where_there_is_one(machine: Machine, lab: Lab, _postgres: Postgres) -> None:
    """It may be read-only; when nobody answers there, the sentence names its setting."""
    async with _postgres.database(_postgres.template) as url:
        replica = Lab(url)
        await shorter_answers(replica, control=5, short=5)
        await _postgres.execute(
            f"ALTER DATABASE {url.split('/')[3].split('?')[0]} SET default_transaction_read_only = on"
        )
        ran = await machine.agent("experiments", "report", NAME, settings={"DATABASE_REPLICA_URL": url})
        assert (0, "") == (ran.status, ran.err)
    gone = {"DATABASE_REPLICA_URL": f"postgresql://postgres@{CLOSED}/replica"}
    ran = await machine.agent("experiments", "report", NAME, settings=gone)
    assert (2, "agent: No Postgres answers there. Start it, or correct host and port in DATABASE_REPLICA_URL.\n") == (
        ran.status, ran.err,
    )  # fmt: skip


async def test_an_unknown_experiment_or_metric_is_wrong_usage(machine: Machine, lab: Lab) -> None:
    await lab.experiment()
    ran = await machine.agent("experiments", "report", "longer")
    assert (2, "", "agent: There is no experiment longer. There are: shorter.\n") == (ran.status, ran.out, ran.err)
    assert 2 == (await machine.agent("experiments", "report", NAME, "--metric", "luck")).status
