"""libpq's password file. asyncpg has a reader, too, but it leaves the backslash before a
colon in the password.

The format: https://www.postgresql.org/docs/current/libpq-pgpass.html
"""

from __future__ import annotations

import getpass
import os
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

_FIELD = re.compile(r"((?:\\.|[^\\:])*)(?::|$)")


def password_of(
    file: Path | None, server: tuple[str, int], database: str | None, user: str | None
) -> str | None:
    """The password of the first line that fits; None without one. Without `file` it is the
    usual one.

    A file that others may read is passed over, as libpq does.
    """
    file = file or Path(os.environ.get("PGPASSFILE") or Path.home() / ".pgpass")
    name = user or os.environ.get("PGUSER") or getpass.getuser()
    host = "localhost" if server[0].startswith("/") else server[0]
    wanted = (
        host,
        str(server[1]),
        database or os.environ.get("PGDATABASE") or name,
        name,
    )
    for *fields, password in _lines(file):
        if all(
            field in ("*", value) for field, value in zip(fields, wanted, strict=True)
        ):
            return password

    return None


def is_private(file: Path) -> bool:
    """Whether only its owner may use it. Windows knows no such rights."""
    return os.name == "nt" or not file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO)


def _lines(file: Path) -> Iterator[Sequence[str]]:
    try:
        text = file.read_text("utf-8") if file.is_file() and is_private(file) else ""
    except (OSError, UnicodeDecodeError):
        return
    for line in text.splitlines():
        fields = [re.sub(r"\\(.)", r"\1", field) for field in _FIELD.findall(line)]
        if not line.startswith("#") and len(fields) > 4:
            yield fields[:5]
