"""A Redis URL as redis-cli reads it, with the parameters that Python's clients know.

Redis is disposable: whoever asks for something odd gets a sentence, and the agent runs on.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from storage.connecting.urls import (
    UnreadableUrl,
    Url,
    port_number,
    shown,
    split_url,
    truth,
)

PORT = 6379

_PLAIN = frozenset({"redis", "valkey"})
_ENCRYPTED = frozenset({"rediss", "valkeys", "redis+ssl", "redis+tls"})
_SOCKET = frozenset({"unix", "redis+unix", "redis+socket"})
_LATER = frozenset(
    {"redis+cluster", "rediss+cluster", "redis+sentinel", "rediss+sentinel"}
)

_OURS = frozenset(
    {
        "timeout",
        "socket_timeout",
        "socket_connect_timeout",
        "socket_keepalive",
        "socket_read_size",
        "max_connections",
        "health_check_interval",
        "retry_on_timeout",
        "protocol",
        "decode_responses",
        "encoding",
        "encoding_errors",
        "legacy_responses",
        "virtual_host",
    }
)
"""What other programs let people choose; the agent's own choice stands, as its code relies
on it.
"""

_TLS_TEXTS = (
    "ssl_keyfile",
    "ssl_certfile",
    "ssl_ca_certs",
    "ssl_ca_path",
    "ssl_password",
    "ssl_ciphers",
)
_TLS_FILES = ("ssl_keyfile", "ssl_certfile", "ssl_ca_certs", "ssl_ca_path")
_TLS_OTHERS = ("ssl_cert_reqs", "ssl_check_hostname")
_KNOWN = frozenset(
    {
        "db",
        "username",
        "password",
        "client_name",
        "ssl",
        "tls",
        *_TLS_TEXTS,
        *_TLS_OTHERS,
    }
)

_CERTIFICATE = {
    "none": "none",
    "cert_none": "none",
    "optional": "optional",
    "cert_optional": "optional",
    "required": "required",
    "cert_required": "required",
}
"""As redis-py writes it, and as Celery does."""


class RedisUrl(Struct, frozen=True):
    """Where a Redis is and how it is reached."""

    tls: bool
    socket: bool
    options: Mapping[str, Any]  # of redis-py's connection
    passed_over: tuple[str, ...] = ()  # names of parameters that nobody knows

    def __repr__(self) -> str:
        """Without its options, which may hold a password."""
        return f"RedisUrl(tls={self.tls}, socket={self.socket})"


def read_redis_url(url: str) -> RedisUrl:
    """Reads it. Raises UnreadableUrl."""
    parts = split_url(url)
    if parts.scheme in _LATER:
        raise UnreadableUrl(
            "names a cluster or a sentinel, which is not possible yet: name one server"
        )
    if parts.scheme not in _PLAIN | _ENCRYPTED | _SOCKET:
        raise UnreadableUrl("is not a Redis URL")
    given = parts.parameters
    socket = parts.scheme in _SOCKET
    tls = not socket and (
        parts.scheme in _ENCRYPTED or _yes(given, "ssl") or _yes(given, "tls")
    )
    where = {"path": f"/{parts.path}"} if socket else _server(parts)
    return RedisUrl(
        tls=tls,
        socket=socket,
        options={
            **where,
            "db": _database(parts, socket=socket),
            **_who(parts),
            **(_tls(given) if tls else {}),
        },
        passed_over=tuple(
            shown(name) for name in given if name not in _KNOWN | _OURS
        ),
    )


def _server(parts: Url) -> dict[str, Any]:
    if len(parts.hosts) > 1:
        raise UnreadableUrl("names several hosts: name one server")
    if not parts.hosts:
        return {"host": "localhost", "port": PORT}
    return {
        "host": parts.hosts[0].name or "localhost",
        "port": port_number(parts.hosts[0].port, PORT),
    }


def _database(parts: Url, *, socket: bool) -> int:
    written = parts.parameters.get("db") or ("" if socket else parts.path.strip("/"))
    if not written:
        return 0
    if not (written.isascii() and written.isdigit()):
        raise UnreadableUrl(
            "has a database that is no number: it looks like redis://host:6379/0"
        )
    return int(written)


def _who(parts: Url) -> dict[str, str]:
    """As redis-cli: what stands alone before the @ is the password."""
    user, password = parts.user, parts.password
    if user and password is None:
        user, password = None, user
    names = {"username": parts.parameters.get("username") or user}
    names |= {"password": parts.parameters.get("password") or password}
    names |= {"client_name": parts.parameters.get("client_name")}
    return {name: value for name, value in names.items() if value}


def _tls(given: Mapping[str, str]) -> dict[str, Any]:
    for name in _TLS_FILES:
        if name in given and not os.access(given[name], os.R_OK):
            raise UnreadableUrl(f"names a file in {name} that cannot be read")
    options: dict[str, Any] = {
        name: given[name] for name in _TLS_TEXTS if name in given
    }
    if "ssl_cert_reqs" in given:
        written = given["ssl_cert_reqs"].lower()
        if written not in _CERTIFICATE:
            raise UnreadableUrl(
                "has an ssl_cert_reqs that is none of none, optional, required"
            )
        options["ssl_cert_reqs"] = _CERTIFICATE[written]
    if "ssl_check_hostname" in given:
        options["ssl_check_hostname"] = _yes(given, "ssl_check_hostname")
    return options


def _yes(given: Mapping[str, str], name: str) -> bool:
    return truth(name, given.get(name, "false"))
