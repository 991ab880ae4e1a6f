"""The provider behaves as OpenFeature says: reasons, error codes, and it never raises."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import EventDetails, ProviderEvent
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import FlagEvaluationDetails, Reason
from openfeature.hook import Hook, HookContext, HookHints
from openfeature.provider import ProviderStatus

from agent.control.experiments import Experiment, Variant, definition_of
from agent.control.flags import DECLARED, OVERLAP, REPLIES, Kind
from agent.control.openfeature import HookedFlags, provide
from agent.control.rules import EVERYBODY, Audience, percentage_rule
from agent.control.uses import FlagUses
from storage.control.state import ControlSnapshot, ControlState, state

PERSON = "01890a5d-ac96-774b-bcce-b302099a8057"
MADE = [
    ("definition", name, {"type": kind, "default": default, "meaning": "…"})
    for name, kind, default in (
        ("n", "int", 3),
        ("x", "float", 0.5),
        ("s", "string", "a"),
        ("j", "json", {"a": 1}),
    )
]
READERS = {
    "replies": "boolean",
    "n": "integer",
    "x": "float",
    "s": "string",
    "j": "object",
}
DEFAULTS: dict[str, Any] = {
    "boolean": False,
    "integer": -1,
    "float": -1.0,
    "string": "-",
    "object": {},
}
CONTEXT = EvaluationContext(PERSON, {"channel": "discord", "chat": "town"})


@dataclass
class Source:
    """Stands for control as the provider sees it."""

    state: ControlState = field(default_factory=ControlState)
    stale: bool = False
    watchers: list[Callable[[], None]] = field(default_factory=list)
    uses: FlagUses = field(default_factory=FlagUses)

    def set(
        self,
        *flags: tuple[str, str, Any],
        experiments: Sequence[Experiment] = (),
        stale: bool = False,
    ) -> None:
        """From now on these rules, in turn (scope, flag, value), and these experiments."""
        running = [
            (experiment.name, definition_of(experiment)) for experiment in experiments
        ]
        self.state, self.stale = (
            state(
                ControlSnapshot(
                    self.state.epoch + 1, "", [*MADE, *flags], [], running
                )
            ),
            stale,
        )

        for watcher in self.watchers:
            watcher()


@pytest.fixture
def domain() -> Iterator[str]:
    yield str(uuid4())
    api.clear_providers()


@pytest.fixture
def source(domain: str) -> Source:
    made = Source()
    provide(made, domain)
    made.set()

    return made


@pytest.fixture
def client(source: Source, domain: str) -> OpenFeatureClient:
    return api.get_client(domain)


def details(
    client: OpenFeatureClient,
    name: str,
    reader: str,
    context: EvaluationContext | None = CONTEXT,
) -> Any:
    return getattr(client, f"get_{reader}_details")(name, DEFAULTS[reader], context)


@pytest.mark.parametrize(
    ("scope", "reason"),
    [
        ("kill", Reason.DISABLED),
        (f"person:{PERSON}", Reason.TARGETING_MATCH),
        ("chat:discord:town", Reason.TARGETING_MATCH),
        ("channel:discord", Reason.TARGETING_MATCH),
        ("percentage", Reason.SPLIT),
        ("global", Reason.STATIC),
        ("channel:slack", Reason.DEFAULT),
    ],
)
def test_every_rule_has_its_reason(
    client: OpenFeatureClient, source: Source, scope: str, reason: Reason
) -> None:
    """The reason says what kind of rule decided; the metadata names it and its epoch."""
    value = percentage_rule(100, "salt", False) if scope == "percentage" else False
    source.set((scope, "replies", value))
    found = details(client, "replies", "boolean")
    default = reason is Reason.DEFAULT

    assert default == found.value
    assert reason == found.reason
    assert found.error_code is None
    assert {
        "rule": "default" if default else scope,
        "epoch": source.state.epoch,
    } == found.flag_metadata


def trial(flag: str, value: object, name: str = "colours") -> Experiment:
    """Everybody is in one of two variants, both with this value."""
    return Experiment(
        name, flag, "salt", (Variant("one", 1, value), Variant("two", 1, value))
    )


@pytest.mark.parametrize(
    ("value", "rule", "expected"),
    [(False, "experiment:colours", False), (None, "global", True)],
)
def test_a_variant_is_told_with_the_reason_split(
    client: OpenFeatureClient,
    source: Source,
    value: object,
    rule: str,
    expected: bool,
) -> None:
    """Also where it leaves the flag to the next rules: those people are half of what is
    compared.
    """
    source.set(("global", "replies", True), experiments=[trial("replies", value)])
    found = details(client, "replies", "boolean")

    assert expected == found.value
    assert Reason.SPLIT == found.reason
    assert "one" == found.variant
    assert {"rule": rule, "epoch": source.state.epoch} == found.flag_metadata


def test_only_variants_that_have_their_say_are_told(
    source: Source, domain: str
) -> None:
    """Not where a narrower rule decides, nor of flags that are ignored or do not exist."""
    flags = HookedFlags(source, domain)
    audience = Audience(UUID(PERSON), "discord", "town")
    experiments = [
        trial(flag, None, f"on_{flag}")
        for flag in ("replies", "n", "s", "nobody_knows")
    ]
    source.set(("channel:discord", "n", 4), experiments=experiments)

    assert {"on_replies": "one", "on_s": "one"} == flags.variants(audience)
    assert {"on_s": "one"} == flags.variants(audience, ["replies"])
    assert {} == flags.variants(EVERYBODY)


def test_before_anything_was_read_nobody_has_a_variant(domain: str) -> None:
    assert {} == HookedFlags(Source(), domain).variants(EVERYBODY)


@pytest.mark.parametrize(("name", "reader"), READERS.items())
async def test_every_type_is_read_by_its_reader(
    client: OpenFeatureClient, name: str, reader: str
) -> None:
    """Both kinds of call give the flag's default, which is of the type that was asked for."""
    expected = {"replies": True, "n": 3, "x": 0.5, "s": "a", "j": {"a": 1}}[name]
    awaited = await getattr(client, f"get_{reader}_details_async")(
        name, DEFAULTS[reader], CONTEXT
    )

    assert [(expected, Reason.DEFAULT)] * 2 == [
        (d.value, d.reason) for d in (details(client, name, reader), awaited)
    ]


