"""One variable is enough to talk to a provider; each answer says what it cost, and by whom
that is known; `agent doctor` has a line for each provider.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import Machine
from tests.support.model_server import Answer, model_server
from tests.support.settings import run
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


# --- prices -------------------------------------------------------------------


PRICED = """
SELECT model_used, prompt_tokens, cost_usd, metadata
FROM messages WHERE role = 'assistant' ORDER BY seq
"""


async def answers(database_url: str) -> list[tuple[str, bool, str]]:
    """Of each answer: its model, whether its cost is known, and by whom."""
    rows = await run(database_url, PRICED)

    return [
        (
            row["model_used"],
            row["cost_usd"] is not None and row["prompt_tokens"] > 0,
            json.loads(row["metadata"]).get("price", ""),
        )
        for row in rows
    ]


async def test_each_answer_records_its_provider_its_cost_and_who_knows_that(
    machine: Machine, database_url: str
) -> None:
    """Three providers at once, chosen one after the other in one conversation."""
    own = {"lab:own": {"input": "1", "output": "2"}}
    async with model_server() as one, model_server() as two, model_server() as last:
        last.models = ["llama3"]
        variables = {
            "OPENROUTER_API_KEY": "sk-or-x",
            "OPENROUTER_BASE_URL": one.url,
            "PROVIDER_LAB_BASE_URL": two.url,
            "OLLAMA_BASE_URL": last.url,
            "MODELS": json.dumps(own),
        }
        lines = (
            b"a\n/model lab:own\nb\n/model ollama:llama3\nc\n/model lab:other\nd\n"
        )
        ended = await machine.agent("chat", lines=lines, settings=variables)

    assert 0 == ended.status, ended.err
    openrouter, lab, ollama, other = [
        row for row in await answers(database_url) if row[0]
    ]
    assert ("openrouter:openai/gpt-5-mini", True) == openrouter[:2]
    assert openrouter[2].startswith("genai-prices ")
    assert ("lab:own", True, "MODELS") == lab
    assert ("ollama:llama3", True) == ollama[:2]
    assert "without a key" in ollama[2]
    assert ("lab:other", False, "") == other


async def test_a_budget_in_dollars_works_with_the_shipped_models(
    machine: Machine, database_url: str
) -> None:
    async with model_server() as server:
        server.script(Answer("Hello Ada."))
        variables = {"OPENAI_API_KEY": "sk-x", "OPENAI_BASE_URL": server.url}
        made = await machine.agent(
            *("budgets", "set", "person", "*", "--usd", "0.5", "--yes"),
            settings=variables,
        )
        ended = await machine.agent("chat", lines=b"hello\n", settings=variables)

    assert (0, "") == (made.status, made.err)
    assert "No price" not in made.out
    assert (0, "Hello Ada.\n") == (ended.status, ended.out), ended.err
    [(model, known, source)] = await answers(database_url)
    assert ("openai:gpt-5-mini", True) == (model, known)
    assert source.startswith("genai-prices ")


async def test_models_in_use_without_a_price_are_named(machine: Machine) -> None:
    """By whoever sets a budget in dollars, and by the doctor where a key pays for them."""
    async with model_server() as server:
        server.models = ["new"]
        variables = {
            "DEFAULT_MODEL": "lab:new",
            "PROVIDER_LAB_BASE_URL": server.url,
            "PROVIDER_LAB_API_KEY": "x-key",
        }
        fallback = ("flags", "set", "fallback_model", "lab:other", "--yes", "--force")
        await machine.agent(*fallback, settings=variables)
        budget = ("budgets", "set", "channel", "terminal", "--yes")
        usd = await machine.agent(*budget, "--usd", "1", settings=variables)
        tokens = await machine.agent(
            *budget, "--tokens", "9", "--usd", "none", settings=variables
        )
        doctor = await machine.agent("doctor", settings=variables)

    assert (
        "No price is known of lab:new, lab:other: under a budget in US dollars it is "
        "not asked. Name its price in MODELS."
    ) in " ".join(usd.out.split())
    assert "No price" not in tokens.out
    assert (
        "prices: No price is known of lab:new, so its cost is unknown. Name it in MODELS."
    ) in " ".join(doctor.out.split())


# --- choosing -----------------------------------------------------------------


CHOSEN = (
    "The default is used: openrouter:openai/gpt-5-mini.",
    "- lab:own",
    "- ollama lists no models. Name one yourself.",
    "There is no model own. Did you mean lab:own?",
    "lab has no model onw. Did you mean lab:own?",
    "From now on lab:own answers you.",
    "You chose lab:own.",
)


async def test_model_lists_switches_and_names_what_is_near(machine: Machine) -> None:
    async with model_server() as one, model_server() as two, model_server() as last:
        one.models, two.models, last.models = ["openai/gpt-5-mini"], ["own"], None
        variables = {
            "OPENROUTER_API_KEY": "sk-or-x",
            "OPENROUTER_BASE_URL": one.url,
            "PROVIDER_LAB_BASE_URL": two.url,
            "OLLAMA_BASE_URL": last.url,
        }
        typed = ("", " lab", " own", " lab:onw", " lab:own", "")
        lines = "".join(f"/model{argument}\n" for argument in typed).encode()
        ended = await machine.agent("chat", lines=lines, settings=variables)

    said = ended.out.replace("`", "")
    assert 0 == ended.status, ended.err
    assert [] == [expected for expected in CHOSEN if expected not in said], said


async def test_operators_cannot_name_a_model_that_no_provider_has(
    machine: Machine,
) -> None:
    """Neither by a flag nor for a channel; `--force` says that they know better."""
    async with model_server() as server:
        server.models = ["alpha"]
        variables = {"PROVIDER_LAB_BASE_URL": server.url}
        flag = ("flags", "set", "default_model", "--yes")
        channel = ("channels", "set", "terminal", "--yes")
        other = ("channels", "set", "discord", "--yes")
        commands = {
            (*flag, "lab:alfa"): "default_model: lab has no model alfa.",
            (*channel, "default_model=lab:alfa"): "default_model: lab has no model",
            (*other, "allowed_models=lab:alpha,lab:x"): "allowed_models: lab has no",
        }
        for command, refusal in commands.items():
            refused = await machine.agent(*command, settings=variables)
            forced = await machine.agent(*command, "--force", settings=variables)
            assert (2, 0) == (refused.status, forced.status), (refused, forced)
            assert refusal in refused.err
            assert "Add --force." in refused.err
        right = await machine.agent(*flag, "lab:alpha", settings=variables)
        assert 0 == right.status


async def test_a_provider_that_is_away_refuses_nothing(machine: Machine) -> None:
    away = {"PROVIDER_LAB_BASE_URL": "http://127.0.0.1:1"}
    made = await machine.agent(
        *("flags", "set", "default_model", "lab:x", "--yes"), settings=away
    )

    assert 0 == made.status, made.err
