"""Metrics: plain numbers whose labels stay few and say nothing about people."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal

import pytest

from agent import metrics
from agent.core.completion import Usage
from agent.metrics import Counter, Distribution, Gauge


@pytest.fixture(autouse=True)
def few_models(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing was counted yet and no model is known; afterwards all is as it was."""
    for each in (*metrics.COUNTERS, *metrics.GAUGES, *metrics.DISTRIBUTIONS):
        monkeypatch.setattr(each, "values", {})
    monkeypatch.setattr(metrics, "_models", set())
    yield


def test_a_counter_grows_by_the_values_of_its_labels() -> None:
    counter = Counter("agent_things_total", "Things.", ("kind",))
    counter.add("a")
    counter.add("a", amount=2.5)
    counter.add("b")

    assert counter.values == {("a",): 3.5, ("b",): 1.0}


@pytest.mark.parametrize(
    ("value", "bucket"), [(0.0, 0), (1.0, 0), (1.1, 1), (2.0, 1), (2.1, 2)]
)
def test_a_value_falls_into_the_first_bucket_that_is_not_below_it(
    value: float, bucket: int
) -> None:
    distribution = Distribution("agent_things", "Things.", (1, 2))
    distribution.observe(value)
    expected = [0.0, 0.0, 0.0, value]
    expected[bucket] = 1.0

    assert distribution.values == {(): expected}


def test_a_gauge_is_what_it_was_last_put_to() -> None:
    gauge = Gauge("agent_things", "Things.", ("kind",))
    gauge.put(3, "a")
    gauge.put(1, "a")
    gauge.put(2, "b")
    assert gauge.values == {("a",): 1, ("b",): 2}


def test_names_follow_the_convention() -> None:
    """Snake case with our prefix; what only grows ends in _total and nothing else does."""
    names = [counter.name for counter in metrics.COUNTERS]
    others = [gauge.name for gauge in metrics.GAUGES]
    others += [distribution.name for distribution in metrics.DISTRIBUTIONS]
    assert [
        name for name in names + others if not re.fullmatch(r"agent(_[a-z]+)+", name)
    ] == []
    assert [name for name in names if not name.endswith("_total")] == []
    assert [name for name in others if name.endswith("_total")] == []


def test_every_metric_of_the_module_is_shown() -> None:
    """One that is declared and not listed would be counted for nobody."""
    listed = (*metrics.COUNTERS, *metrics.GAUGES, *metrics.DISTRIBUTIONS)
    declared = {
        name
        for name, value in vars(metrics).items()
        if isinstance(value, (Counter, Gauge, Distribution))
    }
    shown = {name for name in declared if vars(metrics)[name] in listed}
    assert declared == shown


def test_an_unknown_price_is_no_cost() -> None:
    """It is counted as unpriced, not as zero."""
    metrics.model_answered(Usage("openai:a", 10, 5, None))
    metrics.model_answered(Usage("openai:b", 1, 2, Decimal("0.25")))

    assert metrics.tokens.values == {
        ("openai:a", "prompt"): 10,
        ("openai:a", "completion"): 5,
        ("openai:b", "prompt"): 1,
        ("openai:b", "completion"): 2,
    }
    assert metrics.cost.values == {("openai:b",): 0.25}
    assert metrics.unpriced.values == {("openai:a",): 1}


def test_a_name_that_somebody_typed_is_no_label() -> None:
    """A model that no operator named and that never answered counts as other."""
    metrics.know_models(["openai:named"])
    metrics.model_failed("openai:named", 429, slow=False)
    metrics.model_failed("openai:my name is Ada", 404, slow=False)
    metrics.model_failed("openai:named", None, slow=True)
    metrics.model_failed("openai:named", None, slow=False)

    assert metrics.model_errors.values == {
        ("openai:named", "429"): 1,
        ("other", "404"): 1,
        ("openai:named", "slow"): 1,
        ("openai:named", "broken"): 1,
    }


def test_models_cannot_make_labels_without_end() -> None:
    for number in range(metrics.MAX_MODELS + 10):
        metrics.model_answered(Usage(f"openai:m{number}", 1, 1))

    assert len(metrics.unpriced.values) == metrics.MAX_MODELS + 1
    assert metrics.unpriced.values["other",] == 10


@pytest.mark.parametrize(
    ("arrived", "closed_as", "delivery", "turns"),
    [
        (True, "done", "done", {("telegram", "done"): 3}),
        (True, "failed", "done", {("telegram", "failed"): 3}),
        (False, "failed", "failed", {("telegram", "failed"): 3}),
        (False, None, "later", {}),
    ],
)
def test_a_delivery_is_one_and_closes_all_its_turns(
    arrived: bool,
    closed_as: str | None,
    delivery: str,
    turns: dict[tuple[str, str], int],
) -> None:
    metrics.delivery_ended("telegram", 3, arrived=arrived, closed_as=closed_as)
    assert metrics.deliveries.values == {("telegram", delivery): 1}
    assert metrics.turns.values == turns
