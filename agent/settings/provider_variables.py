"""The settings of providers, whose names nobody can list ahead."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
)

from agent.settings.providers import Provider, named_providers


class ProviderVariables(BaseSettings):
    """A part of `Settings`: the providers that are set by variables with their names."""

    providers: Annotated[dict[str, Provider], NoDecode] = Field(
        default={}, description="Made of the variables with a provider's name."
    )

    @field_validator("providers", mode="before")
    @classmethod
    def _by_their_names(cls, value: object) -> object:
        if isinstance(value, str):
            raise ValueError("set each by itself, by PROVIDER_<NAME>_BASE_URL")  # noqa: TRY004
        return value

    @property
    def own_providers(self) -> tuple[Provider, ...]:
        """Those with settings of their own."""
        return ()

    @property
    def configured(self) -> tuple[Provider, ...]:
        """All that were set, in the order in which a default model is taken from them."""
        own = (one for one in self.own_providers if one.api_key or not one.needs_key)

        return (*own, *self.providers.values())

    def provider(self, name: str) -> Provider | None:
        """The provider of this name; None: it is not set."""
        known = {one.name: one for one in self.own_providers}

        return self.providers.get(name) or known.get(name)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Pydantic's own, and one for variables whose names nobody can list ahead."""
        named = _NamedProviders(settings_cls, dotenv_settings, env_settings)

        return init_settings, named, env_settings, dotenv_settings


class _NamedProviders(PydanticBaseSettingsSource):
    """Reads what the other two have read; the later one wins."""

    def __init__(
        self,
        settings_cls: type[BaseSettings],
        *sources: PydanticBaseSettingsSource,
    ) -> None:
        super().__init__(settings_cls)
        self._variables: dict[str, str | None] = {}
        for source in sources:
            if isinstance(source, EnvSettingsSource):
                self._variables.update(source.env_vars)

    def get_field_value(
        self, field: FieldInfo, field_name: str
    ) -> tuple[Any, str, bool]:
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        found = named_providers(self._variables)

        return {"providers": found} if found else {}
