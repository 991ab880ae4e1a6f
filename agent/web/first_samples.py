"""Series that stand at 0 before their first event.

Prometheus sees no increase where a series begins at 1: an alert on something rare would stay
silent the first time. See https://prometheus.io/docs/practices/instrumentation/, "Avoid
missing metrics".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import product

from agent import metrics
from agent.metrics import Counter

BUDGETS = (("person", "channel"), ("day", "month"), ("50", "80", "100"))

TURNS = ("open", "done", "failed")
DELIVERIES = ("done", "failed", "later")
STEPS = ("accept", "first_text", "stored", "delivered")

MODEL_ERRORS = (
    *("slow", "broken"),
    *("400", "401", "402", "403", "404", "408", "413", "429"),
    *("500", "502", "503", "504", "529"),
)
"""What providers answer, as they document it; another status begins with its first event."""

FIXED: Mapping[Counter, Iterable[tuple[str, ...]]] = {
    metrics.budget_alerts: [*product(*BUDGETS)],
    metrics.backups: [("whole",), ("failed",)],
    metrics.cache_reads: [("hit",), ("miss",)],
}


def begin(channels: Iterable[str]) -> None:
    """Adds what is missing, and changes nothing that was counted."""
    for counter, combinations in (*FIXED.items(), *_of(channels)):
        for labels in combinations:
            counter.values.setdefault(labels, 0.0)


def _of(
    channels: Iterable[str],
) -> Iterator[tuple[Counter, Iterable[tuple[str, ...]]]]:
    """Of these channels, and of the models that are in use."""
    names = list(channels)
    models = metrics.known_models()
    yield metrics.turns, product(names, TURNS)
    yield metrics.deliveries, product(names, DELIVERIES)
    yield metrics.duplicates, product(names)
    yield metrics.delivery_retries, product(names)
    yield metrics.model_errors, product(models, MODEL_ERRORS)
    for counter in (metrics.model_garbles, metrics.unpriced, metrics.cost):
        yield counter, product(models)

    for name, step in product(names, STEPS):
        metrics.steps.begin(name, step)
