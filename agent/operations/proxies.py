"""Proxies that are named and yet not obeyed, as people would have it."""

from __future__ import annotations

import os
from collections.abc import Iterator

from agent.core.channel import Finding
from agent.settings import Settings
from agent.settings.proxies import VARIABLES, Proxies

PART = "proxy"

_ADDRESSES = {
    "discord_token": "discord_api_url",
    "telegram_token": "telegram_api_url",
    "slack_bot_token": "slack_api_url",
    "openai_api_key": "openai_base_url",
    "anthropic_api_key": "anthropic_base_url",
}
"""Where connections go, by the setting that makes them."""


def proxy_findings(settings: Settings) -> Iterator[Finding]:
    """What goes around a proxy although one is named, and which variable does not count."""
    proxies = Proxies.of_environment()
    yield from _two_spellings()

    for entry in proxies.unreadable:
        yield Finding(
            PART,
            f"NO_PROXY has {entry[:40]}, which is no host, address or range.",
            "It exempts nothing. Correct it.",
        )

    around = [name.upper() for name in _around(settings, proxies)]
    if around:
        yield Finding(
            PART,
            f"No proxy is used for {', '.join(around)}: HTTP_PROXY is for http:// alone.",
            "Set HTTPS_PROXY too, or name these hosts in NO_PROXY.",
        )


def _two_spellings() -> Iterator[Finding]:
    for name in (*VARIABLES.values(), "NO_PROXY"):
        lower = os.environ.get(name.lower())
        upper = os.environ.get(name)
        if lower is not None and upper is not None and lower != upper:
            yield Finding(
                PART,
                f"{name} is not obeyed: {name.lower()} says something else, and wins.",
                "Remove one of the two.",
            )


def _around(settings: Settings, proxies: Proxies) -> Iterator[str]:
    """Settings whose addresses are reached directly although only the scheme differs."""
    if not proxies.by_scheme:
        return

    addresses = {
        name: getattr(settings, name)
        for switch, name in _ADDRESSES.items()
        if getattr(settings, switch)
    }
    addresses |= {
        one.url_setting: one.base_url for one in settings.providers.values()
    }
    for name, url in addresses.items():
        if not proxies.is_exempt(url) and proxies.for_url(url) is None:
            yield name
