"""Makes docs/configuration.md: `python -m agent.cli.configuration_page > docs/configuration.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from agent.cli.run import EXIT_STATUS
from agent.settings import Settings
from agent.settings.parts import PARTS
from agent.settings.provider_variables import ProviderVariables
from agent.settings.providers import PRESETS

_SECTIONS = {
    "database_url": "Stores",
    "default_model": "Models",
    "max_message_chars": "Messages",
    "discord_token": "Channels",
    "http_host": "HTTP",
    "encryption_keys": "Operation",
    "oidc_issuer": "Signing in with OpenID Connect",
    "otel_exporter_otlp_endpoint": "Traces",
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
_PROVIDERS = """
## Providers

A key is enough: with `OPENROUTER_API_KEY` alone, `openrouter:` models answer. Any number of
providers can be set at once. Each has its own connections, and a line of its own in
`agent doctor`. Models are written `provider:model` everywhere, as in `groq:openai/gpt-oss-20b`.

| provider | set | address | model when none is named |
|---|---|---|---|
{rows}

`<NAME>_BASE_URL` takes the place of an address, as for a proxy of your own. In italics is an
example: there the address has to be set. Any other server is set by `PROVIDER_<NAME>_BASE_URL`,
with `PROVIDER_<NAME>_API_KEY` if it has keys, and `PROVIDER_<NAME>_PROTOCOL`: `openai` (the
default) or `anthropic`. Its models are `<name>:model`, in lower case.

Without `DEFAULT_MODEL`, OpenAI comes first, then Anthropic, then these in their order. Of a
server that has models of its own, the first one on its list is taken.
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
_PROXIES = """
## Proxies in front

A proxy is believed only if `TRUSTED_PROXIES` names it. `X-Forwarded-For` then says whose request
it is, for limits and the log. `X-Forwarded-Proto` says whether it came over `https`: the
console signs nobody in over plain http, so a proxy that ends TLS has to send it. nginx does so with
`proxy_set_header X-Forwarded-Proto $scheme;`, Caddy by itself ([console](console.md)).
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

    providers = _PROVIDERS.format(rows="\n".join(_providers()))
    settings = "\n".join(_lines()) + "\n"

    return _HEAD + settings + providers + _PROXIES + _STORES + _EXIT + rows + "\n"


def _providers() -> Iterator[str]:
    for name, preset in PRESETS.items():
        key = f"`{name.upper()}_API_KEY`" if preset.needs_key else ""
        url = f"`{name.upper()}_BASE_URL`" if preset.is_example else ""
        address = f"*{preset.url}*" if preset.is_example else f"`{preset.url}`"
        model = f"`{name}:{preset.model}`" if preset.model else ""
        needed = ", ".join(filter(None, (key, url)))

        yield f"| `{name}` | {needed} | {address} | {model} |"


def _lines() -> Iterator[str]:
    for name, setting in _in_order():
        if name in _SECTIONS:
            yield f"\n## {_SECTIONS[name]}\n\n| setting | default | meaning |\n|---|---|---|"
        description = (setting.description or "").replace("|", "\\|")
        yield f"| `{name.upper()}` | {_default(name, setting)} | {description} |"


def _in_order() -> Iterator[tuple[str, FieldInfo]]:
    """Pydantic lists the fields of a base class first."""
    fields = Settings.model_fields
    inherited = {
        name: field for part in PARTS for name, field in part.model_fields.items()
    }
    elsewhere = {*inherited, *ProviderVariables.model_fields}

    yield from ((name, fields[name]) for name in fields if name not in elsewhere)
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
