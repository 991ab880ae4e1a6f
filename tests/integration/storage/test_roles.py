"""The role that the agent runs under can do all that the agent does, and nothing to the
audit chain.
"""

from __future__ import annotations

import os
import subprocess
from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from storage.conversation.housekeeping import tidy
from storage.postgres import open_database
from storage.reports.rollup import sum_up_again
from storage.reports.search_index import index_now
from tests.support.engine_harness import EngineHarness
from tests.support.servers import postgres_bin
from tests.support.settings import run
from tests.support.usage_data import UsageData

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "deploy" / "postgres-roles.sh"


def as_lesser_role(database_url: str) -> str:
    return database_url.replace("postgresql://postgres@", "postgresql://agent_app@")


@pytest.fixture
def lesser_url(database_url: str) -> str:
    """The URL of the lesser role, made by the script that a deployment runs; twice, since
    it may.
    """
    parts = urlsplit(database_url)
    environment = {
        "PATH": f"{postgres_bin()}:/usr/bin:/bin",
        "PGHOST": parse_qs(parts.query)["host"][0],
        "POSTGRES_USER": "postgres",
        "POSTGRES_DB": parts.path.lstrip("/"),
        "AGENT_POSTGRES_PASSWORD": "it's a 'secret'",
        "HOME": os.environ.get("HOME", "/"),
    }
    for _ in range(2):
        done = subprocess.run(
            ["bash", str(SCRIPT)],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
    return as_lesser_role(database_url)


async def test_a_conversation_needs_no_more_than_the_lesser_role(
    lesser_url: str, redis_url: str
) -> None:
    """Messages, answers, heartbeats, housekeeping and an audit row."""
    harness = EngineHarness(lesser_url, redis_url)
    async with harness.instance() as agent:
        await harness.ask(agent, "hello")
        assert len(harness.platform.screen("ada")) == 1

    async with open_database(lesser_url) as database:
        await tidy(database)


async def test_reports_and_searches_need_no_more_than_the_lesser_role(
    database_url: str, lesser_url: str
) -> None:
    """Hours are summed up, cohorts counted and words read, with a month of its own."""
    data = UsageData(seed=2, count=60, days=3)
    await data.store(database_url)
    since = data.until - timedelta(days=5)
    await sum_up_again(lesser_url, since.replace(minute=0, second=0, microsecond=0))
    await index_now(lesser_url, since)
    rows = await run(
        lesser_url,
        "SELECT (SELECT count(*) FROM report_hours) > 0,"
        " (SELECT count(*) FROM report_cohorts) > 0,"
        " (SELECT count(*) FROM search_messages) > 0",
    )

    assert [True, True, True] == list(rows[0])


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_log SET actor = 'somebody else'",
        "DELETE FROM audit_log",
        "UPDATE audit_head SET id = 0",
        "DELETE FROM audit_head",
        "INSERT INTO audit_head VALUES (true, 5, decode('00', 'hex')) ON CONFLICT DO NOTHING",
        "TRUNCATE audit_log",
        "DROP TABLE audit_log",
        "ALTER TABLE audit_log DISABLE TRIGGER audit_chain",
        "CREATE TABLE mine ()",
        "DROP FUNCTION audit_guard() CASCADE",
        "CREATE OR REPLACE FUNCTION audit_chain() RETURNS trigger LANGUAGE sql AS ''",
    ],
)
async def test_the_lesser_role_cannot_touch_the_audit_chain(
    lesser_url: str, statement: str
) -> None:
    connection = await asyncpg.connect(lesser_url)
    try:
        insert = (
            "INSERT INTO audit_log (actor, action, subject) VALUES ('a', 'b', 'c')"
        )
        await connection.execute(insert)
        before = await connection.fetch("SELECT id, hash FROM audit_log ORDER BY id")

        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.execute(statement)

        assert before == await connection.fetch(
            "SELECT id, hash FROM audit_log ORDER BY id"
        )
    finally:
        await connection.close()
