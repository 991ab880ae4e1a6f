"""Several providers at once, each by its name: what it is asked, and what it lists."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import SecretStr

from agent.core.errors import ConfigurationError, UnknownModel
from agent.llm import listing
from agent.llm.catalog import with_default_model
from agent.llm.router import ModelRouter, open_models
from agent.settings import Provider, Settings
from agent.settings.providers import Protocol
from tests.support.model_server import Answer, ModelServer, model_server, silence
from tests.support.providers import ask, no_sleep

NAMES = ("groq", "lab", "ollama")
KEYS = {"groq": SecretStr("gsk-x"), "lab": SecretStr("lab-x"), "ollama": None}
SOON = 5.0
"""Seconds: more than a list on loopback takes."""


def provider(name: str, server: ModelServer, **values: Any) -> Provider:
    protocol: Protocol = "anthropic" if name == "lab" else "openai"
    url = server.anthropic_url if name == "lab" else server.url

    return Provider(name, url, KEYS.get(name), protocol, name.upper(), **values)


@asynccontextmanager
async def three(
    **values: Any,
) -> AsyncIterator[tuple[dict[str, ModelServer], ModelRouter]]:
    """Servers by the names of their providers, and all of their models."""
    async with model_server() as one, model_server() as two, model_server() as last:
        servers = dict(zip(NAMES, (one, two, last), strict=True))
        providers = {name: provider(name, servers[name]) for name in NAMES}
        settings = Settings(_env_file=None, providers=providers, **values)
        async with open_models(settings, no_sleep) as models:
            yield servers, models


@asynccontextmanager
async def only(
    name: str, models: list[str] | bytes | None, **values: Any
) -> AsyncIterator[tuple[ModelServer, Settings, ModelRouter]]:
    async with model_server() as server:
        server.models = models
        one = provider(name, server, **values)
        settings = Settings(_env_file=None, providers={name: one})
        async with open_models(settings, no_sleep) as router:
            yield server, settings, router


async def test_each_provider_is_asked_with_its_own_key_in_its_own_protocol() -> None:
    async with three() as (servers, models):
        for name in NAMES:
            servers[name].script(Answer(f"I am {name}."))
        said = {name: await ask(models, f"{name}:some/model:free") for name in NAMES}
        sent = {name: servers[name].requests[0] for name in NAMES}

    assert {name: f"I am {name}." for name in NAMES} == {
        name: text for name, (text, _, _) in said.items()
    }
    assert {name: f"{name}:some/model:free" for name in NAMES} == {
        name: usage.model for name, (_, usage, _) in said.items() if usage
    }
    assert ["Bearer gsk-x", "lab-x", None] == [
        sent["groq"].headers.get("authorization"),
        sent["lab"].headers.get("x-api-key"),
        sent["ollama"].headers.get("authorization"),
    ]
    assert "/v1/messages" == sent["lab"].path


async def test_a_dead_provider_delays_no_other() -> None:
    """Neither their answers nor their lists, and not where its own list is awaited."""
    async with three(model_first_byte_timeout=60) as (servers, models):
        servers["groq"].script(*[silence()] * 300)
        servers["groq"].list_hold = asyncio.Event()
        servers["lab"].models, servers["ollama"].models = ["big"], ["small"]
        hung = [asyncio.create_task(ask(models, "groq:x")) for _ in range(300)]
        await servers["groq"].until(lambda: len(servers["groq"].requests) == 256, 30)

        began = time.monotonic()
        answers = [await ask(models, f"{name}:x") for name in ("lab", "ollama")]
        lists = await models.listed(0.2)
        took = time.monotonic() - began

        for call in hung:
            call.cancel()
        await asyncio.gather(*hung, return_exceptions=True)

    assert [None, None] == [error for _, _, error in answers]
    assert took < 3
    assert (("big",), ("small",)) == (lists["lab"].names, lists["ollama"].names)
    assert (
        "groq did not list its models within 0.2 s. Try again in a moment."
        == lists["groq"].problem
    )


async def test_a_list_is_asked_for_once_however_many_want_it() -> None:
    async with three() as (servers, models):
        for name in NAMES:
            servers[name].models = ["a"]
        await asyncio.gather(*(models.listed(SOON) for _ in range(50)))
        await models.listed(SOON)

        assert [1, 1, 1] == [servers[name].listings for name in NAMES]


async def test_a_list_that_comes_late_is_there_the_next_time() -> None:
    async with only("ollama", ["a"]) as (server, _, models):
        server.list_hold = asyncio.Event()
        late = await models.listed(0.05)
        server.list_hold.set()
        there = await models.listed(SOON)

    assert ((), ("a",)) == (late["ollama"].names, there["ollama"].names)
    assert 1 == server.listings


async def test_a_failure_is_remembered_and_takes_no_list_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Someone who looks every few seconds does not ask a dead provider each time."""
    async with only("ollama", ["a"]) as (server, _, models):
        there = (await models.listed(SOON))["ollama"]
        monkeypatch.setattr(listing, "ASK_SECONDS", 0.2)
        clock = time.monotonic() + listing.FRESH_SECONDS + 1
        monkeypatch.setattr(listing, "monotonic", lambda: clock)
        server.list_hold = asyncio.Event()
        stale = (await models.listed(SOON))["ollama"]
        await asyncio.sleep(0.5)
        failed = [(await models.listed(SOON))["ollama"] for _ in range(5)]

    assert 2 == server.listings
    assert {("a",)} == {one.names for one in (there, stale, *failed)}
    assert {there.at} == {one.at for one in (stale, *failed)}
    assert {False} == {one.answered for one in failed}
    assert all(
        "did not list its models within 0.2 s" in one.problem for one in failed
    )


