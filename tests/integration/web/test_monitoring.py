"""`/metrics` is for the inside; and what `deploy/` makes of it speaks of what there is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from agent import metrics
from agent.metrics import Counter, Distribution, Gauge
from agent.web.app import web_app
from agent.web.state import InstanceState
from tests.support.webhooks import Post, running

DEPLOY = Path(__file__).parents[3] / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana" / "agent.json").read_text("utf-8"))
ALERTS = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text("utf-8"))
SCRAPES = yaml.safe_load(
    (DEPLOY / "prometheus" / "prometheus.yml").read_text("utf-8")
)

OTHERS = {"up"}
"""Of Prometheus itself."""

ADDED = {"le", "instance", "job"}
"""Labels that Prometheus adds."""

RECORDED: list[Counter | Gauge | Distribution] = [
    *metrics.COUNTERS,
    *metrics.GAUGES,
    *metrics.DISTRIBUTIONS,
]

LABELS: dict[str, tuple[str, ...]] = {
    "agent_channel_up": ("channel",),
    "agent_postgres_pool_connections": ("state",),
    "agent_redis_available": (),
    "up": (),
    **{one.name: one.labels for one in RECORDED},
}

_NAME = re.compile(r"\b(agent_\w+|up)(?:\{([^}]*)\})?")
_LABEL = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
_BY = re.compile(r"\bby \(([^)]*)\)")


def alerts() -> Iterator[dict[str, Any]]:
    for group in ALERTS["groups"]:
        yield from group["rules"]


def queries() -> Iterator[tuple[str, str]]:
    """All expressions, by where they stand."""
    for panel in DASHBOARD["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]
    for alert in alerts():
        yield alert["alert"], alert["expr"]


def plain(name: str) -> str:
    return re.sub(r"_(bucket|sum|count)$", "", name)


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("127.0.0.1", 200),
        ("::1", 200),
        ("10.42.0.7", 200),
        ("192.168.1.9", 200),
        ("100.64.3.2", 200),
        ("fd00::7", 200),
        ("::ffff:10.0.0.7", 200),
        ("8.8.8.8", 403),
        ("::ffff:8.8.8.8", 403),
        ("2606:4700::1111", 403),
        ("not an address", 403),
    ],
)
async def test_metrics_are_shown_to_the_inside_alone(
    address: str, status: int
) -> None:
    """By the connection: what a request says of itself proves nothing."""
    app = web_app(InstanceState())
    transport = httpx.ASGITransport(app, client=(address, 4711))
    async with httpx.AsyncClient(
        transport=transport, base_url="http://agent", trust_env=False
    ) as client:
        plainly = await client.get("/metrics")
        claimed = await client.get("/metrics", headers={"x-forwarded-for": "::1"})

    assert (status, 403) == (plainly.status_code, claimed.status_code)
    if status == 403:
        assert "METRICS_TOKEN" in plainly.json()["error"]


async def test_every_metric_that_is_asked_for_exists(
    database_url: str, redis_url: str
) -> None:
    async with running(Post(), database_url, redis_url) as (client, _):
        page = (await client.get("/metrics")).text

    known = {family.name for family in text_string_to_metric_families(page)}
    known |= {f"{name}_total" for name in known} | OTHERS
    asked = {
        (where, plain(found[1]))
        for where, query in queries()
        for found in _NAME.finditer(query)
    }
    assert len(asked) > 20
    assert [] == [each for each in sorted(asked) if each[1] not in known]


_GROWTH = re.compile(r"\b(?:increase|rate)\((agent_\w+)(?:\{([^}]*)\})?\[")
_MATCHER = re.compile(r'(\w+)="([^"]*)"')


async def test_what_an_alert_waits_for_is_0_before_it_happens(
    database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A series that begins with 1 has no increase: the first time would go unnoticed."""
    for one in RECORDED:
        monkeypatch.setattr(one, "values", {})
    monkeypatch.setattr(metrics, "_models", set())
    async with running(Post(), database_url, redis_url) as (client, _):
        page = (await client.get("/metrics")).text
        metrics.budget_alerts.add("person", "day", "100")
        metrics.model_failed("offline:echo", 429, slow=False)
        later = (await client.get("/metrics")).text

    waited = {
        (alert["alert"], found[1], *sorted(_MATCHER.findall(found[2] or "")))
        for alert in alerts()
        for found in _GROWTH.finditer(alert["expr"])
    }
    assert len(waited) >= 7
    assert [] == [one for one in sorted(waited) if {0.0} != samples(page, *one[1:])]

    told = ("scope", "person"), ("period", "day"), ("percent", "100")
    failed = ("model", "offline:echo"), ("kind", "429")
    assert {1.0} == samples(later, "agent_budget_alerts_total", *told)
    assert {0.0} == samples(page, "agent_model_errors_total", *failed)
    assert {1.0} == samples(later, "agent_model_errors_total", *failed)


def samples(page: str, name: str, *labels: tuple[str, str]) -> set[float]:
    """The values of all series of this name that have these labels."""
    return {
        sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if sample.name == name and {*labels} <= {*sample.labels.items()}
    }


def test_every_label_that_is_asked_for_exists() -> None:
    wrong = []
    for where, query in queries():
        names = [plain(found[1]) for found in _NAME.finditer(query)]
        all_labels = {label for name in names for label in LABELS[name]} | ADDED
        for found in _NAME.finditer(query):
            own = {*LABELS[plain(found[1])]} | ADDED
            wrong += [
                (where, label)
                for label in _LABEL.findall(found[2] or "")
                if label not in own
            ]
        wrong += [
            (where, label.strip())
            for group in _BY.findall(query)
            for label in group.split(",")
            if label.strip() not in all_labels
        ]

    assert [] == wrong


def test_every_panel_asks_something_and_fits() -> None:
    panels = DASHBOARD["panels"]
    places = [
        (x, y)
        for one in panels
        for at in [one["gridPos"]]
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]

    assert all(target["expr"] for one in panels for target in one["targets"])
    assert all(one["targets"] and one["title"] for one in panels)
    assert len(panels) == len({one["id"] for one in panels})
    assert len(places) == len({*places})
    assert all(0 <= x < 24 for x, _ in places)


def test_every_alert_says_what_is_wrong_and_what_to_do() -> None:
    page = (DEPLOY.parent / "docs" / "monitoring.md").read_text("utf-8")
    names = [alert["alert"] for alert in alerts()]

    assert len(names) == len({*names})
    assert [] == [name for name in names if f"`{name}`" not in page]
    assert all(
        alert["annotations"].keys() == {"summary", "mend"}
        and alert["labels"]["severity"] in ("critical", "warning", "info")
        for alert in alerts()
    )
    assert SCRAPES["rule_files"] == ["alerts.yml"]
