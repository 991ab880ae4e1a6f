"""Prices and sizes that nobody had to write down, and what stands above them."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from genai_prices import __version__
from genai_prices.data_snapshot import get_snapshot
from genai_prices.types import Tier, TieredPrices
from pydantic import SecretStr

from agent.core.completion import Prompt
from agent.llm.prices.bound import worst_case
from agent.llm.prices.cost import cost_usd
from agent.llm.prices.known import KnownSpec, Specs, known_spec
from agent.llm.provider import Reported
from agent.llm.router import ModelRouter
from agent.operations.providers import ending_findings
from agent.settings import ModelSpec, Provider, Settings
from agent.settings.providers import PRESETS

MILLION = 1_000_000
SHIPPED = ("openai:gpt-5-mini", "anthropic:claude-haiku-4-5")


def settings(**values: Any) -> Settings:
    keys = {"openai_api_key": "sk-x", "anthropic_api_key": "sk-ant-x"}

    return Settings(_env_file=None, **{**keys, **values})


async def learned(model: str, **values: Any) -> Specs:
    specs = Specs(settings(**values))
    await specs.learn([model])

    return specs


@pytest.mark.parametrize("model", SHIPPED)
async def test_the_shipped_models_have_a_price_a_size_and_a_source(
    model: str,
) -> None:
    spec = (await learned(model))[model]
    cost = spec.cost(MILLION, 0, MILLION)

    assert cost
    assert cost > 0
    assert (spec.context or 0) >= 100_000
    assert spec.source.startswith(f"genai-prices {__version__}")


@pytest.mark.parametrize(
    "name", [name for name, preset in PRESETS.items() if preset.model]
)
def test_each_presets_own_model_is_known(name: str) -> None:
    """Together's may be missing from the package; then its cost is unknown, never zero."""
    preset = PRESETS[name]
    provider = Provider(name, preset.url, SecretStr("x"))
    found = known_spec(f"{name}:{preset.model}", settings(providers={name: provider}))

    assert found is not None or name == "together"
    assert found is None or found.cost(MILLION, 0, MILLION)


async def test_a_model_that_its_provider_takes_away_is_named() -> None:
    """By the package's own mark. The doctor says it once, and not of the others."""
    provider = Provider("mistral", PRESETS["mistral"].url, SecretStr("x"))
    [mistral] = [one for one in get_snapshot().providers if one.id == "mistral"]
    ending = next(f"mistral:{one.id}" for one in mistral.models if one.deprecated)
    models = ModelRouter(settings(providers={"mistral": provider}))
    found = await ending_findings(models, [SHIPPED[0], ending, "offline:echo"])

    assert [False] == [finding.urgent for finding in found]
    assert found[0].problem.startswith(f"{ending} is deprecated")
    assert not (await models.facts(SHIPPED[0])).is_ending


async def test_a_setting_wins_field_by_field() -> None:
    model = SHIPPED[0]
    priced = ModelSpec(input=Decimal(1), output=Decimal(2))
    sized = ModelSpec(context=9_000, answer=100)
    by_price = (await learned(model, models={model: priced}))[model]
    by_size = (await learned(model, models={model: sized}))[model]
    unlimited = (await learned(model))[model]

    assert (Decimal(3), "MODELS") == (
        by_price.cost(MILLION, 0, MILLION),
        by_price.source,
    )
    assert unlimited.context == by_price.context
    assert (9_000, 100) == (by_size.context, by_size.longest)
    assert unlimited.cost(10, 0, 10) == by_size.cost(10, 0, 10)


async def test_a_prompt_may_fill_the_known_context_unless_a_setting_says_less() -> (
    None
):
    model = SHIPPED[1]
    routers = [ModelRouter(settings()), ModelRouter(settings(context_tokens=9_000))]
    before = [router.budget(model) for router in routers]
    for router in routers:
        await router.learn(model)

    assert [16_000, 9_000] == before
    assert [200_000 - 8_192, 9_000] == [router.budget(model) for router in routers]


@pytest.mark.parametrize(
    ("model", "provider"),
    [
        ("lab:gpt-5", Provider("lab", "http://127.0.0.1:1/v1")),
        ("openai:llama3.2", None),
        ("groq:openai/gpt-oss-20b", Provider("groq", "http://127.0.0.1:1/v1")),
        ("ollama:llama3", Provider("ollama", "http://host/v1", SecretStr("x"))),
        ("nosuch:gpt-5", None),
    ],
)
async def test_what_nobody_knows_costs_an_unknown_sum(
    model: str, provider: Provider | None
) -> None:
    providers = {provider.name: provider} if provider else {}
    specs = await learned(model, providers=providers)

    assert cost_usd(model, Reported(10, 10), specs) is None


