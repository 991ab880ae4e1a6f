"""Traces of turns: one for each, with all its steps, and nothing of what people wrote."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any
from uuid import UUID

import pytest
import structlog
from msgspec.structs import replace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import (
    InMemorySpanExporter,
)
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.trace import SpanKind, StatusCode
from structlog.testing import capture_logs

from agent import telemetry
from agent.core.channel import OutgoingFile, SendsFiles
from agent.core.messages import Address
from agent.core.words.model_lists import KnowsModels, ListsModels
from agent.llm.router import open_models
from agent.settings import Settings
from agent.telemetry import names, traced
from agent.telemetry.spans import Spans, TurnIds
from agent.telemetry.watching import watched
from agent.web import webhooks
from tests.support.engine_harness import EngineHarness, Instance
from tests.support.model_server import model_server
from tests.support.otlp import collector
from tests.support.webhooks import Post, running

SECRET = "my-diary-entry"
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Traces:
    """All spans of some instances that share a way to the collector."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider(id_generator=TurnIds(), shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.spans = Spans(provider)

    @property
    def finished(self) -> list[ReadableSpan]:
        return list(self.exporter.get_finished_spans())

    def of(self, turn: UUID) -> list[str]:
        """The spans in a turn's trace, by name."""
        return sorted(
            one.name
            for one in self.finished
            if one.context is not None and one.context.trace_id == turn.int
        )

    def one(self, name: str) -> ReadableSpan:
        [found] = [one for one in self.finished if one.name == name]

        return found


@pytest.fixture
def world(database_url: str, redis_url: str) -> EngineHarness:
    return EngineHarness(database_url, redis_url, beat=0.2, lease=1.0)


@pytest.fixture
def traces() -> Traces:
    return Traces()


@asynccontextmanager
async def agent(world: EngineHarness, traces: Traces) -> AsyncIterator[Instance]:
    async with world.instance(partial(watched, spans=traces.spans)) as opened:
        yield opened


def attributes(traces: Traces) -> Iterator[str]:
    """All that is said of all spans."""
    for one in traces.finished:
        yield one.to_json()


async def test_each_turn_is_one_trace_with_the_turns_id(
    world: EngineHarness, traces: Traces
) -> None:
    message = world.message(SECRET)
    async with agent(world, traces) as instance:
        await instance.engine.accept(message)
        await world.answered("ada", f"re: {SECRET}")

    assert ["accept", "chat model", "deliver", "invoke_agent", "store"] == traces.of(
        message.turn_id
    )
    turn = traces.one(names.TURN)
    assert turn.context is not None
    below = [one.parent for one in traces.finished if one is not turn]
    assert {turn.context.span_id} == {each.span_id for each in below if each}
    assert (None, SpanKind.SERVER) == (turn.parent, turn.kind)


class Files:
    """A channel that takes files."""

    name = "files"
    max_file_bytes = 10

    def __init__(self) -> None:
        self.sent: list[OutgoingFile] = []

    async def send_file(self, address: Address, file: OutgoingFile) -> None:
        self.sent.append(file)


async def test_what_the_engine_may_ask_besides_is_there_when_watched(
    world: EngineHarness, traces: Traces
) -> None:
    """It looks for these protocols: else `/export` had no file, and `/model` no list."""
    channel, file = Files(), OutgoingFile("export.zip", b"all of it")
    async with (
        open_models(Settings(_env_file=None)) as models,
        world.instance() as here,
    ):
        channels: dict[str, Any] = {"files": channel}
        ports = replace(here.ports, models=models, channels=channels)
        seen = watched(ports, traces.spans)

        assert isinstance(seen.models, ListsModels)
        assert isinstance(seen.models, KnowsModels)
        files = seen.channels["files"]
        assert isinstance(files, SendsFiles)
        await files.send_file(Address("files", "1"), file)
        assert [file] == channel.sent


async def test_what_a_model_used_is_named_as_others_name_it(
    world: EngineHarness, traces: Traces
) -> None:
    async with agent(world, traces) as instance:
        await world.ask(instance, SECRET)

    chat = traces.one("chat model")
    said = dict(chat.attributes or {})
    assert said.pop(names.FIRST_TEXT_SECONDS) >= 0  # type: ignore[operator]
    assert said == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "test",
        "gen_ai.request.model": "model",
        "gen_ai.response.model": "model",
        "gen_ai.usage.input_tokens": 10,
        "gen_ai.usage.output_tokens": 5,
        "gen_ai.usage.cache_read.input_tokens": 0,
        "agent.usage.estimated": False,
    }
    known = {
        value for name, value in vars(gen_ai_attributes).items() if name.isupper()
    }
    ours = {
        value for value in vars(names).values() if str(value).startswith("gen_ai.")
    }
    assert ours <= known


