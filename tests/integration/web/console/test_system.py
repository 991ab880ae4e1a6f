"""The system page: what the commands on the stores say, as one page."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path
from unittest.mock import AsyncMock, Mock

import asyncpg
import pytest

from agent.core.words.sizes import in_words
from agent.web.console import errors
from agent.web.console.pages import system
from storage import migrate
from storage.backup.manifest import DumpFile, Manifest, Table
from storage.migrate.history import history
from storage.reports.load import postgres_load
from tests.support.browser import Browser, console
from tests.support.engine_harness import Instance
from tests.support.settings import run, set_channel


def manifest() -> Manifest:
    return Manifest(
        format=1,
        agent="1.2.3",
        taken_at=datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC),
        scheduled=True,
        server="16.4",
        tools=16,
        schema="0021",
        namespace="public",
        epoch=7,
        audit_rows=3,
        audit_head="",
        tables={"messages": Table(4711, "")},
        files={"messages": DumpFile(5 << 20, "")},
        encryption=None,
    )


async def test_the_page_has_what_the_commands_say(
    agent: Instance, database_url: str, redis_url: str
) -> None:
    await set_channel(database_url, retention=30)
    async with console(database_url, redis_url, retention_days=60) as ada:
        await ada.sign_in("ada", "viewer")
        page = await ada.get("/system")
    load = await postgres_load(database_url)
    applied = await history(database_url, migrate.HEAD)

    assert 200 == page.status, page.text
    for one in applied:
        assert one.revision in page.text
        assert one.title in page.text
    assert f"{len(applied)} applied, 0 pending" in page.text
    for table in load.tables:
        month = table.name.removeprefix("messages_").replace("_", "-")
        assert table.name in page.text or month in page.text
    assert in_words(load.bytes).rpartition(" ")[2] in page.text
    assert f"of {load.maximum}" in page.text
    assert "test 30d" in page.text
    assert "every other channel 60d" in page.text
    assert "Oldest month goes 2" in page.text
    assert "There is none that this machine sees." in page.text
    assert "style=" not in page.html


async def test_a_pending_migration_and_stray_messages_are_seen(
    ada: Browser, database_url: str
) -> None:
    await ada.sign_in("ada", "viewer")
    last = int(migrate.HEAD) - 1
    await run(
        database_url, "UPDATE alembic_version SET version_num = $1", f"{last:04}"
    )
    page = await ada.get("/system")

    assert "1 pending" in page.text
    assert f"{migrate.HEAD} is needed" in page.text
    assert "Run: agent db upgrade" in page.text


async def test_names_of_machines_are_harmless(
    ada: Browser, database_url: str
) -> None:
    await run(
        database_url,
        "INSERT INTO instances (id, host, pid, channels, epoch)"
        " VALUES (gen_random_uuid(), $1, 7, '{}', 0)",
        "<script>alert(1)</script>\u202eevil",
    )
    await ada.sign_in("ada", "viewer")
    page = await ada.get("/system")

    assert "<script>alert" not in page.html
    assert "\u202e" not in page.html
    assert "[U+202E]evil" in page.text


async def test_backups_of_this_machine_are_listed(
    database_url: str, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = tmp_path / "file"
    odd.touch()
    for folder in (tmp_path, odd):
        async with console(
            database_url, redis_url, backup_dir=folder, backup_every=24
        ) as ada:
            await ada.sign_in("ada", "viewer")
            page = await ada.get("/system")
            assert str(folder) in page.text
            assert "There is none" in page.text

    assert "is not a folder" in page.text

    kept = [(tmp_path / "one", manifest())]
    monkeypatch.setattr(system, "kept_backups", lambda settings: kept)
    async with console(database_url, redis_url) as ada:
        await ada.sign_in("ada", "viewer")
        page = await ada.get("/system")

    for part in ("2026-05-04 03:02:01 UTC", "4711", "5.0 MiB", "0021", "1.2.3"):
        assert part in page.text, part


def _parts() -> list[tuple[str, str]]:
    """The functions that read the page, and what stands there without each."""
    return [
        ("history", "Migrations"),
        ("kept", "Oldest month goes"),
        ("postgres_load", "Oldest transaction"),
        ("server_version", "Oldest transaction"),
        ("redis_load", "Hit rate"),
        ("kept_backups", "Backups in"),
        ("live_instances", "No instance runs."),
        ("control_in_force", "Flags and settings"),
        ("disk_warnings", "The stores say nothing"),
    ]


SYNCHRONOUS = ("kept_backups", "disk_warnings")
ERRORS = (
    TimeoutError(),
    asyncpg.TooManyConnectionsError("of secret-host"),
    OSError("secret-host"),
    RuntimeError("secret-host"),
)


async def test_each_part_fails_alone(
    ada: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever one of them raises, the rest of the page is there."""
    await ada.sign_in("ada", "viewer")
    whole = await ada.get("/system")
    for name, lost in _parts():
        for error in ERRORS:
            with monkeypatch.context() as patch:
                kind = Mock if name in SYNCHRONOUS else AsyncMock
                patch.setattr(system, name, kind(side_effect=error))
                page = await ada.get("/system")

            others = [words for _, words in _parts() if words != lost]
            assert lost in whole.text, lost
            assert (200, False) == (page.status, lost in page.text), (name, error)
            assert "unknown" in page.text or "Backups: " in page.text
            assert "secret-host" not in page.text
            assert [] == [
                words
                for words in others
                if words not in page.text and not words.startswith("The stores")
            ], (name, error)


async def test_parts_that_hang_end_side_by_side(
    ada: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(*_: object) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(errors, "PART_SECONDS", 0.2)
    await ada.sign_in("ada", "viewer")
    for name in ("redis_load", "postgres_load", "live_instances", "history"):
        monkeypatch.setattr(system, name, hang)
    began = time.monotonic()
    page = await ada.get("/system")

    assert time.monotonic() - began < 2 * 0.2 + 1
    assert 4 == page.text.count("Load the page again in a moment.")
    assert "Oldest month goes" in page.text
