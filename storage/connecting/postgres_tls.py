"""TLS to Postgres, as libpq's parameters ask for it.

https://www.postgresql.org/docs/current/libpq-ssl.html
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args

from storage.connecting.urls import UnreadableUrl, one_of

SslMode = Literal["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]
TlsVersion = Literal["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"]

_SYSTEM = "system"
_FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
_VERSIONS = ("ssl_min_protocol_version", "ssl_max_protocol_version")
TLS_PARAMETERS = (*_FILES, *_VERSIONS, "sslpassword", "sslnegotiation")


def tls_of(given: Mapping[str, str]) -> tuple[SslMode | None, bool]:
    """How TLS is spoken, and whether the system's own roots check the certificate.

    libpq wants a file of roots for `verify-full`, or `sslrootcert=system`. Without a file
    the system's are taken: it is as strict, and what such a URL means everywhere else.
    """
    system = given.get("sslrootcert") == _SYSTEM
    written = given.get("sslmode", "verify-full" if system else "")
    mode: SslMode | None = (
        one_of("sslmode", written, get_args(SslMode)) if written else None
    )
    if system and mode != "verify-full":
        raise UnreadableUrl(
            "has sslrootcert=system, which goes with sslmode=verify-full only"
        )
    if (
        one_of(
            "channel_binding",
            given.get("channel_binding", "prefer"),
            ("disable", "prefer", "require"),
        )
        == "require"
    ):
        if mode == "disable":
            raise UnreadableUrl(
                "has channel_binding=require, which needs TLS: remove sslmode=disable"
            )
        mode = "require" if mode in (None, "allow", "prefer") else mode
    no_file = (
        "sslrootcert" not in given
        and not (Path.home() / ".postgresql" / "root.crt").exists()
    )
    if mode == "verify-ca" and no_file:
        raise UnreadableUrl(
            "has sslmode=verify-ca, which needs the CA's file in sslrootcert; or use verify-full"
        )
    return mode, mode == "verify-full" and (system or no_file)


def check_tls(given: Mapping[str, str], mode: SslMode | None) -> None:
    for name in _FILES:
        file = given.get(name)
        if (
            file
            and not (name == "sslrootcert" and file == _SYSTEM)
            and not os.access(file, os.R_OK)
        ):
            raise UnreadableUrl(f"names a file in {name} that cannot be read")
    for name in _VERSIONS:
        if name in given:
            one_of(name, given[name], get_args(TlsVersion))
    direct = (
        one_of(
            "sslnegotiation",
            given.get("sslnegotiation", "postgres"),
            ("postgres", "direct"),
        )
        == "direct"
    )
    if direct and mode not in ("require", "verify-ca", "verify-full"):
        raise UnreadableUrl(
            "has sslnegotiation=direct, which goes with sslmode=require and stricter ones only"
        )
