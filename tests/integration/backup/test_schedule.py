"""`agent serve` makes backups by the clock: one at a time, and beside everything else."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from agent import metrics
from agent.operations import backups
from agent.operations.backups import (
    back_up_when_due,
    backup_schedule,
    make_backup,
)
from agent.settings import Settings
from storage.backup import manifest
from storage.backup.kept import overdue
from storage.backup.manifest import read
from storage.backup.places import prune
from storage.conversation.housekeeping import tidy
from storage.postgres import connect, open_database
from tests.support.backups import fill, value, whole
from tests.support.commands import Machine
from tests.support.engine_harness import EngineHarness

HOUR_EARLIER = 3700.0


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    return settings_of(tmp_path, database_url)


def settings_of(folder: Path, url: str, **more: Any) -> Settings:
    values = {"backup_every": 1.0, "backup_keep": 2, **more}

    return Settings(
        agent_home=folder / "home",
        database_url=SecretStr(url),
        backup_dir=folder / "backups",
        **values,
    )


def age(folder: Path, seconds: float) -> None:
    """Makes a backup older than it is."""
    from datetime import timedelta

    found = read(folder)
    taken = found.taken_at - timedelta(seconds=seconds)
    (folder / manifest.NAME).unlink()
    manifest.write(
        folder, msgspec.structs.replace(found, taken_at=taken, seal=""), None
    )


async def test_it_is_made_when_it_is_time(
    settings: Settings, database_url: str, tmp_path: Path
) -> None:
    """At once, then after BACKUP_EVERY hours; one of an operator changes nothing in that."""
    folder = tmp_path / "backups"
    await make_backup(settings, database_url)
    done = [await back_up_when_due(settings, database_url) for _ in range(2)]
    (scheduled,) = [path for path in whole(folder) if read(path).scheduled]
    age(scheduled, HOUR_EARLIER)
    later = await back_up_when_due(settings, database_url)

    assert ([True, False], True, 3) == (done, later, len(whole(folder)))


async def test_of_many_instances_one_makes_it(
    settings: Settings, database_url: str, tmp_path: Path
) -> None:
    """The others see that one is at it, or that it is done."""
    done = await asyncio.gather(
        *(back_up_when_due(settings, database_url) for _ in range(4))
    )

    assert [False, False, False, True] == sorted(done)
    assert 1 == len(whole(tmp_path / "backups"))


async def test_old_ones_go_only_after_a_new_one_is_whole(
    settings: Settings, database_url: str, tmp_path: Path, monkeypatch: Any
) -> None:
    """A failing one removes nothing; those of operators stay."""
    folder = tmp_path / "backups"
    own = await make_backup(settings, database_url)
    for _ in range(3):
        made = await make_backup(settings, database_url, scheduled=True)
        for path in whole(folder):
            age(path, HOUR_EARLIER)
    oldest = whole(folder)[-1]
    monkeypatch.setattr("storage.backup.create.find_tools", _fail)
    with pytest.raises(RuntimeError, match="broken"):
        await back_up_when_due(settings, database_url)
    assert 4 == len(whole(folder))

    monkeypatch.undo()
    await back_up_when_due(settings, database_url)
    kept = whole(folder)
    assert (3, True, True) == (len(kept), own.folder in kept, made.folder in kept)
    assert oldest == own.folder
    assert [] == [path for path in folder.iterdir() if path.name.startswith(".")]


def _fail(_major: int) -> Any:
    raise RuntimeError("broken")


def test_what_is_no_backup_is_never_removed(tmp_path: Path) -> None:
    """Files and folders of others lie beside them."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "manifest.json").write_text("{}")
    (tmp_path / "file").write_text("")

    assert [] == prune(tmp_path, 0)
    assert ["file", "mine"] == sorted(path.name for path in tmp_path.iterdir())