@pytest.mark.parametrize(
    ("name", "reader"),
    [
        (name, reader)
        for name in READERS
        for reader in DEFAULTS
        if reader != READERS[name]
    ],
)
async def test_another_type_is_an_error_with_the_callers_value(
    client: OpenFeatureClient, name: str, reader: str
) -> None:
    """Also a bool asked as an integer, which Python would let pass."""
    awaited = await getattr(client, f"get_{reader}_details_async")(
        name, DEFAULTS[reader], CONTEXT
    )
    expected = (DEFAULTS[reader], Reason.ERROR, ErrorCode.TYPE_MISMATCH)

    for found in (details(client, name, reader), awaited):
        assert expected == (found.value, found.reason, found.error_code)


def test_an_unknown_flag_is_an_error_with_the_callers_value(
    client: OpenFeatureClient,
) -> None:
    found = details(client, "nobody_knows", "string")
    assert "-" == found.value
    assert Reason.ERROR == found.reason
    assert ErrorCode.FLAG_NOT_FOUND == found.error_code


@pytest.mark.parametrize(
    "context",
    [
        EvaluationContext("not a person"),
        EvaluationContext(PERSON, {"channel": 3}),
        EvaluationContext(PERSON, {"chat": ["a"]}),
    ],
)
def test_a_context_that_cannot_be_is_an_error(
    client: OpenFeatureClient, context: EvaluationContext
) -> None:
    found = details(client, "replies", "boolean", context)
    assert found.value is False
    assert ErrorCode.INVALID_CONTEXT == found.error_code


