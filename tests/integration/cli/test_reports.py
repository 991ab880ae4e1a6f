"""`agent report …` as an operator types it and reads it."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from xml.etree import ElementTree as ET

import pyarrow.parquet as pq
import pytest

from storage.reports.rollup import sum_up_again
from tests.support.commands import CLOSED, Machine
from tests.support.settings import run
from tests.support.usage_data import UsageData, counted

LONG_AGO = ("--since", "2020-01-01")


@pytest.fixture
async def data(database_url: str) -> UsageData:
    made = UsageData(seed=11, count=600, days=20)
    await made.store(database_url)
    await sum_up_again(database_url)

    return made


async def test_the_files_and_the_document_say_the_same(
    machine: Machine, data: UsageData, database_url: str, tmp_path: Path
) -> None:
    """And all three what a plain count says, to the last digit."""
    files = tmp_path / "a.csv", tmp_path / "a.parquet"
    ran = await machine.agent(
        *("report", "cost", "--by", "month", "--json", *LONG_AGO),
        *("--csv", str(files[0]), "--parquet", str(files[1])),
    )
    assert (0, "") == (ran.status, ran.err)
    document = json.loads(ran.out)
    with files[0].open(newline="") as opened:
        rows = list(csv.DictReader(opened))
    table = pq.read_table(files[1]).to_pylist()
    plain = sum(
        (line["cost_usd"] for line in (await counted(database_url)).values()),
        Decimal(0),
    )

    assert plain == Decimal(document["total"]["cost_usd"])
    assert plain == sum(Decimal(line["cost_usd"]) for line in document["lines"])
    assert plain == sum(Decimal(row["cost_usd"]) for row in rows)
    assert plain == sum(row["cost_usd"] for row in table)
    assert [line["period"] for line in document["lines"]] == [
        row["period"].isoformat() for row in table
    ]
    assert document["total"]["unpriced"] == sum(row["unpriced"] for row in table) > 0


@pytest.mark.parametrize(
    ("name", "titles"),
    [
        ("usage", "PERIOD PEOPLE MESSAGES ANSWERS FAILURES RETRIES READ"),
        ("cost", "PERIOD ANSWERS ESTIMATED READ CACHED WRITTEN COST"),
        ("models", "MODEL ANSWERS FAILURES READ CACHED WRITTEN COST UP DOWN"),
        ("people", "NAME MESSAGES ANSWERS READ CACHED WRITTEN COST"),
        ("latency", "MODEL ANSWERS P50 P90 P95 P99 LONGEST"),
        ("retention", "BEGUN PERIOD PEOPLE SHARE"),
    ],
)
async def test_each_report_has_a_table_and_a_picture(
    machine: Machine, data: UsageData, tmp_path: Path, name: str, titles: str
) -> None:
    picture = tmp_path / "a.svg"
    ran = await machine.agent("report", name, "--plot", str(picture))
    assert (0, "") == (ran.status, ran.err)
    first, header, *lines = ran.out.splitlines()
    assert first.startswith(f"{name}, 20")
    assert header.split()[: len(titles.split())] == titles.split()
    assert lines
    root = ET.fromstring(picture.read_text())
    assert "{http://www.w3.org/2000/svg}svg" == root.tag
    assert len(list(root.iter("{http://www.w3.org/2000/svg}title"))) > 1


async def test_an_unknown_price_is_said_and_is_no_zero(
    machine: Machine, data: UsageData
) -> None:
    ran = await machine.agent("report", "models")
    unknown = next(line for line in ran.out.splitlines() if "anthropic:b" in line)
    free = next(line for line in ran.out.splitlines() if "offline:echo" in line)
    document = json.loads((await machine.agent("report", "models", "--json")).out)
    costs = {line["model"]: line["cost_usd"] for line in document["lines"]}

    assert "unknown" in unknown
    assert "$0.0000" in free
    assert costs["anthropic:b"] is None
    assert Decimal(costs["offline:echo"]) == 0 < Decimal(costs["openai:a"])


async def test_one_persons_report_is_of_all_their_accounts(
    machine: Machine, data: UsageData, database_url: str
) -> None:
    """Named by any of them."""
    both = [row for row in data.users if row[1] == data.users[3][1]]
    assert 2 == len(both)
    documents = [
        json.loads(
            (
                await machine.agent(
                    *("report", "people", "--json", *LONG_AGO),
                    *("--person", f"{row[2]}:{row[3]}"),
                )
            ).out
        )
        for row in both
    ]
    plain = sum(
        line["messages"]
        for key, line in (await counted(database_url)).items()
        if key[3] == str(both[0][1])
    )

    assert documents[0] == documents[1]
    assert [plain] == [line["messages"] for line in documents[0]["lines"]]


async def test_the_forecast_is_of_this_month(
    machine: Machine, data: UsageData
) -> None:
    document = json.loads((await machine.agent("report", "cost", "--json")).out)
    found = document["forecast"]
    costs = [Decimal(found[name]) for name in ("so_far", "low", "expected", "high")]
    now = datetime.now(UTC)

    assert sorted(costs) == costs
    assert costs[1] < costs[2] < costs[3]
    assert found["month_end"] > now.isoformat()
    assert 7 <= found["days"] <= 28


async def test_a_rebuild_says_from_when(
    machine: Machine, data: UsageData, database_url: str
) -> None:
    before = await machine.agent("report", "usage", "--json", *LONG_AGO)
    await run(
        database_url,
        "UPDATE report_hours SET messages = messages + 1 "
        "WHERE user_id <> '00000000-0000-0000-0000-000000000000'",
    )  # what nobody used may be of people who were erased: it only grows
    wrong = await machine.agent("report", "usage", "--json", *LONG_AGO)
    ran = await machine.agent("report", "rebuild")
    after = await machine.agent("report", "usage", "--json", *LONG_AGO)

    assert 0 == ran.status, ran.err
    assert ran.out.startswith("All hours since 20")
    assert json.loads(before.out)["lines"] != json.loads(wrong.out)["lines"]
    assert json.loads(before.out)["lines"] == json.loads(after.out)["lines"]


async def test_nothing_is_a_sentence_too(machine: Machine) -> None:
    ran = await machine.agent("report", "usage")
    assert (0, "") == (ran.status, ran.err)
    assert ran.out.endswith("Nothing happened in this time.\n")


BAD = [
    (("--since", "yesterday"), "A time looks like"),
    (("--since", "2026-01-01T10:30"), "Name a full hour of UTC"),
    (
        ("--since", "2026-02-01", "--until", "2026-02-01"),
        "The time ends before it begins. Correct --since and --until.",
    ),
    (("--since", "9999-12-31T23:00-12:00"), "A time looks like"),
    (("--person", "discord:nobody"), "No such person"),
    (("--channel", "fax"), "There is no such channel"),
    (("--by", "century"), "century"),
    (("--csv", "/nowhere/a.csv"), "There is no folder /nowhere"),
    (("--plot", "/"), "cannot be written"),
]


@pytest.mark.parametrize(("options", "sentence"), BAD)
async def test_what_cannot_be_reported_is_one_sentence(
    machine: Machine, options: tuple[str, ...], sentence: str
) -> None:
    ran = await machine.agent("report", "usage", *options)
    assert 0 != ran.status
    assert sentence in ran.err
    assert 1 == len(ran.err.splitlines())


async def test_a_replica_that_is_away_is_named_and_not_read(machine: Machine) -> None:
    machine.variables["DATABASE_REPLICA_URL"] = f"postgresql://{CLOSED}/nothing"
    ran = await machine.agent("report", "usage", "--json")

    assert (0, "usage") == (ran.status, json.loads(ran.out)["report"])
    assert "DATABASE_REPLICA_URL. The main database was read instead." in ran.err


async def test_the_time_before_the_last_30_days_is_left_out(
    machine: Machine, data: UsageData
) -> None:
    document = json.loads((await machine.agent("report", "usage", "--json")).out)
    since = datetime.fromisoformat(document["since"])

    assert timedelta(days=29) < datetime.now(UTC) - since < timedelta(days=32)
