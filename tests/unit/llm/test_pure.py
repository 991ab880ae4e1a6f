"""The parts of the models that need no network: names, sentences, prices, estimates, shapes."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.completion import Prompt, Usage
from agent.core.errors import UnknownModel
from agent.core.messages import Role
from agent.llm.http_errors import Server, refused
from agent.llm.prices.cost import cost_usd, estimate_prompt
from agent.llm.provider import Reported, conversation, system_text
from agent.llm.reading.waits import wait_asked_for
from agent.llm.router import ModelRouter, open_models
from agent.settings import ModelSpec, Settings


def settings(**values: Any) -> Settings:
    return Settings(_env_file=None, **values)


def prompt(*texts: str) -> Prompt:
    """Texts said in turn by the person and the model."""
    roles: tuple[Role, Role] = ("user", "assistant")
    return Prompt(
        "Be kind.", tuple((roles[i % 2], text) for i, text in enumerate(texts))
    )


async def answer(asked: Prompt) -> tuple[list[str], Usage]:
    pieces: list[str] = []
    async with open_models(settings()) as models:
        async for piece in models.stream("offline:echo", asked):
            if isinstance(piece, Usage):
                return pieces, piece
            assert isinstance(piece, str)
            pieces.append(piece)
    raise AssertionError("no usage")


# --- the offline model


async def test_the_offline_model_says_what_it_is_and_repeats_what_was_said() -> None:
    pieces, _ = await answer(prompt("my name is Ada"))
    assert "".join(pieces) == (
        "I am the offline model, not an AI: I only repeat. You said: my name is Ada\n\n"
        "I was given 0 earlier messages.\n\n"
        "For a real model set `OPENAI_API_KEY` or `ANTHROPIC_API_KEY`."
    )


async def test_the_offline_model_shows_what_it_remembers() -> None:
    pieces, _ = await answer(
        prompt("my name is Ada", "hello", "I like tea", "so do I", "what did I say?")
    )
    assert (
        "I was given 4 earlier messages. Before this you said: I like tea The "
        "first one I can see was: my name is Ada"
    ) in "".join(pieces)


async def test_the_offline_model_streams_word_by_word() -> None:
    pieces, _ = await answer(prompt("hello"))
    assert pieces[:3] == ["I ", "am ", "the "]


async def test_the_offline_model_is_free() -> None:
    _, usage = await answer(prompt("hello"))
    assert (usage.model, usage.cost_usd) == ("offline:echo", Decimal(0))


def test_an_offline_conversation_loads_no_http_client() -> None:
    program = (
        "import sys, asyncio; from agent.llm.router import open_models; from "
        "agent.core.completion import Prompt;"
        "from agent.settings import Settings\n"
        "async def main():\n"
        "  async with open_models(Settings(_env_file=None)) as models:\n"
        "    async for _ in models.stream('offline:echo', Prompt('', (('user', 'hi'),))): pass\n"
        "asyncio.run(main()); print([m for m in ('httpx', 'agent.llm.openai') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={},
    )
    assert done.stdout == "[]\n"


# --- names and budgets


@pytest.mark.parametrize(
    "name", ["", "gpt", "openai:", ":x", "nobody:x", "openai:a b", "OPENAI:x", "a:\0"]
)
def test_a_name_that_names_no_provider_is_refused_with_what_is_possible(
    name: str,
) -> None:
    with pytest.raises(UnknownModel) as caught:
        ModelRouter(settings()).check(name)
    assert caught.value.sentence == (
        "A model is written provider:model, such as openai:gpt-5-mini; the "
        "providers are anthropic, offline, openai."
    )


@pytest.mark.parametrize(
    ("values", "name", "sentence"),
    [
        (
            {},
            "offline:x",
            "There is only one offline model. Choose it with /model offline:echo.",
        ),
        (
            {},
            "anthropic:claude",
            "anthropic: models need ANTHROPIC_API_KEY. Set it or choose another model.",
        ),
        (
            {},
            "openai:gpt",
            "openai: models need OPENAI_API_KEY (or OPENAI_BASE_URL of a server without keys).",
        ),
        (
            {"openai_api_key": "sk-\nx"},
            "openai:gpt",
            "OPENAI_API_KEY is not a key that can be sent. Set a valid key.",
        ),
    ],
)
def test_a_provider_that_can_not_be_asked_says_what_it_needs(
    values: dict[str, Any], name: str, sentence: str
) -> None:
    with pytest.raises(UnknownModel) as caught:
        ModelRouter(settings(**values)).check(name)
    assert caught.value.sentence == sentence


async def test_names_with_colons_and_slashes_are_names() -> None:
    async with open_models(
        settings(openai_base_url="http://127.0.0.1:1/v1")
    ) as models:
        models.check("openai:meta-llama/llama-3:free")
        models.check("offline:echo")


@pytest.mark.parametrize(
    ("context", "budget"),
    [(None, 16_000), (1_000, 750), (32_768, 24_576), (400_000, 391_808)],
)
def test_a_budget_is_the_context_without_room_for_an_answer(
    context: int | None, budget: int
) -> None:
    router = ModelRouter(settings(models={"openai:gpt": ModelSpec(context=context)}))
    assert router.budget("openai:gpt") == budget


# --- prices and estimates


@pytest.mark.parametrize(
    ("spec", "cost"),
    [
        (ModelSpec(input=Decimal("0.25"), output=Decimal(2)), Decimal("0.00225")),
        (ModelSpec(input=Decimal(0), output=Decimal(0)), Decimal(0)),
        (ModelSpec(input=Decimal("0.25")), None),
        (ModelSpec(), None),
    ],
)
def test_a_cost_is_known_only_when_both_prices_are(
    spec: ModelSpec, cost: Decimal | None
) -> None:
    assert cost_usd("openai:gpt", Reported(1000, 1000), {"openai:gpt": spec}) == cost


@pytest.mark.parametrize(
    ("cached_input", "cost"),
    [
        (None, Decimal("0.0021")),
        (Decimal("0.1"), Decimal("0.00129")),
        (Decimal(0), Decimal("0.0012")),
    ],
)
def test_cached_tokens_cost_their_own_price_or_that_of_others(
    cached_input: Decimal | None, cost: Decimal
) -> None:
    spec = ModelSpec(input=Decimal(1), cached_input=cached_input, output=Decimal(1))
    assert (
        cost_usd(
            "openai:gpt", Reported(2000, 100, cached_tokens=900), {"openai:gpt": spec}
        )
        == cost
    )


def test_a_cached_token_is_never_dearer_than_what_budgets_set_aside() -> None:
    with pytest.raises(ValueError, match="`cached_input` is at most `input`"):
        ModelSpec(input=Decimal(1), cached_input=Decimal(2), output=Decimal(1))


@pytest.mark.parametrize("counts", [Reported(None, 5), Reported(5, None)])
def test_what_was_not_counted_has_an_unknown_cost(counts: Reported) -> None:
    spec = ModelSpec(input=Decimal(1), output=Decimal(1))
    assert cost_usd("openai:gpt", counts, {"openai:gpt": spec}) is None


def test_a_model_without_prices_has_an_unknown_cost() -> None:
    assert cost_usd("openai:gpt", Reported(1000, 1000), {}) is None


def test_every_message_of_a_prompt_has_a_frame() -> None:
    assert (
        estimate_prompt(Prompt("", (("user", "four"), ("assistant", "four")))) == 10
    )


# --- the shape of a prompt


def test_messages_alternate_and_the_person_speaks_first() -> None:
    asked = Prompt(
        "",
        (
            ("assistant", "hi"),
            ("user", "a"),
            ("user", " "),
            ("user", "b"),
            ("assistant", "c"),
        ),
    )
    assert conversation(asked) == [
        {"role": "user", "content": "…"},
        {"role": "assistant", "content": "hi"},
        {"role": "user", "content": "a\n\nb"},
        {"role": "assistant", "content": "c"},
    ]


def test_a_prompt_of_nothing_still_asks_something() -> None:
    assert conversation(Prompt("", (("user", " \n"),))) == [
        {"role": "user", "content": "…"}
    ]


def test_system_messages_join_the_system_text() -> None:
    assert (
        system_text(Prompt("Be kind.", (("system", "Be brief."), ("user", "hi"))))
        == "Be kind.\n\nBe brief."
    )


# --- what people are told


@pytest.mark.parametrize(
    ("status", "code", "sentence"),
    [
        (
            302,
            "",
            "There is no model server at OPENAI_BASE_URL (302). Correct that setting.",
        ),
        (
            400,
            "context_length_exceeded",
            "This conversation is too long for openai:gpt (400, "
            "context_length_exceeded). Start a new one with /new.",
        ),
        (
            400,
            "",
            "openai:gpt refused the request (400). Choose another with /model NAME.",
        ),
        (
            401,
            "invalid_api_key",
            "The model server refused OPENAI_API_KEY (401, invalid_api_key). Set a valid key.",
        ),
        (
            403,
            "",
            "The model server does not allow openai:gpt (403). "
            "Choose another with /model NAME or check OPENAI_API_KEY.",
        ),
        (
            404,
            "model_not_found",
            "openai:gpt does not exist on this server. Choose another with "
            "/model NAME or DEFAULT_MODEL.",
        ),
        (
            429,
            "",
            "openai:gpt gets too many requests right now (429). Try again in a moment.",
        ),
        (
            429,
            "insufficient_quota",
            "There is no credit left behind OPENAI_API_KEY (429, "
            "insufficient_quota). Top it up or set another key.",
        ),
        (
            500,
            "",
            "openai:gpt is failing at the moment (500). Try again in a moment.",
        ),
        (
            529,
            "overloaded_error",
            "openai:gpt is failing at the moment (529, overloaded_error). Try again in a moment.",
        ),
    ],
)
def test_a_refusal_is_told_in_a_sentence(
    status: int, code: str, sentence: str
) -> None:
    body = json.dumps(
        {"error": {"message": "secret words", "code": code or None}}
    ).encode()
    assert refused(SERVER, status, {}, body).sentence == sentence


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 422])
def test_what_will_not_change_is_not_asked_again(status: int) -> None:
    assert refused(SERVER, status, {}, b"").again is False


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 529])
def test_what_may_pass_is_asked_again(status: int) -> None:
    assert refused(SERVER, status, {}, b"").again is True


def test_a_missing_key_is_asked_for() -> None:
    keyless = Server(
        "openai:gpt", "", "OPENAI_API_KEY", "OPENAI_BASE_URL", has_key=False
    )
    assert (
        refused(keyless, 401, {}, b"").sentence
        == "The model server wants a key (401). Set OPENAI_API_KEY."
    )


@pytest.mark.parametrize(
    "body", [b"<html>", b"[]", b'{"detail": "Not Found"}', b"\xff", b"[" * 100_000]
)
def test_a_404_of_no_api_is_a_wrong_address(body: bytes) -> None:
    assert refused(SERVER, 404, {}, body).sentence == (
        "There is no model server at OPENAI_BASE_URL (404). Correct that setting."
    )


@pytest.mark.parametrize(
    "body",
    [
        b'{"error": "no such model"}',
        b'{"object": "error", "code": 404, "type": "NotFoundError"}',
    ],
)
def test_a_404_of_an_api_is_an_unknown_model(body: bytes) -> None:
    assert refused(SERVER, 404, {}, body).sentence.startswith(
        "openai:gpt does not exist"
    )


@given(st.binary(max_size=200), st.integers(300, 599))
def test_no_response_breaks_the_sentence(body: bytes, status: int) -> None:
    assert refused(SERVER, status, {}, body).sentence.endswith(".")


def test_the_words_of_a_server_are_never_repeated() -> None:
    body = json.dumps(
        {
            "error": {
                "message": "you said: hush",
                "code": "you said: hush",
                "type": "hush hush",
            }
        }
    )
    assert "hush" not in refused(SERVER, 400, {}, body.encode()).sentence


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "1", "retry-after-ms": "250"}, 0.25),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-1"}, None),
        (
            {"retry-after": format_datetime(datetime.now(UTC) - timedelta(hours=1))},
            0.0,
        ),
    ],
)
def test_the_wait_a_server_asks_for_is_read(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert wait_asked_for(headers) == seconds


def test_the_wait_may_be_a_date() -> None:
    wait = wait_asked_for(
        {"retry-after": format_datetime(datetime.now(UTC) + timedelta(days=1))}
    )
    assert wait is not None
    assert round(wait / 3600) == 24


SERVER = Server("openai:gpt", "http://127.0.0.1", "OPENAI_API_KEY", "OPENAI_BASE_URL")
