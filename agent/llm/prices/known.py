"""Prices and context sizes of models as the package genai-prices knows them, without network.

Its import takes a third of a second. So it is made in a thread, only for models that a
provider charges for, and once for each; everything here that is called in a turn only reads.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from agent.core.completion import ModelFacts
from agent.settings import OFFLINE, UNKNOWN_MODEL, ModelSpec, Provider, Settings

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice

OWN_SERVERS = frozenset({"ollama", "vllm", "lmstudio"})
"""Presets that run on machines of one's own: without a key, nobody is charged."""

_NAMES = {
    "azure_openai": "azure",
    "bedrock": "aws",
    "gemini": "google",
    "xai": "x-ai",
}
"""What the package calls them, where it has another name."""

_SAME = frozenset(
    {"openai", "anthropic", "openrouter", "groq", "mistral", "deepseek", "together"}
)
MOST_MODELS = 512
"""People choose models by name; so many are remembered."""

LEAST_CONTEXT = 256
"""Tokens. As for MODELS."""

_DATE = re.compile(r"\b20\d\d-\d\d-\d\d\b")


class KnownSpec(ModelSpec):
    """What the package knows of a model. Its price may depend on the time and the prompt."""

    info: Any = None  # ModelInfo
    found_in: str = ""
    """Which package, in which version; the last date that it names for this price."""

    @property
    def source(self) -> str:
        return self.found_in

    @property
    def facts(self) -> ModelFacts:
        is_ending = self.info is not None and bool(self.info.deprecated)

        return ModelFacts(self.context, is_ending)

    def cost(
        self, prompt: int, cached: int, completion: int, *, at_most: bool = False
    ) -> Decimal | None:
        if self.info is None:
            return super().cost(prompt, cached, completion)

        info: ModelInfo = self.info
        prices = (
            _all_prices(info) if at_most else [info.get_prices(datetime.now(tz=UTC))]
        )
        costs = [
            _flat(price, prompt).cost(prompt, cached, completion) for price in prices
        ]
        known = [cost for cost in costs if cost is not None]

        return max(known) if known and len(known) == len(costs) else None


FREE = KnownSpec(
    input=Decimal(0),
    output=Decimal(0),
    found_in="a server of one's own, without a key",
)


class Specs(Mapping[str, ModelSpec]):
    """What is known of each model: what the operator says, else what the package does.

    Until `learn` was awaited for a model, only what the operator says.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._merged: dict[str, ModelSpec] = {}
        self._learning: dict[str, asyncio.Task[None]] = {}

    def __getitem__(self, model: str) -> ModelSpec:
        spec = self._merged.get(model) or self._settings.models.get(model)
        if spec is None:
            raise KeyError(model)

        return spec

    def __iter__(self) -> Iterator[str]:
        return iter({**self._settings.models, **self._merged})

    def __len__(self) -> int:
        return len(set(self))

    async def learn(self, models: Iterable[str]) -> None:
        """Looks up what is not known yet, in a thread. Never raises."""
        for task in [self.start(model) for model in models]:
            if task is not None:
                await asyncio.shield(task)

    def start(self, model: str) -> asyncio.Task[None] | None:
        """Begins to look a model up, if that was not done; None: all is known."""
        if model in self._merged or model == OFFLINE:
            return None
        if model not in self._learning:
            task = asyncio.create_task(self._look_up(model))
            self._learning[model] = task
            task.add_done_callback(lambda _: self._learning.pop(model, None))

        return self._learning[model]

    async def _look_up(self, model: str) -> None:
        own = self._settings.models.get(model, UNKNOWN_MODEL)
        try:
            found = await asyncio.to_thread(known_spec, model, self._settings)
        except ImportError:  # an installation without the package has fewer prices
            found = None
        self._remember(model, _merged(own, found) if found else own)

    def _remember(self, model: str, spec: ModelSpec) -> None:
        self._merged[model] = spec
        if len(self._merged) > MOST_MODELS:
            del self._merged[next(iter(self._merged))]


def known_spec(model: str, settings: Settings) -> KnownSpec | None:
    """What is known of this model besides MODELS; None: nothing. May import the package."""
    name, _, own_name = model.partition(":")
    provider = settings.provider(name)
    own = settings.models.get(model, UNKNOWN_MODEL)
    if provider is None or (own.source and own.context):
        return None
    if name in OWN_SERVERS and provider.api_key is None:
        return FREE

    return _found(own_name, provider)


def _found(name: str, provider: Provider) -> KnownSpec | None:
    from genai_prices import __version__
    from genai_prices.data_snapshot import get_snapshot

    known = _known_name(provider)
    url = None if known else provider.base_url
    try:
        _, info = get_snapshot().find_provider_model(name, None, known, url)
    except LookupError:
        return None

    size = info.context_window
    return KnownSpec(
        info=info,
        context=size if size and size >= LEAST_CONTEXT else None,
        found_in=" ".join(filter(None, (f"genai-prices {__version__}", _date(info)))),
    )


def _known_name(provider: Provider) -> str | None:
    """What the package calls this provider; None: only its address may tell.

    Another server under its name, without a key, is no gateway to it: it would be given
    prices that nobody asks there.
    """
    if provider.api_key is None:
        return None
    if provider.name in _SAME:
        return provider.name

    return _NAMES.get(provider.name)


def _merged(own: ModelSpec, found: KnownSpec) -> ModelSpec:
    """Each field that the operator names wins; prices only all together."""
    context = own.context or found.context
    if own.context is None and own.answer and context and own.answer > context // 2:
        context = None
    if own.input is not None or own.output is not None:
        return own.model_copy(update={"context": context})

    said = own.model_dump(include=set(own.model_fields_set), exclude={"context"})
    return found.model_copy(update={**said, "context": context})


def _all_prices(info: ModelInfo) -> list[ModelPrice]:
    """Of all times, with those of today. An answer may end at another hour than it began."""
    now = info.get_prices(datetime.now(tz=UTC))
    if not isinstance(info.prices, list):
        return [now]

    hourly = [
        each.prices for each in info.prices if hasattr(each.constraint, "start_time")
    ]
    return [now, *hourly]


def _flat(price: ModelPrice, prompt: int) -> ModelSpec:
    """The price for a prompt of this length. One that also counts requests is not known."""
    read = None if price.requests_kcount else price.input_mtok
    return ModelSpec.model_construct(
        input=_at(read, prompt),
        cached_input=_at(price.cache_read_mtok, prompt),
        output=_at(price.output_mtok, prompt),
    )


def _at(price: Any, prompt: int) -> Decimal | None:
    """A price with steps has the one of the highest step below the prompt, for all tokens."""
    if price is None or isinstance(price, Decimal):
        return price

    reached = [tier.price for tier in price.tiers if prompt > tier.start]
    found: Decimal = reached[-1] if reached else price.base

    return found


def _date(info: ModelInfo) -> str:
    """The last date that the data names for this price; "": it names none."""
    texts = [info.price_comments or ""]
    if isinstance(info.prices, list):
        today = datetime.now(tz=UTC).date()
        begun = (getattr(each.constraint, "start_date", None) for each in info.prices)
        texts += [str(day) for day in begun if day and day <= today]

    return max(_DATE.findall(" ".join(texts)), default="")
