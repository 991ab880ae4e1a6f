"""The names of parameters in a Postgres URL, by what is done with them."""

from __future__ import annotations

KERBEROS = ("krbsrvname", "gsslib")
SEEN_TO = frozenset(
    {
        "client_encoding",  # always UTF-8
        "keepalives",
        "keepalives_idle",
        "keepalives_interval",
        "keepalives_count",
        "tcp_user_timeout",  # deadlines are
        "gssencmode",
        "gssdelegation",
        "sslcompression",
        "sslsni",
        "sslcertmode",  # no stronger than without
        "min_protocol_version",
        "max_protocol_version",
        "servicefile",
    }
)
"""What libpq takes and what changes nothing here."""

OF_OTHER_CLIENTS = frozenset(
    {
        "connection_limit",
        "pool_timeout",
        "socket_timeout",
        "statement_cache_size",
        "prepared_statement_cache_size",
        "uselibpqcompat",
        "supa",
        "sslaccept",
        "pool_max_conns",
        "pool_min_conns",
        "pool_max_conn_lifetime",
        "pool_max_conn_lifetime_jitter",
        "pool_max_conn_idle_time",
        "pool_health_check_period",
        "default_query_exec_mode",
        "prepareThreshold",
        "reWriteBatchedInserts",
        "binary_parameters",
        "charset",
        "command_timeout",
        "connectTimeout",
        "encoding",
        "idle_timeout",
        "loginTimeout",
        "max_conns",
        "pool",
        "pool_max",
        "pool_min",
        "pool_mode",
        "pool_recycle",
        "pool_size",
        "prepared_statement_name_func",
        "prepared_statements",
        "serverVersion",
        "socketTimeout",
        "statement-cache-capacity",
        "statement_cache_capacity",
        "statement_cache_mode",
        "stringtype",
        "tcpKeepAlive",
        "timeout",
        "workaround",
    }
)
"""What Prisma, SQLAlchemy, Rails, Doctrine, node-postgres, pgx, sqlx and JDBC read from the
URLs that hosters hand out: it is about their own pools, or about nothing.
"""

NOT_POSSIBLE = frozenset(
    {
        "require_auth",
        "requirepeer",
        "sslcrldir",
        "sslkeylogfile",
        "replication",
        "scram_client_key",
        "scram_server_key",
        "oauth_issuer",
        "oauth_client_id",
        "oauth_client_secret",
        "oauth_scope",
    }
)
"""What libpq takes and asyncpg cannot do. Passing over it would be less safe than was
asked for.
"""

FROM_ENVIRONMENT = {
    "application_name": "PGAPPNAME",
    "channel_binding": "PGCHANNELBINDING",
    "connect_timeout": "PGCONNECT_TIMEOUT",
    "options": "PGOPTIONS",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
}
"""What libpq takes from the environment where the URL does not say; asyncpg takes the
others itself.
"""

OTHER_NAMES = {
    "database": "dbname",
    "pgbouncer": "pooled",
    "ssl": "sslmode",
    "ApplicationName": "application_name",
    "gssEncMode": "gssencmode",
}
"""As Prisma, SQLAlchemy and JDBC write them; hosters hand such URLs out."""


DEFAULTS = {
    ("schema", "public"),
    ("currentSchema", "public"),
    *(("replication", value) for value in ("false", "off", "no", "0")),
}
"""What Prisma, JDBC and libpq name, though it is so without them."""
