"""Settings as they come out of forms, pages and other programs: they are what was meant, or
one sentence names them.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.core.errors import ConfigurationError
from agent.settings import Settings, load_settings
from agent.settings.proxies import Proxies, is_address

DEEP = "[" * 100_000


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.lower() in Settings.model_fields:
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        *(
            ("OPENAI_API_KEY", example, "example")
            for example in (
                *("${OPENAI_KEY}", "$OPENAI_KEY", "%OPENAI_KEY%", "[YOUR_KEY]"),
                *("{your-key}", '{"key":"sk-hush"}', "****", "sk-...abcd"),
                *("sk-your-key", "REPLACE_ME", "insert-key-here"),
            )
        ),
        ("OPENAI_API_KEY", "OPENAI_API_KEY=sk-hush", "its own name"),
        ("GROQ_API_KEY", "${GROQ_KEY}", "example"),
        *(
            ("OPENAI_BASE_URL", address, "address")
            for address in (
                *("https://<resource>.openai.azure.com", "https://${HOST}/v1"),
                *("https://{region}.example/v1", "https://a..b/v1", "https://.h/v1"),
                *("https://h\\v1", "https://https://h/v1", f"https://{'a' * 64}.x"),
            )
        ),
        ("HTTPS_PROXY", "http://a..b:1", "address"),
        ("DEFAULT_MODEL", "openai:gpt # mine", "no blank"),
        ("DEFAULT_MODEL", "openai: gpt", "no blank"),
        ("MODELS", '{"openai:x": {"inputs": 1}}', "`inputs` is not one of input"),
        ("MODELS", '{"gpt-5": {"input": 1}}', "`gpt-5` is no `provider:model`"),
        ("MODELS", DEEP, "JSON"),
    ],
)
def test_what_cannot_be_meant_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, named: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError) as raised:
        load_settings()
    sentence = raised.value.sentence
    assert (name in sentence, named in sentence) == (True, True), sentence
    assert ("hush" in sentence, "\n" in sentence) == (False, False)


@pytest.mark.parametrize(
    "key", ["sk-hush", "none", "xxx", "lm-studio", "“sk-hush”", "`sk-hush`"]
)
def test_a_key_may_be_any_word(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    read = load_settings().openai_api_key
    assert read is not None
    assert key.strip("“”`") == read.get_secret_value()


@pytest.mark.parametrize(
    "address",
    [
        *("http://localhost:11434", "http://my_model-1:8000/v1", "http://h.:1/v1"),
        *(
            "https://bücher.example/v1",
            "http://[::1]:1/v1",
            "http://[fe80::1%eth0]/v1",
        ),
        *("https://u:p@h/v1", "HTTPS://H/v1", "https://h//v1", "http://10.0.0.1"),
    ],
)
def test_an_address_may_have_any_host(address: str) -> None:
    assert is_address(address)


@pytest.mark.parametrize(
    "written",
    ["offline:a;offline:b", "offline:a; offline:b", '["offline:a";"offline:b"]'],
)
def test_a_list_may_have_semicolons(
    monkeypatch: pytest.MonkeyPatch, written: str
) -> None:
    monkeypatch.setenv("FALLBACK_MODELS", written)
    assert ["offline:a", "offline:b"] == load_settings().fallback_models


@pytest.mark.parametrize(
    ("no_proxy", "host", "exempt"),
    [
        ("a;b", "b", True),
        ("a|b", "b", True),
        ("'a.lan'", "a.lan", True),
        ("10.*", "10.1.2.3", True),
        ("10.*", "110.1.2.3", False),
        ("db-*.lan", "db-1.lan", True),
        ("db-*.lan", "x.db-1.lan", False),
        ("*.lan", "a.lan", True),
        ("[::1]:80", "[::1]", True),
        ("a.lan:81", "a.lan", False),
    ],
)
def test_exceptions_are_read_as_others_write_them(
    monkeypatch: pytest.MonkeyPatch, no_proxy: str, host: str, exempt: bool
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "“http://proxy.example:3128”")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    proxies = Proxies.of_environment()
    assert exempt == proxies.is_exempt(f"http://{host}/")
    assert () == proxies.unreadable
    assert "http://proxy.example:3128" == proxies.for_url("http://other.example")


@pytest.mark.parametrize(
    ("lines", "named"),
    [
        ("DATABASE_URL=postgresql://u:pa${x}ss@h/d", "DATABASE_URL"),
        ("A=1\nDATABASE_URL='postgresql://u:pa${x}ss@h/d'", "line 2"),
        ("OPENAI_API_KEY=${NO_SUCH_KEY}", "OPENAI_API_KEY"),
        ("MINE=sk-hush\nOPENAI_API_KEY=${MINE}", ""),
        ("OPENAI_API_KEY=${NO_SUCH_KEY:-sk-hush}", ""),
        ("OTHER_PROGRAM=${x}\nOPENAI_API_KEY=sk-hush", ""),
        ("OPENAI_API_KEY=sk-$hush", ""),
        ("export OPENAI_API_KEY=sk-hush # mine\r\nLOG_LEVEL=info\r\n", ""),
    ],
)
def test_a_variable_inside_that_is_not_set_is_named(
    tmp_path: Path, lines: str, named: str
) -> None:
    (tmp_path / ".env").write_text(lines)
    if not named:
        assert load_settings().openai_api_key
        return

    with pytest.raises(ConfigurationError) as raised:
        load_settings()
    assert (named in raised.value.sentence, "pa" in raised.value.sentence) == (
        True,
        False,
    )
