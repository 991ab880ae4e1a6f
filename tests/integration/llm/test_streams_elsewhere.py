"""Streams of servers that are nearly compatible, and what stands between them and the agent."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from agent.core.completion import Usage
from agent.llm.reading.torn import TornObjects
from tests.support.model_server import Answer, model_server
from tests.support.model_streams import (
    CLAUDE,
    DONE,
    GPT,
    STOP,
    WHOLE,
    chunk,
    closed,
    event,
    said,
    streamed,
)
from tests.support.providers import ask, served


def delta(**fields: Any) -> bytes:
    return event({"choices": [{"index": 0, "delta": fields}]})


def message(content: str, **fields: Any) -> bytes:
    return event({"choices": [{"message": {"content": content}, **fields}]})


HEL, LO = chunk("Hel").strip(), chunk("lo").strip()

READ: dict[str, tuple[bytes, ...]] = {
    # one line, several objects; one object, several lines
    "two objects in a line": (HEL + LO[5:] + b"\n\n", STOP),
    "two events in a line": (HEL + LO + b"\n\n", STOP),
    "[DONE] in the line of the last object": (
        chunk("Hello").strip() + b"data: [DONE]\n\n",
    ),
    "a comma behind the object": (HEL + b",\n\n", chunk("lo"), STOP),
    "an object over two events": (
        HEL[:24] + b"\n\ndata: " + HEL[24:] + b"\n\n",
        chunk("lo"),
        STOP,
    ),
    "an object over three events": (
        HEL[:24] + b"\n\ndata: " + HEL[24:30] + b"\n\ndata: " + HEL[30:] + b"\n\n",
        chunk("lo"),
        STOP,
    ),
    "a second line without its name": (
        HEL.replace(b', "delta"', b',\n"delta"') + b"\n\n",
        chunk("lo"),
        STOP,
    ),
    "lines are indented": tuple(b"  " + one for one in (*WHOLE[:2], STOP)),
    "lines are indented and follow at once": (
        b"\t" + HEL + b"\n\t" + LO + b"\n\tdata: [DONE]\n",
    ),
    "names in capitals": (
        b"Event: x\nData: " + HEL[6:] + b"\n\nDATA:" + LO[5:] + b"\n\n",
        STOP,
    ),
    "blank lines that are not empty": (b" \n", HEL + b"\n \n", chunk("lo"), STOP),
    "JSON lines": (HEL[6:] + b"\n", LO[6:] + b"\n", STOP[6:]),
    # messages instead of pieces
    "messages, each with what is new": (message("Hel"), message("lo"), STOP),
    "messages, each with all so far": (message("Hel"), message("Hello"), STOP),
    "pieces next to messages": (
        event(
            {
                "choices": [
                    {"delta": {"content": "Hel"}, "message": {"content": "Hel"}}
                ]
            }
        ),
        event(
            {
                "choices": [
                    {"delta": {"content": "lo"}, "message": {"content": "Hello"}}
                ]
            }
        ),
        STOP,
    ),
    "messages without choices": (
        event({"message": {"role": "assistant", "content": "Hel"}, "done": False}),
        event({"message": {"content": "lo"}, "done": True, "done_reason": "stop"}),
    ),
    "text in its own field": (delta(text="Hello"), STOP),
    # what is said by others, or thought
    "a question is repeated": (
        delta(role="user", content="Hi"),
        delta(role="assistant", content="Hello"),
        STOP,
    ),
    "a tool's result": (delta(role="tool", content="{}"), *WHOLE),
    "the role stands in each piece": (
        delta(role="assistant", content="Hel"),
        delta(role="assistant", content="lo"),
        STOP,
    ),
    "a delta that thinks": (delta(type="thinking", content="hm"), *WHOLE),
    "a delta that reasons": (delta(type="reasoning", text="hm"), *WHOLE),
    "a part that thinks": (
        delta(content=[{"text": "hm", "thought": True}, {"text": "Hello"}]),
        STOP,
    ),
    "a delta marked by Google": (
        delta(content="hm", extra_content={"google": {"thought": True}}),
        *WHOLE,
    ),
    "Cohere's marks": (
        chunk("<|START_THINKING|>hm<|END_THINKING|><|START_RESPONSE|>Hello"),
        chunk("<|END_RESPONSE|><|END_OF_TURN_TOKEN|>"),
        STOP,
    ),
    "Apertus' marks": (
        chunk("<|inner_prefix|>hm<|inner_suffix|>Hel"),
        chunk("lo"),
        STOP,
    ),
    "an output tag behind the thinking": (
        chunk("<Thought>hm</Thought>\n<Output>Hello</Output>"),
        STOP,
    ),
    **{
        f"{token} at the end": (chunk(f"Hello{token}"), STOP)
        for token in (
            *("<|eot|>", "<|end_of_turn|>", "<|user|>"),
            *("<|observation|>", "<|role_end|>"),
        )
    },
    "an event that is named close": (chunk("Hello"), b"event: close\ndata: \n\n"),
}


@pytest.mark.parametrize("events", READ.values(), ids=READ)
async def test_the_text_is_read(events: tuple[bytes, ...]) -> None:
    async with served() as (server, models):
        server.script(streamed(*events))
        text, usage, failure = await ask(models, GPT)
        assert (text, usage is not None, failure) == ("Hello", True, None)


@pytest.mark.parametrize("content_type", ["text/html; charset=utf-8", "TEXT/HTML"])
async def test_a_stream_may_be_called_a_page(content_type: str) -> None:
    """As some frameworks call whatever has no type."""
    async with served() as (server, models):
        server.script(streamed(*WHOLE, content_type=content_type))
        assert (await ask(models, GPT))[::2] == ("Hello", None)


# --- reasons to stop

CUT = "The answer ends here"
DECLINED = "declined to answer"
FULL = "fills the whole context"
EARLY = "stopped before its answer was complete"

REASONS: dict[str, tuple[Any, ...]] = {
    "": (
        *(" Stop\n", "end-turn", "endTurn", "END_TURN", "tool-calls", "toolCalls"),
        *("eosFound", "stopStringFound", "word", {"type": "stop"}, ["stop"]),
    ),
    CUT: (
        *("maxTokens", "max-tokens", "MAX_TOKENS", "limit", "token_limit"),
        *("maxPredictedTokensReached", {"type": "length", "length": 9}, ["length"]),
    ),
    DECLINED: (
        *("content-filter", "contentFilter", "content_filter: RECITATION"),
        *("content_filter: PROHIBITED_CONTENT", "IMAGE_SAFETY", "ERROR_TOXIC"),
    ),
    FULL: ("contextLengthReached", "ERROR_LIMIT", "context_window_exceeded"),
    EARLY: ("OTHER", "function_call_filter: MALFORMED", "incomplete", {"type": "?"}),
}


@pytest.mark.parametrize(
    ("reason", "told"),
    [(reason, told) for told, reasons in REASONS.items() for reason in reasons],
)
async def test_a_reason_is_known_in_every_spelling(reason: Any, told: str) -> None:
    for model, events in (
        (GPT, (chunk("Hello"), chunk(None, reason), DONE)),
        (CLAUDE, (said("Hello"), closed(reason))),
    ):
        async with served() as (server, models):
            server.script(streamed(*events))
            text, _, failure = await ask(models, model)
            assert (text, bool(failure)) == ("Hello", bool(told))
            assert told in (failure or "")


async def test_a_reason_may_have_the_name_of_others() -> None:
    async with served() as (server, models):
        server.script(
            streamed(
                event(
                    {
                        "choices": [
                            {"delta": {"content": "Hello"}, "stop_reason": "length"}
                        ]
                    }
                ),
                DONE,
            )
        )
        text, _, failure = await ask(models, GPT)
        assert (text, CUT in (failure or "")) == ("Hello", True)


# --- errors that are not called so

CALLED_OTHERWISE: dict[str, tuple[bytes, str]] = {
    "DashScope": (
        event({"code": "InvalidApiKey", "message": "Invalid API-key provided."}),
        "refused OPENAI_API_KEY",
    ),
    "MiniMax": (
        event(
            {
                "choices": None,
                "base_resp": {
                    "status_code": 1008,
                    "status_msg": "insufficient balance",
                },
            }
        ),
        "no credit left",
    ),
    "FastAPI": (
        event({"detail": "the prompt exceeds the context length"}),
        "too long for openai:gpt",
    ),
    "a status in the stream": (
        event({"status_code": 503, "message": "busy"}),
        "is failing at the moment (503)",
    ),
    "an event that is named Error": (
        event({"message": "prompt is too long"}, "Error"),
        "too long for openai:gpt",
    ),
    **{
        f"a status called {name}": (
            event({"error": {name: value, "message": "x"}}),
            "too many requests right now (429)",
        )
        for name, value in (
            ("statusCode", 429),
            ("http_code", "429"),
            ("httpStatus", 429),
            ("error_code", 429),
            ("code", 429.0),
            ("status", "429 Too Many Requests"),
        )
    },
    "words alone": (
        event({"error": "Rate limit exceeded, slow down"}),
        "too many requests right now",
    ),
    "words of a list": (
        event({"error": ["Server is overloaded"]}),
        "is failing at the moment",
    ),
}


@pytest.mark.parametrize(
    ("events", "told"), CALLED_OTHERWISE.values(), ids=CALLED_OTHERWISE
)
@pytest.mark.parametrize("end", [b"", DONE], ids=["no end", "[DONE]"])
async def test_an_error_is_told_whatever_it_is_called(
    events: bytes, end: bytes, told: str
) -> None:
    async with served() as (server, models):
        server.script(*[streamed(events, end)] * 3)
        text, _, failure = await ask(models, GPT)
        assert (text, told in (failure or "")) == ("", True), failure


# --- usage

USED: dict[str, dict[str, Any]] = {
    "as the Responses API": {"input_tokens": 5, "output_tokens": 102},
    "as JavaScript": {"promptTokens": 5, "completionTokens": 102},
    "xAI, thinking apart": {
        "prompt_tokens": 5,
        "completion_tokens": 2,
        "total_tokens": 107,
        "completion_tokens_details": {"reasoning_tokens": 100},
    },
    "Gemini, thinking only in the total": {
        "prompt_tokens": 5,
        "completion_tokens": 2,
        "total_tokens": 107,
    },
    "OpenAI, thinking inside": {
        "prompt_tokens": 5,
        "completion_tokens": 102,
        "total_tokens": 107,
        "completion_tokens_details": {"reasoning_tokens": 100},
    },
    "a total that is too small": {
        "prompt_tokens": 5,
        "completion_tokens": 102,
        "total_tokens": 0,
    },
}


@pytest.mark.parametrize("usage", USED.values(), ids=USED)
async def test_all_tokens_that_are_paid_are_counted(usage: dict[str, Any]) -> None:
    zero = {"prompt_tokens": 0, "completion_tokens": 0}
    async with served() as (server, models):
        server.script(
            streamed(
                chunk("Hello", "stop"),
                event({"choices": [], "usage": usage}),
                event({"choices": [], "usage": zero}),
                DONE,
            )
        )
        assert (await ask(models, GPT))[1] == Usage(GPT, 5, 102, Decimal("0.001025"))


async def test_a_total_that_counts_the_cache_again_adds_nothing() -> None:
    usage = {
        "prompt_tokens": 5,
        "completion_tokens": 2,
        "total_tokens": 10,
        "prompt_tokens_details": {"cached_tokens": 3},
    }
    async with served() as (server, models):
        server.script(streamed(chunk("Hello", "stop", usage=usage), DONE))
        used = (await ask(models, GPT))[1]
        assert used is not None
        assert (used.prompt_tokens, used.completion_tokens) == (5, 2)


async def test_a_page_at_one_path_is_no_reason_not_to_ask_at_the_other() -> None:
    page = Answer(body=b"<html>Hi</html>", headers={"content-type": "text/html"})
    async with (
        model_server() as server,
        served(openai_base_url=server.anthropic_url) as (_, models),
    ):
        server.script(page)
        text, _, failure = await ask(models, GPT)
        assert (text, "streams no answers" in (failure or "")) == ("", True)
        assert [request.path for request in server.requests] == [
            "/v1/chat/completions",
            "/chat/completions",
        ]


def test_what_never_ends_is_not_kept() -> None:
    objects = TornObjects()
    for _ in range(100):
        assert [] == objects.of('{"a": "' + "x" * 1000)
    assert 100 == objects.unreadable
    assert [{"b": 1}] == objects.of(json.dumps({"b": 1}))
