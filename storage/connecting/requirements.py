"""What the agent needs of a Postgres, asked before the first message and not found out in
the middle of an answer.
"""

from __future__ import annotations

import ssl
from contextlib import suppress

import asyncpg
from msgspec import Struct

from agent.core.errors import ConfigurationError, SchemaError, ServerAway
from storage.connecting import STATEMENTS
from storage.connecting.postgres import BY_INDEX, NoSuchServerError, connect
from storage.connecting.postgres_errors import GONE, sentence_of
from storage.connecting.postgres_url import CONNECT_SECONDS, pooled, read_postgres_url
from storage.connecting.urls import UnreadableUrl

OLDEST = 150000  # as `server_version_num` counts
EXAMPLE = "It looks like postgresql://user:password@host:5432/name."

_TURN_TABLES = ("users", "conversations", "messages", "turns", "instances")
"""What each turn reads and writes."""


class Found(Struct, frozen=True):
    """A Postgres that can be worked with."""

    url: str
    """The one to use from now on: it says so when a pooler was found behind it."""
    database: str
    may_create: bool
    grant: str
    """The statement that an owner gives so that the agent may make tables."""
    room: int | None
    """How many connections this user may have; None: the pooler decides."""

    def check_may_create(self) -> None:
        """Raises ConfigurationError with the statement that mends it."""
        if not self.may_create:
            raise ConfigurationError(self.may_not_create)

    @property
    def may_not_create(self) -> str:
        """Why there will be no new tables, and what mends it."""
        return (
            "The user of DATABASE_URL may not make tables. In the database "
            f"{self.database} let its owner run: {self.grant}"
        )

    def crowded(self, wanted: int, instances: int = 1) -> str | None:
        """A sentence, when so many instances that want so many connections each are too many."""
        if self.room is None or wanted * instances <= self.room:
            return None

        those = (
            f"{instances} instances, each up to {wanted}"
            if instances > 1
            else f"one instance, up to {wanted}"
        )
        return (
            f"Postgres has {self.room} connections for this user, and they are "
            f"too few for {those}: lower "
            "DATABASE_POOL_SIZE or DATABASE_MAX_OVERFLOW, or raise its max_connections."
        )


async def check_connection(
    url: str, setting: str = "DATABASE_URL", *, replica: bool = False
) -> Found:
    """Connects and asks; only a `replica` may be read-only. Raises ConfigurationError with
    the setting's name.
    """
    try:
        facts = await _facts(url)
        if (
            not _is_pooled(url)
            and facts["plan_cache_mode"] != BY_INDEX["plan_cache_mode"]
        ):
            url = pooled(
                url
            )  # what was asked for at the session's start never came to the server
    except UnreadableUrl as error:
        raise ConfigurationError(f"{setting} {error.reason}. {EXAMPLE}") from None
    except (
        *GONE,
        OSError,
        ValueError,
        asyncpg.PostgresError,
        asyncpg.ClientConfigurationError,
    ) as error:
        if not _refuses_settings(error) or _is_pooled(url):
            raise _refusal(error, setting) from error
        return await check_connection(pooled(url), setting, replica=replica)
    _check(facts, setting, replica=replica)

    return Found(
        url,
        facts["database"],
        facts["may_create"],
        facts["grant"],
        None if _is_pooled(url) else facts["room"],
    )


async def check_rights(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Raises SchemaError when the agent may not write what each turn writes."""
    if (await _rights(connection))["missing"]:
        raise await not_permitted(connection)


async def not_permitted(
    connection: asyncpg.Connection[asyncpg.Record],
) -> SchemaError:
    """What to raise when the agent may not use its tables: the statement that mends it."""
    rights = await _rights(connection)
    return SchemaError(
        f"The user of DATABASE_URL may not read and write {rights['missing'] or 'the tables'}. "
        f"In the database {rights['database']} let their owner run: {rights['grant']}"
    )


async def _rights(connection: asyncpg.Connection[asyncpg.Record]) -> asyncpg.Record:
    rights = await connection.fetchrow(
        STATEMENTS["missing_permissions"], _TURN_TABLES
    )
    assert rights is not None

    return rights


async def _facts(url: str) -> asyncpg.Record:
    connection = await connect(url, planner=BY_INDEX)
    try:
        facts = await connection.fetchrow(STATEMENTS["server_facts"])
    finally:
        with suppress(*GONE):
            await connection.close(timeout=CONNECT_SECONDS)
    assert facts is not None

    return facts


def _check(facts: asyncpg.Record, setting: str, *, replica: bool) -> None:
    version = facts["version"]
    if version < OLDEST:
        raise ConfigurationError(
            f"Postgres {version // 10000} is too old; 15 or later is needed. Correct {setting}."
        )
    if facts["read_only"] and not replica:
        raise ConfigurationError(
            f"This Postgres is read-only. Point {setting} at the primary."
        )
    if facts["encoding"] != "UTF8":
        raise ConfigurationError(
            f"This database keeps {facts['encoding']}, which cannot hold what "
            "people write. Make one with "
            f"CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0, and name it in {setting}."
        )


def _is_pooled(url: str) -> bool:
    return read_postgres_url(url).pooled


def _refuses_settings(error: Exception) -> bool:
    """pgbouncer knows few settings of a session, and refuses the others at its start."""
    return isinstance(
        error, asyncpg.ProtocolViolationError
    ) and "startup parameter" in str(error)


_OPTIONS = (
    asyncpg.UndefinedObjectError,
    asyncpg.InvalidParameterValueError,
    asyncpg.CantChangeRuntimeParamError,
)
"""What a server says of a setting that it does not know, whose value is wrong, or that is
not for users.
"""


def _refusal(error: Exception, setting: str) -> ConfigurationError:
    """ServerAway where waiting may help."""
    sentence = _sentence(error, setting)
    if sentence is not None:
        return ConfigurationError(sentence)
    # what asyncpg cannot read is a ValueError, and an InterfaceError with it
    if isinstance(error, GONE) and not isinstance(error, ValueError):
        return ServerAway(
            f"No Postgres answers there. Start it, or correct host and port in {setting}."
        )

    return ConfigurationError(
        f"{setting} cannot be used ({type(error).__name__}). {EXAMPLE}"
    )


def _sentence(error: Exception, setting: str) -> str | None:
    if isinstance(error, _OPTIONS):
        return f"Postgres refuses a setting that options asks for. Correct options in {setting}."
    if sentence := sentence_of(error):
        return sentence.replace("DATABASE_URL", setting)
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            "The certificate of this Postgres is not accepted "
            f"({error.verify_message.rstrip('.')}). "
            f"Name its CA's file as sslrootcert in {setting}, or correct the host."
        )
    if isinstance(error, ssl.SSLError):
        return (
            "TLS to Postgres failed. Check sslmode, sslrootcert, sslcert and "
            f"sslkey in {setting}."
        )
    if isinstance(error, NoSuchServerError):
        return f"None of these servers is what target_session_attrs asks for. Correct {setting}."
    if type(error) is ConnectionError and "SSL upgrade" in str(error):
        return (
            "This Postgres does not speak TLS. Switch it on there, or "
            f"correct sslmode in {setting}."
        )
    if _refuses_settings(error):
        return f"The pooler of {setting} refuses a setting of the session. Remove options from it."

    return None
