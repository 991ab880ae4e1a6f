"""Usage and cost in the console: the numbers of `agent report`, as a table and a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from agent.reports import table
from agent.reports.table import cell_of
from agent.reports.usage import Subject
from agent.web.console.pages import usage
from storage.reports.rollup import sum_up_again
from storage.reports.source import Asked, open_source, report_of
from storage.reports.usage import UsageReader
from tests.support.browser import Browser
from tests.support.experiment_data import NAME, ExperimentData
from tests.support.settings import run
from tests.support.usage_data import UsageData

HARM = "<script>alert(1)</script>\u202eevil"


@pytest.fixture
async def data(database_url: str) -> UsageData:
    made = UsageData(seed=7, count=120, days=9)
    await made.store(database_url)
    await sum_up_again(database_url)

    return made


async def reported(
    ada: Browser, report: table.Report, subject: Subject | None = None
) -> list[str]:
    """What the command line's function says, cell by cell."""
    services = ada.services
    asked = Asked("day" if subject is None else None, subject)
    async with open_source(
        services.settings, services.stores.database, asked
    ) as source:
        view = await report_of(source, report)

    names = [name for name in view.names if name not in table.HIDDEN]
    return [
        cell_of(name, record, view.scope.unit)
        for record in view.records
        for name in names
    ]


async def test_the_table_has_the_numbers_of_the_command(
    ada: Browser, data: UsageData
) -> None:
    await ada.sign_in("ada", "viewer")
    subjects: dict[str, tuple[table.Report, Subject | None]] = {
        "": (table.USAGE, None),
        "channel": (table.CHANNELS, "channel"),
        "model": (table.MODELS, "model"),
        "person": (table.PEOPLE, "person"),
    }
    for name, (report, subject) in subjects.items():
        page = await ada.get(f"/usage?of={name}")
        expected = await reported(ada, report, subject)
        words = {" ".join(word.split()) for word in page.words}

        assert 200 == page.status, page.text
        assert len(expected) > 10
        assert {*expected} <= words, {*expected} - words
        assert page.html.count("<rect") > 2
        assert "style=" not in page.html
    assert "of unknown price" in page.text


async def test_an_unknown_price_is_never_zero(
    ada: Browser, data: UsageData, database_url: str
) -> None:
    await run(
        database_url,
        "UPDATE report_hours SET unpriced = answers + failures, cost_usd = 0"
        " WHERE model <> ''",
    )
    await ada.sign_in("ada", "viewer")
    today = datetime.now(UTC).date()
    page = await ada.get(f"/usage?of=model&until={today}&since=2020-01-01")
    costs = [word for word in page.words if word.startswith(("$", "unknown"))]

    assert ["unknown"] * len(costs) == costs
    assert len(costs) > 1
    assert ": unknown" in page.html


async def test_variants_are_counted_by_what_is_stored_with_answers(
    ada: Browser, database_url: str
) -> None:
    made = ExperimentData(database_url)
    await made.experiment()
    for variant in ("off", "on", "on"):
        made.reply(made.person(), variant, cost="0.25")
    await made.store()

    await ada.sign_in("ada", "viewer")
    offered = await ada.get("/usage")
    page = await ada.get(f"/usage?of=variant&experiment={NAME}&since=2000-01-01")
    unnamed = await ada.get("/usage?of=variant")

    assert NAME in offered.text
    assert "$0.5000" in page.text, page.text
    assert "$0.2500" in page.text
    assert (422, True) == (unnamed.status, "Choose the experiment" in unnamed.text)


async def test_what_was_typed_and_what_people_chose_is_harmless(
    ada: Browser, data: UsageData, database_url: str
) -> None:
    await run(
        database_url,
        "UPDATE report_hours SET model = $1 WHERE model = 'openai:a'",
        HARM,
    )
    await ada.sign_in("ada", "viewer")
    page = await ada.get("/usage?of=model&since=2000-01-01")
    typed = await ada.client.get("/usage", params={"since": HARM, "model": HARM})

    assert HARM[:8] in page.text
    for html in (page.html, typed.text):
        assert "<script>alert" not in html
    assert "\u202e" not in page.html
    assert 422 == typed.status_code
    assert "A time looks like" in typed.text


