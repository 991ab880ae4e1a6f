"""A prompt that is tried out: built as for a chat's first message, sent nowhere, stored nowhere.

No budget is asked and none is charged.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from decimal import Decimal
from typing import Any, TypeVar

from msgspec import Struct, field

from agent.control.flags import Flag
from agent.control.rules import Audience
from agent.conversation.policy import (
    AnswerPolicy,
    PolicyEvaluator,
    model_refusal,
    permits,
)
from agent.core.completion import Prompt, Spent, Usage
from agent.core.errors import ModelError, UnknownModel
from agent.core.messages import Message, Window
from agent.core.options import Options
from agent.core.prompt import build_prompt
from agent.ports import Control, Flags, LanguageModels

T = TypeVar("T")

SECONDS = 50.0
"""A page waits for the answer; what stands before it often gives up after a minute."""

LATE = f"The answer took longer than {SECONDS:.0f} s and was broken off."


class Trial(Struct, frozen=True):
    """Who is answered, and what is different for this once."""

    audience: Audience
    text: str
    model: str | None = None
    """None: what they would get."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """Of flags."""


class Built(Struct, frozen=True):
    """What would be asked."""

    policy: AnswerPolicy
    prompt: Prompt | None
    """None: they get a sentence of the operators (`policy.canned_reply`), or nothing."""


class Tried(Struct):
    """What came of it."""

    parts: list[str] = field(default_factory=list)
    used: list[Usage | None] = field(default_factory=list)
    """Of each call that may have to be paid; None: its server did not say."""
    error: str = ""
    seconds: float = 0.0

    @property
    def text(self) -> str:
        return "".join(self.parts)

    @property
    def cost(self) -> Decimal | None:
        """Of all calls together. None: it is not known of one of them."""
        costs = [one.cost_usd if one else None for one in self.used]
        known = [cost for cost in costs if cost is not None]

        return None if len(known) < len(costs) else sum(known, Decimal(0))


class TrialFlags:
    """Implements agent.ports.Flags: those in force, with some values of the trial's own."""

    def __init__(self, flags: Flags, values: Mapping[str, Any]) -> None:
        self._flags = flags
        self._values = values

    @property
    def version(self) -> object | None:
        return None

    def value(self, flag: Flag[T], audience: Audience, default: T | None = None) -> T:
        if flag.name not in self._values:
            return self._flags.value(flag, audience, default)

        value: T = self._values[flag.name]
        # an empty text may leave it to the setting
        return default if value == "" and default is not None else value

    def variants(
        self, audience: Audience, ignored_flags: Sequence[str] = ()
    ) -> Mapping[str, str]:
        ignored = [*ignored_flags, *self._values]

        return self._flags.variants(audience, ignored)


def build(
    trial: Trial,
    flags: Flags,
    control: Control,
    options: Options,
    models: LanguageModels,
) -> Built:
    """As a turn builds it. Raises Rejected and UnknownModel."""
    evaluator = PolicyEvaluator(TrialFlags(flags, trial.values), control, options)
    policy = evaluator.answer_policy(trial.audience, trial.model)
    if policy.canned_reply is not None:
        return Built(policy, None)

    window = Window(1, (Message(1, "user", trial.text, None),))
    prompt = build_prompt(
        policy.system(""),
        policy.visible(window, 1),
        up_to_seq=1,
        budget=models.budget(policy.model),
        tuning=policy.tuning,
    )

    return Built(policy, prompt)


async def try_out(
    built: Built,
    audience: Audience,
    control: Control,
    models: LanguageModels,
) -> Tried:
    """Asks the model and, as a turn does, the operators' fallback. Whatever happens is said."""
    tried, began = Tried(), time.monotonic()
    if built.prompt is None:
        return tried

    names = [built.policy.model, built.policy.fallback_model]
    settings = control.channel(audience.channel or "")
    try:
        async with asyncio.timeout(SECONDS):
            for name in filter(None, dict.fromkeys(names)):
                if not permits(settings, name):
                    tried.error = tried.error or model_refusal(settings, name)
                elif await _ask(name, built.prompt, models, tried):
                    break
    except TimeoutError:
        tried.error = LATE
        # the server goes on for a while, and nobody counts what it wrote
        tried.used.append(None)

    tried.seconds = time.monotonic() - began

    return tried


async def _ask(
    name: str,
    prompt: Prompt,
    models: LanguageModels,
    tried: Tried,
) -> bool:
    """False: nothing came, so that another model may be asked."""
    try:
        async with aclosing(models.stream(name, prompt)) as pieces:
            async for piece in pieces:
                _take(piece, tried)
    except (ModelError, UnknownModel) as error:
        tried.error = tried.error or error.sentence
        return bool(tried.parts)

    tried.error = ""

    return True


def _take(piece: str | Usage | Spent, tried: Tried) -> None:
    if isinstance(piece, Usage):
        tried.used.append(piece)
    elif isinstance(piece, Spent):
        tried.used.append(piece.usage)
    else:
        tried.parts.append(piece)
