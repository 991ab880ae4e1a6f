"""The doctor names a proxy that is not obeyed."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from pydantic import SecretStr

from agent.operations.proxies import proxy_findings
from agent.settings import Settings

NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
PROXY = "http://proxy.example:3128"
OTHER = "http://ada:hush@other.example:3128"


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def problems(monkeypatch: pytest.MonkeyPatch, named: Mapping[str, str]) -> list[str]:
    for name, value in named.items():
        monkeypatch.setenv(name, value)
    settings = Settings(
        _env_file=None,
        telegram_token=SecretStr("7061:x"),
        openai_api_key=SecretStr("sk-x"),
        openai_base_url="http://models.example/v1",
    )

    return [finding.problem for finding in proxy_findings(settings)]


@pytest.mark.parametrize(
    "named",
    [
        {},
        {"HTTPS_PROXY": PROXY, "HTTP_PROXY": PROXY},
        {"ALL_PROXY": PROXY},
        {"HTTPS_PROXY": PROXY, "https_proxy": PROXY, "HTTP_PROXY": PROXY},
        {"HTTP_PROXY": PROXY, "NO_PROXY": "api.telegram.org"},
        {"ALL_PROXY": PROXY, "NO_PROXY": "*,.a-b.example,[::1]:8,fe80::/10,*.c,h:80"},
    ],
)
def test_what_is_obeyed_is_no_finding(
    monkeypatch: pytest.MonkeyPatch, named: Mapping[str, str]
) -> None:
    assert [] == problems(monkeypatch, named)


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ({"HTTP_PROXY": PROXY}, "No proxy is used for TELEGRAM_API_URL"),
        ({"ALL_PROXY": PROXY, "all_proxy": OTHER}, "ALL_PROXY is not obeyed"),
        ({"NO_PROXY": "a.example", "no_proxy": ""}, "NO_PROXY is not obeyed"),
        ({"ALL_PROXY": PROXY, "NO_PROXY": "10.0.0.0/99"}, "10.0.0.0/99"),
        ({"ALL_PROXY": PROXY, "NO_PROXY": "[::1"}, "[::1"),
    ],
)
def test_what_is_not_obeyed_is_named(
    monkeypatch: pytest.MonkeyPatch, named: Mapping[str, str], said: str
) -> None:
    found = problems(monkeypatch, named)

    assert 1 == len(found)
    assert said in found[0]
    assert "hush" not in found[0]
