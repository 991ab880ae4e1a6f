"""`agent db new-key` and `agent db rotate-keys`: the keys of credentials at rest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer
from msgspec.structs import asdict

from agent.cli.options import As, Json, Reason, author, operating
from agent.cli.output import show_json, tell
from agent.cli.run import NOT_WELL, WELL, run

if TYPE_CHECKING:
    from agent.settings import Settings


def new_key(as_json: Json = False) -> None:
    """Make a key for ENCRYPTION_KEYS. It is printed and stored nowhere."""
    from storage.control.credentials import new_key

    if as_json:
        show_json({"key": new_key()})
    else:
        typer.echo(new_key())


def rotate_keys(as_: As = None, reason: Reason = None, as_json: Json = False) -> None:
    """Bring stored credentials under the first of ENCRYPTION_KEYS, while agents run.

    Before: put the new key first on all instances. After: remove the old one.
    """

    async def work(settings: Settings) -> int:
        from storage.control.credentials import Secrets, rotate

        secrets = Secrets(
            [key.get_secret_value() for key in settings.encryption_keys]
        )
        by = author(settings, as_, reason)
        async with operating(settings) as (stores, _):
            rotation = await rotate(stores.database, secrets, by)
        if as_json:
            show_json({"well": not rotation.lost, **asdict(rotation)})
        else:
            tell(
                f"{rotation.renewed} renewed; {rotation.newest} under the newest key."
            )
            for name in rotation.lost:
                tell(
                    f"No key opens the credentials of {name}. Add the key they were stored under.",
                    err=True,
                )

        return NOT_WELL if rotation.lost else WELL

    run(work)
