"""Statements with `:name` parameters, as Postgres takes them."""

from __future__ import annotations

import enum
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from asyncpg.pgproto import pgproto

from storage.connecting.connection import bound

A = UUID(int=1)


class Word(enum.StrEnum):
    """A value of ours."""

    ONE = "one"


@pytest.mark.parametrize(
    ("statement", "values", "sql", "arguments"),
    [
        ("SELECT 1", {}, "SELECT 1", []),
        ("SELECT :a, :b", {"b": 2, "a": "x"}, "SELECT $1::varchar, $2::integer", ["x", 2]),
        ("SELECT :a, :a", {"a": 1}, "SELECT $1::integer, $1::integer", [1]),
        ("SELECT :a", {"a": 1, "unused": 2}, "SELECT $1::integer", [1]),
        ("SELECT CAST(:a AS uuid)", {"a": None}, "SELECT CAST($1 AS uuid)", [None]),
        ("SELECT x::text, :a", {"a": A}, "SELECT x::text, $1::uuid", [A]),
        ("SELECT '10:30', :a", {"a": True}, "SELECT '10:30', $1::boolean", [True]),
        (r"SELECT 'a\:b'", {}, "SELECT 'a:b'", []),
        ("SELECT :ab, :a", {"a": 1, "ab": 2}, "SELECT $1::integer, $2::integer", [2, 1]),
    ],
)  # fmt: skip
def test_names_become_numbers(
    statement: str, values: dict[str, Any], sql: str, arguments: list[Any]
) -> None:
    assert (sql, arguments) == bound(statement, values)


@pytest.mark.parametrize(
    ("value", "cast"),
    [
        ("it's :b", "::varchar"),
        (True, "::boolean"),
        (2**31 - 1, "::integer"),
        (-(2**31), "::integer"),
        (2**31, "::bigint"),
        (0.5, "::float"),
        (Decimal("0.1"), "::numeric"),
        (b"x", "::bytea"),
        (A, "::uuid"),
        (pgproto.UUID(str(A)), "::uuid"),
        (date(2026, 1, 1), "::date"),
        (datetime(2026, 1, 1, tzinfo=UTC), "::timestamptz"),
        (datetime(2026, 1, 1), "::timestamp"),  # noqa: DTZ001
        (timedelta(1), "::interval"),
        (None, ""),
        (["x"], ""),
        (Word.ONE, ""),
    ],
    ids=repr,
)
def test_a_value_has_the_type_that_postgres_may_not_be_able_to_tell(
    value: object, cast: str
) -> None:
    assert (f"SELECT $1{cast}", [value]) == bound("SELECT :a", {"a": value})


def test_a_value_that_is_missing_is_an_error_here_and_not_null() -> None:
    with pytest.raises(KeyError, match="b"):
        bound("SELECT :a, :b", {"a": 1})
