"""What real servers put into their streams besides what the specification says: the text is
read all the same.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from agent.core.completion import Usage
from agent.settings import ModelSpec
from tests.support.model_streams import (
    CLAUDE,
    DONE,
    GPT,
    STOP,
    WHOLE,
    chunk,
    closed,
    ending,
    event,
    said,
    streamed,
    texts,
)
from tests.support.providers import BOTH, ask, served

THOUGHT = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
OTHER = {"index": 1, "delta": {"content": "NO"}, "finish_reason": "length"}

OPENAI: dict[str, tuple[bytes, ...]] = {
    "choices are null": (event({"choices": None}), *WHOLE),
    "choices are empty": (event({"choices": []}), *WHOLE),
    "choices are a number": (event({"choices": 7}), *WHOLE),
    "choices are one object": (
        event({"choices": {"delta": {"content": "Hel"}}}),
        chunk("lo"),
        STOP,
    ),
    "a choice is null": (event({"choices": [None]}), *WHOLE),
    "delta is null": (event({"choices": [{"delta": None}]}), *WHOLE),
    "delta is missing": (event({"choices": [{"index": 0}]}), *WHOLE),
    "delta is a text": (event({"choices": [{"delta": "Hel"}]}), chunk("lo"), STOP),
    "content is null": (chunk(None), *WHOLE),
    "content is a number": (chunk(5), *WHOLE),
    "content is a list": (
        chunk([{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]),
        STOP,
    ),
    "content is thinking, then text": (chunk([THOUGHT]), chunk("Hello"), STOP),
    "content is thinking and text": (
        chunk([THOUGHT, {"type": "text", "text": "Hello"}]),
        STOP,
    ),
    "content is one part": (chunk({"type": "text", "text": "Hello"}), STOP),
    "content is parts as text": (chunk(["Hel", "lo", 3, None]), STOP),
    "a part's text is an object": (
        chunk([{"type": "text", "text": {"value": "Hello"}}]),
        STOP,
    ),
    "a part is a reference": (
        chunk(["Hello", {"type": "reference", "reference_ids": [1]}]),
        STOP,
    ),
    "index is missing": (event({"choices": [{"delta": {"content": "Hello"}}]}), STOP),
    "index is null": (
        event({"choices": [{"index": None, "delta": {"content": "Hello"}}]}),
        STOP,
    ),
    "index is a text": (
        event({"choices": [{"index": "0", "delta": {"content": "Hello"}}]}),
        STOP,
    ),
    "another choice in the same chunk": (
        event({"choices": [OTHER, {"index": 0, "delta": {"content": "Hello"}}]}),
        STOP,
    ),
    "another choice in a chunk of its own": (
        chunk("Hel"),
        event({"choices": [OTHER]}),
        chunk("lo"),
        STOP,
    ),
    "finish_reason is an object": (chunk("Hello", {"type": "stop"}), STOP),
    "finish_reason is empty all the way": (chunk("Hello", ""), STOP),
    "finish_reason is the word null": (chunk("Hello", "null"), STOP),
    "finish_reason in capitals": (chunk("Hello", "STOP"),),
    "finish_reason eos": (chunk("Hello", "eos"),),
    "no [DONE]": (chunk("Hello"), chunk(None, "stop")),
    "no finish_reason": (chunk("Hello"), DONE),
    "[DONE] without a space and a blank line": (chunk("Hello"), b"data:[DONE]"),
    "[DONE] glued to the last chunk": (
        chunk("Hello").rstrip() + b"\ndata: [DONE]\n\n",
    ),
    "no blank line between events": (
        chunk("Hel").rstrip() + b"\n" + chunk("lo"),
        STOP,
    ),
    "no blank line at the end": (chunk("Hello", "stop").rstrip(),),
    "no JSON amid": (chunk("Hel"), b"data: {oops\n\n", chunk("lo"), STOP),
    "JSON that is no object": (
        chunk("Hel"),
        *map(event, (None, 7, "x", [])),
        chunk("lo"),
        STOP,
    ),
    "a list of chunks": (
        event([json.loads(chunk("Hel")[6:]), json.loads(chunk("lo", "stop")[6:])]),
    ),
    "comments and other fields": (
        b": OPENROUTER PROCESSING\n\nretry: 3\nid: 7\n\n",
        chunk("Hello"),
        b":\n\n",
        STOP,
    ),
    "a heartbeat": (
        event({"type": "ping"}),
        chunk("Hel"),
        event({}, "ping"),
        chunk("lo"),
        STOP,
    ),
    "a byte order mark": (b"\xef\xbb\xbf" + chunk("Hello"), STOP),
    "lines end with CR LF": (chunk("Hello").replace(b"\n", b"\r\n"), STOP),
    "lines end with CR": (
        chunk("Hel").replace(b"\n", b"\r"),
        chunk("lo").replace(b"\n", b"\r"),
        STOP,
    ),
    "an error that is none": (
        chunk("Hello", error=None),
        chunk("", error={}),
        chunk("", error=False),
        STOP,
    ),
    "a raw control character inside a field": (
        chunk("Hello", id="?").replace(b"?", b"\x01"),
        STOP,
    ),
    "reasoning in fields of its own": (
        event(
            {
                "choices": [
                    {
                        "delta": {
                            "reasoning_content": "hm",
                            "reasoning": "hm",
                            "content": None,
                        }
                    }
                ]
            }
        ),
        *WHOLE,
    ),
    "think tags": (
        chunk("<think>hm"),
        chunk("</thi"),
        chunk("nk>\n\nHel"),
        chunk("lo"),
        STOP,
    ),
    "the whole message again at the end": (
        chunk("Hel"),
        chunk("lo"),
        event(
            {"choices": [{"finish_reason": "stop", "message": {"content": "Hello"}}]}
        ),
    ),
    "a text completion": (
        event({"choices": [{"text": "Hello", "index": 0, "finish_reason": "stop"}]}),
    ),
    "a refusal": (event({"choices": [{"delta": {"refusal": "Hello"}}]}), STOP),
    "more after the reason": (chunk("Hel", "stop"), chunk("lo"), DONE),
    **{
        f"finish_reason {reason}": (chunk("Hello", reason),)
        for reason in (
            *("end", "stopped", "FINISH_REASON_STOP", "end_of_text"),
            *("eos_token_id", "stop_token", "stop_word"),
        )
    },
    "finish_reason inside the delta": (
        event(
            {"choices": [{"delta": {"content": "Hello", "finish_reason": "stop"}}]}
        ),
    ),
    "an event that is named done": (chunk("Hello"), b"event: done\ndata: {}\n\n"),
    "[DONE] in quotes": (chunk("Hello"), b'data: "[DONE]"\n\n'),
    "done as a field": (chunk("Hello"), b'data: {"done": true}\n\n'),
    "data twice": (b"data: " + chunk("Hello"), STOP),
    "an error of nothing": (
        chunk("Hello"),
        event({"error": {"message": None, "code": None}}),
        STOP,
    ),
    "a byte order mark before the thinking": (
        chunk("\ufeff"),
        chunk("<think>hm</think>Hello"),
        STOP,
    ),
    "gpt-oss' head": (
        chunk("<|start|>assistant<|channel|>analysis<|message|>hm<|end|>"),
        chunk("<|start|>assistant<|channel|>final<|message|>Hello<|return|>"),
        STOP,
    ),
    "gpt-oss' head alone": (
        chunk("<|start|>assistant<|channel|>final<|message|>Hello"),
        STOP,
    ),
    "gpt-oss' commentary": (
        chunk("<|channel|>commentary<|message|>hm<|end|>"),
        chunk("<|start|>assistant<|channel|>final<|message|>Hello"),
        STOP,
    ),
    "ChatML's head": (chunk("<|im_start|>assistant\nHello<|im_end|>"), STOP),
    "Llama's head": (
        chunk("<|start_header_id|>assistant<|end_header_id|>\n\nHello<|eot_id|>"),
        STOP,
    ),
    "LongCat's thinking": (
        chunk("<longcat_think>\nhm</longcat_think>\nHello"),
        STOP,
    ),
    "[DONE] in lower case": (chunk("Hello"), b"data: [done]\n\n"),
    "words of an audio": (
        event({"choices": [{"delta": {"audio": {"id": "a", "transcript": "Hel"}}}]}),
        event({"choices": [{"delta": {"audio": {"transcript": "lo"}}}]}),
        event({"choices": [{"delta": {"audio": {"data": "AAAA"}}}]}),
        STOP,
    ),
    "ChatML's stop token": (chunk("Hello<|im_"), chunk("end|>"), STOP),
    "gpt-oss' stop token": (chunk("Hello"), chunk("<|return|>"), STOP),
    "Llama's stop token, a line later": (chunk("Hello"), chunk("</s>\n"), STOP),
    "a think tag with attributes": (
        chunk("<think dur"),
        chunk('ation="3">hm</think>Hello'),
        STOP,
    ),
    "marks of thought and solution": (
        chunk("<|begin_of_thought|>hm<|end_of_thought|>\n"),
        chunk("<|begin_of_solution|>Hello<|end_of_solution|>"),
        STOP,
    ),
    "an answer tag behind the thinking": (
        chunk("<think>hm</think>\n<answer>Hel"),
        chunk("lo</answer>"),
        STOP,
    ),
    "Gemma's thinking": (
        chunk("<|channel>"),
        chunk("thought\nhm<channel|>Hello<turn|>"),
        STOP,
    ),
    "Granite's thinking": (
        chunk("Here is my thought "),
        chunk("process: hm\n\nHere is my response:"),
        chunk(" Hello"),
        STOP,
    ),
    "Granite's tags": (
        chunk("<think>hm</think><response>Hello</response>"),
        STOP,
    ),
}

BLOCK: dict[str, Any] = {"type": "content_block_start", "index": 0}
ANTHROPIC: dict[str, tuple[bytes, ...]] = {
    "message is null": (
        event({"type": "message_start", "message": None}),
        said("Hello"),
        closed(),
    ),
    "usage is null": (
        event({"type": "message_start", "message": {"usage": None}}),
        said("Hello"),
        closed(usage=None),
    ),
    "delta is null": (
        event({"type": "content_block_delta", "delta": None}),
        said("Hello"),
        closed(),
    ),
    "text is null": (said(None), said("Hello"), closed()),
    "text in the block's start": (
        event({**BLOCK, "content_block": {"type": "text", "text": "Hel"}}),
        said("lo"),
        closed(),
    ),
    "a thinking block": (
        event(
            {
                **BLOCK,
                "content_block": {"type": "thinking", "thinking": "hm", "text": "hm"},
            }
        ),
        event(
            {
                "type": "content_block_delta",
                "delta": {"type": "thinking_delta", "thinking": "hm"},
            }
        ),
        event(
            {
                "type": "content_block_delta",
                "delta": {"type": "signature_delta", "signature": "x"},
            }
        ),
        said("Hello"),
        closed(),
    ),
    "think tags": (said("<think>hm</think>"), said("\nHello"), closed()),
    "events of a new type": (
        event({"type": "weather", "delta": {"sun": 1}}, "weather"),
        said("Hello"),
        closed(),
    ),
    "a type that is no text": (event({"type": 7}), said("Hello"), closed()),
    "no types at all": (
        event({"delta": {"text": "Hello"}}),
        event({"delta": {"stop_reason": "end_turn"}}),
    ),
    "pings": (
        event({"type": "ping"}, "ping"),
        said("Hel"),
        event({"type": "ping"}),
        said("lo"),
        closed(),
    ),
    "no message_stop": (
        said("Hello"),
        event({"type": "message_delta", "delta": {"stop_reason": "end_turn"}}),
    ),
    "no message_delta": (said("Hello"), event({"type": "message_stop"})),
    "no JSON amid": (said("Hel"), b"data: {oops\n\n", said("lo"), closed()),
    "a byte order mark": (b"\xef\xbb\xbf" + said("Hello"), closed()),
    "an error that is none": (
        event({"type": "content_block_delta", "error": None}),
        said("Hello"),
        closed(),
    ),
    "a reason in capitals": (said("Hello"), closed("END_TURN")),
}
STREAMS = [
    pytest.param(model, events, id=f"{model}: {name}")
    for model, table in ((GPT, OPENAI), (CLAUDE, ANTHROPIC))
    for name, events in table.items()
]


@pytest.mark.parametrize(("model", "events"), STREAMS)
async def test_what_is_odd_is_passed_over_and_the_text_is_read(
    model: str, events: tuple[bytes, ...]
) -> None:
    async with served() as (server, models):
        server.script(streamed(*events))
        text, usage, failure = await ask(models, model)
        assert (text, usage is not None, failure, len(server.requests)) == (
            "Hello",
            True,
            None,
            1,
        )


@pytest.mark.parametrize(
    "content_type",
    ["TEXT/EVENT-STREAM; Charset=UTF-8", "text/plain", "application/json", "x"],
)
async def test_a_stream_is_known_by_what_it_is_not_by_its_content_type(
    content_type: str,
) -> None:
    async with served() as (server, models):
        server.script(streamed(*WHOLE, content_type=content_type))
        assert (await ask(models, GPT))[::2] == ("Hello", None)


# --- usage

NO_COUNT: list[object] = [
    None,
    {},
    [],
    "",
    "many",
    True,
    -1,
    1.5e300,
    10**30,
    float("nan"),
    {"tokens": 3},
]


@pytest.mark.parametrize("value", [3, 3.0, "3", "3.0", 3.7])
async def test_a_count_may_be_written_in_other_ways(value: object) -> None:
    usage = {"prompt_tokens": value, "completion_tokens": value}
    async with served() as (server, models):
        server.script(streamed(chunk("Hello"), chunk("", "stop", usage=usage), DONE))
        assert (await ask(models, GPT))[1] == Usage(GPT, 3, 3, Decimal("0.000033"))


@pytest.mark.parametrize("value", NO_COUNT)
async def test_what_is_no_count_is_estimated_and_the_answer_stays(
    value: object,
) -> None:
    for usage in (
        {"prompt_tokens": 5, "completion_tokens": value},
        {"completion_tokens": 2, "prompt_tokens": value},
    ):
        async with served() as (server, models):
            server.script(
                streamed(chunk("Hello"), chunk("", "stop", usage=usage), DONE)
            )
            text, used, failure = await ask(models, GPT)
            assert (text, failure) == ("Hello", None)
            assert used is not None
            assert used.prompt_tokens == (5 if usage["prompt_tokens"] == 5 else 28)
            assert (used.completion_tokens, used.estimated) == (2, True)


@pytest.mark.parametrize("usage", NO_COUNT)
async def test_what_is_no_usage_is_estimated_as_a_whole(usage: object) -> None:
    async with served() as (server, models):
        server.script(streamed(chunk("Hello"), chunk("", "stop", usage=usage), DONE))
        _, used, failure = await ask(models, GPT)
        assert (used, failure) == (
            Usage(GPT, 28, 2, Decimal("0.000048"), estimated=True),
            None,
        )


@pytest.mark.parametrize("value", NO_COUNT)
async def test_anthropics_counts_are_read_one_by_one_too(value: object) -> None:
    begin = event(
        {
            "type": "message_start",
            "message": {"usage": {"input_tokens": 5, "output_tokens": 1}},
        }
    )
    async with served() as (server, models):
        server.script(
            streamed(begin, said("Hello"), closed(usage={"output_tokens": value}))
        )
        text, used, failure = await ask(models, CLAUDE)
        assert (text, failure) == ("Hello", None)
        assert used == Usage(CLAUDE, 5, 2, Decimal("0.000025"), estimated=True)


async def test_no_prompt_and_no_text_has_zero_tokens() -> None:
    zero = {"prompt_tokens": 0, "completion_tokens": 0}
    async with served() as (server, models):
        server.script(streamed(chunk("Hello"), chunk("", "stop", usage=zero), DONE))
        _, used, _ = await ask(models, GPT)
        assert used == Usage(GPT, 28, 2, Decimal("0.000048"), estimated=True)


@pytest.mark.parametrize(
    "place",
    [
        lambda usage: {"choices": [], "usage": usage},
        lambda usage: {"choices": [{"delta": {}, "usage": usage}]},
        lambda usage: {"choices": [], "x_groq": {"usage": usage}},
    ],
    ids=["of the chunk", "of the choice", "of Groq"],
)
async def test_usage_is_found_where_servers_put_it(place: Any) -> None:
    async with served() as (server, models):
        used = place({"prompt_tokens": 5, "completion_tokens": 2})
        server.script(streamed(chunk("Hello", "stop"), event(used), DONE))
        assert (await ask(models, GPT))[1] == Usage(GPT, 5, 2, Decimal("0.000025"))


# --- cached tokens

CACHED = ModelSpec(input=Decimal(10), cached_input=Decimal(1), output=Decimal(100))
CACHES: list[tuple[str, dict[str, Any]]] = [
    (GPT, {"prompt_tokens": 1000, "prompt_tokens_details": {"cached_tokens": 800}}),
    (
        GPT,
        {
            "prompt_tokens": 1000,
            "prompt_cache_hit_tokens": 800,
            "prompt_cache_miss_tokens": 200,
        },
    ),
    (GPT, {"prompt_tokens": 1000, "cached_tokens": 800}),
    (
        CLAUDE,
        {
            "input_tokens": 150,
            "cache_creation_input_tokens": 50,
            "cache_read_input_tokens": 800,
        },
    ),
]


@pytest.mark.parametrize(("model", "usage"), CACHES)
@pytest.mark.parametrize(
    ("spec", "cost"),
    [(CACHED, "0.0128"), (CACHED.model_copy(update={"cached_input": None}), "0.02")],
)
async def test_cached_tokens_have_their_own_price(
    model: str, usage: dict[str, Any], spec: ModelSpec, cost: str
) -> None:
    if model == GPT:
        answer = streamed(
            chunk("Hello", "stop", usage={**usage, "completion_tokens": 100}), DONE
        )
    else:
        begin = event({"type": "message_start", "message": {"usage": usage}})
        answer = streamed(begin, said("Hello"), closed(usage={"output_tokens": 100}))
    async with served(models={model: spec}) as (server, models):
        server.script(answer)
        assert (await ask(models, model))[1] == Usage(
            model, 1000, 100, Decimal(cost), cached_tokens=800
        )


async def test_no_more_is_cached_than_was_asked() -> None:
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 0,
        "prompt_tokens_details": {"cached_tokens": 999},
    }
    async with served(models={GPT: CACHED}) as (server, models):
        server.script(
            streamed(
                chunk("Hello", "stop", usage={**usage, "completion_tokens": 1}), DONE
            )
        )
        assert (await ask(models, GPT))[1] == Usage(
            GPT, 10, 1, Decimal("0.00011"), cached_tokens=10
        )


# --- characters


@pytest.mark.parametrize(
    ("halves", "text"),
    [
        (["a\ud83d", "\ude00b"], "a😀b"),
        (["a", "\ud83d", "", "\ude00"], "a😀"),
        (["a\ud83d", "b"], "a\ufffdb"),
        (["a\ude00"], "a\ufffd"),
        (["a\ud83d"], "a\ufffd"),  # noqa: PT014
        (["\ud83d\ude00"], "😀"),
    ],
)
@BOTH
async def test_characters_cut_in_two_are_joined(
    model: str, halves: list[str], text: str
) -> None:
    async with served() as (server, models):
        server.script(streamed(texts(model, *halves), ending(model)))
        assert (await ask(models, model))[::2] == (text, None)
