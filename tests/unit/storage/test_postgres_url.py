"""A Postgres URL is read as libpq reads it, and what cannot be read is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.connecting.postgres_url import CONNECT_SECONDS, pooled, read_postgres_url
from storage.connecting.urls import UnreadableUrl


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither the environment's nor those in the home folder."""
    for name in (
        "PGPORT",
        "PGSSLMODE",
        "PGSSLROOTCERT",
        "PGOPTIONS",
        "PGAPPNAME",
        "PGCONNECT_TIMEOUT",
    ):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


HERE = "postgresql://ada:pw@db.example:6432/shop"

LEGAL: list[tuple[str, dict[str, Any]]] = [
    (
        HERE,
        {
            "servers": (("db.example", 6432),),
            "user": "ada",
            "password": "pw",
            "database": "shop",
            "pooled": False,
        },
    ),
    (
        "postgres://h/d",
        {"servers": (("h", 5432),), "database": "d", "user": None, "password": None},
    ),
    *(
        (f"postgresql://h/d?{other}", {"servers": (("h", 5432),), "database": "d"})
        for other in (
            "schema=public",
            "currentSchema=public",
            "connection_limit=1&pool_timeout=10&socket_timeout=5",
            "statement_cache_size=0",
            "prepared_statement_cache_size=0",
            "uselibpqcompat=true",
            "supa=base-pooler.x",
        )
    ),
    ("postgresql://h:6543/d?pgbouncer=true&connection_limit=1", {"pooled": True}),
    ("postgresql://h/d?sslmode=no-verify", {"sslmode": "require"}),
    ("'postgresql://u:p@h/d'", {"user": "u", "database": "d"}),
    (' "postgres://u:p@h/d" ', {"user": "u", "database": "d"}),
    ("postgresql+asyncpg://h/d", {"servers": (("h", 5432),)}),
    ("postgresql+psycopg://h/d", {"servers": (("h", 5432),)}),
    (" POSTGRESQL://h/d\n", {"servers": (("h", 5432),), "database": "d"}),
    ("postgresql://", {"servers": (), "database": None}),
    ("postgresql:///d", {"servers": (), "database": "d"}),
    (
        "postgresql://u:p%40ss%2Fw%3Ard%25@h/d",
        {"password": "p@ss/w:rd%", "user": "u"},
    ),
    ("postgresql://u:p@ss@h/d", {"password": "p@ss", "servers": (("h", 5432),)}),
    (
        "postgresql://u:p#s?s[%]@h/d",
        {"password": "p#s?s[%]", "servers": (("h", 5432),), "database": "d"},
    ),
    (
        "postgresql://u:a+b@h/d?application_name=a+b",
        {"password": "a+b", "settings": {"application_name": "a+b"}},
    ),
    (
        "postgresql://u@h?application_name=a@b",
        {"user": "u", "settings": {"application_name": "a@b"}},
    ),
    ("postgresql://u%40srv@h/d", {"user": "u@srv"}),
    ("postgresql://:pw@h/d", {"user": None, "password": "pw"}),
    ("postgresql://h/my%20db", {"database": "my db"}),
    ("postgresql://[::1]/d", {"servers": (("::1", 5432),)}),
    ("postgresql://[fe80::1%25eth0]:7/d", {"servers": (("fe80::1%eth0", 7),)}),
    (
        "postgresql://a,b:7,[::1]:8/d",
        {"servers": (("a", 5432), ("b", 7), ("::1", 8))},
    ),
    ("postgresql:///d?host=a,b&port=7", {"servers": (("a", 7), ("b", 7))}),
    ("postgresql:///d?host=a,b&port=7,8", {"servers": (("a", 7), ("b", 8))}),
    ("postgresql:///d?host=/run/pg&port=7", {"servers": (("/run/pg", 7),)}),
    ("postgresql://%2Frun%2Fpg:7/d", {"servers": (("/run/pg", 7),)}),
    ("postgresql://h/d?hostaddr=10.0.0.1", {"servers": (("10.0.0.1", 5432),)}),
    (
        "postgresql://h?dbname=d&user=u&password=p",
        {"database": "d", "user": "u", "password": "p"},
    ),
    ("postgresql://h/a?database=d", {"database": "d"}),
    ("postgresql://h/d?target_session_attrs=read-write", {"target": "read-write"}),
    (
        "postgresql://h/d?application_name=x&connect_timeout=7",
        {"connect_seconds": 7.0},
    ),
    ("postgresql://h/d?connect_timeout=0", {"connect_seconds": CONNECT_SECONDS}),
    ("postgresql://h/d?connect_timeout=99999", {"connect_seconds": 60.0}),
    (
        "postgresql://h/d?fallback_application_name=y",
        {"settings": {"application_name": "y"}},
    ),
    (
        "postgresql://h/d?options=-c%20search_path%3Dx",
        {
            "settings": {
                "application_name": "simple-ai-agent",
                "options": "-c search_path=x",
            }
        },
    ),
    (
        "postgresql://h/d?sslmode=require&channel_binding=require",
        {"sslmode": "require"},
    ),
    ("postgresql://h/d?channel_binding=require", {"sslmode": "require"}),
    (
        "postgresql://h/d?channel_binding=require&sslmode=verify-full",
        {"sslmode": "verify-full"},
    ),
    ("postgresql://h/d?channel_binding=prefer", {"sslmode": None}),
    *(
        (f"postgresql://h/d?sslmode={mode}", {"sslmode": mode})
        for mode in ("disable", "allow", "prefer", "require")
    ),
    (
        "postgresql://h/d?sslmode=verify-full",
        {"sslmode": "verify-full", "system_roots": True},
    ),
    (
        "postgresql://h/d?sslrootcert=system",
        {"sslmode": "verify-full", "system_roots": True},
    ),
    (
        f"postgresql://h/d?sslmode=verify-full&sslrootcert={__file__}",
        {"system_roots": False},
    ),
    (
        f"postgresql://h/d?sslmode=verify-ca&sslrootcert={__file__}",
        {"rest": {"sslrootcert": __file__}},
    ),
    ("postgresql://h/d?ssl=true", {"sslmode": "require"}),
    ("postgresql://h/d?ssl=verify-full", {"sslmode": "verify-full"}),
    ("postgresql://h/d?ssl=false", {"sslmode": "disable"}),
    (
        "postgresql://h/d?keepalives=1&keepalives_idle=30&gssencmode=disable&client_encoding=utf8",
        {"rest": {}},
    ),
    ("postgresql://h/d?sslmode=&application_name=", {"sslmode": None}),
    ("postgresql://h/d?sslmode=require&", {"sslmode": "require"}),
    ("postgresql://h/d?pooled=true", {"pooled": True}),
    ("postgresql://h/d?pgbouncer=true", {"pooled": True}),
    ("postgresql://h/d?pooled=false", {"pooled": False}),
]


