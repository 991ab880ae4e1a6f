"""Makes docs/configuration.md: `python -m agent.cli.configuration_page > docs/configuration.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from agent.cli.run import EXIT_STATUS
from agent.settings import Settings
from agent.settings.backups import BackupVariables

_SECTIONS = {
    "database_url": "Stores",
    "default_model": "Models",
    "max_message_chars": "Messages",
    "discord_token": "Channels",
    "http_host": "HTTP",
    "encryption_keys": "Operation",
    "backup_dir": "Backups",
}
"""Headings, each by the setting that begins its section."""

_COMPUTED = {"agent_home": "`simple-ai-agent` in the platform's folder for user data"}
_HEAD = """\
# Configuration

<!-- Made by `python -m agent.cli.configuration_page`; a test keeps it true. -->

Every setting is an environment variable or a line `NAME=value` of a file `.env` in the current
folder; the environment wins. None is needed: without any, `agent chat` runs embedded stores and
the offline model. Models are written `provider:model`.
"""
_STORES = """
## URLs of the stores

`DATABASE_URL` is read as libpq reads it: percent-encoding, IPv6 in brackets, several hosts with
`target_session_attrs`, `sslmode` with `sslrootcert=system`, `channel_binding`, `connect_timeout`,
`application_name`, `options`, `passfile` (also `PGPASSFILE` and `~/.pgpass`). A parameter that is
unknown is one sentence that names it. asyncpg has no channel binding: `channel_binding=require`
makes sure of TLS alone. `REDIS_URL` is read as redis-cli reads it: `redis://`, `rediss://` with
the `ssl_…` parameters, `unix://`, ACL users. Redis is disposable: an odd URL is a warning, and
the agent runs without it.

**Poolers.** Behind pgbouncer in transaction mode the agent finds out by itself at the start;
`?pooled=true` says it, and `agent doctor` says when it would be of use. It then sends no setting
at a session's start, sets the planner in each transaction, and names no prepared statement, so
that pgbouncer 1.18 is enough. That costs round trips. One run of
`python -m tests.benchmarks.pooler` on a machine with two cores:

| conversations at once | way | turns each second | median turn |
|---|---|---|---|
| 1 | direct | 47 | 21.48 ms |
| 1 | through pgbouncer | 30 | 34.47 ms |
| 64 | direct | 384 | 156.27 ms |
| 64 | through pgbouncer | 384 | 154.17 ms |

**Connections.** An instance opens at most `DATABASE_POOL_SIZE` + `DATABASE_MAX_OVERFLOW` +
`DATABASE_TURN_CONNECTIONS`. `agent doctor` says so when all living instances together want more
than `max_connections` leaves to their user. Behind a pooler it cannot know.

**Asked at the start**: version 15 or later, a primary, encoding UTF-8, permissions on the tables,
the right to make new ones. What is missing is one sentence with the statement that grants it.
"""
_EXIT = """
## Exit status

| status | meaning |
|---|---|
"""


def page() -> str:
    """The whole page as Markdown."""
    rows = "\n".join(
        f"| {status} | {meaning} |" for status, meaning in EXIT_STATUS.items()
    )

    return _HEAD + "\n".join(_lines()) + "\n" + _STORES + _EXIT + rows + "\n"


def _lines() -> Iterator[str]:
    for name, setting in _in_order():
        if name in _SECTIONS:
            yield f"\n## {_SECTIONS[name]}\n\n| setting | default | meaning |\n|---|---|---|"
        description = (setting.description or "").replace("|", "\\|")
        yield f"| `{name.upper()}` | {_default(name, setting)} | {description} |"


def _in_order() -> Iterator[tuple[str, FieldInfo]]:
    """Pydantic lists the fields of a base class first."""
    fields = Settings.model_fields
    inherited = BackupVariables.model_fields

    yield from ((name, fields[name]) for name in fields if name not in inherited)
    yield from inherited.items()


def _default(name: str, setting: FieldInfo) -> str:
    if name in _COMPUTED:
        return _COMPUTED[name]

    default = setting.default
    if default is None or default in ([], {}) or isinstance(default, SecretStr):
        return ""

    return f"`{default}`"


if __name__ == "__main__":
    sys.stdout.write(page())