async def test_a_server_of_ones_own_charges_nobody() -> None:
    provider = Provider("ollama", "http://localhost:11434/v1")
    specs = await learned("ollama:llama3", providers={"ollama": provider})

    assert 0 == cost_usd("ollama:llama3", Reported(10, 10), specs)
    assert specs["ollama:llama3"].source


async def test_another_providers_prices_are_found_by_its_address() -> None:
    provider = Provider("mine", "https://api.groq.com/openai/v1", SecretStr("x"))
    specs = await learned("mine:openai/gpt-oss-20b", providers={"mine": provider})

    assert specs["mine:openai/gpt-oss-20b"].cost(MILLION, 0, 0)


# --- steps, caches, hours ------------------------------------------------------


def price(**values: Any) -> SimpleNamespace:
    return SimpleNamespace(
        **{
            "input_mtok": None,
            "cache_read_mtok": None,
            "output_mtok": None,
            "requests_kcount": None,
            **values,
        }
    )


def known(*prices: SimpleNamespace, now: int = 0) -> KnownSpec:
    """A model whose price is the one at `now`; the others hold at other hours."""
    hours = [
        SimpleNamespace(prices=each, constraint=SimpleNamespace(start_time=None))
        for each in prices
    ]
    info = SimpleNamespace(prices=hours, get_prices=lambda _: prices[now])

    return KnownSpec(info=info)


STEPS = price(
    input_mtok=TieredPrices(base=Decimal(1), tiers=[Tier(200_000, Decimal(2))]),
    cache_read_mtok=Decimal("0.1"),
    output_mtok=TieredPrices(base=Decimal(10), tiers=[Tier(200_000, Decimal(15))]),
)


@pytest.mark.parametrize(
    ("prompt", "cached", "completion", "usd"),
    [
        (200_000, 0, 0, "0.2"),
        (200_001, 0, 0, "0.400002"),  # the whole prompt costs more, not only its end
        (100_000, 50_000, 0, "0.055"),  # a part of the prompt, counted once
        (0, 0, 100_000, "1"),
        (300_000, 0, 100_000, "2.1"),
    ],
)
def test_a_price_has_steps_and_a_cache(
    prompt: int, cached: int, completion: int, usd: str
) -> None:
    assert Decimal(usd) == known(STEPS).cost(prompt, cached, completion)


def test_a_budget_sets_aside_the_dearest_hour() -> None:
    day = price(input_mtok=Decimal(2), output_mtok=Decimal(2))
    night = price(input_mtok=Decimal(1), output_mtok=Decimal(1))
    spec = known(night, day)
    prompt = Prompt("", (("user", "x" * 1000),))
    worst = worst_case("a:b", prompt, models={"a:b": spec}).cost_usd

    assert spec.cost(MILLION, 0, 0) == 1
    assert spec.cost(MILLION, 0, 0, at_most=True) == 2
    assert worst == worst_case("a:b", prompt, models={"a:b": known(day)}).cost_usd


def test_a_price_that_also_counts_requests_is_unknown() -> None:
    counted = price(
        input_mtok=Decimal(1), output_mtok=Decimal(1), requests_kcount=Decimal(5)
    )
    assert known(counted).cost(10, 0, 10) is None


# --- where the time goes ------------------------------------------------------


def test_nothing_is_imported_before_a_price_is_asked_for() -> None:
    """Nor for models that are free, nor for those that an operator described."""
    code = """
import asyncio, sys
from decimal import Decimal
import agent.app
from agent.llm.prices.known import Specs
from agent.settings import ModelSpec, Provider, Settings

own = ModelSpec(input=Decimal(1), output=Decimal(1), context=9000)
settings = Settings(
    _env_file=None,
    openai_api_key="sk-x",
    models={"openai:mine": own},
    providers={"ollama": Provider("ollama", "http://localhost:1/v1")},
)
specs = Specs(settings)
asyncio.run(specs.learn(["offline:echo", "openai:mine", "ollama:x", "none:x"]))
print("genai_prices" in sys.modules, "httpx2" in sys.modules)
asyncio.run(specs.learn(["openai:gpt-5-mini"]))
print("genai_prices" in sys.modules)
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert ["False False", "True"] == ended.stdout.splitlines()


async def test_a_model_is_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def look_up(model: str, _: Settings) -> None:
        asked.append(model)

    monkeypatch.setattr("agent.llm.prices.known.known_spec", look_up)
    specs = Specs(settings())
    await specs.learn([SHIPPED[0], SHIPPED[0]])
    await specs.learn([SHIPPED[0]])

    assert [SHIPPED[0]] == asked
    assert specs.start(SHIPPED[0]) is None