@pytest.mark.parametrize(
    "around",
    [
        "DATABASE_URL={}",
        'export DATABASE_URL="{}"',
        "psql '{}'",
        "psql {}",
        "  {}?sslmode=require&sslaccept=strict\n",
        "{}?pool_max_conns=4&pool_max_conn_lifetime=1h",
        "{}?prepareThreshold=0&reWriteBatchedInserts=true&ApplicationName=x",
    ],
)
def test_what_was_copied_along_does_no_harm(around: str) -> None:
    """Hosters' buttons copy a command or a line; other clients' own parameters stand there."""
    read = read_postgres_url(around.format("postgresql://ada:pw=${x}@h/shop"))
    assert ("ada", "pw=${x}", (("h", 5432),), "shop") == (
        read.user,
        read.password,
        read.servers,
        read.database,
    )


@pytest.mark.parametrize(("url", "expected"), LEGAL, ids=[url for url, _ in LEGAL])
def test_a_legal_url_is_read(url: str, expected: dict[str, Any]) -> None:
    read = read_postgres_url(url)
    assert expected == {name: getattr(read, name) for name in expected}


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("localhost/db", "is not a URL"),
        ("postgresql://u:[YOUR-PASSWORD]@h/d", "a placeholder"),
        ("postgresql://${DB_USER}:secret@h/d", "a placeholder"),
        ("postgresql://u:secret@h/d&sslmode=require", "& before its first parameter"),
        ("host=localhost dbname=db", "is not a URL"),
        ("postgres//u:secret@h/d", "is not a URL"),
        ("mysql://u:secret@h/d", "is not a Postgres URL"),
        ("jdbc:postgresql://h/d", "is not a Postgres URL"),
        ("postgresql://h/d?nosuch=secret", "the parameter nosuch"),
        ("postgresql://h/d?nosuch", "the parameter nosuch without a value"),
        ("postgresql://u:se/cret@h/d", "write / as %2F"),
        ("postgresql://h:0/d", "a port"),
        ("postgresql://h:70000/d", "a port"),
        ("postgresql://h:٥/d", "a port"),
        ("postgresql://::1/d", "in brackets"),
        ("postgresql://[::1/d", "an IPv6 address"),
        ("postgresql://a,b/d?port=1,2,3", "2 hosts and 3 ports"),
        ("postgresql://u:secret%FF@h/d", "not UTF-8"),
        ("postgresql://u:sec\nret@h/d", "a control character"),
        ("postgresql://h/d?sslmode=verify", "a sslmode"),
        ("postgresql://h/d?sslmode=verify-ca", "sslrootcert"),
        ("postgresql://h/d?sslmode=require&sslrootcert=system", "sslrootcert=system"),
        ("postgresql://h/d?sslrootcert=/no/such/file", "a file in sslrootcert"),
        ("postgresql://h/d?sslcert=/no/such/file", "a file in sslcert"),
        ("postgresql://h/d?passfile=/no/such/file", "a file in passfile"),
        ("postgresql://h/d?passfile=/dev/null", "chmod 600"),
        (
            "postgresql://h/d?ssl_min_protocol_version=SSLv3",
            "a ssl_min_protocol_version",
        ),
        ("postgresql://h/d?sslnegotiation=none", "a sslnegotiation"),
        ("postgresql://h/d?sslnegotiation=direct", "sslnegotiation=direct"),
        ("postgresql://h/d?channel_binding=yes", "a channel_binding"),
        (
            "postgresql://h/d?channel_binding=require&sslmode=disable",
            "channel_binding=require",
        ),
        ("postgresql://h/d?target_session_attrs=master", "a target_session_attrs"),
        ("postgresql://h/d?load_balance_hosts=x", "a load_balance_hosts"),
        ("postgresql://h/d?connect_timeout=soon", "a connect_timeout"),
        ("postgresql://h/d?pooled=perhaps", "a pooled"),
        ("postgresql://h/d?require_auth=none", "require_auth"),
        ("postgresql://h/d?requirepeer=postgres", "requirepeer"),
        ("postgresql://h/d?replication=database", "replication"),
        ("postgresql://h/d?hostaddr=10.0.0.1&sslmode=verify-full", "hostaddr"),
    ],
)
def test_what_cannot_be_read_is_named_and_no_secret_with_it(
    url: str, named: str
) -> None:
    with pytest.raises(UnreadableUrl) as raised:
        read_postgres_url(url)
    assert (named in raised.value.reason, "secret" in raised.value.reason) == (
        True,
        False,
    )


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        (
            "PGSSLMODE",
            "verify-full",
            {"sslmode": "verify-full", "system_roots": True},
        ),
        ("PGSSLROOTCERT", "system", {"sslmode": "verify-full", "system_roots": True}),
        ("PGAPPNAME", "x", {"settings": {"application_name": "x"}}),
        ("PGCONNECT_TIMEOUT", "7", {"connect_seconds": 7.0}),
        ("PGTARGETSESSIONATTRS", "primary", {"target": "primary"}),
        ("PGPORT", "7", {"servers": (("h", 7),)}),
    ],
)
def test_the_environment_fills_what_the_url_leaves_open(
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    expected: dict[str, Any],
) -> None:
    monkeypatch.setenv(variable, value)
    read = read_postgres_url("postgresql://h/d")
    assert expected == {name: getattr(read, name) for name in expected}


