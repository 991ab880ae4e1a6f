"""`agent backup …`: copies of the database, and the way back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from agent.cli.options import As, Group, Json, Reason, author
from agent.cli.output import show_json, show_table, tell
from agent.cli.run import WELL, run
from agent.cli.stores.progress import bytes_done
from agent.core.errors import ConfigurationError
from agent.core.words.sizes import in_words

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from agent.operations.connect import Postgres
    from agent.settings import Settings
    from storage.backup.manifest import Backup, Manifest
    from storage.control.audit import Author

EMBEDDED = "embedded"

Where = Annotated[Path, typer.Argument(help="The folder of a backup.")]

app = typer.Typer(cls=Group, help="Backups of the database.", no_args_is_help=True)


@app.command()
def create(
    path: Annotated[
        Path | None,
        typer.Argument(
            help="The new backup's folder, or a folder to put it into; default: BACKUP_DIR."
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="Postgres itself, where DATABASE_URL leads to a pooler; default: DATABASE_URL.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Copy the database as it is at this moment, while the agent works on.

    With ENCRYPTION_KEYS set it is encrypted under the first of them: keep that key elsewhere,
    it is needed to restore.
    """
    run(lambda settings: _create(settings, path, source, as_json=as_json))


@app.command("list")
def list_(as_json: Json = False) -> None:
    """Show the backups in BACKUP_DIR, the newest first."""
    run(lambda settings: _list(settings, as_json=as_json))


@app.command()
def verify(path: Where, as_json: Json = False) -> None:
    """Really restore a backup into a server made for that, and compare every row."""
    run(lambda settings: _verify(settings, path, as_json=as_json))


@app.command()
def restore(
    path: Where,
    into: Annotated[
        str,
        typer.Option(
            help="URL of an empty database, or `embedded` for the one in AGENT_HOME."
        ),
    ],
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with what was open: only if the agent did not run since the backup.",
        ),
    ] = False,
    as_: As = None,
    reason: Reason = None,
    as_json: Json = False,
) -> None:
    """Fill an empty database from a backup: all of it, or nothing.

    What was open at the backup is closed as restored: no old answer comes into a chat. The
    restored audit log says that it was restored, by whom and from which backup.
    """
    run(
        lambda settings: _restore(
            settings,
            path,
            into,
            author(settings, as_, reason),
            resume=resume,
            as_json=as_json,
        )
    )


async def _create(
    settings: Settings,
    path: Path | None,
    source: str | None,
    *,
    as_json: bool,
) -> int:
    from agent.operations.backups import make_backup

    async with _reached(settings, source, "--from") as postgres:
        with bytes_done("Copying") as progress:
            backup = await make_backup(
                settings, postgres.url, path, progress=progress
            )

    if as_json:
        show_json(_facts(backup.folder, backup.manifest))
    else:
        tell(f"{backup.folder}: {described(backup.manifest)}")
        tell(about_the_key(backup.manifest))

    return WELL


async def _list(settings: Settings, *, as_json: bool) -> int:
    from storage.backup.kept import backup_folder, kept_backups

    folder, found = backup_folder(settings), kept_backups(settings)
    if as_json:
        show_json({"folder": folder, "backups": [_facts(*one) for one in found]})
    elif not found:
        tell(f"There is no backup in {folder}.")
    else:
        headers = ("taken", "rows", "size", "schema", "encrypted", "made by", "path")
        show_table(headers, [_row(*one) for one in found])

    return WELL


async def _verify(settings: Settings, path: Path, *, as_json: bool) -> int:
    from storage.backup.verify import verify_backup

    backup = await _opened(settings, path)
    with bytes_done("Verifying", backup.manifest.bytes) as progress:
        await verify_backup(
            backup, settings.agent_home / "scratch", progress=progress
        )

    if as_json:
        show_json({"well": True, **_facts(path, backup.manifest)})
    else:
        tell(f"{path} can be restored: {described(backup.manifest)}, each as it was.")

    return WELL


