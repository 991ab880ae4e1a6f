"""Named tasks, the same for people and for CI: `uv run nox --list` shows them.

They run in the environment that uv made; nothing is installed a second time.
"""

import nox

nox.options.default_venv_backend = "none"
nox.options.sessions = ["lint", "test-fast"]

STORES = [
    "tests/contract",
    "tests/integration/storage/test_migrations.py",
    "tests/integration/storage/test_schema_commands.py",
]
"""Tests whose outcome depends on the versions of Postgres and Redis."""


@nox.session
def test(session: nox.Session) -> None:
    """Run every test but the long ones; takes minutes."""
    session.run("pytest", *session.posargs)


@nox.session(name="test-fast")
def test_fast(session: nox.Session) -> None:
    """Run the quick unit tests; takes about ten seconds."""
    session.run("pytest", "tests/unit", "-m", "not slow", *session.posargs)


@nox.session(name="test-stores")
def test_stores(session: nox.Session) -> None:
    """Run the tests of the stores.

    TEST_POSTGRES_BIN and TEST_REDIS_SERVER name other servers than the embedded ones. The
    random stories are left to `test`: they do not depend on versions.
    """
    session.run(
        "pytest", *STORES, "--ignore-glob=*/test_invariants*", *session.posargs
    )


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, types, the direction of imports, and what is declared as needed."""
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.run("lint-imports")
    session.run("deptry", ".")


@nox.session
def fix(session: nox.Session) -> None:
    """Format, and repair what can be repaired without a person."""
    session.run("ruff", "check", "--fix", ".")
    session.run("ruff", "format", ".")


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documents into `site`; a broken link is an error. Needs `uv run --group ci`."""
    session.run("mkdocs", "build", "--strict")


@nox.session
def manifests(session: nox.Session) -> None:
    """Check what is deployed with, the resources of Kubernetes too. Needs `uv run --group ci`."""
    session.run("pytest", "tests/unit/operations/test_deploy_schemas.py")