@pytest.mark.parametrize(
    ("line", "password"),
    [
        ("h:5432:d:u:secret", "secret"),
        ("*:*:*:*:secret", "secret"),
        (r"h:5432:d:u:a\:b\\c", r"a:b\c"),
        ("# a comment\n\nh:1:d:u:other\nh:5432:d:u:secret\n*:*:*:*:later", "secret"),
        ("h:5432:d:bob:secret", None),
        ("h:5432", None),
        ("h:5432:d:u:a:b", "a"),
    ],
)
def test_a_password_file_is_read_as_libpq_reads_it(
    tmp_path: Path, line: str, password: str | None
) -> None:
    file = tmp_path / ".pgpass"
    file.write_text(line)
    file.chmod(0o600)
    read = read_postgres_url("postgresql://u@h/d")
    assert password == read.password_at(("h", 5432))
    file.chmod(0o640)
    assert None is read.password_at(("h", 5432))


def test_hosts_are_tried_in_their_order_and_standbys_first_where_they_are_preferred() -> (
    None
):
    read = read_postgres_url("postgresql://a,b/d?target_session_attrs=prefer-standby")
    a, b = ("a", 5432), ("b", 5432)
    assert [(a, "standby"), (b, "standby"), (a, "any"), (b, "any")] == list(
        read.attempts()
    )


def test_nothing_secret_is_shown_of_a_url() -> None:
    assert "secret" not in repr(
        read_postgres_url("postgresql://u:secret@h/d?sslpassword=secret")
    )


@pytest.mark.parametrize("url", [HERE, f"{HERE}?sslmode=disable", f"{HERE}\n"])
def test_a_url_can_say_that_a_pooler_is_behind_it(url: str) -> None:
    assert read_postgres_url(pooled(url)).pooled


@given(st.text())
def test_any_text_is_read_or_named(text: str) -> None:
    for url in (text, f"postgresql://{text}", f"postgresql://h/d?{text}"):
        try:
            read_postgres_url(url)
        except UnreadableUrl as error:
            assert error.reason
