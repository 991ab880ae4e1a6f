"""What `agent serve` says at its start: what runs, where, and what to do next."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version

from agent.app import App
from agent.logs import announce
from agent.settings import OFFLINE, Settings
from storage.connecting.postgres_url import read_postgres_url
from storage.connecting.redis_url import read_redis_url
from storage.migrate.stores import OpenStores

ECHO = (
    ", which only repeats: set OPENAI_API_KEY or ANTHROPIC_API_KEY for a real one "
    "(docs/configuration.md)"
)
"""Follows the name of the offline model."""

NEXT = (
    "Next: write to the bot, and it answers. `agent status` shows every part; Ctrl-C "
    "stops, after the answers in progress."
)

STOPS = "The agent stops: it takes no more messages and finishes its answers."


def announce_start(app: App, http_address: str) -> None:
    """Announces this instance, one line for each part."""
    number, channels = version("simple-ai-agent"), list(app.ports.channels)
    stores = [*_stores(app.settings, app.stores)]
    model = app.settings.model
    hint = ECHO if model == OFFLINE else ""

    announce(
        f"Agent {number} runs {', '.join(channels)}.",
        version=number,
        channels=channels,
    )
    announce(f"Stores: {'; '.join(stores)}.", stores=stores)
    announce(f"Model: {model}{hint}.", model=model)
    announce(
        f"HTTP: {http_address} (/health/ready, /metrics).", http_address=http_address
    )
    announce(NEXT)


def _stores(settings: Settings, stores: OpenStores) -> Iterator[str]:
    """What they are. Of a server only where it is: the rest of its URL is secret."""
    yield from stores.described
    if settings.database_url:
        url = read_postgres_url(settings.database_url.get_secret_value())
        hosts = ", ".join(shown_address(*server) for server in url.servers)
        yield f"Postgres at {hosts or 'its usual place'}, database {url.database or '(the usual)'}"
    if settings.redis_url:
        options = read_redis_url(settings.redis_url.get_secret_value()).options
        place = options.get("path") or shown_address(options["host"], options["port"])
        yield f"Redis at {place}"


def shown_address(host: str, port: int) -> str:
    """As URLs have it: an IPv6 address stands in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