async def test_a_failure_is_logged_counted_and_told(
    machine: Machine, database_url: str, tmp_path: Path, monkeypatch: Any
) -> None:
    """The log names it, a metric counts it; status and doctor say that there is none."""
    (tmp_path / "backups").write_text("not a folder")
    settings = settings_of(tmp_path, database_url)
    failed = asyncio.Event()
    monkeypatch.setattr(backups, "_failed", _seen(backups._failed, failed))
    before = metrics.backups.values.get(("failed",), 0)
    with capture_logs() as logs:
        async with backup_schedule(settings, database_url), asyncio.timeout(20):
            await failed.wait()

    variables = {"BACKUP_EVERY": "1", "BACKUP_DIR": str(tmp_path / "backups")}
    status = await machine.agent("status", "--json", settings=variables)
    doctor = await machine.agent("doctor", settings=variables)
    parts = {part["part"]: part for part in json.loads(status.out)["parts"]}

    assert before + 1 == metrics.backups.values["failed",]
    assert ["error"] == [
        line["log_level"] for line in logs if "no backup" in line["event"]
    ]
    assert (1, "not well") == (status.status, parts["backups"]["state"])
    assert f"backups: {tmp_path / 'backups'} cannot be used" in doctor.out


def _seen(told: Any, event: asyncio.Event) -> Any:
    def tell(sentence: str) -> None:
        told(sentence)
        event.set()

    return tell


async def test_one_that_is_late_is_told(
    machine: Machine, settings: Settings, database_url: str, tmp_path: Path
) -> None:
    """After two periods; until then all is well."""
    await back_up_when_due(settings, database_url)
    (path,) = whole(tmp_path / "backups")
    well = overdue(settings)
    variables = {"BACKUP_EVERY": "1", "BACKUP_DIR": str(tmp_path / "backups")}
    status = await machine.agent("status", settings=variables)
    age(path, 3 * HOUR_EARLIER)

    assert None is well
    assert "the newest was taken at" in status.out
    assert "is 3 hours old, and BACKUP_EVERY is 1" in (overdue(settings) or "")

    often = settings.model_copy(update={"backup_every": 0.1})
    age(path, -2.8 * HOUR_EARLIER)
    assert "is 12 minutes old, and BACKUP_EVERY is 0.1" in (overdue(often) or "")


async def test_turns_go_on_while_it_is_made(
    world: EngineHarness, tmp_path: Path
) -> None:
    """Neither the tables nor the event loop are held: a hundred answers beside three backups."""
    await fill(world.database_url, each=5000)
    settings = settings_of(tmp_path, world.database_url)
    async with world.instance() as agent:
        making = [
            asyncio.create_task(make_backup(settings, world.database_url))
            for _ in range(3)
        ]
        for number in range(100):
            await world.ask(agent, "hello", chat=f"person {number}")
        made = await asyncio.gather(*making)

    assert 3 == len({one.folder for one in made})


async def test_a_new_month_waits_for_no_backup(
    world: EngineHarness, database_url: str
) -> None:
    """While one reads the messages, housekeeping gives up at once, and people are answered."""
    name = await value(database_url, LAST_PARTITION)
    await value(database_url, f"DROP TABLE {name}")
    reading = await connect(database_url)
    try:
        await reading.execute("BEGIN; LOCK TABLE messages IN ACCESS SHARE MODE")
        async with open_database(database_url) as database, world.instance() as agent:
            tidying = asyncio.create_task(tidy(database))
            await asyncio.sleep(0.1)
            async with asyncio.timeout(5):
                await world.ask(agent, "hello")
            (failed,) = await asyncio.gather(tidying, return_exceptions=True)
    finally:
        await reading.close()

    assert "lock timeout" in str(failed)


LAST_PARTITION = """
SELECT max(inhrelid::regclass::text) FROM pg_inherits
WHERE inhparent = 'messages'::regclass AND inhrelid::regclass::text < 'messages_default'
"""
