"""Stores for the whole suite: one Postgres and one Valkey per test worker, a database per test."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Iterator

import pytest
import structlog

from tests.support.servers import Postgres, Valkey, running

TEMPLATE = "template_of_tests"

# Hundreds of processes start here. Without bytecode each would compile all that it imports.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What is marked as longer still is slow, too: `-m "not slow"` omits it."""
    for item in items:
        if item.get_closest_marker("chaos") or item.get_closest_marker("benchmark"):
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def _plain_tracebacks() -> None:
    """As the agent logs them. The library's own, with all locals, hold up the event loop
    for longer than a lease.
    """
    renderer = structlog.dev.ConsoleRenderer(
        colors=False, exception_formatter=structlog.dev.plain_traceback
    )
    structlog.reset_defaults()
    structlog.configure(
        processors=[*structlog.get_config()["processors"][:-1], renderer]
    )


@pytest.fixture(scope="session")
def _postgres() -> Iterator[Postgres]:
    with running(Postgres()) as server:
        yield server


@pytest.fixture(scope="session")
def _valkey() -> Iterator[Valkey]:
    with running(Valkey()) as server:
        yield server


@pytest.fixture
async def database_url(_postgres: Postgres) -> AsyncIterator[str]:
    """A fresh database with the schema of the newest migration."""
    if _postgres.template is None:
        from storage.migrate import upgrade

        await _postgres.execute(f"DROP DATABASE IF EXISTS {TEMPLATE} WITH (FORCE)")
        await _postgres.execute(f"CREATE DATABASE {TEMPLATE}")
        await upgrade(_postgres.url(TEMPLATE))
        _postgres.template = TEMPLATE
    async with _postgres.database(_postgres.template) as url:
        yield url


@pytest.fixture
async def empty_database_url(_postgres: Postgres) -> AsyncIterator[str]:
    """A fresh database with nothing in it."""
    async with _postgres.database() as url:
        yield url


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """A Postgres of the test's own, to be killed and started again."""
    with running(Postgres()) as server:
        yield server


@pytest.fixture
def redis_url(_valkey: Valkey) -> str:
    """An empty Valkey."""
    _valkey.flush()
    return _valkey.url


@pytest.fixture
def own_redis() -> Iterator[Valkey]:
    """A Valkey of the test's own, to be killed (it forgets all), frozen and started."""
    with running(Valkey()) as server:
        yield server
