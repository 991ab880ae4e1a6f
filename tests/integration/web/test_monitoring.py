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
