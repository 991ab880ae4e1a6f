"""How answers end, and what is no stream at all: each is told as what it is, and what was
said stays.
"""

from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest

from agent.core.completion import Usage
from agent.settings import ModelSpec
from tests.support.model_server import Answer
from tests.support.model_streams import (
    CLAUDE,
    GPT,
    STOP,
    WHOLE,
    answered,
    chunk,
    closed,
    ending,
    event,
    said,
    streamed,
    texts,
)
from tests.support.providers import BOTH, ask, served

# --- answers that do not end well


@pytest.mark.parametrize(
    "reason",
    [
        "error",
        "abort",
        "insufficient_system_resource",
        "network_error",
        "pause_turn",
        "wörd",
    ],
)
@BOTH
async def test_an_answer_that_ends_for_an_unknown_reason_is_half_an_answer(
    model: str, reason: str
) -> None:
    async with served() as (server, models):
        server.script(streamed(texts(model, "Hel"), ending(model, reason)))
        shown = f" ({reason})" if reason.isascii() else ""
        sentence = f"{model} stopped before its answer was complete{shown}. /retry asks again."
        assert (await ask(models, model))[::2] == ("Hel", sentence)
        assert len(server.requests) == 1


@BOTH
async def test_an_unknown_reason_without_a_text_is_asked_again(model: str) -> None:
    async with served() as (server, models):
        server.script(streamed(ending(model, "error")))
        assert (await ask(models, model))[::2] == ("who am I?", None)


@pytest.mark.parametrize(
    "reason", ["content_filter", "SAFETY", "recitation", "sensitive", "refusal"]
)
@BOTH
async def test_every_word_for_declining_is_known(model: str, reason: str) -> None:
    async with served() as (server, models):
        server.script(streamed(texts(model, "Hel"), ending(model, reason)))
        sentence = (
            f"{model} declined to answer this (further). Say it in another way."
        )
        assert (await ask(models, model))[::2] == ("Hel", sentence)


@pytest.mark.parametrize("reason", ["length", "MAX_TOKENS", "model_length"])
@BOTH
async def test_every_word_for_the_longest_answer_is_known(
    model: str, reason: str
) -> None:
    async with served() as (server, models):
        server.script(streamed(texts(model, "Hel"), ending(model, reason)))
        sentence = (
            "The answer ends here: 8,192 tokens are the most I may say at "
            "once. Ask me to go on."
        )
        assert (await ask(models, model))[::2] == ("Hel", sentence)


async def test_a_context_that_is_full_names_the_way_out() -> None:
    async with served() as (server, models):
        server.script(streamed(said("Hel"), closed("model_context_window_exceeded")))
        sentence = (
            f"This conversation fills the whole context of {CLAUDE}. "
            "Start a new one with /new."
        )
        assert (await ask(models, CLAUDE))[::2] == ("Hel", sentence)


@BOTH
async def test_thinking_that_never_ends_is_no_answer(model: str) -> None:
    text = "<think>hm, hm"
    async with served() as (server, models):
        server.script(streamed(texts(model, text), ending(model)))
        sentence = f"{model} thought but gave no answer. /retry asks again."
        assert (await ask(models, model))[::2] == ("", sentence)


# --- answers that are no streams


