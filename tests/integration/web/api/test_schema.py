"""The schema says what is true: whatever it allows and forbids is asked, and nothing that it
does not declare comes back. `-m chaos` asks for longer.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi import checks

from agent.control.permissions import Scope
from agent.core.limits import Limit
from agent.web.addresses import API as PATH
from agent.web.api.protocol import gate
from agent.web.api.router import application
from agent.web.app import web_app
from agent.web.server import http_server
from tests.support.api_data import somebody_wrote
from tests.support.programs import Programs

MODES = list(GenerationMode)
"""What the schema allows, and what it forbids."""

FEW = 1
"""Examples: with so few, each endpoint is asked in one of the two ways."""

SEED = int(os.environ.get("SEED", "1"))


def schema() -> dict[str, Any]:
    return application().openapi()


def test_each_endpoint_states_each_error() -> None:
    """As problems; those that change something which has a version state 412 and 428."""
    everywhere = {"400", "401", "403", "413", "415", "422", "429", "500", "503"}
    lacking, plain, unversioned = [], [], []
    for path, methods in schema()["paths"].items():
        for method, operation in methods.items():
            where, answers = f"{method} {path}", operation["responses"]
            lacking += [where] * (not everywhere <= {*answers})
            lacking += [where] * ("{" in path and "404" not in answers)
            named = {each["name"] for each in operation.get("parameters", ())}
            if "If-Match" in named and not {"409", "412", "428"} <= {*answers}:
                unversioned.append(where)
            plain += [
                f"{where} {status}"
                for status, answer in answers.items()
                if status[0] in "45"
                and {*answer["content"]} != {"application/problem+json"}
            ]

    assert ([], [], []) == (lacking, plain, unversioned)
    assert "3.1.0" == schema()["openapi"]


async def test_the_schema_is_told_with_a_token_alone(api: Programs) -> None:
    """Nor is there a page that shows it at the usual addresses."""
    told = await api.get("/openapi.json", scope=Scope.READ)
    closed = await api.get("/openapi.json", token="")
    client = api.browser.client
    usual = [
        (await client.get(path, follow_redirects=False)).status_code
        for path in ("/docs", "/redoc", "/openapi.json")
    ]

    assert (200, 401) == (told.status_code, closed.status_code)
    assert [404, 404, 404] == usual


async def asked(
    api: Programs, monkeypatch: pytest.MonkeyPatch, count: int
) -> tuple[int, list[str]]:
    """How many requests were sent, and the answers of which the schema says nothing."""
    monkeypatch.setattr(gate, "PER_TOKEN", Limit(1_000_000, 1))
    token = await api.token(Scope.ADMIN)
    await somebody_wrote(api.services)
    app = web_app(api.services.state, find_services=lambda: api.services)
    async with http_server(app, "127.0.0.1", 0) as port:
        url = f"http://127.0.0.1:{port}{PATH}"

        return await asyncio.to_thread(ask_all, url, token, count)


def ask_all(url: str, token: str, count: int) -> tuple[int, list[str]]:
    sent = 0
    wrong: list[str] = []
    last: list[str] = []
    loaded = schemathesis.openapi.from_dict(
        schema(), config=SchemathesisConfig.from_dict({})
    )
    with requests.Session() as session:
        for number, found in enumerate(loaded.get_all_operations()):
            assert isinstance(found, Ok)
            operation = found.ok()
            for mode in MODES if count > FEW else MODES[number % 2 :][:1]:

                @seeded(SEED)
                @settings(
                    max_examples=count,
                    deadline=None,
                    database=None,
                    phases=[Phase.generate],
                    suppress_health_check=[*HealthCheck],
                )
                @given(case=operation.as_strategy(generation_mode=mode))
                def hold(case: Any) -> None:
                    nonlocal sent
                    sent += 1
                    answer = case.call(
                        base_url=url,
                        session=session,
                        headers={"authorization": f"Bearer {token}"},
                    )
                    last[:] = [f"{answer.status_code} {case.as_curl_command()}"]
                    case.validate_response(answer, checks=KEPT)

                wrong += [f"{last} {each}" for each in failures(hold)]

    return sent, wrong


# not `positive_data_acceptance`: what is well-formed and still not possible is 422
KEPT = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
]


def failures(hold: Callable[[], None]) -> list[str]:
    """What the schema did not say."""
    try:
        hold()
    except (Failure, FailureGroup) as error:
        found = getattr(error, "exceptions", (error,))
        return [str(each) for each in found]

    return []


async def test_nothing_undeclared_comes_back(
    api: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent, wrong = await asked(api, monkeypatch, FEW)

    assert [] == wrong
    assert sent > 30


@pytest.mark.chaos
async def test_nothing_undeclared_comes_back_for_long(
    api: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = int(os.environ.get("REQUESTS", "200"))
    sent, wrong = await asked(api, monkeypatch, count)

    assert [] == wrong
    assert sent > 1_000
