"""The HTTP server of `agent serve`: health, metrics, webhooks, and the order in which an
instance stops.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from agent.cli.serve import serve
from agent.core.errors import ConfigurationError
from agent.settings import Settings
from agent.web import webhooks
from agent.web.app import HEADERS, web_app
from agent.web.server import http_server
from agent.web.state import InstanceState, Service
from storage.migrate import upgrade
from tests.support.servers import Postgres, Valkey
from tests.support.webhooks import (
    DEADLINE,
    Post,
    built,
    client_of,
    listening,
    running,
    settings,
)


async def until_answer(
    client: httpx.AsyncClient, path: str, status: int
) -> httpx.Response:
    """Asks until the answer has this status; TimeoutError when it does not come to that."""
    async with asyncio.timeout(DEADLINE):
        while (response := await client.get(path)).status_code != status:
            await asyncio.sleep(0.05)
    return response


# --- health -------------------------------------------------------------------


async def test_it_is_live_in_every_phase() -> None:
    """Whatever its stores and channels do: the process answers."""
    state = InstanceState([Service("post", Post())])
    async with listening(state) as client:
        statuses = []
        for phase in ("starting", "running", "stopping"):
            state.phase = phase
            statuses.append((await client.get("/health/live")).status_code)
    assert statuses == [200, 200, 200]


async def test_it_is_not_ready_before_its_stores_are_open_nor_while_it_stops() -> (
    None
):
    state = InstanceState([Service("post", Post())])
    async with listening(state) as client:
        starting = await client.get("/health/ready")
        state.stop()
        stopping = await client.get("/health/ready")
    assert (starting.status_code, starting.json()["status"]) == (503, "starting")
    assert (stopping.status_code, stopping.json()["status"]) == (503, "stopping")


async def test_it_is_ready_when_every_part_is(
    database_url: str, redis_url: str
) -> None:
    async with running(Post(), database_url, redis_url) as (client, _):
        response = await client.get("/health/ready")
    ok = {"state": "ok"}
    assert response.json() == {
        "status": "ready",
        "parts": {"postgres": ok, "redis": ok, "post": ok},
    }
    assert response.status_code == 200


async def test_a_channel_that_does_not_run_is_named_with_its_reason(
    database_url: str, redis_url: str
) -> None:
    """It is not ready then, and says what to correct."""
    good, bad = (
        Post("good"),
        Post("bad", error=ConfigurationError("BAD_TOKEN is wrong.")),
    )
    wanted = settings(database_url, redis_url)
    async with serving(wanted, [good, bad]) as client:
        await asyncio.wait_for(bad.ran.wait(), DEADLINE)
        response = await until_answer(client, "/health/ready", 503)
    parts = response.json()["parts"]
    assert (parts["good"], parts["bad"]) == (
        {"state": "ok"},
        {
            "state": "down",
            "problem": "BAD_TOKEN is wrong. A changed setting needs a restart of the agent.",
        },
    )


async def test_a_channel_that_can_tell_is_asked_whether_it_signed_in() -> None:
    """Running is not yet signed in."""

    class Telling(Post):
        listening = False

    channel = Telling()
    service = Service(channel.name, channel)
    service.tell(None)
    before = service.problem
    channel.listening = True
    assert (before, service.problem) == ("It is signing in.", None)


async def test_without_postgres_it_is_not_ready_until_it_is_back(
    own_postgres: Postgres, redis_url: str
) -> None:
    async with own_postgres.database() as url:
        await upgrade(url)
        async with running(Post(), url, redis_url) as (client, _):
            assert (await client.get("/health/ready")).status_code == 200
            own_postgres.kill()
            down = (await until_answer(client, "/health/ready", 503)).json()
            own_postgres.start()
            back = (await until_answer(client, "/health/ready", 200)).json()
    assert [
        name for name, part in down["parts"].items() if part["state"] == "down"
    ] == ["postgres"]
    assert back["parts"]["postgres"] == {"state": "ok"}


async def test_without_redis_it_is_ready_and_degraded(
    database_url: str, own_redis: Valkey
) -> None:
    async with running(Post(), database_url, own_redis.url) as (client, _):
        own_redis.kill()
        response = await client.get("/health/ready")
    assert (response.status_code, response.json()["status"]) == (200, "ready")
    assert response.json()["parts"]["redis"]["state"] == "degraded"


async def test_who_asks_often_does_not_make_the_stores_busy(
    database_url: str, redis_url: str
) -> None:
    """Twenty questions at once are one look."""
    async with running(Post(), database_url, redis_url) as (client, app):
        before = app.stores.pipe.round_trips
        await asyncio.gather(*(client.get("/health/ready") for _ in range(20)))
        assert app.stores.pipe.round_trips - before == 1


# --- webhooks -----------------------------------------------------------------


async def test_a_delivery_reaches_its_channel_as_it_came_and_gets_its_answer(
    database_url: str, redis_url: str
) -> None:
    """Raw body, lower-case header names; 200 once the message is durable."""
    channel = Post()
    async with running(channel, database_url, redis_url) as (client, _):
        response = await client.post(
            "/webhooks/post", content="1:grüße", headers={"X-Signature": "ours"}
        )
        await asyncio.wait_for(channel.finishing.wait(), DEADLINE)
    [(headers, body)] = channel.delivered
    assert (headers["x-signature"], body) == ("ours", "1:grüße".encode())
    assert (response.status_code, response.json()) == (200, {"ok": True})
    assert "grüße" in channel.answers[0]


async def test_an_error_of_a_channel_is_a_sentence(
    database_url: str, redis_url: str
) -> None:
    async with running(Post(), database_url, redis_url) as (client, _):
        response = await client.post("/webhooks/post", content="forged")
    assert (response.status_code, response.json()) == (
        401,
        {"error": "The signature is not the platform's."},
    )


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_delivery_over_a_megabyte_is_refused(
    database_url: str, redis_url: str, chunked: bool
) -> None:
    """Whether it says its size or not, and the channel never sees it."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(11):
            yield b"x" * 100_000

    channel = Post()
    content = chunks() if chunked else b"x" * (webhooks.MOST_BYTES + 1)
    async with running(channel, database_url, redis_url) as (client, _):
        response = await client.post("/webhooks/post", content=content)
        largest = await client.post(
            "/webhooks/post", content=b"x" * webhooks.MOST_BYTES
        )
    assert (response.status_code, largest.status_code) == (413, 401)
    assert [len(body) for _, body in channel.delivered] == [webhooks.MOST_BYTES]


