"""The built wheel in an environment of its own, with what it declares as needed and nothing else.

No index is asked: needed distributions are taken from the environment of the tests.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.commands import ROOT

NAME = "simple-ai-agent"


@dataclass(frozen=True)
class Installation:
    """A virtual environment with the wheel in it."""

    folder: Path
    distributions: frozenset[str]
    """Their names, without the wheel's own."""

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def agent(self) -> Path:
        return self.folder / "bin" / "agent"


def build_wheel(folder: Path) -> Path:
    """Builds it as an installer would, from the files of the checkout."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d"]
    subprocess.run([*command, str(folder)], cwd=ROOT, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")

    return wheel


def install(wheel: Path, folder: Path, *extras: str) -> Installation:
    """Installs it with these extras."""
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True
    )
    packages = Path(
        sysconfig.get_path("purelib", vars={"base": str(folder)}, scheme="venv")
    )
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)

    (metadata,) = packages.glob("simple_ai_agent-*.dist-info")
    needed = closure(Distribution.at(metadata), extras)
    for name in needed:
        _link(distribution(name), packages)
    _write_script(folder)

    return Installation(folder, frozenset(needed))


def closure(of: Distribution, extras: tuple[str, ...]) -> set[str]:
    """All that a distribution needs, directly or not."""
    found: set[str] = set()
    waiting = [(of, extra) for extra in ("", *extras)]
    seen: set[tuple[str, str]] = set()

    while waiting:
        current, extra = waiting.pop()
        if (current.name, extra) in seen:
            continue
        seen.add((current.name, extra))
        for requirement in _requirements(current, extra):
            name = canonicalize_name(requirement.name)
            if name == NAME:
                waiting += [(of, more) for more in requirement.extras]
                continue
            found.add(name)
            waiting += [
                (distribution(name), more) for more in ("", *requirement.extras)
            ]

    return found


def _requirements(of: Distribution, extra: str) -> Iterator[Requirement]:
    for line in of.requires or ():
        requirement = Requirement(line)
        marker = requirement.marker
        if marker is None or marker.evaluate({"extra": extra}):
            yield requirement


def _link(found: Distribution, packages: Path) -> None:
    """Everything of it that stands next to its metadata."""
    tops = {file.parts[0] for file in found.files or ()} - {"..", "__pycache__"}
    for top in tops:
        target, link = Path(str(found.locate_file(top))), packages / top
        if not link.exists():
            link.symlink_to(target)


def _write_script(folder: Path) -> None:
    """What an installer makes of the wheel's entry point."""
    script = folder / "bin" / "agent"
    script.write_text(
        f"#!{folder}/bin/python\n"
        "import sys\n"
        "from importlib.metadata import distribution\n"
        f"(entry,) = distribution({NAME!r}).entry_points\n"
        "sys.exit(entry.load()())\n"
    )
    script.chmod(0o755)


def is_installed(name: str) -> bool:
    """Whether the tests' environment has it."""
    try:
        distribution(name)
    except PackageNotFoundError:
        return False

    return True
