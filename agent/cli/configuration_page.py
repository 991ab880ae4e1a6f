"""Makes docs/configuration.md: `python -m agent.cli.configuration_page > docs/configuration.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from pydantic import SecretStr
from pydantic.fields import FieldInfo

from agent.cli.run import EXIT_STATUS
from agent.settings import Settings

_SECTIONS = {
    "database_url": "Stores",
    "default_model": "Models",
    "max_message_chars": "Messages",
    "discord_token": "Channels",
    "http_host": "HTTP",
    "encryption_keys": "Operation",
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

    return _HEAD + "\n".join(_lines()) + "\n" + _EXIT + rows + "\n"


def _lines() -> Iterator[str]:
    for name, setting in Settings.model_fields.items():
        if name in _SECTIONS:
            yield f"\n## {_SECTIONS[name]}\n\n| setting | default | meaning |\n|---|---|---|"
        description = (setting.description or "").replace("|", "\\|")
        yield f"| `{name.upper()}` | {_default(name, setting)} | {description} |"


def _default(name: str, setting: FieldInfo) -> str:
    if name in _COMPUTED:
        return _COMPUTED[name]

    default = setting.default
    if default is None or default in ([], {}) or isinstance(default, SecretStr):
        return ""

    return f"`{default}`"


if __name__ == "__main__":
    sys.stdout.write(page())
