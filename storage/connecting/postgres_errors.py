"""Postgres' errors: which of them are worth another try, and what each means for the person
who runs the agent.
"""

from __future__ import annotations

import asyncpg


class PoolInUseError(asyncpg.TooManyConnectionsError):
    """Others used all connections of this process, for longer than anybody waits."""


GONE = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InsufficientResourcesError,
    asyncpg.PostgresSystemError,
    asyncpg.IdleSessionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,
    TimeoutError,
    asyncpg.InternalClientError,  # it ended the connection; the driver read half of the news
)
"""The server (away, read-only, its disk full), not the statement: worth another try."""

STALE = (
    ConnectionError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.IdleSessionTimeoutError,
    asyncpg.InternalClientError,
)
"""What the first statement on a connection says that was ended while nobody used it."""

_OTHERS = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)

AGAIN = (*_OTHERS, asyncpg.InvalidCachedStatementError)
"""Others stood in the way, and do no more."""

CONTENT = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
)
"""The values of this one statement: trying again is no use, and other values may well be taken."""

WRONG_SCHEMA = (
    asyncpg.UndefinedTableError,
    asyncpg.UndefinedColumnError,
    asyncpg.UndefinedFunctionError,
    asyncpg.UndefinedObjectError,
    asyncpg.InvalidSchemaNameError,
)
"""Something that the agent's statements name does not exist."""

_SENTENCES: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    (
        _OTHERS,
        "Somebody else changed the same at this moment. Try again.",
    ),
    (
        (asyncpg.InvalidCachedStatementError,),
        "The schema was changed at this moment. Try again.",
    ),
    (
        WRONG_SCHEMA,
        "The database lacks a table, column or function that this version needs. "
        "`agent db status` shows its schema, "
        "`agent db upgrade` brings it up to date.",
    ),
    (
        (asyncpg.InsufficientPrivilegeError,),
        "Postgres does not permit this to the agent's user. `agent doctor` says "
        "which statement mends it.",
    ),
    (
        (PoolInUseError,),
        "All of the agent's connections to Postgres are in use. Try again later, or "
        "raise DATABASE_POOL_SIZE.",
    ),
    (
        (asyncpg.TooManyConnectionsError,),
        "Postgres has no connection left for the agent. Raise its "
        "max_connections, or lower DATABASE_POOL_SIZE.",
    ),
    ((asyncpg.DiskFullError,), "The disk of Postgres is full. Make room on it."),
    ((asyncpg.OutOfMemoryError,), "Postgres is out of memory. Look into its log."),
    (
        (asyncpg.ReadOnlySQLTransactionError,),
        "This Postgres is read-only. Point DATABASE_URL at the primary.",
    ),
    (
        (
            asyncpg.InvalidPasswordError,
            asyncpg.InvalidAuthorizationSpecificationError,
        ),
        "Postgres refused user or password. Correct DATABASE_URL.",
    ),
    (
        (asyncpg.InvalidCatalogNameError,),
        "This database does not exist. Create it or correct DATABASE_URL.",
    ),
)


def sentence_of(error: BaseException) -> str | None:
    """What an error of Postgres is, for the person who can mend it. None: nothing that is known.

    SQLAlchemy's errors hold the driver's as their cause; it is looked for there, too.
    """
    own = driver_error(error)
    for kinds, sentence in _SENTENCES:
        if isinstance(own, kinds):
            return sentence
    return None


def driver_error(error: BaseException | None) -> BaseException | None:
    """The driver's own error: this one, or the one inside SQLAlchemy's."""
    while error is not None and not isinstance(error, asyncpg.PostgresError):
        error = getattr(error, "orig", None) or error.__cause__
    return error
