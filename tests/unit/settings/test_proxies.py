"""Which proxy an address is reached through."""

from __future__ import annotations

import pytest

from agent.core.errors import ConfigurationError
from agent.settings.proxies import Proxies

NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.mark.parametrize(
    ("settings", "url", "proxy"),
    [
        ({}, "https://h/", None),
        ({"HTTPS_PROXY": "http://p:1"}, "https://h/x", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1"}, "wss://h/x", "http://p:1"),
        ({"HTTPS_PROXY": "http://p:1"}, "http://h/", None),
        ({"HTTP_PROXY": "http://p:1"}, "ws://h/", "http://p:1"),
        ({"ALL_PROXY": "http://p:1"}, "wss://h/", "http://p:1"),
        (
            {"ALL_PROXY": "http://p:1", "HTTPS_PROXY": "https://q"},
            "https://h/",
            "https://q",
        ),
        ({"HTTPS_PROXY": "p:1"}, "https://h/", "http://p:1"),
        ({"HTTPS_PROXY": " http://u:pw@p:1/ "}, "https://h/", "http://u:pw@p:1/"),
        (
            {"https_proxy": "http://low:1", "HTTPS_PROXY": "http://up:1"},
            "https://h/",
            "http://low:1",
        ),
        ({"HTTPS_PROXY": ""}, "https://h/", None),
    ],
)
def test_the_scheme_decides(
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, str],
    url: str,
    proxy: str | None,
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    assert proxy == Proxies.of_environment().for_url(url)


@pytest.mark.parametrize(
    ("entries", "url", "direct"),
    [
        ("localhost,fe80::/10", "https://localhost:8/", True),
        ("localhost,fe80::/10", "https://[fe80::1]/", True),
        ("localhost,fe80::/10", "https://[fe80::1%25eth0]/", True),
        ("localhost,fe80::/10", "https://[2001:db8::1]/", False),
        ("localhost,fe80::/10", "https://example.org/", False),
        ("*", "https://example.org/", True),
        (" a.example , * ", "https://example.org/", True),
        ("example.org", "https://EXAMPLE.org/", True),
        ("example.org", "https://api.example.org/", True),
        ("example.org", "https://badexample.org/", False),
        (".example.org", "https://api.example.org/", True),
        ("*.example.org", "https://api.example.org/", True),
        ("example.org", "https://example.org./", True),
        ("example.org:8443", "https://example.org:8443/", True),
        ("example.org:8443", "https://example.org/", False),
        ("example.org:443", "wss://example.org/", True),
        ("https://example.org", "https://example.org/", True),
        ("10.0.0.0/8", "https://10.1.2.3/", True),
        ("10.0.0.1/8", "https://10.1.2.3/", True),
        ("10.0.0.0/8", "https://11.1.2.3/", False),
        ("10.0.0.0/8", "https://ten.example/", False),
        ("127.0.0.1 ::1", "https://[::1]:8/", True),
        ("[::1]", "https://[::1]/", True),
        ("[::1]:8", "https://[::1]/", False),
        ("10.0.0.0/99,[::,,/,::/x,example.org", "https://example.org/", True),
    ],
)
def test_exceptions_are_reached_directly(
    monkeypatch: pytest.MonkeyPatch, entries: str, url: str, direct: bool
) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://p:1")
    monkeypatch.setenv("NO_PROXY", entries)
    assert (None if direct else "http://p:1") == Proxies.of_environment().for_url(url)


@pytest.mark.parametrize(
    "value",
    [
        "socks5://h",
        "socks5h://u:secret@h",
        "ftp://h",
        "http://",
        "http://h:port",
        "a b",
    ],
)
@pytest.mark.parametrize("name", ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"])
def test_what_is_no_proxy_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=name) as raised:
        Proxies.of_environment()
    assert "secret" not in raised.value.sentence


def test_passwords_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://u:secret@p:1")
    assert "secret" not in repr(Proxies.of_environment())
