"""Every model by its name, with retries, fallbacks and one deadline over all of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Mapping,
)
from contextlib import aclosing, asynccontextmanager, suppress

from msgspec import Struct
from msgspec.structs import replace

from agent import metrics
from agent.core.background import full_jitter
from agent.core.completion import ModelFacts, Prompt, Spent, Usage
from agent.core.errors import UnknownModel
from agent.core.text import storable
from agent.core.words.model_lists import ModelList
from agent.llm import http_errors
from agent.llm.bulkhead import Breakers
from agent.llm.catalog import Catalog
from agent.llm.prices.cost import usage_of
from agent.llm.prices.known import Specs
from agent.llm.provider import (
    AttemptError,
    LongestReached,
    NotAsked,
    Patience,
    Reported,
    within,
)
from agent.settings import OFFLINE, UNKNOWN_MODEL, Settings

_ATTEMPTS = 3  # per model
_BACKOFF = (0.5, 8.0)  # seconds: the first upper bound, and the last one
# of the first-byte limit: a full server is not waited for longer where another model can
# answer
_PLACE_SHARE = 0.1
_LOADING_SHARE = 0.98  # of the time left: that it ran out is then told as what it is

_log = logging.getLogger(__name__)

Sleep = Callable[[float], Awaitable[object]]


@asynccontextmanager
async def open_models(
    settings: Settings, sleep: Sleep = asyncio.sleep
) -> AsyncIterator[ModelRouter]:
    """The models these settings allow, over one HTTP client that is closed at the end."""
    router = ModelRouter(settings, sleep)
    metrics.know_models((settings.model, *settings.fallback_models, *settings.models))
    if settings.model != OFFLINE:
        # said to whoever asks it; here only its modules are loaded ahead of time
        with suppress(UnknownModel):
            router.check(settings.model)
    try:
        yield router
    finally:
        await router.aclose()


class _Begun(Struct, frozen=True):
    """An answer whose first text is here."""

    model: str
    first: str
    rest: AsyncGenerator[str | Reported]


class ModelRouter:
    """The port `Models`. Use `open_models`."""

    def __init__(self, settings: Settings, sleep: Sleep = asyncio.sleep) -> None:
        self._settings = settings
        self._sleep = sleep
        self.specs = Specs(settings)
        self._catalog = Catalog(settings, self.specs)
        self._breakers = Breakers()

    async def aclose(self) -> None:
        """Closes what is shared by all models."""
        await self._catalog.aclose()

    def check(self, model: str) -> None:
        """Raises UnknownModel with a sentence that names what is possible."""
        self._catalog.model(model)

    async def listed(self, seconds: float) -> Mapping[str, ModelList]:
        """See `ListsModels`."""
        return await self._catalog.lists.listed(seconds)

    async def objection(self, model: str, seconds: float) -> str:
        """See `ListsModels`."""
        self.check(model)

        return await self._catalog.lists.objection(model, seconds)

    def budget(self, model: str) -> int:
        """Tokens a prompt for this model may have: its context without the room for an answer.

        A model without a known context has CONTEXT_TOKENS; where an operator set that, so
        has each that is not in MODELS.
        """
        named = self._settings.models.get(model, UNKNOWN_MODEL)
        is_set = "context_tokens" in self._settings.model_fields_set
        spec = named if is_set else self.specs.get(model, UNKNOWN_MODEL)

        return spec.room or self._settings.context_tokens

    async def learn(self, model: str) -> None:
        """Prices and sizes of this model and of those that may answer for it."""
        await self.specs.learn((model, *self._settings.fallback_models))

    async def facts(self, model: str) -> ModelFacts:
        """See `agent.core.words.model_lists.KnowsModels`."""
        await self.specs.learn((model,))
        return self.specs.get(model, UNKNOWN_MODEL).facts

    async def stream(
        self, model: str, prompt: Prompt
    ) -> AsyncGenerator[str | Usage | Spent]:
        """Text as it comes, and last its usage; also when the answer broke off, before
        ModelError is raised.

        Raises ModelError. When all models fail, it speaks of the one that was asked for.
        """
        deadline = _now() + self._settings.model_total_timeout
        self.specs.start(model)
        begun: _Begun | None = None

        async with aclosing(self._started(model, prompt, deadline)) as steps:
            async for step in steps:
                if isinstance(step, Spent):
                    yield step
                else:
                    begun = step

        assert begun is not None
        async with aclosing(self._rest(begun, prompt, deadline)) as pieces:
            async for piece in pieces:
                yield piece

    async def _started(
        self, model: str, prompt: Prompt, deadline: float
    ) -> AsyncGenerator[_Begun | Spent]:
        """What was spent on calls without an answer, and last the answer that began."""
        total = self._settings.model_total_timeout
        late = (
            http_errors.unfinished(model, total)
            if self._settings.fallback_models
            else http_errors.late_sentence(model, total)
        )
        async with aclosing(self._begin(model, prompt, deadline)) as steps:
            try:
                while True:
                    step = await within(deadline, anext(steps), late)
                    yield step
                    if not isinstance(step, Spent):
                        return
            except AttemptError as failed:
                if failed.spent is not None:
                    yield failed.spent
                raise

    async def _rest(
        self, begun: _Begun, prompt: Prompt, deadline: float
    ) -> AsyncGenerator[str | Usage]:
        """The texts of an answer that began, and its usage, however it ends."""
        said, reported, failure = [begun.first], None, None
        late = http_errors.unfinished(begun.model, self._settings.model_total_timeout)

        async with aclosing(begun.rest) as rest:
            yield begun.first
            try:
                while (
                    piece := await within(deadline, anext(rest, None), late)
                ) is not None:
                    if isinstance(piece, Reported):
                        reported = piece
                    elif text := storable(piece):
                        said.append(text)
                        yield text
            except AttemptError as failed:
                if not isinstance(failed, LongestReached):
                    metrics.model_failed(begun.model, failed.status, slow=failed.slow)
                failure = failed

        await self.specs.learn((begun.model,))
        usage = usage_of(begun.model, prompt, said, reported, self.specs)
        metrics.model_answered(usage)
        yield usage
        if failure is not None:
            raise failure

    async def _begin(
        self, model: str, prompt: Prompt, deadline: float
    ) -> AsyncGenerator[_Begun | Spent]:
        """Ends with an answer that has begun; before it, each call that may have to be paid
        and was not the last.
        """
        names = list(dict.fromkeys((model, *self._settings.fallback_models)))
        failures: list[AttemptError] = []
        for name in names:
            last = name == names[-1]
            try:
                async with aclosing(
                    self._attempts(name, prompt, deadline, alone=last)
                ) as steps:
                    async for step in steps:
                        yield step
                return
            except AttemptError as failed:
                failures.append(failed)
                if len(names) > 1:
                    _log.warning(
                        "A model failed before its first word: %s", failed.sentence
                    )
            if failures[-1].spent is not None and not last:
                yield replace(failures[-1].spent, again=True)
        failures[0].spent = failures[-1].spent
        raise failures[0]

    async def _attempts(
        self, name: str, prompt: Prompt, deadline: float, *, alone: bool
    ) -> AsyncGenerator[_Begun | Spent]:
        """`alone`: no other model is left to ask, so this one is waited for as long as
        there is time.
        """
        attempt, was_slow = 0, False
        while True:
            attempt += 1
            patience = self._patience(name, deadline, alone=alone, was_slow=was_slow)
            try:
                yield await self._open(name, prompt, patience)
                return
            except AttemptError as failed:
                pause = full_jitter(*_BACKOFF, attempt, at_least=failed.retry_after)
                if attempt == _ATTEMPTS or not self._is_worth_another(
                    failed, pause, deadline, alone=alone
                ):
                    raise
                spent = failed.spent
                was_slow = was_slow or failed.slow
            if spent is not None:
                yield replace(spent, again=True)
            await self._sleep(pause)

    def _patience(
        self, name: str, deadline: float, *, alone: bool, was_slow: bool
    ) -> Patience:
        """A model nearby that never answered yet, or was slow just now, may have to be loaded.

        Ollama begins that again from the start each time a client leaves. So where no other
        model can answer, such a model has nearly all the time that is left.
        """
        limit = self._settings.model_first_byte_timeout
        if not alone:
            return Patience(limit * _PLACE_SHARE, limit)
        if not self._catalog.is_nearby(name):
            return Patience(limit, limit)

        nearly_all = max(limit, (deadline - _now()) * _LOADING_SHARE)
        if was_slow:
            return Patience(limit, nearly_all)
        return Patience(
            limit, limit, None if self._breakers.of(name).answered else nearly_all
        )

    def _is_worth_another(
        self, failed: AttemptError, pause: float, deadline: float, *, alone: bool
    ) -> bool:
        limit, left = self._settings.model_first_byte_timeout, deadline - _now()
        if not failed.again:
            return False
        if not alone and (failed.slow or isinstance(failed, NotAsked)):
            return False
        if failed.slow and left < limit:  # it would only be broken off again
            return False
        return pause < (left if alone else min(left, limit))

    async def _open(self, name: str, prompt: Prompt, patience: Patience) -> _Begun:
        """One attempt, up to its first text."""
        reported = None
        try:
            model = self._catalog.model(name)
            self._breakers.of(name).check(name, _now())
            pieces = model.stream(prompt, patience)
            async for piece in pieces:
                if isinstance(piece, Reported):
                    reported = piece
                elif text := storable(piece):
                    self._breakers.answered(name)
                    return _Begun(name, text, pieces)
            raise AttemptError(
                f"{name} gave an empty answer. /retry asks again.", may_cost=True
            )
        except UnknownModel as unknown:
            raise AttemptError(unknown.sentence) from unknown
        except AttemptError as failed:
            self._count_failure(name, failed)
            if failed.may_cost:
                await self.specs.learn((name,))
                failed.spent = self._spent(name, prompt, reported)
            raise

    def _count_failure(self, name: str, failed: AttemptError) -> None:
        if not isinstance(failed, NotAsked):
            metrics.model_failed(name, failed.status, slow=failed.slow)
        self._breakers.failed(name, failed, _now())

    def _spent(self, name: str, prompt: Prompt, reported: Reported | None) -> Spent:
        """What a call without a text used, as far as the server said all of it."""
        used = usage_of(name, prompt, [], reported, self.specs)
        if used.estimated:
            return Spent(None, again=False)

        metrics.model_answered(used)
        return Spent(used, again=False)


def _now() -> float:
    return asyncio.get_running_loop().time()
