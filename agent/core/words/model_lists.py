"""What providers say may be asked of them, and how people are told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from difflib import get_close_matches
from typing import Protocol, runtime_checkable

from msgspec import Struct

from agent.core.completion import ModelFacts


class ModelList(Struct, frozen=True):
    """The models of one provider, without its name."""

    names: tuple[str, ...] = ()
    problem: str = ""
    """Why there are none, or no newer ones, as one sentence."""
    answered: bool = True
    """Whether the provider was reached. It may list nothing and yet work."""
    at: datetime | None = None
    """When it said so, or failed to; None: it was not asked to the end."""


@runtime_checkable
class ListsModels(Protocol):
    """Optional: models that can also say which ones there are."""

    async def listed(self, seconds: float) -> Mapping[str, ModelList]:
        """The lists of all providers that are set, after at most this long. Never raises."""

    async def objection(self, model: str, seconds: float) -> str:
        """Why no provider has this model, as one sentence that names near ones.

        "": there is one, or nobody knows. Raises UnknownModel as `check` does.
        """


@runtime_checkable
class KnowsModels(Protocol):
    """Optional: models of which something is known."""

    async def facts(self, model: str) -> ModelFacts:
        """May take a moment. Never raises."""


LIST_SECONDS = 5.0
"""So long an operator waits for the list of a provider."""

MAX_SHOWN = 12
"""Models of one provider in an overview."""

MAX_OF_ONE = 60
"""Models that are shown where somebody asks for one provider's."""

MAX_NEAR = 3
"""Names that a sentence offers."""

MAX_MENU = 25
"""Models in a platform's menu."""

_NEARNESS = 0.6  # of two names, as difflib measures it: its own default


def near_names(wanted: str, names: Iterable[str], most: int = MAX_NEAR) -> list[str]:
    """The names that were probably meant: those that hold what was written, then similar ones.

    Without a provider, the part behind it is meant, or the colon is missing.
    """
    lower = wanted.lower()
    whole = {name.lower(): name for name in names}
    within = [name for low, name in whole.items() if lower in low]
    tails = {low.partition(":")[2]: name for low, name in whole.items()}
    known = whole if ":" in wanted else tails | whole
    similar = get_close_matches(lower, known, n=2 * most, cutoff=_NEARNESS)

    return list(dict.fromkeys((*within, *(known[low] for low in similar))))[:most]


def offer(near: Sequence[str]) -> str:
    """A sentence for these names."""
    if not near:
        return "/model shows those that there are."

    return f"Did you mean {' or '.join(f'`{name}`' for name in near)}?"


def model_names(
    lists: Mapping[str, ModelList], allowed: Sequence[str] = ()
) -> list[str]:
    """All that may be chosen, as `provider:model`; `allowed` empty: all.

    An allowed one stays unless its provider has a list without it.
    """
    listed = [f"{name}:{one}" for name, found in lists.items() for one in found.names]
    if not allowed:
        return listed

    silent = {name for name, found in lists.items() if found.names}
    known = set(listed)
    return [
        name
        for name in allowed
        if name in known or name.partition(":")[0] not in silent
    ]


def overview(lists: Mapping[str, ModelList], allowed: Sequence[str] = ()) -> str:
    """The models that may be chosen, a paragraph for each provider."""
    if allowed:
        return "\n".join(f"- `{name}`" for name in model_names(lists, allowed))

    return "\n".join(
        _paragraph(name, found, MAX_SHOWN) for name, found in lists.items()
    )


def of_one(name: str, found: ModelList) -> str:
    """All models of one provider, as many as fit into a message."""
    return _paragraph(name, found, MAX_OF_ONE)


def _paragraph(provider: str, found: ModelList, most: int) -> str:
    return "\n".join(_lines(provider, found, most))


def _lines(provider: str, found: ModelList, most: int) -> Iterator[str]:
    if found.problem:
        yield f"- {found.problem}"
    yield from (f"- `{provider}:{name}`" for name in found.names[:most])

    more = len(found.names) - most
    if more > 0 and most < MAX_OF_ONE:
        yield f"- {more} more: `/model {provider}` shows those of {provider}"
    elif more > 0:
        yield f"- {more} more: `/model` and a part of a name finds one"
