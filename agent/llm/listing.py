"""Which models each provider has, by its own list: asked rarely, and never waited for long.

A list is asked for by a task of its own that outlives the question. Someone who does not
want to wait that long gets what is known, or a sentence.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeGuard

from msgspec.structs import replace

from agent.core.background import end
from agent.core.errors import ConfigurationError, UnknownModel
from agent.core.words.model_lists import ModelList, near_names, offer
from agent.llm import anthropic, base_url, openai
from agent.llm.provider import AttemptError
from agent.settings import OFFLINE, Provider, Settings

if TYPE_CHECKING:
    from agent.llm.http_errors import Server
    from agent.llm.http_stream import Wire

ASK_SECONDS = 8.0
"""One request for a list takes at most this long."""

FRESH_SECONDS = 600.0
"""So long a list counts as new; an older one is still told while another is fetched."""

FAILED_SECONDS = 20.0
"""So long a provider without a list is not asked for one again. What it listed before stands."""

MAX_NAMES = 5_000
_MAX_NAME_CHARS = 200
_NO_LIST = frozenset({404, 405, 501})
_OTHER_KINDS = re.compile(
    r"embed|rerank|whisper|tts|moderation|image|dall-e|audio|transcri", re.IGNORECASE
)
"""Servers list those next to the models that answer."""
_DATED = re.compile(r"-(\d{6,8}|\d{4}-\d\d-\d\d)$")


class ModelLists:
    """The lists of all providers that the settings name."""

    def __init__(self, settings: Settings, open_wire: Callable[[], Wire]) -> None:
        self._settings = settings
        self._open_wire = open_wire
        self._known: dict[str, tuple[ModelList, float]] = {}
        self._tasks: dict[str, asyncio.Task[ModelList]] = {}

    async def aclose(self) -> None:
        """Ends what is still asked for."""
        await end(self._tasks.values())

    async def listed(self, seconds: float) -> Mapping[str, ModelList]:
        """All lists, side by side: a dead provider delays no other."""
        providers = self._settings.configured
        lists = await asyncio.gather(*(self.of(one, seconds) for one in providers))
        found = {one.name: found for one, found in zip(providers, lists, strict=True)}

        return found or {"offline": ModelList((OFFLINE.partition(":")[2],))}

    async def of(self, provider: Provider, seconds: float) -> ModelList:
        """One provider's list, after at most this long."""
        known, until = self._known.get(provider.name, (None, 0.0))
        if known is not None and monotonic() < until:
            return known

        task = self._asked(provider)
        if known is not None and known.names:
            return known

        done, _ = await asyncio.wait({task}, timeout=seconds)
        return task.result() if done else known or _late(provider, seconds)

    async def objection(self, model: str, seconds: float) -> str:
        """Why this provider has no such model; "": it may have."""
        name = model.partition(":")[2]
        provider = self._settings.provider(model.partition(":")[0])
        if (
            provider is None
            or not provider.lists_all
            or model in self._settings.models
        ):
            return ""

        names = (await self.of(provider, seconds)).names
        if not names or _is_listed(name, names):
            return ""

        near = [f"{provider.name}:{each}" for each in near_names(name, names)]
        return f"{provider.name} has no model {name}. {offer(near)}"

    def _asked(self, provider: Provider) -> asyncio.Task[ModelList]:
        if provider.name not in self._tasks:
            task = asyncio.create_task(self._ask(provider))
            self._tasks[provider.name] = task
            task.add_done_callback(lambda _: self._tasks.pop(provider.name, None))

        return self._tasks[provider.name]

    async def _ask(self, provider: Provider) -> ModelList:
        found = await _fetched(provider, self._open_wire)
        found = replace(found, at=datetime.now(UTC))
        kept = FRESH_SECONDS if found.names else FAILED_SECONDS
        before, _ = self._known.get(provider.name, (ModelList(), 0.0))
        if not found.answered and before.names:
            found = replace(before, problem=found.problem, answered=False)
        self._known[provider.name] = (found, monotonic() + kept)

        return found


def default_of(provider: Provider, found: ModelList) -> str:
    """The first of these models that answers. Raises ConfigurationError."""
    talking = [name for name in found.names if not _OTHER_KINDS.search(name)]
    if talking:
        return f"{provider.name}:{talking[0]}"

    problem = found.problem or f"{provider.name} lists no models that talk."
    raise ConfigurationError(
        f"DEFAULT_MODEL is not set, and nobody says what {provider.name} has: {problem}"
    )


async def _fetched(provider: Provider, open_wire: Callable[[], Wire]) -> ModelList:
    """Never raises."""
    problem = ModelList(
        problem=f"{provider.name} lists no models. Name one yourself."
    )
    try:
        for server in _servers(provider):
            try:
                body = await open_wire().fetch(server, ASK_SECONDS)
            except AttemptError as failed:
                if failed.status in _NO_LIST:
                    continue
                return ModelList(problem=failed.sentence, answered=False)
            if names := _names(body):
                return ModelList(names)
    except TimeoutError:
        return _late(provider, ASK_SECONDS)
    except UnknownModel as unknown:
        return ModelList(problem=unknown.sentence, answered=False)

    return problem


def _servers(provider: Provider) -> list[Server]:
    """Where lists may be. Raises UnknownModel."""
    urls = base_url.models(provider.base_url)
    if provider.protocol == "anthropic":
        one = anthropic.server_of("", provider)
        return [replace(one, url=f"{urls[0]}?limit=1000")]

    one = openai.servers("", provider)[0]
    return [replace(one, url=url) for url in urls]


def _names(body: bytes) -> tuple[str, ...]:
    """Sorted. OpenAI puts them under `data`, Together sends a bare list."""
    try:
        read: Any = json.loads(body)
    except ValueError:
        return ()

    entries = read.get("data") if isinstance(read, dict) else read
    found = {
        name.removeprefix("models/")  # Gemini
        for entry in (entries if isinstance(entries, list) else ())
        if isinstance(entry, dict) and _is_name(name := entry.get("id", ""))
    }

    return tuple(sorted(found)[:MAX_NAMES])


def _is_name(name: object) -> TypeGuard[str]:
    """Whether it could be written behind `/model`."""
    return (
        isinstance(name, str)
        and 0 < len(name) <= _MAX_NAME_CHARS
        and name.isprintable()
        and " " not in name
    )


def _is_listed(name: str, names: tuple[str, ...]) -> bool:
    """Also by an alias: without its date (Anthropic), without `:latest` (Ollama), with a
    variant behind it (OpenRouter's `:free`).
    """
    wanted = name.lower().removesuffix("-latest")
    known = {each.lower() for each in names}
    known |= {each.removesuffix(":latest") for each in known}
    known |= {_DATED.sub("", each) for each in known}

    return (
        wanted in known
        or name.lower() in known
        or name.lower().rpartition(":")[0] in known
    )


def _late(provider: Provider, seconds: float) -> ModelList:
    return ModelList(
        problem=f"{provider.name} did not list its models within {seconds:g} s. "
        "Try again in a moment.",
        answered=False,
    )
