"""No answer is longer than what was set aside for it, and one that is cut there says so."""

from __future__ import annotations

from decimal import Decimal

import pytest

from agent.core.completion import Spent, Usage
from agent.core.errors import ModelError
from agent.llm.prices.bound import worst_case
from agent.llm.router import ModelRouter
from agent.settings import ModelSpec
from tests.support.model_server import Answer, ModelServer, refusal
from tests.support.providers import ASKED, BOTH, ask, served

GPT = "openai:gpt"
FALLBACK: dict[str, object] = {"fallback_models": ["anthropic:claude"]}
CUT = (
    "The answer ends here: 16 tokens are the most I may say at once. Ask me to go on."
)


def asked_for(server: ModelServer) -> list[tuple[str, int]]:
    """The longest answer of each request, with the name it was given."""
    names = ("max_tokens", "max_completion_tokens")
    return [
        (name, request.body[name])
        for request in server.requests
        for name in names
        if name in request.body
    ]


async def failing(models: ModelRouter, model: str) -> tuple[list[object], str]:
    """What came before the failure, and its sentence."""
    pieces: list[object] = []
    with pytest.raises(ModelError) as caught:
        async for piece in models.stream(model, ASKED):
            pieces += [piece]
    return pieces, caught.value.sentence


@BOTH
@pytest.mark.parametrize(
    ("spec", "longest"),
    [
        (ModelSpec(), 8192),
        (ModelSpec(answer=16_000), 16_000),
        (ModelSpec(context=4000), 1000),
        (ModelSpec(context=4000, answer=2000), 2000),
    ],
)
async def test_what_a_server_is_told_is_what_is_set_aside_and_kept_free(
    model: str, spec: ModelSpec, longest: int
) -> None:
    specs = {model: spec}
    async with served(models=specs) as (server, models):
        await ask(models, model)
        assert asked_for(server) == [("max_tokens", longest)]
        assert worst_case(model, ASKED, models=specs).completion_tokens == longest
        assert spec.context is None or models.budget(model) == spec.context - longest


@BOTH
@pytest.mark.parametrize("usage", [True, False])
async def test_an_answer_that_is_cut_says_so_and_counts_no_more_than_was_asked_for(
    model: str, usage: bool
) -> None:
    async with served(models={model: ModelSpec(answer=16)}) as (server, models):
        server.script(Answer("immeasurable " * 17, usage=usage))
        text, used, failure = await ask(models, model)
        assert (text, failure) == ("immeasurable " * 16, CUT)
        assert used is not None
        assert (used.completion_tokens, used.estimated) == (16, not usage)


@BOTH
async def test_a_model_that_only_thought_says_so_and_its_tokens_are_told(
    model: str,
) -> None:
    async with served() as (server, models):
        server.script(Answer("", finish="length"))
        pieces, failure = await failing(models, model)
        assert failure.startswith(
            f"{model} used up the 8,192 tokens of an answer by thinking."
        )
        [spent] = pieces
        assert isinstance(spent, Spent)
        assert spent.usage is not None
        assert (spent.usage.model, spent.usage.prompt_tokens, spent.again) == (
            model,
            11,
            False,
        )
        assert len(server.requests) == 1


# --- servers that know other names or have less room


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
async def test_the_name_a_server_knows_is_found_out_once(name: str) -> None:
    async with served() as (server, models):
        server.knows = {name}
        answers = [await ask(models, GPT) for _ in range(3)]
        assert [(text, failure) for text, _, failure in answers] == [
            ("who am I?", None)
        ] * 3
        tried_in_vain = [("max_tokens", 8192)] if name != "max_tokens" else []
        assert asked_for(server) == [*tried_in_vain, *[(name, 8192)] * 3]


async def test_a_server_that_changes_its_mind_is_followed() -> None:
    async with served() as (server, models):
        for name in ("max_completion_tokens", "max_tokens"):
            server.knows = {name}
            assert (await ask(models, GPT))[2] is None
            assert asked_for(server)[-1] == (name, 8192)


async def test_what_one_model_knows_is_not_believed_of_another() -> None:
    async with served() as (server, models):
        server.knows = {"max_completion_tokens"}
        await ask(models, GPT)
        await ask(models, "openai:other")
        names = [name for name, _ in asked_for(server)]
        assert names == ["max_tokens", "max_completion_tokens"] * 2


async def test_a_server_with_less_room_is_asked_for_less_until_it_fits() -> None:
    async with served() as (server, models):
        server.room = 3000
        for _ in range(
            2
        ):  # it is the prompt that takes the room, so the next one is tried in full again
            assert (await ask(models, GPT))[2] is None
        assert [longest for _, longest in asked_for(server)] == [8192, 4096, 2048] * 2


async def test_a_server_that_knows_nothing_of_all_this_is_asked_in_every_way_once() -> (
    None
):
    async with served() as (server, models):
        server.knows, server.knows_stream_options, server.room = (
            {"max_completion_tokens"},
            False,
            512,
        )
        assert (await ask(models, GPT))[2] is None
        assert len(server.requests) == 1 + len(["stream_options", "name"]) + len(
            [4096, 2048, 1024, 512]
        )


async def test_a_server_without_any_room_refuses_in_the_end() -> None:
    async with served() as (server, models):
        server.room = 100
        assert (await ask(models, GPT))[2] == (
            "openai:gpt refused the request (400, invalid_request_error). Choose "
            "another with /model NAME."
        )
        assert [longest for _, longest in asked_for(server)][-1] == 512


# --- calls that end without a text and may have to be paid


async def test_a_call_that_broke_before_its_first_word_is_told_before_the_next_is_made() -> (
    None
):
    async with served() as (server, models):
        server.script(Answer("x", fault="cut"), Answer("Here."))
        stream = models.stream(GPT, ASKED)
        assert await anext(stream) == Spent(None, again=True)
        assert len(server.requests) == 1
        assert await anext(stream) == "Here."
        await stream.aclose()


async def test_a_refused_call_costs_nothing_and_is_not_told() -> None:
    async with served() as (server, models):
        server.script(refusal(503), refusal(429), Answer("Here."))
        pieces = [piece async for piece in models.stream(GPT, ASKED)]
        assert [type(piece) for piece in pieces] == [str, Usage]


async def test_an_empty_answer_is_told_with_its_usage_before_the_fallback_is_asked() -> (
    None
):
    async with served(**FALLBACK) as (server, models):
        server.script(Answer(""), Answer("Here."))
        first, *rest = [piece async for piece in models.stream(GPT, ASKED)]
        assert first == Spent(
            Usage(GPT, 11, 0, Decimal("0.000011"), price_source="MODELS"), again=True
        )
        assert [type(piece) for piece in rest] == [str, Usage]


async def test_the_last_of_all_failures_is_told_too() -> None:
    async with served(**FALLBACK) as (server, models):
        server.script(refusal(401), *[Answer("x", fault="cut")] * 3)
        pieces, failure = await failing(models, GPT)
        assert (
            failure
            == "The model server refused OPENAI_API_KEY (401, api_error). Set a valid key."
        )
        assert pieces == [*[Spent(None, again=True)] * 2, Spent(None, again=False)]