async def _restore(
    settings: Settings,
    path: Path,
    into: str,
    by: Author,
    *,
    resume: bool,
    as_json: bool,
) -> int:
    from storage.backup import restore as restoring

    backup = await _opened(settings, path)
    target = None if into == EMBEDDED else into
    async with _reached(
        settings, target, "--into", embedded=into == EMBEDDED
    ) as found:
        with bytes_done("Restoring", backup.manifest.bytes) as progress:
            await restoring.restore(
                found.url,
                backup,
                by=by,
                resume=resume,
                own_connections=1 if found.embedded else 0,
                progress=progress,
            )

    steps = next_steps(backup.manifest, embedded=into == EMBEDDED)
    if as_json:
        show_json({"well": True, **_facts(path, backup.manifest), "next": steps})
    else:
        tell(f"Restored {described(backup.manifest)}, each as it was.")
        tell(f"The audit log there says so, as done by {by.name}.")
        tell(f"Next: {'; '.join(steps)}.")

    return WELL


def next_steps(manifest: Manifest, *, embedded: bool) -> list[str]:
    """What the operator does after a restore, in this order."""
    from storage.migrate import HEAD

    where = (
        "start the agent with this AGENT_HOME and without DATABASE_URL"
        if embedded
        else "set DATABASE_URL to the restored database"
    )
    older = manifest.schema != HEAD

    return [
        "stop every instance that still runs on the old database",
        where,
        *(["run agent db upgrade, since the schema is older"] if older else []),
        "run agent audit verify and agent doctor",
        "run agent serve",
    ]


async def _opened(settings: Settings, path: Path) -> Backup:
    import asyncio

    from agent.operations.backups import secrets_of
    from storage.backup.manifest import open_backup

    return await asyncio.to_thread(open_backup, path, secrets_of(settings))


def _reached(
    settings: Settings,
    url: str | None,
    option: str,
    *,
    embedded: bool = False,
) -> AbstractAsyncContextManager[Postgres]:
    """A named database, that of the settings, or the embedded one. Raises ConfigurationError."""
    from contextlib import asynccontextmanager

    from agent.operations.connect import Postgres, reach_postgres
    from storage.connecting.requirements import check_connection

    if embedded:
        return reach_postgres(settings.model_copy(update={"database_url": None}))
    if url is None:
        return reach_postgres(settings)
    if "://" not in url and option == "--into":
        raise ConfigurationError(
            "--into takes the URL of an empty database, or `embedded` for the one in "
            "AGENT_HOME."
        )

    @asynccontextmanager
    async def named() -> Any:
        found = await check_connection(url, option)
        yield Postgres(found.url, found=found)

    return named()


def _facts(path: Path, manifest: Manifest) -> dict[str, Any]:
    return {
        "path": path,
        "taken_at": manifest.taken_at.isoformat(),
        "rows": {name: table.rows for name, table in manifest.tables.items()},
        "bytes": manifest.bytes,
        "schema": manifest.schema,
        "epoch": manifest.epoch,
        "audit": {"rows": manifest.audit_rows, "head": manifest.audit_head},
        "encrypted": manifest.encryption is not None,
        "scheduled": manifest.scheduled,
        "server": manifest.server,
        "agent": manifest.agent,
    }


def _row(path: Path, manifest: Manifest) -> tuple[object, ...]:
    return (
        f"{manifest.taken_at:%Y-%m-%d %H:%M:%S} UTC",
        manifest.rows,
        in_words(manifest.bytes),
        manifest.schema,
        "yes" if manifest.encryption else "no",
        "agent serve" if manifest.scheduled else "agent backup create",
        path,
    )


def described(manifest: Manifest) -> str:
    """What it holds, in words."""
    messages = manifest.tables.get("messages")
    count = messages.rows if messages else 0

    return (
        f"{manifest.rows} rows in {len(manifest.tables)} tables, {count} of them messages "
        f"({in_words(manifest.bytes)}, schema {manifest.schema})"
    )


def about_the_key(manifest: Manifest) -> str:
    """What somebody should know of a new backup: who can read it, and with which key."""
    if manifest.encryption is None:
        return (
            "It is not encrypted: whoever reads it reads every message. With ENCRYPTION_KEYS "
            "set, backups are encrypted."
        )

    return (
        "It is encrypted under the first key of ENCRYPTION_KEYS. Keep that key elsewhere: "
        "without it nobody can restore this backup."
    )
