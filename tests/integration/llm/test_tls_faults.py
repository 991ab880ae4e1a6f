"""TLS that breaks after its handshake: with TLS 1.3 a server says only then that it wants a
certificate, and something in between may spoil a record of an answer.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from tests.support.faulty_models import BOTH, BROKE_OFF, Sleeper, ask, served
from tests.support.model_server import Answer, ModelServer
from tests.support.tls_faults import demanding, resetting, trusted

uvloop = pytest.importorskip("uvloop")

JUNK = b"\x17\x03\x03\x00\x20" + bytes(32)
"""A record of TLS (RFC 8446, 5.1) that nobody can decrypt."""

AWAY = "The model server cannot be reached. Check {} or try again in a moment."


@pytest.fixture
def context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    return trusted(tmp_path, monkeypatch)


@asynccontextmanager
async def spoiling(
    context: ssl.SSLContext, server: ModelServer, last: bytes
) -> AsyncIterator[str]:
    """Where a model server is behind TLS, and after an answer's piece with `last` comes junk."""

    async def serve(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        back, onward = await asyncio.open_connection("127.0.0.1", server.port)
        asking = asyncio.create_task(copy(reader, onward))
        with suppress(OSError):
            while piece := await back.read(65_536):
                writer.write(piece)
                await writer.drain()
                if last in piece:
                    os.write(writer.get_extra_info("socket").fileno(), JUNK)
        asking.cancel()
        onward.close()
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with listener:
        yield f"https://127.0.0.1:{listener.sockets[0].getsockname()[1]}"


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while piece := await reader.read(65_536):
            writer.write(piece)


@BOTH
async def test_a_server_that_wants_a_certificate_cannot_be_reached(
    model: str, context: ssl.SSLContext
) -> None:
    with demanding(context) as url:
        async with served(
            Sleeper(), openai_base_url=f"{url}/v1", anthropic_base_url=url
        ) as (_, models):
            setting = f"{model.partition(':')[0].upper()}_BASE_URL"
            assert await ask(models, model) == ("", AWAY.format(setting))


async def test_its_list_of_models_has_a_problem(context: ssl.SSLContext) -> None:
    with demanding(context) as url:
        async with served(openai_base_url=f"{url}/v1") as (_, models):
            found = (await models.listed(5.0))["openai"]
            assert found.problem == AWAY.format("OPENAI_BASE_URL")


@BOTH
async def test_an_answer_with_a_spoilt_record_broke_off(
    model: str, context: ssl.SSLContext
) -> None:
    async with (
        served() as (server, _),
        spoiling(context, server, b"One") as url,
        served(openai_base_url=f"{url}/v1", anthropic_base_url=url) as (_, models),
    ):
        server.script(Answer("One two three.", fault="stall", after=1))
        assert await ask(models, model) == ("One ", BROKE_OFF.format(model))


@pytest.mark.parametrize(
    "loop",
    [
        pytest.param(uvloop.new_event_loop, id="uvloop"),
        pytest.param(asyncio.new_event_loop, id="asyncio"),
    ],
)
def test_a_server_that_resets_in_the_handshake_cannot_be_reached(
    loop: Callable[[], asyncio.AbstractEventLoop], context: ssl.SSLContext
) -> None:
    """On uvloop, anyio looks then for a socket that is none any more."""

    async def asked(url: str) -> None:
        async with served(Sleeper(), openai_base_url=f"{url}/v1") as (_, models):
            away = AWAY.format("OPENAI_BASE_URL")
            assert await ask(models, "openai:gpt") == ("", away)

    with resetting(context) as url, asyncio.Runner(loop_factory=loop) as runner:
        runner.run(asked(url))
