"""The providers, and the models that are asked through them."""

from __future__ import annotations

import re
from importlib import import_module
from typing import TYPE_CHECKING, cast

from agent.core.errors import UnknownModel
from agent.core.plain_imports import import_plainly
from agent.llm.provider import Model
from agent.settings import OFFLINE, Settings

if TYPE_CHECKING:
    from agent.llm.http_stream import Wire

_PROVIDERS = {  # a new provider is a module with `open_model` and a line here
    "anthropic": "agent.llm.anthropic",
    "offline": "agent.llm.offline",
    "openai": "agent.llm.openai",
}
_NAME = re.compile(r"(?P<provider>[a-z]+):(?P<name>[^\s\x00-\x1f]{1,200})")


class Catalog:
    """Models by name. Their modules, and the HTTP client they share, are loaded when needed."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._wire: Wire | None = None

    async def aclose(self) -> None:
        """Closes what is shared by all models."""
        if self._wire is not None:
            await self._wire.aclose()

    def model(self, full_name: str) -> Model:
        """The model `provider:name`. Raises UnknownModel."""
        match = _NAME.fullmatch(full_name)
        module = _PROVIDERS.get(match["provider"]) if match else None
        if match is None or module is None:
            raise UnknownModel(
                "A model is written provider:model, such as openai:gpt-5-mini; "
                f"the providers are {', '.join(_PROVIDERS)}."
            )
        if full_name != OFFLINE:
            import_plainly("httpx")

        return cast(
            Model,
            import_module(module).open_model(
                match["name"], self._settings, self._open_wire
            ),
        )

    def _open_wire(self) -> Wire:
        # Loaded when first needed: httpx takes a fifth of a second that an offline
        # conversation can save.
        if self._wire is None:
            from agent.llm.http_stream import open_wire

            self._wire = open_wire(self._settings)
        return self._wire
