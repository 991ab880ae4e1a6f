"""Tokens that an operator stored in the database, where the environment names none."""

from __future__ import annotations

from pydantic import SecretStr

from agent.logs import hide
from agent.operations.connect import reach_postgres
from agent.settings import Settings
from agent.settings.forms import check_secrets, cleaned
from storage import migrate
from storage.control.channels import stored_credentials
from storage.control.credentials import Secrets
from storage.postgres import open_database

PUBLIC = frozenset({"discord_public_key"})  # settings that are no secret


async def with_stored_credentials(settings: Settings) -> Settings:
    """The settings, with what `agent channels credential` stored. The environment wins. No
    log shows it.

    Without ENCRYPTION_KEYS nothing can be stored, so nothing is read. Raises
    ConfigurationError when no key opens what is there for a channel of which the
    environment does not have everything: it would silently not be there.
    """
    if not settings.encryption_keys:
        return settings
    secrets = Secrets([key.get_secret_value() for key in settings.encryption_keys])
    given = {name for name in Settings.model_fields if getattr(settings, name)}
    async with reach_postgres(settings) as postgres:
        if await migrate.current_revision(postgres.url) is None:
            return settings
        async with open_database(postgres.url) as database:
            stored = await stored_credentials(database, secrets, given)
    missing = {name: value for name, value in stored.items() if name not in given}
    values = {
        name: value if name in PUBLIC else SecretStr(value)
        for name, value in cleaned(missing).items()
    }
    complete = settings.model_copy(update=values)
    hide(complete)
    check_secrets(complete)
    return complete
