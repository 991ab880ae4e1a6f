"""Making a Postgres cluster, and starting servers as an account that may run them."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agent.core.errors import ConfigurationError
from storage.embedded.binaries import account_for, locale_options
from storage.embedded.made_by import write_record
from storage.embedded.process import environment

NAME = "agent"
"""Of the database and of its owner."""

START_SECONDS = 60.0
"""How long making a cluster, or starting a server, may take."""

DISK_FULL = "its disk is full; make room and start again"

_ONE_BLOCK = 8192  # of Postgres, in bytes


def make_cluster(
    binaries: Path,
    folder: Path,
) -> None:
    """Makes `data` in the folder. Raises ConfigurationError.

    It is made next to its place and moved there when finished, so that a half-made one
    never looks finished.
    """
    for half_made in folder.glob("new-*"):
        shutil.rmtree(half_made, ignore_errors=True)
    new = Path(tempfile.mkdtemp(prefix="new-", dir=folder))
    if account := account_for(new):
        os.chown(new, account.uid, account.gid)

    with seen_by_server(new) as (data, options):
        flags = {"-D": data, "-U": NAME, "-A": "trust", "-E": "UTF8"}
        command = [str(binaries / "initdb")]
        command += [part for flag in flags.items() for part in flag]
        made = subprocess.run(  # noqa: S603
            [*command, *locale_options(binaries)],
            capture_output=True,
            text=True,
            errors="replace",
            env=environment(),
            timeout=START_SECONDS,
            check=False,
            **options,
        )

    if made.returncode:
        shutil.rmtree(new, ignore_errors=True)
        raise ConfigurationError(
            f"The embedded Postgres could not make {folder / 'data'}: {reason_of(made.stderr)}."
        )

    write_record(new, binaries)
    _put_in_place(new, folder / "data")


def _put_in_place(
    new: Path,
    data: Path,
) -> None:
    try:
        new.rename(data)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
        if (data / "PG_VERSION").exists():
            # another process made it meanwhile, because our turn had ended early
            shutil.rmtree(new)
            return

        raise ConfigurationError(
            f"{data} holds files but no Postgres cluster: move it away and start again."
        ) from error


@contextlib.contextmanager
def seen_by_server(data: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The folder's name for a server process, and the options to start that process.

    Postgres refuses to run as root, and the account it then runs as may have no access to
    the folders above (`/root`). On Linux it gets the folder as an open file, whose name
    leads there directly.
    """
    options: dict[str, Any] = {"cwd": "/"}
    account = account_for(data)
    if account is None:
        yield str(data), options
        return

    options |= {"user": account.uid, "group": account.gid, "extra_groups": []}
    if sys.platform != "linux":
        yield str(data), options
        return

    descriptor = os.open(data, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{descriptor}", {**options, "pass_fds": (descriptor,)}
    finally:
        os.close(descriptor)


def disk_is_full(folder: Path) -> bool:
    """Whether nothing more can be written there."""
    return shutil.disk_usage(folder).free < _ONE_BLOCK


def reason_of(output: str) -> str:
    """The line of a log that says why, without its time and program."""
    if "No space left on device" in output:
        return DISK_FULL

    for line in output.splitlines():
        if "FATAL:" in line or "error:" in line:
            _, _, reason = line.partition("FATAL:")
            return reason.strip() or line.strip()

    return "it named no reason"
