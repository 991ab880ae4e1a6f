"""However people write where a model server is, it is asked there, or the setting is named."""

from __future__ import annotations

import socket

import pytest

from tests.support.faulty_models import BOTH, Sleeper, ask, served


async def test_a_server_that_is_not_there_is_named_by_its_setting() -> None:
    with socket.socket() as free:
        free.bind(
            ("127.0.0.1", 0)
        )  # bound but not listening: connections are refused
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        sleep = Sleeper()
        async with served(sleep, openai_base_url=url) as (_, models):
            sentence = (
                "The model server cannot be reached. Check "
                "OPENAI_BASE_URL or try again in a moment."
            )
            assert await ask(models, "openai:gpt") == ("", sentence)
            assert len(sleep.slept) == 2


NO_ADDRESSES = [
    "",
    "nothing",
    "127.0.0.1:1/v1",
    "localhost:1/v1",
    "ftp://127.0.0.1",
    "ws://127.0.0.1",
    "http://",
    "http:///v1",
    "//127.0.0.1/v1",
    "http://[::bad/v1",
    "http://127.0.0.1:99999/v1",
    "http://127.0.0.1:x/v1",
    "http://a\0b/v1",
    "http:\\\\127.0.0.1\\v1",
    "'http://127.0.0.1/v1",
    "http://☃/v1",
]


@BOTH
@pytest.mark.parametrize("url", NO_ADDRESSES)
async def test_a_base_that_is_no_address_is_named_by_its_setting(
    model: str, url: str
) -> None:
    async with served(openai_base_url=url, anthropic_base_url=url) as (_, models):
        setting = "OPENAI_BASE_URL" if model == "openai:gpt" else "ANTHROPIC_BASE_URL"
        assert await ask(models, model) == (
            "",
            f"{setting} is not a web address. Correct that setting.",
        )


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/chat/completions"])
async def test_a_base_without_its_version_is_found_out_once(path: str) -> None:
    async with (
        served() as (server, _),
        served(openai_base_url=server.anthropic_url) as (_, models),
    ):
        server.chat_path = path
        assert [await ask(models, "openai:gpt") for _ in range(3)] == [
            ("hush, a secret", None)
        ] * 3
        tried_in_vain = (
            ["/v1/chat/completions"] if path == "/chat/completions" else []
        )
        assert [request.path for request in server.requests] == [
            *tried_in_vain,
            *[path] * 3,
        ]


@pytest.mark.parametrize(
    "end", ["/v1", "/v1/", "/v1/chat/completions", "/", "/v1/models", " "]
)
async def test_a_base_in_other_forms_works(end: str) -> None:
    async with (
        served() as (server, _),
        served(openai_base_url=server.anthropic_url + end) as (_, models),
    ):
        assert await ask(models, "openai:gpt") == ("hush, a secret", None)
        assert len(server.requests) == 1


@pytest.mark.parametrize("end", ["/v1", "/v1/", "/v1/messages", "/", "/messages"])
async def test_anthropics_base_in_other_forms_works(end: str) -> None:
    async with (
        served() as (server, _),
        served(anthropic_base_url=server.anthropic_url + end) as (_, models),
    ):
        assert await ask(models, "anthropic:claude") == ("hush, a secret", None)
        assert len(server.requests) == 1


async def test_a_proxy_variable_that_is_no_address_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://[::bad")
    async with served() as (_, models):
        sentence = "HTTP_PROXY is not a proxy's address. It looks like http://proxy.example:3128."
        assert await ask(models, "openai:gpt") == ("", sentence)


async def test_a_wrong_path_is_named_by_its_setting() -> None:
    async with (
        served() as (server, _),
        served(openai_base_url=f"{server.url}/v2") as (_, models),
    ):
        sentence = (
            "There is no model server at OPENAI_BASE_URL (404). Correct that setting."
        )
        assert await ask(models, "openai:gpt") == ("", sentence)