def test_nobody_in_particular_is_no_error(
    client: OpenFeatureClient, source: Source
) -> None:
    """Without a targeting key, rules for persons and shares do not match."""
    source.set(
        ("percentage", "replies", percentage_rule(100, "salt", False)),
        ("global", "replies", True),
    )

    assert Reason.STATIC == details(client, "replies", "boolean", None).reason


def test_before_anything_was_read_flags_have_their_defaults(domain: str) -> None:
    """The agent may start while no store answers."""
    flags = HookedFlags(Source(), domain)
    assert flags.value(REPLIES, EVERYBODY) is True
    assert "queue" == flags.value(OVERLAP, EVERYBODY, "queue")


@pytest.mark.parametrize(
    ("number", "expected"),
    [(10**16, 1e16), (3, 3.0), (10**400, 0.5)],
    ids=["1e16", "3", "1e400"],
)
def test_a_large_float_is_a_float(
    client: OpenFeatureClient,
    source: Source,
    domain: str,
    number: int,
    expected: float,
) -> None:
    """Postgres gives it back without its exponent, as a whole number. One that is too large
    is no value of the flag.
    """
    source.set(("global", "x", number))
    flag = source.state.flag("x")

    assert flag is not None

    found = (
        client.get_float_value("x", -1.0, CONTEXT),
        HookedFlags(source, domain).value(flag, EVERYBODY, -1.0),
    )

    assert [(expected, float)] * 2 == [(value, type(value)) for value in found]


def test_a_flag_without_a_default_leaves_it_to_the_caller(
    client: OpenFeatureClient, source: Source
) -> None:
    """The channel's setting stands until somebody sets the flag."""
    assert "mine" == client.get_string_value("system_prompt", "mine", CONTEXT)

    source.set(("global", "system_prompt", "theirs"))
    assert "theirs" == client.get_string_value("system_prompt", "mine", CONTEXT)


def test_stale_values_say_so(client: OpenFeatureClient, source: Source) -> None:
    """No store answers: the last known value, the reason STALE, and so the provider's status."""
    source.set(("global", "replies", False), stale=True)
    found = details(client, "replies", "boolean")

    assert found.value is False
    assert Reason.STALE == found.reason
    assert ProviderStatus.STALE is client.get_provider_status()

    source.set(("global", "replies", False))
    assert Reason.STATIC == details(client, "replies", "boolean").reason
    assert ProviderStatus.READY == client.get_provider_status()


def test_listeners_are_told_of_a_change(
    client: OpenFeatureClient, source: Source
) -> None:
    """OpenFeature's event for a new configuration."""
    heard = threading.Event()

    def changed(_: EventDetails) -> None:
        heard.set()

    client.add_handler(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED, changed)
    source.set(("global", "replies", False))

    assert heard.wait(10)


ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2)
    ),
    max_leaves=5,
)
NUMBERS = st.floats() | st.integers() | st.sampled_from([10**16, 10**400])
"""Postgres gives large numbers back without their exponent."""
SHARES = st.builds(
    lambda share, value: {"share": share, "salt": "s", "value": value},
    NUMBERS,
    st.sampled_from([True, 5, 0.5, "queue"]),
)
SCOPES = st.sampled_from(
    [
        "kill",
        "global",
        "channel:discord",
        f"person:{PERSON}",
        "definition",
        "experiment",
        "percentage",
        "?",
    ]
)
DEFINITIONS = st.dictionaries(
    st.sampled_from(sorted(definition_of(trial("n", 3)))), ANY
)


def odd(stored: Sequence[tuple[str, str, Any]], change: dict[str, Any]) -> Source:
    """Stored by hand: rules of any kind, and an experiment on `n` whose definition was changed."""
    source = Source()
    source.set(*stored)
    experiments = [("odd", {**definition_of(trial("n", 3)), **change})]
    source.state = state(
        ControlSnapshot(1, "", source.state.stored.flags, [], experiments)
    )

    return source


