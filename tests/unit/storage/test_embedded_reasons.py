"""Why an embedded Postgres did not start, as people read it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from agent.core.errors import ConfigurationError
from storage.embedded import cluster
from storage.embedded.servers import embedded


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ("", "it named no reason"),
        ("LOG:  starting\n", "it named no reason"),
        ("2026-11-28 FATAL:  the role is missing\n", "the role is missing"),
        ("initdb: error: no such folder\n", "initdb: error: no such folder"),
        ("PANIC: write: No space left on device\n", cluster.DISK_FULL),
    ],
)
def test_there_is_always_a_reason(log: str, reason: str) -> None:
    assert cluster.reason_of(log) == reason


def test_a_full_disk_is_known_where_the_log_could_not_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_folder: Path) -> Any:
        return type("Usage", (), {"free": 4096})()

    before = cluster.disk_is_full(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", full)

    assert (before, cluster.disk_is_full(tmp_path)) == (False, True)


@pytest.mark.parametrize("name", ["users", "turn"])
async def test_a_lock_that_cannot_be_opened_is_a_sentence(
    tmp_path: Path, name: str
) -> None:
    """Something else stands in its place."""
    (tmp_path / "postgres" / name).mkdir(parents=True)
    with pytest.raises(ConfigurationError, match="cannot be used"):
        async with embedded(tmp_path, redis=False):
            pass
