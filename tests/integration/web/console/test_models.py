"""Models in the console: providers, prices with their source, errors and latency."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import SecretStr

from agent.core.words.model_lists import ModelList
from agent.settings import Provider
from storage.control.targets import RuleTarget
from tests.support.browser import HERE, Browser, console
from tests.support.operators import OperatorModels
from tests.support.settings import run

HARM = "<script>alert(1)</script>\u202eevil"
SECRET = "sk-secret-4711"
ADDRESS = f"http://user:{SECRET}@lab.example/v1?key={SECRET}"
PRICES = {
    "lab:small": {"input": 0.5, "output": 2, "cached_input": 0.1, "context": 9000}
}
SETTINGS: dict[str, Any] = {
    "default_model": "lab:small",
    "fallback_models": ["openai:nobody-priced-this"],
    "models": PRICES,
    "providers": {"lab": Provider("lab", ADDRESS, SecretStr(SECRET))},
    "openai_api_key": SECRET,
}
REPLY = """
WITH person AS (
    INSERT INTO users (id, person_id, channel_type, channel_user_id)
    SELECT id, id, 'slack', id::text FROM (SELECT gen_random_uuid() AS id) made
    RETURNING id
), chat AS (
    INSERT INTO conversations (id, user_id, channel_type, chat_id)
    SELECT id, id, 'slack', id::text FROM person
    RETURNING id
)
INSERT INTO messages (conversation_id, "timestamp", seq, id, role, content, model_used,
                      prompt_tokens, token_count, cost_usd, latency_ms, metadata)
SELECT id, now(), 1, gen_random_uuid(), 'assistant', '', $1, 5, 10, $2::numeric, $3, $4
FROM chat
"""


@dataclass
class Listed(OperatorModels):
    """Models whose providers say what they have."""

    lists: Mapping[str, ModelList]

    def __post_init__(self) -> None:
        super().__init__()

    async def listed(self, seconds: float) -> Mapping[str, ModelList]:
        return self.lists

    async def objection(self, model: str, seconds: float) -> str:
        return "lab has no model gone." if model == "lab:gone" else ""


AT = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)
LISTS = {
    "lab": ModelList(("large", "small", HARM), at=AT),
    "openai": ModelList(problem="openai did not answer.", answered=False),
}


@pytest.fixture
async def ada(database_url: str, redis_url: str) -> AsyncIterator[Browser]:
    """With two providers; one of them is away."""
    models = Listed(LISTS)
    async with console(
        database_url, redis_url, language_models=models, **SETTINGS
    ) as browser:
        yield browser


async def test_providers_are_shown_without_their_keys(ada: Browser) -> None:
    await ada.sign_in("ada", "viewer")
    page = await ada.get("/models")

    assert "lab lab.example openai set 3: large, small," in page.text
    assert "openai api.openai.com openai set openai did not answer." in page.text
    assert "as of 2026-05-04 03:02:01 UTC" in page.text
    assert SECRET not in page.html
    assert 'hx-trigger="every 5s"' in page.html


async def test_prices_have_their_source_and_an_unknown_one_is_unknown(
    ada: Browser,
) -> None:
    await ada.sign_in("ada", "viewer")
    flags = ada.services.flags
    target = RuleTarget(channel="slack")
    await flags.set("default_model", target, "openai:gpt-4o-mini", HERE)
    await flags.set("default_model", RuleTarget(channel="telegram"), "lab:gone", HERE)
    page = (await ada.get("/models")).text

    assert "lab:small default 0.5 cached 0.1 2 MODELS" in page
    assert "openai:nobody-priced-this fallback unknown unknown nobody says" in page
    assert "openai:gpt-4o-mini set by operators 0.15" in page
    assert "genai-prices 0" in page
    assert "lab:gone set by operators lab has no model gone. unknown unknown" in page


async def test_errors_latency_and_cost_are_those_of_reports(ada: Browser) -> None:
    url = ada.services.stores.database.url
    for latency in (100, 300, 900):
        await run(url, REPLY, "lab:small", "0.5", latency, "{}")
    await run(url, REPLY, "lab:small", None, 50, '{"notice": true}')
    await run(url, REPLY, "old:model", None, 10, "{}")
    await ada.sign_in("ada", "viewer")
    page = (await ada.get("/models?days=1")).text

    assert "MODELS 4 1 25.0 % 300 ms 900 ms $1.5000" in page, page
    assert "old:model answered lately unknown unknown" in page
    assert "1 0 0.0 % 10 ms 10 ms unknown" in page
    assert page == (await ada.get("/models?days=1")).text
    assert "Replies, 7 d" in (await ada.get("/models?days=x")).text


async def test_nothing_can_be_changed_here(ada: Browser) -> None:
    """Prices are set on the server, so the page takes no form, of nobody."""
    csrf = (await ada.sign_in("ada", "viewer")).csrf

    assert 405 == (await ada.post("/models", {"csrf": csrf})).status


async def test_names_of_models_are_shown_harmlessly(ada: Browser) -> None:
    await run(ada.services.stores.database.url, REPLY, HARM, None, 10, "{}")
    await ada.sign_in("ada", "viewer")
    page = await ada.get("/models")

    assert "&lt;script&gt;" in page.html
    assert "<script>alert" not in page.html
    assert "\u202e" not in page.html


async def test_without_a_provider_it_says_that_the_agent_repeats(
    database_url: str, redis_url: str
) -> None:
    async with console(database_url, redis_url) as browser:
        await browser.sign_in("ada", "viewer")
        page = (await browser.get("/models")).text

    assert "the agent only repeats" in page
    assert "offline:echo default free" in page