@given(
    stored=st.lists(
        st.tuples(
            SCOPES,
            st.sampled_from(["overlap", "n", "x", "made"]),
            ANY | SHARES | NUMBERS,
        ),
        max_size=9,
    ),
    key=st.none() | st.text() | st.just(PERSON) | st.integers(),
    places=st.dictionaries(st.sampled_from(["channel", "chat", "other"]), ANY),
    change=DEFINITIONS,
)
def test_it_never_raises(
    stored: list[tuple[str, str, Any]],
    key: Any,
    places: dict[str, Any],
    change: dict[str, Any],
) -> None:
    """Whatever is stored and asked: there is a value, and an error has a code."""
    provide(odd(stored, change), "never raises")
    client = api.get_client("never raises")

    for name in (*DECLARED, "n", "x", "made", "nobody_knows"):
        for reader, default in DEFAULTS.items():
            found = details(client, name, reader, EvaluationContext(key, places))
            assert (found.reason == Reason.ERROR) == (found.error_code is not None)
            # GENERAL is what a client makes of an exception.
            assert found.error_code is not ErrorCode.GENERAL
            assert found.error_code is None or found.value == default


def test_the_agent_asks_its_own_rules(source: Source, domain: str) -> None:
    """The same rules, by person, channel and chat."""
    source.set(("chat:discord:town", "replies", False))
    flags = HookedFlags(source, domain)
    asked = [
        Audience(None, "discord", "town"),
        Audience(None, "discord", "village"),
        EVERYBODY,
    ]

    assert [False, True, True] == [
        flags.value(REPLIES, audience) for audience in asked
    ]


VALUES = st.sampled_from(
    [True, False, 5, "queue", "interrupt", percentage_rule(50, "salt", False)]
)
OTHERWISE: dict[Kind, Any] = {
    Kind.BOOL: False,
    Kind.INT: -1,
    Kind.FLOAT: -1.0,
    Kind.STRING: "-",
    Kind.JSON: {},
}


class Listening(Hook):
    """A hook that sees each evaluation."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, object]] = []

    def after(
        self,
        hook_context: HookContext,
        details: FlagEvaluationDetails[Any],
        hints: HookHints,
    ) -> None:
        self.heard.append((hook_context.flag_key, details.value))


@contextmanager
def hooked(hook: Hook) -> Iterator[None]:
    """Inside, this hook sees every evaluation in the process."""
    api.add_hooks([hook])
    try:
        yield
    finally:
        api.clear_hooks()


def test_hooks_hear_what_the_agent_reads(source: Source, domain: str) -> None:
    """With OpenFeature's hooks, for traces for example, its evaluations are seen, too."""
    source.set(("global", "replies", False))
    hook = Listening()

    with hooked(hook):
        value = HookedFlags(source, domain).value(REPLIES, EVERYBODY)

    assert value is False
    assert [("replies", False)] == hook.heard


@given(
    stored=st.lists(
        st.tuples(
            SCOPES,
            st.sampled_from(["replies", "overlap", "n", "x"]),
            VALUES | SHARES | NUMBERS | ANY,
        ),
        min_size=1,
        max_size=9,
    ),
    audience=st.builds(
        Audience,
        st.none() | st.just(UUID(PERSON)) | st.uuids(),
        st.none() | st.sampled_from(["discord", "slack"]),
        st.none() | st.just("town"),
    ),
    change=DEFINITIONS,
)
def test_the_agent_reads_what_a_client_reads(
    stored: list[tuple[str, str, Any]], audience: Audience, change: dict[str, Any]
) -> None:
    """Whatever is stored: with a hook it asks through a client, without one its own rules."""
    source = odd(stored, change)
    provide(source, "reads alike")
    flags = HookedFlags(source, "reads alike")
    asked = [*DECLARED.values(), *source.state.made.values()]
    at_once = [flags.value(flag, audience, OTHERWISE[flag.kind]) for flag in asked]

    with hooked(Listening()):
        by_client = [
            flags.value(flag, audience, OTHERWISE[flag.kind]) for flag in asked
        ]

    assert [(value, type(value)) for value in by_client] == [
        (value, type(value)) for value in at_once
    ]
