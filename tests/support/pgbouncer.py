"""pgbouncer in transaction mode in front of a Postgres: a session is nobody's, only a
transaction is.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

from storage.embedded.binaries import account_for
from tests.support.servers import Postgres, Server

BINARY = (
    os.environ.get("TEST_PGBOUNCER")
    or shutil.which("pgbouncer")
    or shutil.which("pgbouncer", path="/usr/sbin")
)
"""Debian's package is called pgbouncer. None: not installed."""

_PORT = 6432


class PgBouncer(Server):
    """Lets everybody in as the superuser. Few connections to the server, so that sessions
    are shared for sure.
    """

    def __init__(self, postgres: Postgres, **settings: str) -> None:
        super().__init__()
        self._account: dict[str, Any] = {}
        if account := account_for(self.folder):
            os.chown(self.folder, account.uid, account.gid)
            self._account = {
                "user": account.uid,
                "group": account.gid,
                "extra_groups": [],
            }
        lines = {
            "unix_socket_dir": str(self.folder),
            "listen_port": str(_PORT),
            "auth_type": "any",
            "pool_mode": "transaction",
            "default_pool_size": "4",
            "max_client_conn": "500",
            **settings,
        }
        written = "\n".join(f"{name} = {value}" for name, value in lines.items())
        (self.folder / "ini").write_text(
            f"[databases]\n* = host={postgres.folder} port={postgres.port} "
            f"user=postgres\n[pgbouncer]\n{written}\n"
        )

    def url(self, database: str) -> str:
        """A database of the Postgres behind it, as `DATABASE_URL`."""
        folder = quote(str(self.folder))

        return f"postgresql://postgres@/{quote(database)}?host={folder}&port={_PORT}"

    def _launch(self, log: IO[bytes]) -> subprocess.Popen[bytes]:
        assert BINARY, "pgbouncer is not installed"
        command = [BINARY, str(self.folder / "ini")]
        return subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            cwd=self.folder,
            start_new_session=True,
            **self._account,
        )

    def _ready(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            return (
                connection.connect_ex(str(Path(self.folder) / f".s.PGSQL.{_PORT}"))
                == 0
            )
