"""Every way a model server fails ends in time, with a sentence, and leaves the next answer
working.
"""

from __future__ import annotations

import asyncio

import pytest

from agent.core.completion import Usage
from agent.core.errors import ModelError
from tests.support.faulty_models import (
    AGAIN,
    ASKED,
    BOTH,
    BROKE_OFF,
    FALLBACK,
    LATE,
    Sleeper,
    ask,
    asked_models,
    served,
)
from tests.support.model_server import (
    Answer,
    Fault,
    refusal,
    silence,
)

# --- before the first text


@BOTH
@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 529])
async def test_a_passing_refusal_is_asked_again(model: str, status: int) -> None:
    sleep = Sleeper()
    async with served(sleep) as (server, models):
        server.script(refusal(status), refusal(status), Answer("Here."))
        assert await ask(models, model) == ("Here.", None)
        assert (len(server.requests), len(sleep.slept)) == (3, 2)


async def test_the_third_refusal_is_the_last() -> None:
    sleep = Sleeper()
    async with served(sleep) as (server, models):
        server.script(*[refusal(500, "server_error")] * 3)
        sentence = "openai:gpt is failing at the moment (500, server_error). Try again in a moment."
        assert await ask(models, "openai:gpt") == ("", sentence)
        assert (len(server.requests), len(sleep.slept)) == (3, 2)
        assert await ask(models, "openai:gpt") == ("hush, a secret", None)


async def test_backoff_doubles_its_bound_and_is_full_of_jitter() -> None:
    sleep = Sleeper()
    async with served(sleep) as (server, models):
        for _ in range(40):
            server.script(refusal(500), refusal(500), Answer("Here."))
            await ask(models, "openai:gpt")
        first, second = sleep.slept[::2], sleep.slept[1::2]
        assert all(0 <= seconds <= 0.5 for seconds in first)
        assert all(0 <= seconds <= 1.0 for seconds in second)
        assert max(second) > 0.5  # fails by chance once in 2⁴⁰ runs


@pytest.mark.parametrize("status", [400, 401, 403, 404])
async def test_a_lasting_refusal_is_not_asked_again(status: int) -> None:
    async with served() as (server, models):
        server.script(refusal(status))
        text, failure = await ask(models, "anthropic:claude")
        assert (text, failure is None, len(server.requests)) == ("", False, 1)


async def test_retry_after_is_waited_for() -> None:
    sleep = Sleeper()
    async with served(sleep) as (server, models):
        server.script(refusal(429, retry_after=30), Answer("Here."))
        assert await ask(models, "openai:gpt") == ("Here.", None)
        assert sleep.slept == [30.0]


async def test_a_retry_after_beyond_the_total_is_told_instead() -> None:
    sleep = Sleeper()
    async with served(sleep) as (server, models):
        server.script(refusal(429, retry_after=600))
        with pytest.raises(ModelError) as caught:
            await anext(models.stream("openai:gpt", ASKED))
        assert caught.value.sentence == (
            "openai:gpt gets too many requests right now (429, api_error). Try again in 600 s."
        )
        assert (caught.value.retry_after, sleep.slept, len(server.requests)) == (
            600.0,
            [],
            1,
        )


@BOTH
async def test_a_connection_cut_before_any_text_is_asked_again(model: str) -> None:
    async with served() as (server, models):
        server.script(Answer("x", fault="cut"), Answer("Here."))
        assert await ask(models, model) == ("Here.", None)
        assert len(server.requests) == 2


@BOTH
async def test_a_server_that_streams_no_events_is_named_by_its_setting(
    model: str,
) -> None:
    async with served() as (server, models):
        server.script(
            Answer(
                body=b"<html>welcome</html>", headers={"content-type": "text/html"}
            )
        )
        setting = "OPENAI_BASE_URL" if model == "openai:gpt" else "ANTHROPIC_BASE_URL"
        sentence = f"The server at {setting} streams no answers. Check that setting."
        assert await ask(models, model) == ("", sentence)


async def test_an_unknown_model_ends_with_what_is_possible() -> None:
    async with served() as (server, models):
        text, failure = await ask(models, "nobody:x")
        assert (text, (failure or "")[:30], server.requests) == (
            "",
            "A model is written provider:mo",
            [],
        )


# --- after the first text


@BOTH
@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("cut", BROKE_OFF),
        ("end", BROKE_OFF),
        ("garbage", f"{{}} sent something unreadable. {AGAIN}"),
    ],
)
async def test_what_was_said_stays_and_the_rest_is_explained(
    model: str, fault: Fault, sentence: str
) -> None:
    async with served() as (server, models):
        server.script(Answer("one two three", fault=fault, after=2))
        assert await ask(models, model) == ("one two ", sentence.format(model))
        assert len(server.requests) == 1
        await server.until(
            lambda: server.open == (fault != "cut")
        )  # what was read to its end may be used again
        assert await ask(models, model) == ("hush, a secret", None)


@pytest.mark.parametrize(
    ("model", "code"),
    [("openai:gpt", "server_error"), ("anthropic:claude", "overloaded_error")],
)
async def test_an_error_inside_a_stream_is_named_by_its_code_alone(
    model: str, code: str
) -> None:
    async with served() as (server, models):
        server.script(Answer("one two", fault="error", after=1))
        assert await ask(models, model) == (
            "one ",
            f"{model} failed while answering ({code}). {AGAIN}",
        )