async def test_what_may_be_dearest_is_not_below_what_is_shown(
    ada: Browser, data: UsageData, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a cost of a millionth of a dollar does not look like none."""
    await run(database_url, "UPDATE report_hours SET cost_usd = 0")
    await run(
        database_url,
        "UPDATE report_hours SET cost_usd = 0.0000001 WHERE model = 'openai:a'",
    )
    await ada.sign_in("ada", "viewer")
    query = "of=model&since=2000-01-01&until=" + str(datetime.now(UTC).date())
    every = await ada.get(f"/usage?{query}")
    monkeypatch.setattr(usage, "MAX_ROWS", 1)
    one = await ada.get(f"/usage?{query}")

    assert "<$0.0001" in every.text
    assert "2 more lines are not shown" in one.text
    assert "anthropic:b" in one.text
    assert "unknown" in one.words


MANY = """
WITH people AS (
    INSERT INTO users (id, person_id, channel_type, channel_user_id)
    SELECT id, id, 'slack', 'U' || n
    FROM (SELECT gen_random_uuid() AS id, n FROM generate_series(1, 5) n) made
    RETURNING id
)
INSERT INTO report_hours
SELECT date_trunc('hour', now(), 'UTC') - make_interval(hours => n), 'slack', '', id,
       1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, '{}'
FROM people, generate_series(1, 200) n
"""


async def many_lines(url: str) -> None:
    """Five people in each of the last 200 hours."""
    await run(url, MANY)
    await run(
        url,
        "UPDATE report_state SET counted_until = date_trunc('hour', now(), 'UTC')",
    )


@pytest.mark.parametrize(
    ("subject", "left_out"), [("person", 990), ("channel", 190), ("", 190)]
)
async def test_what_is_left_out_is_the_oldest_and_is_said_first(
    ada: Browser,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    subject: str,
    left_out: int,
) -> None:
    """Lines that are not shown are neither read nor named, and the sum has all."""
    named: list[str] = []
    names = UsageReader.names

    async def noted(self: UsageReader, people: Sequence[str]) -> Mapping[str, str]:
        named.extend(people)
        return await names(self, people)

    await many_lines(database_url)
    monkeypatch.setattr(usage, "MAX_ROWS", 10)
    monkeypatch.setattr(UsageReader, "names", noted)
    await ada.sign_in("ada", "viewer")
    page = await ada.get(f"/usage?by=hour&of={subject}")
    newest = datetime.now(UTC) - timedelta(hours=1)

    assert f"{newest:%Y-%m-%d %H}:00" in page.words
    assert page.html.index(f"{left_out} more lines are not") < page.html.index(
        "<table"
    )
    assert "the oldest are left out" in page.text
    assert "--csv FILE" in page.text
    assert "1,000" in page.words
    assert len(named) <= 10


async def test_the_oldest_bar_of_a_picture_is_the_left_one(
    ada: Browser, database_url: str
) -> None:
    await many_lines(database_url)
    await ada.sign_in("ada", "viewer")
    page = await ada.get("/usage?by=day&plot=messages")
    table = page.html.split("<table")[1]
    begin = str((datetime.now(UTC) - timedelta(days=7)).date())
    end = str((datetime.now(UTC) - timedelta(hours=1)).date())

    assert page.html.index(f"<title>{begin}") < page.html.index(f"<title>{end}")
    assert table.index(f">{end}<") < table.index(f">{begin}<")


@pytest.mark.parametrize("query", ["model=a%00b", "until=0001-01-01"])
async def test_what_no_report_can_have_is_a_sentence(
    ada: Browser, query: str
) -> None:
    """A name that Postgres does not take, and a time without days before it."""
    await ada.sign_in("ada")
    page = await ada.get(f"/usage?{query}")

    assert 422 == page.status, page.text