@pytest.mark.parametrize(
    ("model", "body"),
    [
        (
            GPT,
            {
                "choices": [
                    {
                        "index": 0,
                        "message": {"content": "Hello"},
                        "finish_reason": "stop",
                    }
                ]
            },
        ),
        (
            GPT,
            {
                "choices": [
                    {"message": {"content": [{"type": "text", "text": "Hello"}]}}
                ]
            },
        ),
        (
            GPT,
            {
                "choices": [{"message": {"content": "<think>hm</think>\nHello"}}],
                "error": None,
            },
        ),
        (
            CLAUDE,
            {
                "type": "message",
                "content": [{"type": "text", "text": "Hello"}],
                "stop_reason": "end_turn",
            },
        ),
        (
            CLAUDE,
            {
                "content": [
                    {"type": "thinking", "thinking": "hm"},
                    {"type": "text", "text": "Hello"},
                ]
            },
        ),
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("end", ["", "\n\ndata: [DONE]\n\n"])
async def test_a_body_of_json_is_read_as_the_answer_it_is(
    model: str, body: object, indent: int | None, end: str
) -> None:
    usage = {
        "prompt_tokens": 5,
        "completion_tokens": 2,
        "input_tokens": 5,
        "output_tokens": 2,
    }
    text = json.dumps({**body, "usage": usage}, indent=indent) + end  # type: ignore[dict-item]
    async with served() as (server, models):
        server.script(Answer(body=text.encode()))
        assert await ask(models, model) == (
            "Hello",
            Usage(model, 5, 2, Decimal("0.000025")),
            None,
        )


@pytest.mark.parametrize("status", [200, 201])
async def test_every_status_of_success_is_one(status: int) -> None:
    async with served() as (server, models):
        server.script(Answer(status=status, body=b"".join(WHOLE)))
        assert (await ask(models, GPT))[::2] == ("Hello", None)


@pytest.mark.parametrize("body", [b'{"hello": 1}', b"[]", b"7", b"hello there"])
@BOTH
async def test_what_is_no_answer_at_all_names_the_setting(
    model: str, body: bytes
) -> None:
    setting = "OPENAI_BASE_URL" if model == GPT else "ANTHROPIC_BASE_URL"
    async with served() as (server, models):
        server.script(Answer(body=body))
        sentence = f"The server at {setting} streams no answers. Check that setting."
        assert (await ask(models, model))[::2] == ("", sentence)


# --- errors inside a response that says all is well

LIMIT = {"message": "Rate limit exceeded", "code": 429}
LIMITED: list[Any] = [
    {"error": LIMIT},
    {"error": {"message": "Rate limit exceeded", "code": "429"}},
    {"error": {"message": "Slow down", "type": "rate_limit_error"}},
    {"error": {"message": "Slow down", "status": "RESOURCE_EXHAUSTED"}},
    {"type": "error", "error": {"type": "rate_limit_error", "message": "Slow down"}},
    {
        "object": "error",
        "message": "Slow down",
        "type": "RateLimitError",
        "code": 429,
    },
    {"choices": [{"finish_reason": "error", "error": LIMIT}]},
    [{"error": LIMIT}],
    {"errors": [LIMIT]},
]


@pytest.mark.parametrize("body", LIMITED)
@pytest.mark.parametrize("name", ["as JSON", "as an event", "as an error event"])
async def test_an_error_with_status_200_is_the_error_it_names(
    body: Any, name: str
) -> None:
    as_event = streamed(event(body, "error" if name == "as an error event" else ""))
    async with served() as (server, models):
        server.script(*[answered(body) if name == "as JSON" else as_event] * 3)
        text, _, failure = await ask(models, GPT)
        assert (text, len(server.requests)) == ("", 3)
        assert str(failure).startswith(
            "openai:gpt gets too many requests right now (429"
        )


async def test_its_wait_is_obeyed() -> None:
    body = {"error": {**LIMIT, "message": "Please try again in 600s."}}
    async with served() as (server, models):
        server.script(answered(body), answered(body, headers={"retry-after": "700"}))
        failures = [(await ask(models, GPT))[2] for _ in range(2)]
        assert failures == [
            f"openai:gpt gets too many requests right now (429). Try again in {wait} s."
            for wait in (600, 700)
        ]


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            {"code": 401, "message": "No"},
            "The model server refused OPENAI_API_KEY (401). Set a valid key.",
        ),
        (
            {"code": 402, "message": "Insufficient credits"},
            "There is no credit left behind OPENAI_API_KEY (402). "
            "Top it up or set another key.",
        ),
        (
            {"type": "not_found_error", "message": "No"},
            "openai:gpt does not exist on this server. Choose another "
            "with /model NAME or DEFAULT_MODEL.",
        ),
        (
            {"code": "context_length_exceeded"},
            "This conversation is too long for openai:gpt "
            "(413, context_length_exceeded). Start a new one with /new.",
        ),
    ],
)
async def test_an_error_that_will_not_pass_is_not_asked_again(
    error: dict[str, Any], sentence: str
) -> None:
    async with served() as (server, models):
        server.script(*[streamed(event({"error": error}))] * 2)
        assert (await ask(models, GPT))[::2] == ("", sentence)
        assert len(server.requests) == 1


async def test_a_refusal_with_status_200_is_put_in_other_words_once() -> None:
    error = {
        "error": {
            "message": "invalid request",
            "type": "invalid_request",
            "code": 400,
        }
    }
    async with served() as (server, models):
        server.script(*[streamed(event(error, "error"))] * 3)
        sentence = (
            "openai:gpt refused the request (400, invalid_request). "
            "Choose another with /model NAME."
        )
        assert (await ask(models, GPT))[::2] == ("", sentence)
        assert ["stream_options" in request.body for request in server.requests] == [
            True,
            False,
        ]


