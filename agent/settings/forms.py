"""What a setting may look like: odd forms are taken, wrong ones are named in one sentence
that shows no value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from agent.core.errors import ConfigurationError
from agent.settings.proxies import is_address
from agent.settings.tidy import host_of, tidy

if TYPE_CHECKING:
    from agent.settings import Settings

AS_WRITTEN = frozenset({"system_prompt", "models"})
"""Texts in which blanks, quotes and new lines are meant."""

SECRETS = (
    "discord_token",
    "telegram_token",
    "slack_bot_token",
    "slack_app_token",
    "slack_signing_secret",
    "openai_api_key",
    "anthropic_api_key",
)
"""Sent as one word of a header or an address."""

ADDRESSES = (
    "openai_base_url",
    "anthropic_base_url",
    "discord_api_url",
    "telegram_api_url",
    "slack_api_url",
    "public_url",
)

_EXAMPLE = re.compile(
    r"\.\.\.|\*{3,}|^<.*>$|^\[.*\]$|^\{.*\}$|^\$\{?\w+\}?$|^%\w+%$|^(your|my)[-_]|"
    r"your[-_](api[-_])?(key|token)|^(change|replace|insert)[-_]?(me|this|key|token|here)",
    re.IGNORECASE,
)
"""What pages show in a secret's place, and variables that nobody put in. Words such as
`none` are no examples: a server nearby may take any key.
"""


def cleaned(values: Mapping[str, Any]) -> dict[str, Any]:
    """Without what came along when a value was copied: blanks, new lines, quotes. What is
    empty then is not set.
    """
    tidy = {name: _tidy(name, value) for name, value in values.items()}
    return {
        name: value
        for name, value in tidy.items()
        if value != "" or values[name] == ""
    }


def _tidy(name: str, value: Any) -> Any:
    if not isinstance(value, str) or name in AS_WRITTEN:
        return value

    return tidy(value, is_secret=name in SECRETS)


def check_texts(settings: Settings) -> None:
    """Raises ConfigurationError for what no setting can hold: control characters, bytes
    that are not UTF-8.
    """
    for name, text in _texts(settings):
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise ConfigurationError(f"{name.upper()} is not UTF-8. Write it again.")
        if name not in AS_WRITTEN and any(
            ord(letter) < 32 or ord(letter) == 127 for letter in text
        ):
            raise ConfigurationError(
                f"{name.upper()} has a new line or another control character "
                "inside. Copy it again, in one line."
            )


def check_addresses(settings: Settings) -> None:
    """Raises ConfigurationError for what cannot be the address of a server."""
    addresses = {name.upper(): getattr(settings, name) for name in ADDRESSES}
    addresses |= {
        one.url_setting: one.base_url for one in settings.providers.values()
    }
    for name, address in addresses.items():
        if address is not None and not is_address(address):
            raise ConfigurationError(
                f"{name} is not an address. It begins with https:// or "
                "http://, then comes a host."
            )


def check_secrets(settings: Settings) -> None:
    """Raises ConfigurationError for a secret that cannot be one, or is one of another kind."""
    secrets: dict[str, SecretStr | None] = {
        name: getattr(settings, name) for name in SECRETS
    }
    secrets |= {one.key_setting: one.api_key for one in settings.providers.values()}
    for name, secret in secrets.items():
        if secret is not None and (
            objection := objection_to(name, secret.get_secret_value(), settings)
        ):
            raise ConfigurationError(f"{name.upper()} {objection}")


def objection_to(name: str, secret: str, settings: Settings) -> str | None:
    """Why this cannot be such a secret, as the end of a sentence; None: it may be one."""
    if not (secret.isascii() and secret.isprintable()) or " " in secret:
        return "has a blank, a new line or a letter inside that no token has. Copy it again."
    if secret.upper().startswith(f"{name.upper()}="):
        return "has its own name before it. Leave that away."
    if _EXAMPLE.search(secret):
        return "is an example, not a secret of yours. Copy yours."
    kind = _KINDS.get(name)

    return kind(secret, settings) if kind else None


def _slack_bot(secret: str, _settings: Settings) -> str | None:
    if secret.startswith("xapp-"):
        return "holds an app-level token: that one is SLACK_APP_TOKEN. This one begins with xoxb-."
    if secret.startswith(
        ("xoxp-", "xoxe-", "xoxe.xoxp-", "xoxa-", "xoxs-", "xoxc-", "xoxd-")
    ):
        return (
            "holds a token of a user or for configuration. The Bot User OAuth "
            "Token begins with xoxb-."
        )
    return _of_another_platform(secret, "slack")


def _slack_app(secret: str, _settings: Settings) -> str | None:
    if secret.startswith("xox"):
        return (
            "holds a token of a bot or a user. The app-level token begins "
            "with xapp-; a bot's is SLACK_BOT_TOKEN."
        )
    return _of_another_platform(secret, "slack")


def _signing_secret(secret: str, _settings: Settings) -> str | None:
    wrong = secret.startswith(("xox", "xapp-"))
    return (
        "holds a token. The signing secret stands on the page Basic Information."
        if wrong
        else None
    )


def _telegram(secret: str, _settings: Settings) -> str | None:
    if re.fullmatch(r"\d+:\S+", secret):
        return None
    if re.fullmatch(r"bot\d+:\S+", secret):
        return "has the word bot before it, as in an address of the Bot API. Leave that away."
    return (
        _of_another_platform(secret, "telegram")
        or "is no bot's token: it has digits, a colon, then letters."
    )


def _discord(secret: str, _settings: Settings) -> str | None:
    if secret.isdigit():
        return (
            "holds an application's id. The token stands on the page Bot of "
            "the developer portal."
        )
    if re.fullmatch(r"[0-9a-f]{64}", secret):
        return (
            "holds a public key: that one is DISCORD_PUBLIC_KEY. The token "
            "stands on the page Bot."
        )
    return _of_another_platform(secret, "discord")


def _openai(secret: str, settings: Settings) -> str | None:
    theirs = (
        secret.startswith("sk-ant-")
        and host_of(settings.openai_base_url) == "api.openai.com"
    )
    return (
        "holds a key of Anthropic: that one is ANTHROPIC_API_KEY." if theirs else None
    )


def _anthropic(secret: str, settings: Settings) -> str | None:
    official = host_of(settings.anthropic_base_url) == "api.anthropic.com"
    theirs = secret.startswith("sk-") and not secret.startswith("sk-ant-")
    return (
        "holds a key of OpenAI: that one is OPENAI_API_KEY."
        if theirs and official
        else None
    )


_KINDS: Mapping[str, Callable[[str, Settings], str | None]] = {
    "slack_bot_token": _slack_bot,
    "slack_app_token": _slack_app,
    "slack_signing_secret": _signing_secret,
    "telegram_token": _telegram,
    "discord_token": _discord,
    "openai_api_key": _openai,
    "anthropic_api_key": _anthropic,
}

_PLATFORMS = {
    "slack": re.compile(r"(xox[a-z]|xapp)-.*"),
    "telegram": re.compile(r"\d{6,}:[\w-]{30,}"),
    "discord": re.compile(r"[\w-]{20,}\.[\w-]{6}\.[\w-]{25,}"),
}
"""What their tokens look like: enough to tell one from another, no more."""


def _of_another_platform(secret: str, own: str) -> str | None:
    for platform, form in _PLATFORMS.items():
        if platform != own and form.fullmatch(secret):
            return f"holds a token of {platform.capitalize()}."
    return None


def _texts(settings: Settings) -> Iterator[tuple[str, str]]:
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        for item in value if isinstance(value, list) else (value,):
            if isinstance(item, SecretStr):
                yield name, item.get_secret_value()
            elif item is not None and not isinstance(item, dict):
                yield name, str(item)
    for provider in settings.providers.values():
        yield provider.url_setting, provider.base_url
        if provider.api_key:
            yield provider.key_setting, provider.api_key.get_secret_value()
