"""Providers by their names: a key or an address is enough, a mistake is one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent import logs
from agent.core.errors import ConfigurationError
from agent.settings import Settings, load_settings
from agent.settings.providers import PRESETS


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "DEFAULT_MODEL"):
        monkeypatch.delenv(name, raising=False)


def loaded(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    return load_settings()


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_needs_its_key_or_its_address_alone(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    preset = PRESETS[name]
    variables = {f"{name.upper()}_API_KEY": "a-key"} if preset.needs_key else {}
    if preset.is_example:
        variables[f"{name.upper()}_BASE_URL"] = preset.url

    settings = loaded(monkeypatch, **variables)
    provider = settings.provider(name)

    assert provider is not None
    assert (preset.url, "openai") == (provider.base_url, provider.protocol)
    assert (f"{name}:{preset.model}" if preset.model else "offline:echo") == (
        settings.model
    )


def test_any_number_of_others_are_set_by_their_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Also from `.env`; the environment wins, and values are tidied as others are."""
    (tmp_path / ".env").write_text(
        "PROVIDER_LAB_BASE_URL=http://dotenv/v1\nPROVIDER_LAB_PROTOCOL=Anthropic\n",
        encoding="utf-8",
    )
    settings = loaded(
        monkeypatch,
        PROVIDER_LAB_BASE_URL=' "http://127.0.0.1:1/v1" ',
        PROVIDER_MY_LAB_BASE_URL="http://127.0.0.1:2/v1",
        PROVIDER_MY_LAB_API_KEY="Bearer a-key",
    )
    lab, mine = settings.provider("lab"), settings.provider("my_lab")

    assert lab
    assert mine
    assert mine.api_key
    assert ("http://127.0.0.1:1/v1", "anthropic") == (lab.base_url, lab.protocol)
    assert ("a-key", "PROVIDER_MY_LAB_API_KEY") == (
        mine.api_key.get_secret_value(),
        mine.key_setting,
    )


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        (
            {"GROQ_API_KEY": "a", "PROVIDER_GROQ_API_KEY": "b"},
            "GROQ_… and PROVIDER_GROQ_… name one provider twice. Remove one of them.",
        ),
        (
            {"PROVIDER_OPENAI_BASE_URL": "http://host"},
            "PROVIDER_OPENAI_BASE_URL names a provider that is there already. "
            "Choose another name than openai.",
        ),
        (
            {"PROVIDER_LAB_API_KEY": "a"},
            "PROVIDER_LAB_BASE_URL is missing: lab needs an address, "
            "such as https://host/v1.",
        ),
        (
            {"AZURE_OPENAI_API_KEY": "a"},
            "AZURE_OPENAI_BASE_URL is missing: azure_openai needs an address, "
            "such as https://NAME.openai.azure.com/openai/v1.",
        ),
        (
            {"PROVIDER_LAB_BASE_URL": "http://h", "PROVIDER_LAB_PROTOCOL": "soap"},
            "PROVIDER_LAB_PROTOCOL is openai or anthropic.",
        ),
        (
            {"OLLAMA_BASE_URL": "localhost:11434"},
            "OLLAMA_BASE_URL is not an address. It begins with https:// or http://, "
            "then comes a host.",
        ),
        (
            {"GROQ_API_KEY": "gsk hush"},
            "GROQ_API_KEY has a blank, a new line or a letter inside that no token has. "
            "Copy it again.",
        ),
        (
            {"MISTRAL_API_KEY": "your-key"},
            "MISTRAL_API_KEY is an example, not a secret of yours. Copy yours.",
        ),
        (
            {"PROVIDERS": "groq"},
            "PROVIDERS is not valid: set each by itself, by PROVIDER_<NAME>_BASE_URL. "
            "See docs/configuration.md.",
        ),
    ],
)
def test_a_mistake_is_one_sentence_that_names_the_variable(
    variables: dict[str, str], sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        loaded(monkeypatch, **variables)

    assert sentence == caught.value.sentence


def test_an_empty_variable_sets_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = loaded(monkeypatch, GROQ_API_KEY="", PROVIDER_LAB_BASE_URL=" ")

    assert ({}, "offline:echo") == (settings.providers, settings.model)


def test_openai_and_anthropic_come_before_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    variables = {"GROQ_API_KEY": "gsk-a", "ANTHROPIC_API_KEY": "sk-ant-a"}

    settings = loaded(monkeypatch, **variables)
    assert "anthropic:claude-haiku-4-5" == settings.model
    assert ["anthropic", "groq"] == [one.name for one in settings.configured]


def test_no_log_shows_a_providers_key(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = loaded(
        monkeypatch,
        GROQ_API_KEY="gsk-hush-hush",
        PROVIDER_LAB_BASE_URL="http://me:pass-word@127.0.0.1:1/v1",
    )

    assert {"gsk-hush-hush", "pass-word"} <= logs.secrets_of(settings)
    assert "hush" not in repr(settings)
