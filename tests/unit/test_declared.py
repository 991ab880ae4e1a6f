"""What is imported is declared, and what is declared is imported; `pyproject.toml` is one."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


def run(*command: str) -> subprocess.CompletedProcess[str]:
    program = str(BIN / command[0])

    return subprocess.run(
        [program, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_every_import_is_declared_and_every_dependency_used() -> None:
    checked = run("deptry", ".", "--no-ansi")

    assert (0, True) == (checked.returncode, "Success!" in checked.stderr), (
        checked.stderr
    )


@pytest.mark.parametrize(
    ("line", "rule"), [("import numpy_typo", "DEP001"), ("import anyio", "DEP003")]
)
def test_an_import_that_is_not_declared_is_found(
    tmp_path: Path, line: str, rule: str
) -> None:
    """One that is nowhere, and one that only comes along with something else."""
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "x"\nversion = "1"\ndependencies = ["httpx"]\n'
    )
    (tmp_path / "x.py").write_text(f"import httpx\n{line}\n")
    checked = run(
        "deptry",
        str(tmp_path),
        "--no-ansi",
        "--config",
        str(tmp_path / "pyproject.toml"),
    )

    assert (1, True) == (checked.returncode, rule in checked.stderr), checked.stderr


def test_pyproject_is_what_the_standards_say() -> None:
    checked = run(
        "validate-pyproject", "--disable", "setuptools", "distutils", "pyproject.toml"
    )

    assert 0 == checked.returncode, checked.stdout + checked.stderr


def test_all_is_every_other_extra() -> None:
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    extras = tomllib.loads(text)["project"]["optional-dependencies"]
    others = ",".join(sorted(set(extras) - {"all"}))

    assert [f"simple-ai-agent[{others}]"] == extras["all"]
