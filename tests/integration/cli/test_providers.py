"""One variable is enough to talk to a provider; `agent doctor` has a line for each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import Machine
from tests.support.model_server import Answer, model_server
from tests.support.warm import Warm


@pytest.fixture
def machine(
    tmp_path: Path, database_url: str, redis_url: str, warm: Warm
) -> Iterator[Machine]:
    stores = {"DATABASE_URL": database_url, "REDIS_URL": redis_url}
    yield Machine(tmp_path, stores, warm)


async def test_the_address_of_ollama_is_enough(machine: Machine) -> None:
    async with model_server() as server:
        server.models = ["llama3:8b"]
        server.script(Answer("Hello Ada."))
        variables = {"OLLAMA_BASE_URL": server.url}
        ended = await machine.agent("chat", lines=b"hello\n", settings=variables)
        asked = [request.body["model"] for request in server.requests]
        status = await machine.agent("status", "--json", settings=variables)

    assert (0, "Hello Ada.\n") == (ended.status, ended.out), ended.err
    assert ["llama3:8b"] == asked
    assert "ollama:llama3:8b" in status.out


async def test_the_key_of_openrouter_is_enough(machine: Machine) -> None:
    async with model_server() as server:
        server.script(Answer("Hello Ada."))
        variables = {
            "OPENROUTER_API_KEY": "sk-or-x",
            "OPENROUTER_BASE_URL": server.url,  # only so that it stays on this machine
        }
        ended = await machine.agent("chat", lines=b"hello\n", settings=variables)
        [request] = server.requests

    assert (0, "Hello Ada.\n") == (ended.status, ended.out), ended.err
    assert ("Bearer sk-or-x", "openai/gpt-5-mini") == (
        request.headers["authorization"],
        request.body["model"],
    )


async def test_the_doctor_has_a_line_for_each_provider_that_is_away(
    machine: Machine,
) -> None:
    """The others are well, and so nothing is said of them."""
    async with model_server() as well, model_server() as also:
        well.models, also.models = ["alpha"], None
        variables = {
            "DEFAULT_MODEL": "lab:alpha",
            "FALLBACK_MODELS": "lab:alfa,old:x",
            "PROVIDER_LAB_BASE_URL": well.url,
            "PROVIDER_OLD_BASE_URL": also.url,
            "OLLAMA_BASE_URL": "http://127.0.0.1:1",
        }
        ended = await machine.agent("doctor", "--json", settings=variables)

    findings = json.loads(ended.out)["findings"]
    assert {
        "provider ollama": "The model server cannot be reached. Check OLLAMA_BASE_URL "
        "or try again in a moment.",
        "model": "FALLBACK_MODELS: lab has no model alfa. Did you mean `lab:alpha`?",
    } == {finding["part"]: finding["problem"] for finding in findings}