async def test_the_last_failure_is_told_while_it_is_asked_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with only("ollama", []) as (server, _, models):
        failed = (await models.listed(SOON))["ollama"]
        clock = time.monotonic() + listing.FAILED_SECONDS + 1
        monkeypatch.setattr(listing, "monotonic", lambda: clock)
        server.list_hold = asyncio.Event()
        again = (await models.listed(0.05))["ollama"]

    assert failed.problem
    assert failed.at is not None
    assert (failed, failed.at, 2) == (again, again.at, server.listings)


BODIES: list[tuple[bytes, tuple[str, ...]]] = [
    (json.dumps([{"id": "together/x"}]).encode(), ("together/x",)),
    (b'{"data": [{"id": "models/gemini-x"}]}', ("gemini-x",)),
    (b'{"data": [{"id": "OpenAI#gpt"}]}', ("OpenAI#gpt",)),
    (b'{"data": [{"id": 7}, 5, {"id": ""}, {"id": "a b"}, {}]}', ()),
    (b'{"data": []}', ()),
    (b'{"data": null}', ()),
    (b"[]", ()),
    (b"<html>", ()),
    (b"\xff", ()),
    (b"", ()),
]


@pytest.mark.parametrize(("body", "names"), BODIES)
async def test_odd_lists_are_read_as_far_as_they_go(
    body: bytes, names: tuple[str, ...]
) -> None:
    async with only("ollama", body) as (_, _, models):
        found = (await models.listed(SOON))["ollama"]

    assert names == found.names
    assert bool(names) == (not found.problem)


async def test_a_provider_without_a_list_says_so_and_answers() -> None:
    async with only("ollama", None) as (_, _, models):
        found = (await models.listed(SOON))["ollama"]
        objection = await models.objection("ollama:anything", SOON)
        _, _, error = await ask(models, "ollama:anything")

    assert "ollama lists no models. Name one yourself." == found.problem
    assert ("", None) == (objection, error)


LISTS = {
    "claude-haiku-4-5": ["claude-haiku-4-5-20251001"],
    "claude-3-5-haiku-latest": ["claude-3-5-haiku-20241022"],
    "llama3": ["llama3:latest"],
    "openai/gpt-5-mini:free": ["openai/gpt-5-mini"],
    "GPT-5": ["gpt-5"],
    "gpt-4o": ["gpt-4o-2024-08-06"],
}


@pytest.mark.parametrize("asked", LISTS)
async def test_an_alias_of_a_listed_model_is_one(asked: str) -> None:
    async with only("ollama", LISTS[asked]) as (_, _, models):
        assert "" == await models.objection(f"ollama:{asked}", SOON)


async def test_a_model_that_is_gone_is_named_with_those_that_are_near() -> None:
    async with only("ollama", ["llama3:8b", "qwen3:4b", "gpt-oss"]) as (_, _, models):
        gone = await models.objection("ollama:lama3:8b", SOON)
        far = await models.objection("ollama:zzz", SOON)

    assert "ollama has no model lama3:8b. Did you mean `ollama:llama3:8b`?" == gone
    assert "ollama has no model zzz. /model shows those that there are." == far


async def test_deployments_of_any_name_may_be_asked() -> None:
    async with only("azure_openai", ["gpt-5"], lists_all=False) as (_, _, models):
        assert "" == await models.objection("azure_openai:my-own", SOON)


async def test_a_provider_that_is_not_set_says_what_it_needs() -> None:
    router = ModelRouter(Settings(_env_file=None))
    sentences = {
        "groq:x": "groq: models need GROQ_API_KEY. Set it or choose another model.",
        "ollama:x": "ollama: models need OLLAMA_BASE_URL, "
        "such as http://localhost:11434/v1.",
    }
    for model, sentence in sentences.items():
        with pytest.raises(UnknownModel) as caught:
            router.check(model)
        assert sentence == caught.value.sentence


async def test_the_first_model_that_talks_is_the_default_of_a_server_of_ones_own() -> (
    None
):
    names = ["all-nomic-embed-text", "llama3:8b", "whisper"]
    async with only("ollama", names) as (_, settings, models):
        found = await with_default_model(settings, models)

    assert "ollama:llama3:8b" == found.model


async def test_a_server_that_does_not_answer_is_no_default() -> None:
    server = Provider("ollama", "http://127.0.0.1:1/v1", prefix="OLLAMA")
    settings = Settings(_env_file=None, providers={"ollama": server})
    async with open_models(settings) as models:
        with pytest.raises(ConfigurationError) as caught:
            await with_default_model(settings, models)

    assert (
        "DEFAULT_MODEL is not set, and nobody says what ollama has: The model server "
        "cannot be reached. Check OLLAMA_BASE_URL or try again in a moment."
    ) == caught.value.sentence
