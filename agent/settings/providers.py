"""Providers of models by their names: presets for those that people use, and any other.

`<NAME>_API_KEY` and `<NAME>_BASE_URL` set a preset; `PROVIDER_<NAME>_BASE_URL`, `_API_KEY` and
`_PROTOCOL` set any provider.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Literal

from msgspec import Struct
from pydantic import SecretStr

from agent.core.errors import ConfigurationError
from agent.settings.tidy import host_of, tidy

Protocol = Literal["openai", "anthropic"]
PROTOCOLS: tuple[Protocol, ...] = ("openai", "anthropic")

OPENAI_URL = "https://api.openai.com/v1"
ANTHROPIC_URL = "https://api.anthropic.com"

_OWN = ("openai", "anthropic", "offline")  # providers with settings of their own
_FIELDS = ("base_url", "api_key", "protocol")
_NAMED = re.compile(r"provider_([a-z][a-z0-9_]*?)_(base_url|api_key|protocol)")


class Provider(Struct, frozen=True):
    """A server of models, and how the settings behind it are called."""

    name: str
    base_url: str
    api_key: SecretStr | None = None
    protocol: Protocol = "openai"
    prefix: str = ""
    """Of its settings: `GROQ` or `PROVIDER_LAB`."""
    needs_key: bool = False
    lists_all: bool = True
    """Whether a model that is not in the server's list does not exist."""
    model: str = ""
    """Used when nobody named one. "": the first of the server's list."""

    @property
    def key_setting(self) -> str:
        """The variable that holds its key."""
        return f"{self.prefix or self.name.upper()}_API_KEY"

    @property
    def url_setting(self) -> str:
        """The variable that holds its address."""
        return f"{self.prefix or self.name.upper()}_BASE_URL"


class Preset(Struct, frozen=True):
    """What is known of a provider before anything is set."""

    url: str
    """Its address, or an example of one if each customer has another."""
    model: str = ""
    is_example: bool = False
    needs_key: bool = True
    lists_all: bool = True


PRESETS: Mapping[str, Preset] = MappingProxyType(
    {
        "openrouter": Preset("https://openrouter.ai/api/v1", "openai/gpt-5-mini"),
        "groq": Preset("https://api.groq.com/openai/v1", "openai/gpt-oss-20b"),
        "mistral": Preset("https://api.mistral.ai/v1", "mistral-small-latest"),
        "deepseek": Preset("https://api.deepseek.com/v1", "deepseek-chat"),
        "gemini": Preset(
            "https://generativelanguage.googleapis.com/v1beta/openai",
            "gemini-3.5-flash",
        ),
        "xai": Preset("https://api.x.ai/v1", "grok-4-fast-non-reasoning"),
        "together": Preset("https://api.together.xyz/v1", "openai/gpt-oss-20b"),
        # Azure lists what can be deployed, not what is; a deployment has any name.
        "azure_openai": Preset(
            "https://NAME.openai.azure.com/openai/v1",
            is_example=True,
            lists_all=False,
        ),
        "bedrock": Preset(
            "https://bedrock-runtime.us-west-2.amazonaws.com/openai/v1",
            "openai.gpt-oss-20b-1:0",
            lists_all=False,
        ),
        "ollama": Preset(
            "http://localhost:11434/v1", is_example=True, needs_key=False
        ),
        "vllm": Preset("http://localhost:8000/v1", is_example=True, needs_key=False),
        "lmstudio": Preset(
            "http://localhost:1234/v1", is_example=True, needs_key=False
        ),
    }
)
"""By name. Addresses and models are those of the providers' own pages."""


def needs(name: str) -> str:
    """What a preset that nobody set needs, as one sentence."""
    preset, prefix = PRESETS[name], name.upper()
    if not preset.needs_key:
        return f"{name}: models need {prefix}_BASE_URL, such as {preset.url}."

    return f"{name}: models need {prefix}_API_KEY. Set it or choose another model."


def named_providers(variables: Mapping[str, str | None]) -> dict[str, Provider]:
    """All providers that these variables (in lower case) set.

    Presets come first, in their order. Raises ConfigurationError for one that cannot be
    asked, and for two of one name.
    """
    written = _written(variables)
    names = [name for name in PRESETS if name in written]
    names += sorted(set(written) - set(PRESETS))

    return {name: _provider(name, *written[name]) for name in names}


def _written(
    variables: Mapping[str, str | None],
) -> dict[str, tuple[str, dict[str, str]]]:
    """The prefix and the fields of each provider. Raises ConfigurationError."""
    found: dict[str, tuple[str, dict[str, str]]] = {}
    for variable, name, field in _fields(variables):
        value = tidy(variables[variable] or "", is_secret=field == "api_key")
        if not value:
            continue

        prefix = variable.removesuffix(f"_{field}").upper()
        if name in _OWN:
            raise ConfigurationError(
                f"{variable.upper()} names a provider that is there already. Choose "
                f"another name than {name}."
            )
        known, fields = found.setdefault(name, (prefix, {}))
        if known != prefix:
            raise ConfigurationError(
                f"{known}_… and {prefix}_… name one provider twice. Remove one of them."
            )
        fields[field] = value

    return found


def _fields(
    variables: Mapping[str, str | None],
) -> Iterator[tuple[str, str, str]]:
    for name in PRESETS:
        for field in _FIELDS:
            if f"{name}_{field}" in variables:
                yield f"{name}_{field}", name, field
    for variable in variables:
        if match := _NAMED.fullmatch(variable):
            yield variable, match[1], match[2]


def _provider(name: str, prefix: str, fields: Mapping[str, str]) -> Provider:
    """Raises ConfigurationError."""
    preset = PRESETS.get(name)
    known = "" if preset is None or preset.is_example else preset.url
    url = fields.get("base_url") or known
    if not url:
        example = preset.url if preset else "https://host/v1"
        raise ConfigurationError(
            f"{prefix}_BASE_URL is missing: {name} needs an address, such as {example}."
        )

    key = fields.get("api_key")
    return Provider(
        name,
        url,
        SecretStr(key) if key else None,
        _protocol(fields.get("protocol", "openai"), prefix),
        prefix,
        needs_key=bool(preset and preset.needs_key and url == preset.url),
        lists_all=preset is None or preset.lists_all,
        model=preset.model if preset else "",
    )


def _protocol(written: str, prefix: str) -> Protocol:
    """Raises ConfigurationError."""
    for protocol in PROTOCOLS:
        if written.lower() == protocol:
            return protocol

    raise ConfigurationError(f"{prefix}_PROTOCOL is openai or anthropic.")


def openai(url: str, key: SecretStr | None) -> Provider:
    """The provider that OPENAI_… set. Another server than OpenAI's may need no key."""
    is_theirs = host_of(url) == host_of(OPENAI_URL)

    return Provider("openai", url, key, needs_key=is_theirs, model="gpt-5-mini")


def anthropic(url: str, key: SecretStr | None) -> Provider:
    """The provider that ANTHROPIC_… set."""
    return Provider(
        "anthropic",
        url,
        key,
        "anthropic",
        needs_key=True,
        model="claude-haiku-4-5",
    )
