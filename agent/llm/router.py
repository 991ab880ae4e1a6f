"""Every model by its name, with retries, fallbacks and one deadline over all of them."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from importlib import import_module
from random import SystemRandom
from typing import TYPE_CHECKING, TypeVar, cast

from agent import metrics
from agent.core.completion import Prompt, Spent, Usage
from agent.core.errors import UnknownModel
from agent.core.prompt import estimate_tokens
from agent.llm.pricing import cost_usd
from agent.llm.provider import AttemptError, LongestReached, Model, Reported
from agent.llm.tokens import estimate_prompt
from agent.settings import OFFLINE, UNKNOWN_MODEL, Settings

if TYPE_CHECKING:
    from agent.llm.http_stream import Wire

_PROVIDERS = {  # a new provider is a module with `open_model` and a line here
    "anthropic": "agent.llm.anthropic",
    "offline": "agent.llm.offline",
    "openai": "agent.llm.openai",
}
_NAME = re.compile(r"(?P<provider>[a-z]+):(?P<name>[^\s\x00-\x1f]{1,200})")
_ATTEMPTS = 3  # per model
_BACKOFF = (0.5, 8.0)  # seconds: the first upper bound, and the last one

_random = SystemRandom()
_log = logging.getLogger(__name__)

_T = TypeVar("_T")
Sleep = Callable[[float], Awaitable[object]]


@asynccontextmanager
async def open_models(
    settings: Settings, sleep: Sleep = asyncio.sleep
) -> AsyncIterator[ModelRouter]:
    """The models these settings allow, over one HTTP client that is closed at the end."""
    router = ModelRouter(settings, sleep)
    metrics.know_models((settings.model, *settings.fallback_models, *settings.models))
    if settings.model != OFFLINE:
        with suppress(
            UnknownModel
        ):  # said to whoever asks it; here only its modules are loaded ahead of time
            router.check(settings.model)
    try:
        yield router
    finally:
        await router.aclose()


@dataclass(frozen=True, slots=True)
class _Begun:
    """An answer whose first text is here."""

    model: str
    first: str
    rest: AsyncGenerator[str | Reported]


class ModelRouter:
    """The port `Models`. Use `open_models`."""

    def __init__(self, settings: Settings, sleep: Sleep = asyncio.sleep) -> None:
        self._settings = settings
        self._sleep = sleep
        self._wire: Wire | None = None

    async def aclose(self) -> None:
        """Closes what is shared by all models."""
        if self._wire is not None:
            await self._wire.aclose()

    def check(self, model: str) -> None:
        """Raises UnknownModel with a sentence that names what is possible."""
        self._model(model)

    def budget(self, model: str) -> int:
        """Tokens a prompt for this model may have: its context without the room for an answer.

        A model without a known context has CONTEXT_TOKENS.
        """
        spec = self._settings.models.get(model)
        if spec is None or spec.context is None:
            return self._settings.context_tokens
        return spec.context - spec.longest

    async def stream(
        self, model: str, prompt: Prompt
    ) -> AsyncGenerator[str | Usage | Spent]:
        """Text as it comes, and last its usage; also when the answer broke off, before
        ModelError is raised.

        Raises ModelError. When all models fail, it speaks of the one that was asked for.
        """
        deadline = (
            asyncio.get_running_loop().time() + self._settings.model_total_timeout
        )
        async with aclosing(self._begin(model, prompt, deadline)) as steps:
            try:
                while isinstance(
                    begun := await self._within(deadline, model, anext(steps)), Spent
                ):
                    yield begun
            except AttemptError as failed:
                if failed.spent is not None:
                    yield failed.spent
                raise
        said, reported, failure = [begun.first], None, None
        async with aclosing(begun.rest) as rest:
            yield begun.first
            try:
                while (
                    piece := await self._within(
                        deadline, begun.model, anext(rest, None)
                    )
                ) is not None:
                    if isinstance(piece, Reported):
                        reported = piece
                    elif text := _storable(piece):
                        said.append(text)
                        yield text
            except AttemptError as failed:
                if not isinstance(failed, LongestReached):
                    metrics.model_failed(begun.model, failed.status, slow=failed.slow)
                failure = failed
        usage = self._usage(begun.model, prompt, said, reported)
        metrics.model_answered(usage)
        yield usage
        if failure is not None:
            raise failure

    async def _within(self, deadline: float, model: str, step: Awaitable[_T]) -> _T:
        # Around each step, never around a yield: a deadline must not strike in the consumer's code.
        try:
            async with asyncio.timeout_at(deadline):
                return await step
        except TimeoutError:
            total = self._settings.model_total_timeout
            late = AttemptError(
                f"{model} did not finish within {total:g} s. /retry asks again."
            )
            late.spent = Spent(None, again=False)
            raise late from None

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
        attempt = 0
        while True:
            attempt += 1
            try:
                yield await self._open(name, prompt)
                return
            except AttemptError as failed:
                metrics.model_failed(name, failed.status, slow=failed.slow)
                pause = _pause(failed, attempt)
                left = deadline - asyncio.get_running_loop().time()
                bearable = (
                    left
                    if alone
                    else min(left, self._settings.model_first_byte_timeout)
                )
                if (
                    attempt == _ATTEMPTS
                    or not failed.again
                    or pause >= bearable
                    or (failed.slow and not alone)
                ):
                    raise
                spent = failed.spent
            if spent is not None:
                yield replace(spent, again=True)
            await self._sleep(pause)

    async def _open(self, name: str, prompt: Prompt) -> _Begun:
        """One attempt, up to its first text."""
        reported = None
        try:
            pieces = self._model(name).stream(prompt)
            async for piece in pieces:
                if isinstance(piece, Reported):
                    reported = piece
                elif text := _storable(piece):
                    return _Begun(name, text, pieces)
            raise AttemptError(
                f"{name} gave an empty answer. /retry asks again.", may_cost=True
            )
        except UnknownModel as unknown:
            raise AttemptError(unknown.sentence) from unknown
        except AttemptError as failed:
            if failed.may_cost:
                used = self._usage(name, prompt, [], reported) if reported else None
                failed.spent = Spent(used, again=False)
                if used is not None:
                    metrics.model_answered(used)
            raise

    def _model(self, full_name: str) -> Model:
        match = _NAME.fullmatch(full_name)
        module = _PROVIDERS.get(match["provider"]) if match else None
        if match is None or module is None:
            raise UnknownModel(
                "A model is written provider:model, such as openai:gpt-5-mini; "
                f"the providers are {', '.join(_PROVIDERS)}."
            )
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

    def _usage(
        self, model: str, prompt: Prompt, said: list[str], reported: Reported | None
    ) -> Usage:
        most = self._settings.models.get(model, UNKNOWN_MODEL).longest
        counted = reported or Reported(
            estimate_prompt(prompt), min(estimate_tokens("".join(said)), most)
        )
        return Usage(
            model=model,
            prompt_tokens=counted.prompt_tokens,
            completion_tokens=counted.completion_tokens,
            cost_usd=cost_usd(model, counted, self._settings.models),
            estimated=reported is None,
        )


def _pause(failed: AttemptError, attempt: int) -> float:
    """Seconds before the next attempt: exponential with full jitter, at least what the
    server asked for.

    https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
    """
    first, last = _BACKOFF
    jitter = _random.uniform(0, min(last, first * 2 ** (attempt - 1)))
    return max(jitter, failed.retry_after or 0)


def _storable(text: str) -> str:
    return text.replace(
        "\0", ""
    )  # the one character that Postgres can not keep in a text