@BOTH
async def test_a_broken_answer_still_has_its_usage(model: str) -> None:
    async with served() as (server, models):
        server.script(Answer("one two three", fault="cut", after=2))
        stream = models.stream(model, ASKED)
        pieces = [await anext(stream) for _ in range(3)]
        assert pieces == ["one ", "two ", Usage(model, 8, 2, estimated=True)]
        with pytest.raises(ModelError):
            await anext(stream)


@BOTH
@pytest.mark.parametrize("fault", ["late cut", "linger"])
async def test_what_breaks_after_the_end_of_the_text_breaks_nothing(
    model: str, fault: Fault
) -> None:
    async with served() as (server, models):
        server.script(Answer("one two", fault=fault))
        pieces = [piece async for piece in models.stream(model, ASKED)]
        assert pieces == ["one ", "two", Usage(model, 3, 2)]
        await server.until(lambda: server.open == 0)


# --- deadlines


@BOTH
async def test_a_server_that_falls_silent_is_given_up_at_the_idle_limit(
    model: str,
) -> None:
    async with served(model_idle_timeout=0.3) as (server, models):
        server.script(Answer("one two three", fault="stall", after=2))
        assert await ask(models, model) == (
            "one two ",
            f"{model} fell silent for 0.3 s. {AGAIN}",
        )
        await server.until(lambda: server.open == 0)


@BOTH
async def test_a_model_that_has_to_be_loaded_first_is_waited_for(model: str) -> None:
    async with served(model_first_byte_timeout=0.1) as (server, models):
        server.script(Answer("Here.", load=0.5))
        assert await ask(models, model) == ("Here.", None)
        assert len(server.requests) == 1


@BOTH
async def test_a_silent_server_is_asked_once_and_the_setting_is_named(
    model: str,
) -> None:
    async with served(model_first_byte_timeout=0.1, model_total_timeout=0.5) as (
        server,
        models,
    ):
        server.script(*[silence()] * 3)
        assert await ask(models, model) == ("", LATE.format(model, "0.5"))
        assert len(server.requests) == 1
        await server.until(lambda: server.open == 0)


@BOTH
async def test_a_silent_public_server_is_not_waited_for_as_if_it_loaded(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of three tries ends at the limit of the first byte."""
    monkeypatch.setattr("agent.llm.catalog.is_nearby", lambda base: False)
    async with served(model_first_byte_timeout=0.1, model_total_timeout=30) as (
        server,
        models,
    ):
        server.script(*[silence()] * 3)
        assert await ask(models, model) == ("", LATE.format(model, "0.1"))
        assert len(server.requests) == 3


@BOTH
async def test_a_model_that_answered_before_is_given_up_at_the_first_byte_limit_and_then_waited_for(
    model: str,
) -> None:
    """It may have been unloaded meanwhile, and each client that leaves makes the server
    begin again.
    """
    async with served(model_first_byte_timeout=0.2) as (server, models):
        server.script(Answer("One."), silence(), Answer("Here.", load=0.5))
        assert (await ask(models, model), await ask(models, model)) == (
            ("One.", None),
            ("Here.", None),
        )
        assert len(server.requests) == 3


async def test_a_slow_model_is_not_waited_for_while_another_can_answer() -> None:
    async with served(model_first_byte_timeout=0.2, **FALLBACK) as (server, models):
        server.script(silence(), Answer("Here."))
        assert await ask(models, "openai:gpt") == ("Here.", None)
        assert asked_models(server) == ["gpt", "claude"]


@BOTH
async def test_a_head_alone_is_no_first_byte_of_an_answer(model: str) -> None:
    async with served(
        model_first_byte_timeout=0.4, **{**FALLBACK, "model_idle_timeout": 30}
    ) as (
        server,
        models,
    ):
        server.script(Answer(fault="stall", after=-1), Answer("Here."))
        assert (await ask(models, model))[0] == "Here."
        assert len(server.requests) == 2


@BOTH
async def test_words_that_trickle_past_the_total_are_cut(model: str) -> None:
    async with served(model_total_timeout=0.3) as (server, models):
        server.script(Answer("word " * 1000, pause=0.01))
        text, failure = await ask(models, model)
        assert (text[:5], failure) == (
            "word ",
            f"{model} did not finish within 0.3 s. {AGAIN}",
        )
        await server.until(lambda: server.open == 0)


async def test_the_total_includes_retries_and_fallbacks() -> None:
    async with served(
        model_total_timeout=0.7, model_first_byte_timeout=0.4, **FALLBACK
    ) as (server, models):
        server.script(*[silence()] * 9)
        sentence = f"openai:gpt did not finish within 0.7 s. {AGAIN}"
        assert await ask(models, "openai:gpt") == ("", sentence)
        assert asked_models(server) == ["gpt", "claude"]


async def test_a_slow_reader_is_not_struck_by_a_deadline() -> None:
    async with served(model_idle_timeout=0.2) as (server, models):
        server.script(Answer("one two three"))
        stream = models.stream("openai:gpt", ASKED)
        first = await anext(stream)
        read = asyncio.Event()
        asyncio.get_running_loop().call_later(
            0.3, read.set
        )  # longer than the idle limit
        await read.wait()
        rest = [piece async for piece in stream if isinstance(piece, str)]
        assert [first, *rest] == ["one ", "two ", "three"]