async def test_less_is_asked_for_where_an_error_inside_the_stream_says_how_much_fits() -> (
    None
):
    """As TGI says it."""
    words = (
        "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 96 "
        "`inputs` tokens and 8192 `max_new_tokens`"
    )
    async with served() as (server, models):
        server.script(
            streamed(
                event(
                    {
                        "error": f"Input validation error: {words}",
                        "error_type": "validation",
                    }
                )
            )
        )
        assert (await ask(models, GPT))[::2] == ("who am I?", None)
        assert [request.body["max_tokens"] for request in server.requests] == [
            8192,
            4000,
        ]


async def test_an_error_after_half_an_answer_is_never_followed_by_another_answer() -> (
    None
):
    words = (
        "This model's maximum context length is 8192 tokens. However, you "
        "requested 8256 tokens (64 in the messages"
    )
    async with served() as (server, models):
        server.script(
            streamed(chunk("Hel"), event({"error": {"code": 400, "message": words}}))
        )
        text, _, failure = await ask(models, GPT)
        assert (text, len(server.requests), failure is None) == ("Hel", 1, False)


async def test_an_error_after_half_an_answer_keeps_it_and_is_named() -> None:
    async with served() as (server, models):
        server.script(
            streamed(
                chunk("Hel"),
                event({"error": {"code": 502, "message": "secret words"}}),
            ),
            streamed(
                chunk("Hel"),
                event({"error": {"code": 402, "message": "Insufficient credits"}}),
            ),
            streamed(chunk("Hel"), b"event: error\ndata: Internal Server Error\n\n"),
        )
        assert [(await ask(models, GPT))[::2] for _ in range(3)] == [
            ("Hel", "openai:gpt failed while answering. /retry asks again."),
            (
                "Hel",
                "There is no credit left behind OPENAI_API_KEY (402). Top it up "
                "or set another key.",
            ),
            ("Hel", "openai:gpt failed while answering. /retry asks again."),
        ]


async def test_an_error_after_the_end_of_the_text_breaks_nothing() -> None:
    async with served() as (server, models):
        server.script(
            streamed(chunk("Hello", "stop"), event({"error": {"code": 500}}))
        )
        assert (await ask(models, GPT))[::2] == ("Hello", None)


# --- bounds

TOO_MUCH = "{} sent more than an answer may hold, so it ends here. /retry asks again."


@pytest.mark.parametrize(
    "flood",
    [
        b"data: " + b"x" * 1_100_000,
        (b"data: " + b"x" * 99 + b"\n") * 11_000,
        (b"x" * 99 + b"\n") * 11_000,
    ],
    ids=["one line", "one event of many lines", "lines of no event"],
)
@BOTH
async def test_a_flood_is_cut_and_what_was_said_stays(
    model: str, flood: bytes
) -> None:
    async with served() as (server, models):
        server.script(streamed(texts(model, "Hel"), flood, ending(model)))
        assert (await ask(models, model))[::2] == ("Hel", TOO_MUCH.format(model))


@BOTH
async def test_an_answer_without_an_end_is_cut_with_a_note(model: str) -> None:
    endless = texts(model, *["x" * 100] * 10)
    async with served(models={model: ModelSpec(answer=16)}) as (server, models):
        server.script(streamed(endless, ending(model)))
        text, usage, failure = await ask(models, model)
        assert (text, failure) == (
            "x" * 256,
            "The answer ends here: 16 tokens are the most I may say at once. Ask me to go on.",
        )
        assert usage is not None
        assert usage.completion_tokens == 16


async def test_a_response_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.llm.http_stream.RESPONSE_BYTES", 100_000)
    async with served() as (server, models):
        server.script(streamed(chunk("Hel"), b": still here\n" * 10_000, STOP))
        assert (await ask(models, GPT))[::2] == ("Hel", TOO_MUCH.format(GPT))


@BOTH
async def test_a_finished_answer_does_not_wait_for_a_server_that_never_closes(
    model: str,
) -> None:
    async with served(model_idle_timeout=60) as (server, models), asyncio.timeout(30):
        server.script(Answer("Hello", fault="no end"))
        assert (await ask(models, model))[::2] == ("Hello", None)
