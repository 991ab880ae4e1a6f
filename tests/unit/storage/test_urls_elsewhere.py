"""URLs of stores as hosters, frameworks and pages write them, and what is left of a form
that nobody filled in.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from storage.connecting.postgres_url import read_postgres_url
from storage.connecting.redis_url import read_redis_url
from storage.connecting.urls import UnreadableUrl

VARIABLES = ("PGPORT", "PGSSLMODE", "PGSSLROOTCERT", "PGCONNECT_TIMEOUT")


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        # what checks the server is never weakened by another's name for it
        ("sslmode=verify-full&ssl=true", {"sslmode": "verify-full"}),
        ("ssl=true&sslmode=verify-full", {"sslmode": "verify-full"}),
        ("sslmode=verify-full&ssl=no-verify", {"sslmode": "verify-full"}),
        ("sslmode=require&ssl=false", {"sslmode": "require"}),
        ("ssl=", {"sslmode": None}),
        ("ssl=&sslmode=require", {"sslmode": "require"}),
        ("ssl=True", {"sslmode": "require"}),
        ("ssl=FALSE", {"sslmode": "disable"}),
        ("sslmode=Require", {"sslmode": "require"}),
        ("ssl=no-verify", {"sslmode": "require"}),
        ("pooled=false&pgbouncer=true", {"pooled": False}),
        ("sslmode=require&amp;application_name=x", {"sslmode": "require"}),
        ("sslmode=require;", {"sslmode": "require"}),
        *(
            (f"{other}&connect_timeout=7", {"connect_seconds": 7.0})
            for other in (
                "workaround=supabase-pooler.vercel&supa=base-pooler.x",
                "pool=5&timeout=5000&prepared_statements=false",
                "serverVersion=15&charset=utf8",
                "pool_size=5&pool_recycle=300&pool_mode=transaction",
                "binary_parameters=yes",
                "statement_cache_mode=describe&statement-cache-capacity=0",
                "loginTimeout=10&socketTimeout=30&tcpKeepAlive=true",
                "stringtype=unspecified&gssEncMode=disable",
                "command_timeout=60&prepared_statement_name_func=x",
                "replication=false",
            )
        ),
        ("options=endpoint%3Dep-x-1", {"database": "d"}),
        ("options=--cluster%3Dlazy-cat-12", {"database": "d"}),
    ],
)
def test_parameters_of_others_are_read(
    parameters: str, expected: dict[str, Any]
) -> None:
    read = read_postgres_url(f"postgresql://h/d?{parameters}")
    assert expected == {name: getattr(read, name) for name in expected}


AROUND = [
    *("DATABASE_URL: {}", "DATABASE_URL = {}", "'DATABASE_URL={}'"),
    *("set DATABASE_URL={}", '$env:DATABASE_URL="{}"', 'DATABASE_URL="{}";'),
    *("`{}`", "“{}”", "‘{}’", "<{}>", "{};", '"{}" \r\n'),
]


@pytest.mark.parametrize(
    "around",
    [*AROUND, "psql -d '{}'", "psql --dbname={}", "$ psql {}", '$ psql "{}"'],
)
def test_what_is_around_a_postgres_url_does_no_harm(around: str) -> None:
    read = read_postgres_url(around.format("postgresql://ada:pw@h/shop"))
    assert ("ada", "pw", (("h", 5432),), "shop") == (
        read.user,
        read.password,
        read.servers,
        read.database,
    )


@pytest.mark.parametrize("around", [*AROUND, "$ redis-cli -u {}"])
def test_what_is_around_a_redis_url_does_no_harm(around: str) -> None:
    options = read_redis_url(around.format("redis://:pw@h:7/2")).options
    assert {"host": "h", "port": 7, "db": 2, "password": "pw"} == options


@pytest.mark.parametrize("scheme", ["POSTGRESQL", "Postgres", "postgresql+psycopg2"])
def test_a_scheme_is_no_variable(scheme: str) -> None:
    assert "d" == read_postgres_url(f"{scheme}://h/d").database


BLANKS = [
    *("<password>", "<PASSWORD>", "{your_password}", "{your-password}"),
    *("[YOUR_PASSWORD]", "[your-password]", "<db_password>", "[password]"),
    *("${{PGPASSWORD}}", "{{ db.password }}", "${PW:-x}", "${PGPASSWORD}"),
]


@pytest.mark.parametrize("blank", BLANKS)
@pytest.mark.parametrize(
    ("read", "scheme"),
    [(read_postgres_url, "postgresql"), (read_redis_url, "redis")],
)
def test_a_blank_that_nobody_filled_in_is_named(
    read: Any, scheme: str, blank: str
) -> None:
    for url in (f"{scheme}://u:{blank}@h/1", f"{scheme}://u:secret@{blank}/1"):
        with pytest.raises(UnreadableUrl) as raised:
            read(url)
        assert "placeholder" in raised.value.reason
        assert "secret" not in raised.value.reason


@pytest.mark.parametrize(
    "whole",
    [
        *("$DATABASE_URL", "${DATABASE_URL}", "%DATABASE_URL%"),
        *("${{ Postgres.DATABASE_URL }}", "{{ secrets.DATABASE_URL }}"),
    ],
)
def test_a_variable_that_nobody_put_in_is_named(whole: str) -> None:
    for read in (read_postgres_url, read_redis_url):
        with pytest.raises(UnreadableUrl, match="placeholder"):
            read(whole)


@pytest.mark.parametrize("stars", ["****", "************", "••••••••"])
def test_a_password_that_the_page_did_not_show_is_named(stars: str) -> None:
    for url in (f"postgresql://u:{stars}@h/d", f"redis://default:{stars}@h"):
        read: Any = read_redis_url if "redis" in url else read_postgres_url
        with pytest.raises(UnreadableUrl, match="stars"):
            read(url)


@pytest.mark.parametrize(
    "password",
    ["$x", "${x}", "$PW", "a*b", "**", "pass<word", "[x]", "{x}", "50%", "p{{", "<>"],
)
def test_a_password_may_look_like_much(password: str) -> None:
    assert password == read_postgres_url(f"postgresql://u:{password}@h/d").password
