"""However people write the address of a model server, it is asked in the right place."""

from __future__ import annotations

import pytest

from agent.llm import base_url

V1 = "http://127.0.0.1:11434/v1/chat/completions"


@pytest.mark.parametrize(
    ("base", "nearby"),
    [
        ("http://127.0.0.1:11434", True),
        ("http://[::1]:11434/v1", True),
        ("http://192.168.1.7:1234/v1", True),
        ("http://100.101.1.2:8080", True),  # a network of carriers, and of Tailscale
        ("http://localhost:8080", True),
        ("http://ollama:11434", True),
        ("http://vllm.models.svc:8000", True),
        ("http://host.docker.internal:11434", True),
        ("http://MyMac.local:1234", True),
        ("https://api.openai.com/v1", False),
        ("https://8.8.8.8/v1", False),
        ("https://local.example.com", False),
        ("https://x.modal.run", False),
        ("http://[broken", False),
        ("nonsense", False),
        ("", False),
    ],
)
def test_a_server_that_is_somebodys_own_is_known_by_its_address(
    base: str, nearby: bool
) -> None:
    """Only such a one may have to load its model."""
    assert nearby == base_url.is_nearby(base)


@pytest.mark.parametrize(
    "base",
    [
        "http://127.0.0.1:11434",
        "http://127.0.0.1:11434/",
        "http://127.0.0.1:11434/v1",
        "http://127.0.0.1:11434/v1/",
        "http://127.0.0.1:11434/v1//",
        "http://127.0.0.1:11434/v1/chat/completions",
        "http://127.0.0.1:11434/v1/chat/completions/",
        "http://127.0.0.1:11434/v1/models",
        "http://127.0.0.1:11434/v1/responses",
        "http://127.0.0.1:11434/v1/completions",
        "  http://127.0.0.1:11434/v1\n",
        "HTTP://127.0.0.1:11434/v1#x",
    ],
)
def test_every_form_of_one_server_leads_to_it(base: str) -> None:
    assert base_url.chat_completions(base)[0] == V1


@pytest.mark.parametrize(
    ("base", "addresses"),
    [
        (
            "https://api.OpenAI.com/",
            [
                "https://api.openai.com/v1/chat/completions",
                "https://api.openai.com/chat/completions",
            ],
        ),
        (
            "https://openrouter.ai/api/v1",
            ["https://openrouter.ai/api/v1/chat/completions"],
        ),
        (
            "https://openrouter.ai/api",
            [
                "https://openrouter.ai/api/chat/completions",
                "https://openrouter.ai/api/v1/chat/completions",
            ],
        ),
        (
            "https://g.example/v1beta/openai/",
            ["https://g.example/v1beta/openai/chat/completions"],
        ),
        (
            "https://z.example/api/paas/v4",
            ["https://z.example/api/paas/v4/chat/completions"],
        ),
        (
            "https://a.example/openai/deployments/x/chat/completions?api-version=2024-10-21",
            [
                "https://a.example/openai/deployments/x/chat/completions?api-version=2024-10-21",
                "https://a.example/openai/deployments/x/v1/chat/completions?api-version=2024-10-21",
            ],
        ),
        ("http://Ada:Pass@host/v1", ["http://Ada:Pass@host/v1/chat/completions"]),
    ],
)
def test_a_path_is_kept_and_one_without_a_version_has_two_places(
    base: str, addresses: list[str]
) -> None:
    assert list(base_url.chat_completions(base)) == addresses


@pytest.mark.parametrize(
    "end",
    [
        "",
        "/",
        "/v1",
        "/v1/",
        "/v1/messages",
        "/v1/messages/",
        "/messages",
        "/v1/complete",
    ],
)
@pytest.mark.parametrize("path", ["", "/anthropic"])
def test_every_form_of_anthropics_leads_to_its_messages(path: str, end: str) -> None:
    assert (
        base_url.messages(f"https://host{path}{end}")
        == f"https://host{path}/v1/messages"
    )


@pytest.mark.parametrize(
    "base",
    ["", " ", "nothing", "127.0.0.1:1/v1", "http://[::bad/v1", "//host", "http://"],
)
def test_what_is_no_address_stays_none(base: str) -> None:
    assert all(base_url.chat_completions(base))
    assert base_url.messages(base)