async def test_a_body_that_does_not_come_ends_in_time(
    database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The platform is told to deliver it again."""
    monkeypatch.setattr(webhooks, "SECONDS", 0.05)
    async with running(Post(), database_url, redis_url) as (client, _):
        reader, writer = await asyncio.open_connection(
            client.base_url.host, client.base_url.port
        )
        try:
            writer.write(
                b"POST /webhooks/post HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n1:"
            )
            async with asyncio.timeout(DEADLINE):
                head = await reader.readuntil(b"\r\n\r\n")
                body = await reader.readuntil(b"}")
        finally:
            writer.close()
            await writer.wait_closed()
    assert head.startswith(b"HTTP/1.1 503 ")
    assert json.loads(body) == {
        "error": "This took too long; please deliver it again."
    }


async def test_only_channels_that_run_and_take_webhooks_have_an_address() -> None:
    class Terminal(Post):
        webhook = None  # type: ignore[assignment]

    async with listening(
        InstanceState(
            [Service("post", Post()), Service("terminal", Terminal("terminal"))]
        )
    ) as client:
        statuses = [
            (await client.post(f"/webhooks/{name}", content="")).status_code
            for name in ("post", "terminal", "slack", "")
        ]
    assert statuses == [503, 404, 404, 404]  # the first one is still starting


async def test_a_channel_that_is_not_built_yet_puts_deliveries_off() -> None:
    """Its name is known from the settings while the stores are being opened."""
    async with listening(InstanceState([Service("slack")])) as client:
        delivery = await client.post("/webhooks/slack", content="")
        ready = (await client.get("/health/ready")).json()

    assert delivery.status_code == 503
    assert ready["parts"] == {
        "slack": {"state": "down", "problem": "It is signing in."}
    }


# --- what every response has --------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/docs", 404),
        ("GET", "/redoc", 404),
        ("GET", "/openapi.json", 404),
        ("DELETE", "/health/live", 405),
        ("POST", "/webhooks/post", 500),
        ("GET", "/health/live", 200),
        ("GET", "/metrics", 200),
    ],
)
async def test_responses_are_guarded_and_errors_are_sentences(
    method: str, path: str, status: int, database_url: str, redis_url: str
) -> None:
    """No page of documentation, no traceback, no name of a server; security headers everywhere."""
    async with running(Post(), database_url, redis_url) as (client, _):
        response = await client.request(
            method, path, content="fail", headers={"x-signature": "ours"}
        )
    assert response.status_code == status
    assert {name: response.headers.get(name) for name in HEADERS} == HEADERS
    assert "server" not in response.headers
    if status >= 400:
        assert list(response.json()) == ["error"]
        assert response.json()["error"].endswith(".")


# --- metrics ------------------------------------------------------------------


CALM = ('agent_postgres_pool_connections{state="in_use"} 0.0',)
"""What the page says once nothing is at work any more."""


async def test_a_turn_is_counted_and_nobody_is_named(
    database_url: str, redis_url: str
) -> None:
    """Once by state, once in each step, with its tokens; neither person nor chat nor text
    is in a label.
    """
    channel = Post(
        "counted"
    )  # a name of this test's own: what is counted stays counted
    async with running(channel, database_url, redis_url) as (client, _):
        for delivery in ("1:my secret", "1:my secret"):
            await client.post(
                "/webhooks/counted", content=delivery, headers={"x-signature": "ours"}
            )
        await asyncio.wait_for(channel.finishing.wait(), DEADLINE)
        async with asyncio.timeout(DEADLINE):
            while (
                not {*CALM}
                <= {*(page := (await client.get("/metrics")).text).splitlines()}
                or 'step="delivered"' not in page
            ):
                await asyncio.sleep(0.02)
    samples = {
        (
            sample.name,
            *(value for key, value in sorted(sample.labels.items())),
        ): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }
    named = {value for sample in samples for value in sample[1:]}
    assert [
        word
        for word in ("ada", "4711", "Ada", "secret", "chat-of")
        for value in named
        if word in value
    ] == []
    words = set(re.findall(r"[a-z]+", page.casefold()))  # a number may hold 4711
    assert words & {"ada", "secret"} == set()
    assert "chat-of" not in page
    assert {
        name: value
        for name, value in samples.items()
        if name[0] == "agent_turns_total" and "counted" in name
    } == {
        ("agent_turns_total", "counted", "open"): 1,
        ("agent_turns_total", "counted", "done"): 1,
        ("agent_turns_total", "counted", "failed"): 0,
    }
    assert samples["agent_duplicates_total", "counted"] == 1
    assert samples["agent_deliveries_total", "counted", "done"] == 1
    assert samples["agent_channel_up", "counted"] == 1
    assert samples["agent_active_people", "counted"] == 1
    assert samples["agent_tokens_total", "prompt", "offline:echo"] > 0
    assert samples["agent_redis_round_trips_total",] > 0
    assert samples["agent_batch_items_count", "accept_all"] > 0
    assert samples["agent_postgres_pool_connections", "in_use"] == 0
    steps = {
        name[2]
        for name in samples
        if name[0] == "agent_step_seconds_count" and name[1] == "counted"
    }
    assert steps == {"accept", "first_text", "stored", "delivered"}


async def test_without_redis_nobody_is_called_active_or_away(
    database_url: str, own_redis: Valkey
) -> None:
    """The figure is absent, not old and not zero."""
    channel = Post("unknown")
    async with running(channel, database_url, own_redis.url) as (client, _):
        before = (await client.get("/metrics")).text
        own_redis.kill()
        async with asyncio.timeout(DEADLINE):
            while "agent_active_people{" in (await client.get("/metrics")).text:
                await asyncio.sleep(0.02)
    assert 'agent_active_people{channel="unknown"} 0.0' in before


async def test_metrics_come_in_openmetrics_when_asked() -> None:
    """With its end mark, as Prometheus prefers it."""
    async with listening(InstanceState()) as client:
        response = await client.get(
            "/metrics", headers={"accept": "application/openmetrics-text"}
        )
    assert response.headers["content-type"].startswith("application/openmetrics-text")
    assert response.text.endswith("# EOF\n")


# --- the instance around it ---------------------------------------------------


@asynccontextmanager
async def serving(
    wanted: Settings, channels: Sequence[Post]
) -> AsyncIterator[httpx.AsyncClient]:
    """`agent serve` in a task, stopped as by a signal."""
    task = asyncio.create_task(
        serve(wanted, upgrade=False, channels_of=lambda _: built(channels))
    )
    try:
        async with client_of(wanted.http_port) as client:
            async with asyncio.timeout(DEADLINE):
                while not task.done():
                    try:
                        await client.get("/health/live")
                        break
                    except httpx.TransportError:
                        await asyncio.sleep(0.02)
            yield client
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_intake_stops_first_and_http_last(
    database_url: str, redis_url: str
) -> None:
    """While the engine drains, health still answers, webhooks are put off, and the answer
    arrives.
    """
    channel = Post()
    channel.gate.clear()
    wanted = settings(database_url, redis_url)
    task = asyncio.create_task(
        serve(wanted, upgrade=False, channels_of=lambda _: built([channel]))
    )
    async with client_of(wanted.http_port) as client:
        await asyncio.wait_for(channel.ran.wait(), DEADLINE)
        signed = {"x-signature": "ours"}
        await client.post("/webhooks/post", content="1:last words", headers=signed)
        await asyncio.wait_for(channel.finishing.wait(), DEADLINE)
        task.cancel()
        ready = await until_answer(client, "/health/ready", 503)
        late = await client.post(
            "/webhooks/post", content="2:too late", headers=signed
        )
        live = await client.get("/health/live")
        channel.gate.set()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, DEADLINE)
        with pytest.raises(httpx.TransportError):
            await client.get("/health/live")
    assert ready.json()["status"] == "stopping"
    assert (late.status_code, live.status_code) == (503, 200)
    assert "last words" in channel.answers[0]
    assert len(channel.answers) == 1


async def test_a_start_waits_for_postgres_and_says_so(
    own_postgres: Postgres, redis_url: str
) -> None:
    """After a power cut it may start later than the agent. Meanwhile it is not ready, and
    deliveries are put off.
    """
    async with own_postgres.database() as url:
        await upgrade(url)
        own_postgres.kill()
        channel = Post()
        async with serving(settings(url, redis_url), [channel]) as client:
            waiting = await until_part(client, "postgres")
            early = await client.post("/webhooks/post", content="1:hi")
            own_postgres.start()
            await until_answer(client, "/health/ready", 200)

    assert waiting == {
        "state": "down",
        "problem": "No Postgres answers there. Start it, or correct host and port in DATABASE_URL.",
    }
    assert early.status_code == 503


async def until_part(client: httpx.AsyncClient, part: str) -> dict[str, str]:
    async with asyncio.timeout(DEADLINE):
        while True:
            parts = (await client.get("/health/ready")).json()["parts"]
            if part in parts:
                found: dict[str, str] = parts[part]
                return found
            await asyncio.sleep(0.02)


async def test_a_start_does_not_wait_for_what_waiting_cannot_mend(
    database_url: str, redis_url: str
) -> None:
    wrong = settings(database_url.replace("/test_", "/missing_"), redis_url)
    with pytest.raises(ConfigurationError, match="does not exist"):
        await asyncio.wait_for(
            serve(wrong, upgrade=False, channels_of=lambda _: built([Post()])),
            DEADLINE,
        )


async def test_a_port_that_is_taken_is_named() -> None:
    """One sentence with the settings to correct; the process is not ended by uvicorn."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            ConfigurationError, match=f"port {port} .*Correct HTTP_HOST and HTTP_PORT"
        ):
            async with http_server(web_app(InstanceState()), "127.0.0.1", port):
                pass


async def test_signals_stay_with_the_program() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    async with listening(InstanceState()):
        during = [
            signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)
        ]
    assert before == during
