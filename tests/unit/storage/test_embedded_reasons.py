"""Why an embedded Postgres did not start, as people read it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from storage.embedded import cluster


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
