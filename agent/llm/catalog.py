"""The providers, and the models that are asked through them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, cast

from agent.core.errors import ConfigurationError, UnknownModel
from agent.core.imports import import_plainly
from agent.core.text import did_you_mean
from agent.core.words.model_lists import ListsModels
from agent.llm.base_url import is_nearby
from agent.llm.offline import open_model as open_offline
from agent.llm.provider import Model
from agent.ports import LanguageModels
from agent.settings import OFFLINE, UNKNOWN_MODEL, ModelSpec, Settings
from agent.settings.providers import PRESETS, needs

if TYPE_CHECKING:
    from agent.llm.http_stream import Wire
    from agent.llm.listing import ModelLists

_PROTOCOLS = {  # a new protocol is a module with `open_model` and a line here
    "anthropic": "agent.llm.anthropic",
    "openai": "agent.llm.openai",
}
_NAME = re.compile(r"(?P<provider>[a-z][a-z0-9_]*):(?P<name>[^\s\x00-\x1f]{1,200})")
OFFLINE_PROVIDER = "offline"


class Catalog:
    """Models by name. Their modules, and the HTTP client they share, are loaded when needed."""

    def __init__(self, settings: Settings, specs: Mapping[str, ModelSpec]) -> None:
        self._settings = settings
        self._specs = specs
        self._wire: Wire | None = None
        self._lists: ModelLists | None = None

    async def aclose(self) -> None:
        """Closes what is shared by all models."""
        if self._lists is not None:
            await self._lists.aclose()
        if self._wire is not None:
            await self._wire.aclose()

    @property
    def lists(self) -> ModelLists:
        """What providers list; loaded when needed."""
        if self._lists is None:
            from agent.llm.listing import ModelLists

            self._lists = ModelLists(self._settings, self._open_wire)
        return self._lists

    def model(self, full_name: str) -> Model:
        """The model `provider:name`. Raises UnknownModel."""
        match = _NAME.fullmatch(full_name)
        if match is None:
            raise UnknownModel(_unwritten(self._settings))
        if match["provider"] == OFFLINE_PROVIDER:
            return open_offline(match["name"])

        provider = self._settings.provider(match["provider"])
        if provider is None:
            raise UnknownModel(_unset(match["provider"], self._settings))

        import_plainly("httpx")
        module = import_module(_PROTOCOLS[provider.protocol])
        return cast(
            Model,
            module.open_model(
                match["name"],
                provider,
                self._specs.get(full_name, UNKNOWN_MODEL),
                self._open_wire,
            ),
        )

    def is_nearby(self, full_name: str) -> bool:
        """Whether its server is somebody's own, which may have to load the model first."""
        provider = self._settings.provider(full_name.partition(":")[0])

        return provider is not None and is_nearby(provider.base_url)

    def _open_wire(self) -> Wire:
        # Loaded when first needed: httpx takes a fifth of a second that an offline
        # conversation can save.
        if self._wire is None:
            from agent.llm.http_stream import open_wire

            self._wire = open_wire(self._settings)
        return self._wire


def check_models(settings: Settings, models: LanguageModels) -> None:
    """Raises ConfigurationError when a setting names a model that cannot be asked."""
    for setting, names in (
        ("DEFAULT_MODEL", [settings.model]),
        ("FALLBACK_MODELS", settings.fallback_models),
    ):
        for name in names:
            try:
                models.check(name)
            except UnknownModel as error:
                raise ConfigurationError(f"{setting}: {error.sentence}") from error


async def with_default_model(settings: Settings, models: ListsModels) -> Settings:
    """The settings, with a model where only a server is named that has models of its own.

    Raises ConfigurationError when it does not say which ones it has.
    """
    if settings.default_model or settings.model != OFFLINE or not settings.providers:
        return settings

    from agent.llm.listing import ASK_SECONDS, default_of

    provider = next(iter(settings.providers.values()))
    found = (await models.listed(ASK_SECONDS))[provider.name]

    return settings.model_copy(update={"default_model": default_of(provider, found)})


def _unset(provider: str, settings: Settings) -> str:
    if provider in PRESETS:
        return needs(provider)

    near = did_you_mean(provider, {*_known(settings), *PRESETS})

    return f"There is no provider {provider}.{near}" if near else _unwritten(settings)


def _known(settings: Settings) -> list[str]:
    own = (one.name for one in settings.own_providers)

    return sorted({OFFLINE_PROVIDER, *own, *settings.providers})


def _unwritten(settings: Settings) -> str:
    return (
        "A model is written provider:model, such as openai:gpt-5-mini; "
        f"the providers are {', '.join(_known(settings))}."
    )
