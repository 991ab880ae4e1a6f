"""Driver connections to Postgres, as its URL asks for them."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from types import MappingProxyType

import asyncpg

from storage.connecting.postgres_url import PostgresUrl, Target, read_postgres_url

STATEMENT_SECONDS = 10.0

STATEMENTS_KEPT = 100
"""Prepared ones, for each connection."""

BY_INDEX = {
    "plan_cache_mode": "force_generic_plan",
    **dict.fromkeys(
        (
            "enable_seqscan",
            "enable_bitmapscan",
            "enable_hashjoin",
            "enable_mergejoin",
        ),
        "off",
    ),
}
"""For the turn's statements, which look up few rows among many, even if the statistics of a
young table say otherwise.
"""

WALK_INDEXES = {**BY_INDEX, "enable_sort": "off"}
"""For reading windows: walks the index and stops.

Statistics describe the average conversation. In one of 100,000 messages the planner would
read and sort all of them to find the last twenty. Not for statements that lock in order: to
avoid sorting a few rows, they would walk the index of all conversations.
"""


async def connect(
    url: str,
    statement_seconds: float | None = STATEMENT_SECONDS,
    planner: Mapping[str, str] = MappingProxyType({}),
) -> asyncpg.Connection[asyncpg.Record]:
    """A driver connection to the first server of the URL that is there and as asked for.

    Behind a pooler, where a session is nobody's, `planner` is not set (see
    `PinnedConnection`), and no statement has a name: the driver sends its two steps without
    a Sync between them, so both come to one session. Raises UnreadableUrl.
    """
    where = read_postgres_url(url)
    failed: Exception = NoSuchServerError()
    for server, target in where.attempts():
        try:
            return await _connect(where, server, target, statement_seconds, planner)
        # OSError: TimeoutError is one, too.
        except (asyncpg.CannotConnectNowError, OSError) as error:
            failed = error
        except asyncpg.TargetServerAttributeNotMatched:
            failed = NoSuchServerError()

    raise failed


class NoSuchServerError(ConnectionError):
    """No server of the URL is what its target_session_attrs asks for."""


async def _connect(
    where: PostgresUrl,
    server: tuple[str, int] | None,
    target: Target,
    statement_seconds: float | None,
    planner: Mapping[str, str],
) -> asyncpg.Connection[asyncpg.Record]:
    host, port = server or (None, None)
    return await asyncpg.connect(
        where.dsn(target),
        host=host,
        port=port,
        user=where.user,
        password=where.password_at(server),
        database=where.database,
        timeout=where.connect_seconds,
        command_timeout=statement_seconds,
        ssl=_system_roots(where.rest) if where.system_roots else None,
        server_settings=dict(where.settings)
        if where.pooled
        else {**where.settings, "jit": "off", **planner},
        statement_cache_size=0 if where.pooled else STATEMENTS_KEPT,
    )


def _system_roots(rest: Mapping[str, str]) -> ssl.SSLContext:
    """Checks certificate and host name by what the system trusts."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["postgresql"])
    if certificate := rest.get("sslcert"):
        context.load_cert_chain(
            certificate, rest.get("sslkey"), lambda: rest.get("sslpassword", "")
        )
    return context