async def test_no_text_of_anybody_is_in_a_trace(
    world: EngineHarness, traces: Traces
) -> None:
    """Nor what an error says, nor who they are: a collector is another party."""
    world.model.error = f"the server repeats {SECRET}"
    async with agent(world, traces) as instance:
        await world.ask(instance, SECRET, chat="ada-4711")

    chat = traces.one("chat model")
    assert (StatusCode.ERROR, None) == (
        chat.status.status_code,
        chat.status.description,
    )
    assert "ModelError" == (chat.attributes or {})[names.ERROR]
    assert not [one for one in attributes(traces) if SECRET in one or "4711" in one]
    assert not [event for one in traces.finished for event in one.events]


async def test_an_answer_to_what_came_meanwhile_is_in_its_own_trace(
    world: EngineHarness, traces: Traces
) -> None:
    first, second = world.message("one two"), world.message("three")
    world.model.hold()
    async with agent(world, traces) as instance:
        await instance.engine.accept(first)
        await world.model.started.wait()
        await instance.engine.accept(second)
        world.model.release()
        await world.answered("ada", "re: one two", "re: three")

    assert "chat model" in traces.of(first.turn_id)
    assert {"accept", "chat model", "deliver", "store"} <= {
        *traces.of(second.turn_id)
    }


async def test_what_another_instance_takes_over_stays_in_the_trace(
    world: EngineHarness, traces: Traces
) -> None:
    message = world.message("one two")
    world.model.hold()
    async with agent(world, traces) as dying:
        await dying.engine.accept(message)
        await world.model.started.wait()
        await dying.crash()
        world.model.release()
        before = len(traces.of(message.turn_id))
        async with agent(world, traces):
            await world.answered("ada", "re: one two")

    after = traces.of(message.turn_id)
    assert len(after) > before
    assert {"chat model", "deliver", "store"} <= {*after}


async def test_log_lines_of_a_turn_name_its_trace(
    world: EngineHarness, traces: Traces
) -> None:
    message = world.message(SECRET)
    structlog.reset_defaults()
    with capture_logs([structlog.contextvars.merge_contextvars]) as lines:
        async with agent(world, traces) as instance:
            await instance.engine.accept(message)
            await world.answered("ada", f"re: {SECRET}")

    named = [line for line in lines if line.get("turn") == str(message.turn_id)]
    assert named
    assert {message.turn_id.hex} == {line["trace_id"] for line in named}


async def test_a_trace_comes_in_by_webhook_goes_to_the_model_and_to_a_collector(
    database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "SECONDS", 20)
    post = Post()
    async with model_server() as server, collector() as kept:
        for name, value in {
            "OTEL_EXPORTER_OTLP_ENDPOINT": kept.url,
            "OTEL_SERVICE_NAME": "lab",
            "DEFAULT_MODEL": "openai:m",
            "OPENAI_BASE_URL": f"{server.url}/v1",
            "OPENAI_API_KEY": "sk-test",
        }.items():
            monkeypatch.setenv(name, value)
        async with running(post, database_url, redis_url) as (client, _):
            sent = {"x-signature": "ours", "traceparent": PARENT}
            done = await client.post(
                "/webhooks/post", content=b"1:hello", headers=sent
            )
            async with asyncio.timeout(20):
                while not post.answers:
                    await asyncio.sleep(0.01)

    trace = PARENT.split("-")[1]
    chats = [one for one in kept.spans if one.name == "chat m"]
    asked = [one for one in server.requests if one.path.endswith("completions")]
    assert 200 == done.status_code
    assert {"/v1/traces"} == {*kept.paths}
    assert "lab" == kept.resource["service.name"]
    assert {trace} == {one.trace_id.hex() for one in kept.spans}
    assert [f"00-{trace}-{chats[0].span_id.hex()}-01"] == [
        one.headers["traceparent"] for one in asked
    ]


@pytest.mark.parametrize(
    "values",
    [
        {},
        {
            "otel_exporter_otlp_endpoint": "http://127.0.0.1:9",
            "otel_sdk_disabled": True,
        },
    ],
)
async def test_without_the_setting_nothing_is_put_in_between(
    world: EngineHarness, values: dict[str, object]
) -> None:
    async with world.instance() as opened:
        settings = Settings.model_validate(values)
        async with traced(opened.ports, settings, opened.identifier) as ports:
            assert ports is opened.ports
            assert ports.tracing is None


async def test_without_the_extra_a_sentence_says_what_to_install(
    world: EngineHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(telemetry, "is_installed", lambda: False)
    values = {"otel_exporter_otlp_endpoint": "http://127.0.0.1:9"}
    async with world.instance() as opened:
        settings = Settings.model_validate(values)
        with capture_logs() as lines:
            async with traced(opened.ports, settings, opened.identifier) as ports:
                assert ports is opened.ports

    assert [telemetry.MISSING] == [line["event"] for line in lines]
