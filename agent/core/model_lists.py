"""What providers say may be asked of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class ModelList:
    """The models of one provider, without its name."""

    names: tuple[str, ...] = ()
    problem: str = ""
    """Why there are none, as one sentence."""
    answered: bool = True
    """Whether the provider was reached. It may list nothing and yet work."""


@runtime_checkable
class ListsModels(Protocol):
    """Optional: models that can also say which ones there are."""

    async def listed(self, seconds: float) -> Mapping[str, ModelList]:
        """The lists of all providers that are set, after at most this long. Never raises."""

    async def objection(self, model: str, seconds: float) -> str:
        """Why no provider has this model, as one sentence that names near ones.

        "": there is one, or nobody knows. Raises UnknownModel as `check` does.
        """
