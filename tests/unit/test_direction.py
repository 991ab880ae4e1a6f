"""Imports point inwards: a wrong one in any layer, and a module without a room, are found."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

WRONG = [
    ("agent.core.errors", "agent.logs.tracebacks"),
    ("agent.core.text", "agent.control.flags"),
    ("agent.logs.tracebacks", "agent.llm.router"),
    ("agent.control.flags", "agent.ports"),
    ("agent.metrics", "agent.control.flags"),
    ("agent.ports", "agent.reports.experiment"),
    ("agent.reports.statistics", "agent.llm.router"),
    ("agent.logs.lines", "agent.conversation.engine"),
    ("agent.telemetry.names", "agent.conversation.engine"),
    ("agent.llm.router", "agent.telemetry.names"),
    ("agent.llm.router", "agent.conversation.engine"),
    ("agent.conversation.delivery.sending", "agent.conversation.worker"),
    ("agent.conversation.worker", "agent.app"),
    ("agent.app", "agent.web.app"),
    ("agent.web.health", "agent.operations.status"),
    ("agent.operations.doctor", "agent.cli.main"),
    ("storage.tables", "storage.connecting.batch"),
    ("storage.connecting.urls", "storage.postgres"),
    ("storage.postgres", "storage.redis"),
    ("storage.redis", "storage.embedded.servers"),
    ("storage.migrate.guarded", "storage.conversation.turns"),
    ("storage.control.flags", "storage.reports.experiment_figures"),
    ("storage.control.audit", "storage.limits.limiter"),
    ("storage.limits.limiter", "storage.people.accounts"),
    ("storage.people.accounts", "storage.conversation.turns"),
    ("storage.connecting.batch", "agent.conversation.engine"),
    ("channels.pacing", "channels.discord.channel"),
    ("channels.discord.channel", "channels.slack.channel"),
    ("channels.telegram.channel", "storage.redis"),
]
"""A module, and what it must not import."""

FOREIGN = [
    ("agent.core.messages", "sqlalchemy"),
    ("agent.conversation.engine", "httpx"),
    ("agent.conversation.worker", "opentelemetry"),
    ("agent.control.rules", "redis"),
]
"""A module that knows no library, and a library."""

STRAY = ("agent", "agent.conversation", "storage", "channels")
"""Packages in which a new module has to choose its room."""


def path(root: Path, module: str) -> Path:
    return root / (module.replace(".", "/") + ".py")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the contracts say of a copy with all of this in it."""
    root = tmp_path_factory.mktemp("house")
    for package in ("agent", "channels", "storage", "migrations"):
        shutil.copytree(ROOT / package, root / package)
    shutil.copy(ROOT / "pyproject.toml", root)

    for module, wrong in [*WRONG, *FOREIGN]:
        with path(root, module).open("a") as file:
            file.write(f"\nimport {wrong}  # planted\n")
    for package in STRAY:
        path(root, f"{package}.stray").write_text("")

    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(
        command, cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stdout
    return re.sub(r"\s+", " ", done.stdout)


@pytest.mark.parametrize(("module", "wrong"), [*WRONG, *FOREIGN])
def test_a_wrong_import_is_found(report: str, module: str, wrong: str) -> None:
    assert re.search(rf"- {re.escape(module)} -> {re.escape(wrong)} \(l\.", report)


@pytest.mark.parametrize("package", STRAY)
def test_a_module_without_a_room_is_found(report: str, package: str) -> None:
    assert f"- {package}.stray" in report


def test_the_contracts_are_kept() -> None:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout
