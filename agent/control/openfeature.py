"""Flags by OpenFeature (openfeature.dev), for other code in the process, and for hooks.

In the evaluation context, the targeting key is a person's id, `channel` and `chat` say where.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeVar
from uuid import UUID

from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEventDetails
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import FlagResolutionDetails, FlagValueType, Reason
from openfeature.hook import get_hooks
from openfeature.provider import AbstractProvider, Metadata

from agent.control.evaluation import FlagSource, RuleFlags, evaluate
from agent.control.flags import Flag, Kind
from agent.control.named_rules import NAMED
from agent.control.rules import EVERYBODY, Audience, Clock, Step, utc_now

DOMAIN = "agent"
"""The OpenFeature domain of the instance in this process."""

T = TypeVar("T")

_REASONS = {
    "kill": Reason.DISABLED,
    "person": Reason.TARGETING_MATCH,
    "chat": Reason.TARGETING_MATCH,
    "channel": Reason.TARGETING_MATCH,
    "experiment": Reason.SPLIT,
    "percentage": Reason.SPLIT,
    NAMED: Reason.TARGETING_MATCH,
    "global": Reason.STATIC,
    "default": Reason.DEFAULT,
}


class FlagProvider(AbstractProvider):
    """Evaluates in the process, without I/O.

    Never raises: an error comes with the caller's default value.
    """

    def __init__(self, source: FlagSource, clock: Clock = utc_now) -> None:
        super().__init__()
        self._source = source
        self._clock = clock
        self._seen = (source.state, source.stale)
        source.watchers.append(self._moved)

    def get_metadata(self) -> Metadata:
        return Metadata(name="simple-ai-agent")

    def resolve_boolean_details(
        self,
        flag_key: str,
        default_value: bool,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[bool]:
        return self._details(
            Kind.BOOL, flag_key, default_value, _audience(evaluation_context)
        )

    def resolve_string_details(
        self,
        flag_key: str,
        default_value: str,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[str]:
        return self._details(
            Kind.STRING, flag_key, default_value, _audience(evaluation_context)
        )

    def resolve_integer_details(
        self,
        flag_key: str,
        default_value: int,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[int]:
        return self._details(
            Kind.INT, flag_key, default_value, _audience(evaluation_context)
        )

    def resolve_float_details(
        self,
        flag_key: str,
        default_value: float,
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[float]:
        return self._details(
            Kind.FLOAT, flag_key, default_value, _audience(evaluation_context)
        )

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: Sequence[FlagValueType] | Mapping[str, FlagValueType],
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[Sequence[FlagValueType] | Mapping[str, FlagValueType]]:
        return self._details(
            Kind.JSON, flag_key, default_value, _audience(evaluation_context)
        )

    def _details(
        self, kind: Kind, name: str, default: T, audience: Audience | None
    ) -> FlagResolutionDetails[T]:
        state = self._source.state
        flag = state.flag(name)
        if flag is None:
            return _failed(
                default, ErrorCode.FLAG_NOT_FOUND, f"There is no flag {name}."
            )
        if flag.kind is not kind:
            return _failed(
                default,
                ErrorCode.TYPE_MISMATCH,
                f"{name} is {flag.kind.value}, not {kind.value}.",
            )
        if audience is None:
            return _failed(
                default,
                ErrorCode.INVALID_CONTEXT,
                "The targeting key is a person's id, the rest is text.",
            )

        step = evaluate(state, flag, audience, self._clock)
        self._source.uses.note(name, step.value)

        return FlagResolutionDetails(
            value=default if step.value is None else step.value,
            reason=Reason.STALE if self._source.stale else _reason(step),
            variant=step.variant,
            flag_metadata={"rule": step.scope, "epoch": state.epoch},
        )

    def _moved(self) -> None:
        """Emits OpenFeature's events."""
        state, was_stale = self._seen
        is_stale = self._source.stale
        self._seen = (self._source.state, is_stale)

        if self._source.state is not state:
            self.emit_provider_configuration_changed(ProviderEventDetails())
        if is_stale and not was_stale:
            message = "No store answers; the last known values apply."
            self.emit_provider_stale(ProviderEventDetails(message=message))
        elif was_stale and not is_stale:
            self.emit_provider_ready(ProviderEventDetails())


def _reason(step: Step) -> Reason:
    is_split = step.variant is not None or step.share is not None

    return Reason.SPLIT if is_split else _REASONS[step.rule]


def _failed(default: T, code: ErrorCode, message: str) -> FlagResolutionDetails[T]:
    return FlagResolutionDetails(
        value=default, reason=Reason.ERROR, error_code=code, error_message=message
    )


def _audience(context: EvaluationContext | None) -> Audience | None:
    """None if the context cannot be one."""
    if context is None:
        return EVERYBODY

    places = context.attributes
    try:
        return _named(
            context.targeting_key, places.get("channel"), places.get("chat")
        )
    except (ValueError, AttributeError, TypeError):
        return None


# A turn asks for several flags, and the same people come again.
@lru_cache(maxsize=4096)
def _named(person: Any, channel: Any, chat: Any) -> Audience:
    if not isinstance(channel, str | None) or not isinstance(chat, str | None):
        raise TypeError

    return Audience(UUID(person) if person else None, channel, chat)


def provide(source: FlagSource, domain: str) -> None:
    """From now on clients of this domain read from `source`."""
    api.set_provider_and_wait(FlagProvider(source), domain)


class HookedFlags(RuleFlags):
    """The agent's own flags. OpenFeature's hooks, if there are any, see each evaluation.

    `domain` is where `source` was provided.
    """

    def __init__(self, source: FlagSource, domain: str = DOMAIN) -> None:
        super().__init__(source)
        client = api.get_client(domain)
        self._read: Mapping[Kind, Callable[[str, Any, EvaluationContext], Any]] = {
            Kind.BOOL: client.get_boolean_value,
            Kind.INT: client.get_integer_value,
            Kind.FLOAT: client.get_float_value,
            Kind.STRING: client.get_string_value,
            Kind.JSON: client.get_object_value,
        }

    @property
    def version(self) -> object | None:
        """None while there are hooks: each of them sees each evaluation."""
        return None if get_hooks() else super().version

    def value(self, flag: Flag[T], audience: Audience, default: T | None = None) -> T:
        """Asks a client only if there are hooks: it takes longer than deciding."""
        if not get_hooks():
            return super().value(flag, audience, default)

        fallback: Any = default if flag.default is None else flag.default
        value: T = self._read[flag.kind](flag.name, fallback, _context(audience))

        return value


def _context(audience: Audience) -> EvaluationContext:
    places = {"channel": audience.channel, "chat": audience.chat}
    person = str(audience.person) if audience.person else None

    return EvaluationContext(
        person, {name: place for name, place in places.items() if place is not None}
    )
