"""A Postgres URL as libpq reads it, and what asyncpg is told instead.

The parameters:
https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS. Beyond
libpq's there is `pooled=true`: behind the URL is a pooler in transaction mode.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal, get_args
from urllib.parse import urlencode

from msgspec import Struct

from storage.connecting.password_file import is_private, password_of
from storage.connecting.postgres_names import (
    DEFAULTS,
    FROM_ENVIRONMENT,
    KERBEROS,
    NOT_POSSIBLE,
    OF_OTHER_CLIENTS,
    OTHER_NAMES,
    SEEN_TO,
)
from storage.connecting.postgres_tls import (
    TLS_PARAMETERS,
    SslMode,
    check_tls,
    tls_of,
)
from storage.connecting.urls import (
    TRUTH,
    Host,
    UnreadableUrl,
    Url,
    bare,
    one_of,
    port_number,
    shown,
    split_url,
    truth,
)

CONNECT_SECONDS = 5.0
LONGEST_CONNECT_SECONDS = 60.0
PORT = 5432
APPLICATION = "simple-ai-agent"

Target = Literal[
    "any", "read-write", "read-only", "primary", "standby", "prefer-standby"
]

_KNOWN = frozenset(
    {
        "host",
        "hostaddr",
        "port",
        "user",
        "password",
        "dbname",
        "passfile",
        "service",
        "sslmode",
        "channel_binding",
        "connect_timeout",
        "application_name",
        "fallback_application_name",
        "options",
        "target_session_attrs",
        "load_balance_hosts",
        "pooled",
        *TLS_PARAMETERS,
        *KERBEROS,
        *SEEN_TO,
        *OF_OTHER_CLIENTS,
    }
)


class PostgresUrl(Struct, frozen=True):
    """Where a database is and how it is reached."""

    servers: tuple[
        tuple[str, int], ...
    ]  # in the order in which they are tried; none: as asyncpg finds one
    user: str | None
    password: str | None
    database: str | None
    target: Target
    sslmode: SslMode | None
    system_roots: bool  # the certificate is checked by what the system trusts
    connect_seconds: float  # for each server
    pooled: bool
    settings: Mapping[str, str]  # of the session, as they are sent at its start
    rest: Mapping[str, str]  # what asyncpg reads by itself
    passfile: Path | None = None  # none: the usual one

    def __repr__(self) -> str:
        """Without a password."""
        return f"PostgresUrl({self.servers}, {self.user!r}, {self.database!r})"

    def dsn(self, target: Target) -> str:
        """For asyncpg: only what it takes in no other form."""
        mode = (
            {"sslmode": self.sslmode}
            if self.sslmode and not self.system_roots
            else {}
        )
        asked = {"target_session_attrs": target} | mode | dict(self.rest)

        return f"postgresql://?{urlencode(asked)}"

    def password_at(self, server: tuple[str, int] | None) -> str | None:
        """The password for one of the servers. None: asyncpg looks in the environment."""
        if self.password or server is None or os.environ.get("PGPASSWORD"):
            return self.password

        return password_of(self.passfile, server, self.database, self.user)

    def attempts(self) -> Iterator[tuple[tuple[str, int] | None, Target]]:
        """Servers and what each must be, in the order in which libpq tries them."""
        rounds: tuple[Target, ...] = (
            ("standby", "any") if self.target == "prefer-standby" else (self.target,)
        )
        for target in rounds:
            for server in self.servers or (None,):
                yield server, target


def read_postgres_url(url: str) -> PostgresUrl:
    """Reads it. Raises UnreadableUrl, which names the parameter."""
    parts = split_url(url)
    if parts.scheme.partition("+")[0] not in ("postgresql", "postgres"):
        raise UnreadableUrl("is not a Postgres URL")
    if "&" in parts.path and "=" in parts.path:
        raise UnreadableUrl("has & before its first parameter, where ? belongs")

    given = _known(parts.parameters)
    sslmode, system_roots = tls_of(given)
    check_tls(given, sslmode)
    return PostgresUrl(
        servers=_servers(parts, given, verified=sslmode == "verify-full"),
        user=given.get("user") or parts.user or None,
        password=given.get("password") or parts.password or None,
        database=given.get("dbname") or parts.path or None,
        target=one_of(
            "target_session_attrs",
            given.get("target_session_attrs", "any"),
            get_args(Target),
        ),
        sslmode=sslmode,
        system_roots=system_roots,
        connect_seconds=_connect_seconds(given.get("connect_timeout", "")),
        pooled=truth("pooled", given.get("pooled", "false")),
        settings=_settings(given),
        rest={
            name: given[name]
            for name in (*TLS_PARAMETERS, *KERBEROS, "service")
            if name in given
        },
        passfile=_passfile(given.get("passfile")),
    )


def pooled(url: str) -> str:
    """The same URL, saying that a pooler is behind it."""
    return f"{bare(url)}{'&' if '?' in url else '?'}pooled=true"


def _known(parameters: Mapping[str, str]) -> dict[str, str]:
    """By libpq's names, with what the environment adds. An empty value is as good as none,
    as in libpq.
    """
    written = {
        name: value
        for name, value in parameters.items()
        if value and (name, value.lower()) not in DEFAULTS
    }
    others = {
        own: written.pop(other)
        for other, own in OTHER_NAMES.items()
        if other in written
    }
    if "sslmode" in others:
        others["sslmode"] = _as_mode(others["sslmode"])
    given = others | written  # libpq's own name says it more exactly
    for name in given:
        if name in NOT_POSSIBLE:
            raise UnreadableUrl(
                f"asks for {name}, which is not possible here: remove it"
            )
        if name not in _KNOWN:
            raise UnreadableUrl(
                f"has the parameter {shown(name)}, which is unknown: remove it, "
                "or write a setting of the server as "
                "options=-c%20name%3Dvalue"
            )
    if "sslmode" in given:
        given["sslmode"] = _as_mode(given["sslmode"])
    added = {
        name: os.environ.get(variable, "")
        for name, variable in FROM_ENVIRONMENT.items()
    }
    return {name: value for name, value in added.items() if value} | given


def _as_mode(written: str) -> str:
    """As node-postgres and JDBC write it: they check nothing unless they are asked to."""
    mode = written.lower()
    if mode in TRUTH:
        return "require" if TRUTH[mode] else "disable"

    return "require" if mode == "no-verify" else mode


def _servers(
    parts: Url, given: Mapping[str, str], *, verified: bool
) -> tuple[tuple[str, int], ...]:
    hosts = parts.hosts
    if "host" in given:
        hosts = tuple(Host(name, "") for name in given["host"].split(","))
    if "hostaddr" in given:
        if verified:
            raise UnreadableUrl(
                "has hostaddr next to sslmode=verify-full, which is not possible "
                "here: use host alone"
            )
        hosts = tuple(Host(name, "") for name in given["hostaddr"].split(","))
    ports = (
        given["port"].split(",") if "port" in given else [host.port for host in hosts]
    )
    if len(ports) == 1:
        ports *= len(hosts)
    if len(ports) != len(hosts):
        raise UnreadableUrl(
            f"has {len(hosts)} hosts and {len(ports)} ports: give one port, or one for each host"
        )
    servers = [
        (host.name, port_number(port, _default_port()))
        for host, port in zip(hosts, ports, strict=True)
    ]
    if (
        one_of(
            "load_balance_hosts",
            given.get("load_balance_hosts", "disable"),
            ("disable", "random"),
        )
        == "random"
    ):
        random.shuffle(servers)
    return tuple(servers) if any(name for name, _ in servers) else ()


def _default_port() -> int:
    written = os.environ.get("PGPORT", "")
    return int(written) if written.isdigit() else PORT


def _passfile(written: str | None) -> Path | None:
    if written is None:
        return None
    file = Path(written)
    if not os.access(file, os.R_OK):
        raise UnreadableUrl("names a file in passfile that cannot be read")
    if not is_private(file):
        raise UnreadableUrl(
            "names a file in passfile that others may read: give it chmod 600"
        )

    return file


def _connect_seconds(written: str) -> float:
    """As libpq: whole seconds; 0 and less is no limit, which here is the usual one."""
    try:
        seconds = int(written or 0)
    except ValueError:
        raise UnreadableUrl(
            "has a connect_timeout that is no whole number of seconds"
        ) from None
    return min(seconds, LONGEST_CONNECT_SECONDS) if seconds > 0 else CONNECT_SECONDS


def _settings(given: Mapping[str, str]) -> dict[str, str]:
    name = (
        given.get("application_name")
        or given.get("fallback_application_name")
        or APPLICATION
    )
    options = given.get("options")
    return {"application_name": name} | ({"options": options} if options else {})
