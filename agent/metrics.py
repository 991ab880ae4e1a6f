"""Counters of this process. Plain numbers, recorded where things happen; `/metrics` shows them.

Names follow https://prometheus.io/docs/practices/naming/: base units, and `_total` for what
only grows. A label never says anything about a person. What people can type (a model's name)
gets a label of its own only while there are few of them.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterable, Mapping

from msgspec import Struct, field

from agent.core.completion import Usage

MAX_MODELS = 50
"""Models with labels of their own; further names that people typed are `other`."""

_FAST = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
_SLOW = (2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_SECONDS = (*_FAST, *_SLOW)
_ITEMS = (1, 2, 4, 8, 16, 32, 64, 128, 256)

Labels = tuple[str, ...]


class Counter(Struct, eq=False):
    """A number that only grows, for each combination of label values."""

    name: str
    meaning: str
    labels: Labels = ()
    values: dict[Labels, float] = field(default_factory=dict)

    def add(self, *labels: str, amount: float = 1.0) -> None:
        """Counts one, or `amount`."""
        self.values[labels] = self.values.get(labels, 0.0) + amount


class Gauge(Struct, eq=False):
    """What goes up and down, by the values of its labels."""

    name: str
    meaning: str
    labels: Labels = ()
    values: dict[Labels, float] = field(default_factory=dict)

    def put(self, value: float, *labels: str) -> None:
        """It is this much now."""
        self.values[labels] = value

    def put_all(self, values: Mapping[str, float]) -> None:
        """It is this much for these values of its one label, and for no others."""
        self.values = {(label,): value for label, value in values.items()}


class Distribution(Struct, eq=False):
    """How often each bucket was hit. The last number is the sum of all observed values."""

    name: str
    meaning: str
    bounds: tuple[float, ...]
    labels: Labels = ()
    values: dict[Labels, list[float]] = field(default_factory=dict)

    def begin(self, *labels: str) -> list[float]:
        """Its cells; at first nothing was observed."""
        if labels not in self.values:
            self.values[labels] = [0.0] * (len(self.bounds) + 2)

        return self.values[labels]

    def observe(self, value: float, *labels: str) -> None:
        """Counts one value in the first bucket whose bound is not below it.

        Values above all bounds have a bucket of their own.
        """
        cells = self.values.get(labels) or self.begin(*labels)
        cells[bisect_left(self.bounds, value)] += 1
        cells[-1] += value


turns = Counter(
    "agent_turns_total",
    "Turns that came to a state: open (message stored), done (answer delivered), failed.",
    ("channel", "state"),
)
duplicates = Counter(
    "agent_duplicates_total",
    "Deliveries of messages that were stored before.",
    ("channel",),
)
limited = Counter(
    "agent_limited_total",
    "Messages that came too early and were not taken; scope is whose limit it was: "
    "user, chat or channel.",
    ("channel", "scope"),
)
budget_alerts = Counter(
    "agent_budget_alerts_total",
    "Budgets of which 50, 80 or 100 % were used, once for each in a period.",
    ("scope", "period", "percent"),
)
unreadable_events = Counter(
    "agent_unreadable_events_total",
    "Events of a platform that could not be read and were passed over.",
    ("channel", "kind"),
)
audit_entries = Gauge(
    "agent_audit_entries",
    "Rows in the audit log's chain, looked at every hour. They never become fewer.",
)
active_people = Gauge(
    "agent_active_people",
    "Accounts that were answered in the last 5 minutes, over all instances, as far as Redis "
    "remembers; absent while it does not answer. Each instance shows the same: do not add them up.",
    ("channel",),
)
backups = Counter(
    "agent_backups_total",
    "Backups that this instance began by itself; result is whole or failed.",
    ("result",),
)
last_backup = Gauge(
    "agent_last_backup_timestamp_seconds",
    "When the newest scheduled backup that this instance sees was taken (Unix time).",
)
STORES: Mapping[str, Gauge] = {
    name: Gauge(f"agent_{name}", meaning, tuple(labels))
    for name, meaning, *labels in (
        (
            "postgres_connections",
            "Connections to the server, by all clients.",
            "state",
        ),
        ("postgres_max_connections", "How many it takes."),
        ("postgres_database_bytes", "Size of the database."),
        ("postgres_blocked_sessions", "Sessions that wait for a lock."),
        ("postgres_oldest_transaction_seconds", "Age of the oldest transaction."),
        ("postgres_clock_ahead_seconds", "Its clock against this machine's."),
        ("postgres_unused_indexes", "Large indexes that nobody reads by."),
        ("postgres_unused_index_bytes", "Their size."),
        ("postgres_table_bytes", "Size of a table or partition.", "table"),
        ("postgres_index_bytes", "Size of its indexes.", "table"),
        ("postgres_live_rows", "Its rows, estimated.", "table"),
        ("postgres_dead_rows", "Its dead rows, estimated.", "table"),
        ("postgres_replica_lag_seconds", "How far a standby is behind.", "replica"),
        (
            "postgres_replica_lag_bytes",
            "How much of the log it did not replay yet.",
            "replica",
        ),
        ("redis_hits", "Reads that found something, since its start."),
        ("redis_misses", "Reads that found nothing, since its start."),
        ("redis_memory_bytes", "Memory that it uses."),
        ("redis_max_memory_bytes", "Memory that it may use; 0: no bound."),
        (
            "redis_evicted_keys",
            "Keys thrown away for want of memory, since its start.",
        ),
        ("redis_slow_commands", "Commands in its slow log."),
        ("disk_used_ratio", "How full a folder's disk is, from 0 to 1.", "folder"),
    )
}
"""How the stores are, by name without `agent_`; looked at each minute."""

steps = Distribution(
    "agent_step_seconds",
    "accept: from a message's arrival until it is stored. From the beginning of an answer: "
    "first_text, until the model's first text; stored, until the answer is stored; "
    "delivered, until it arrived.",
    _SECONDS,
    ("channel", "step"),
)
cache_reads = Counter(
    "agent_cache_reads_total",
    "Windows asked of Redis: hit or miss (also when it did not answer).",
    ("result",),
)
redis_round_trips = Counter(
    "agent_redis_round_trips_total", "Writes to Redis, each with many commands."
)
redis_failures = Counter(
    "agent_redis_failures_total", "Round trips to Redis without an answer in time."
)
model_errors = Counter(
    "agent_model_errors_total",
    "Attempts that failed. kind: the HTTP status, slow (no byte in time) or broken "
    "(everything else).",
    ("model", "kind"),
)
model_garbles = Counter(
    "agent_model_garbled_total",
    "Events inside answers of models that could not be read.",
    ("model",),
)
model_calls = Gauge(
    "agent_model_calls",
    "Calls to a provider now; state is running, or waiting for a place among them.",
    ("provider", "state"),
)
models_left_alone = Gauge(
    "agent_model_left_alone",
    "1 while a model that keeps failing is left alone for a moment.",
    ("model",),
)
tokens = Counter(
    "agent_tokens_total",
    "Tokens of answers; direction is prompt or completion.",
    ("model", "direction"),
)
cost = Counter(
    "agent_cost_usd_total", "Known cost of answers in US dollars.", ("model",)
)
unpriced = Counter(
    "agent_unpriced_answers_total", "Answers whose cost is unknown.", ("model",)
)
deliveries = Counter(
    "agent_deliveries_total",
    "Deliveries of answers that ended: done, failed (never will arrive) or later (tried "
    "again by a sweep).",
    ("channel", "result"),
)
delivery_retries = Counter(
    "agent_delivery_retries_total",
    "Sends that were repeated because the platform did not take them.",
    ("channel",),
)
batch_items = Distribution(
    "agent_batch_items",
    "How many items shared a statement or a round trip.",
    _ITEMS,
    ("batch",),
)

COUNTERS = (
    turns,
    duplicates,
    limited,
    budget_alerts,
    unreadable_events,
    cache_reads,
    redis_round_trips,
    redis_failures,
    model_errors,
    tokens,
    cost,
    unpriced,
    deliveries,
    delivery_retries,
    model_garbles,
    backups,
)
GAUGES = (
    active_people,
    model_calls,
    models_left_alone,
    audit_entries,
    last_backup,
    *STORES.values(),
)
DISTRIBUTIONS = (steps, batch_items)

_models: set[str] = set()


def took(started: float, channel: str, step: str) -> None:
    """Observes a step that began at `started` on the monotonic clock and ends now."""
    steps.observe(time.monotonic() - started, channel, step)


def delivery_ended(
    channel: str, turn_count: int, *, arrived: bool, closed_as: str | None
) -> None:
    """Counts a delivery and the turns it closed (`done` or `failed`; None: they stay open)."""
    not_arrived = "failed" if closed_as else "later"
    deliveries.add(channel, "done" if arrived else not_arrived)
    if closed_as:
        turns.add(channel, closed_as, amount=turn_count)


def know_models(names: Iterable[str]) -> None:
    """Models that an operator named have labels of their own."""
    _models.update(names)


def known_models() -> list[str]:
    """Those that have labels of their own."""
    return sorted(_models)


def model_answered(usage: Usage) -> None:
    """Counts an answer's tokens and cost. Its model gets a label while there is room."""
    if len(_models) < MAX_MODELS:
        _models.add(usage.model)

    label = _label(usage.model)
    tokens.add(label, "prompt", amount=usage.prompt_tokens)
    tokens.add(label, "completion", amount=usage.completion_tokens)
    if usage.cost_usd is None:
        unpriced.add(label)
    else:
        cost.add(label, amount=float(usage.cost_usd))


def model_failed(model: str, status: int | None, *, slow: bool) -> None:
    """Counts an attempt that failed. `status`: of the HTTP response, if there was one."""
    without_status = "slow" if slow else "broken"
    model_errors.add(_label(model), str(status) if status else without_status)


def model_garbled(model: str, events: int) -> None:
    """Counts events inside an answer that could not be read."""
    model_garbles.add(_label(model), amount=events)


def model_left_alone(model: str, is_left_alone: bool) -> None:
    """Whether a model that kept failing is left alone now; only of those that have a label
    of their own.
    """
    if model in _models:
        models_left_alone.put(float(is_left_alone), model)


def _label(model: str) -> str:
    return model if model in _models else "other"
