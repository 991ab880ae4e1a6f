"""The HTTP server under clients that mean no good: health and signed deliveries get through."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import httpx
import pytest
import structlog

from agent.core.channel import WebhookReply
from agent.core.limits import Limit
from agent.web import rate_limit, webhooks
from agent.web.connections import IDLE_SECONDS, PatientProtocol
from agent.web.state import InstanceState, Service
from tests.support.webhooks import Post, listening, running

HALF = b"GET /health/live HTTP/1.1\r\nhost: x\r\n"
SIGNED = {"x-signature": "ours"}


@asynccontextmanager
async def crowd(
    client: httpx.AsyncClient, count: int, said: bytes
) -> AsyncIterator[None]:
    """So many connections, each of which said only this."""
    writers = []
    try:
        for _ in range(count):
            _, writer = await asyncio.open_connection(
                client.base_url.host, client.base_url.port
            )
            writer.write(said)
            writers.append(writer)
        yield
    finally:
        for writer in writers:
            writer.close()
        await asyncio.gather(
            *(writer.wait_closed() for writer in writers), return_exceptions=True
        )


@pytest.mark.parametrize(
    ("count", "said"),
    [
        pytest.param(2_000, b"", id="2,000 connections that say nothing"),
        pytest.param(1_100, HALF, id="1,100 half headers"),
        pytest.param(
            1_100,
            b"POST /webhooks/post HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n1",
            id="1,100 half bodies",
        ),
    ],
)
async def test_health_and_signed_deliveries_get_through_a_crowd(
    database_url: str, redis_url: str, count: int, said: bytes
) -> None:
    async with (
        running(Post(), database_url, redis_url) as (client, _),
        crowd(client, count, said),
    ):
        live = await client.get("/health/live")
        ready = await client.get("/health/ready")
        taken = await client.post("/webhooks/post", content="1:hi", headers=SIGNED)

    assert [live.status_code, ready.status_code, taken.status_code] == [200, 200, 200]


@pytest.mark.parametrize("said", [HALF, b"GET / HTTP/1.1\r\nhost: x\r\n\r\n" + HALF])
async def test_headers_that_do_not_come_end_the_connection(
    said: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those of a second request on the same connection."""
    monkeypatch.setattr(PatientProtocol, "header_seconds", 0.1)
    async with listening(InstanceState()) as client:
        reader, writer = await asyncio.open_connection(
            client.base_url.host, client.base_url.port
        )
        writer.write(said)
        async with asyncio.timeout(
            4
        ):  # less than the keep-alive of an idle connection
            await _until_closed(reader)
        writer.close()


@pytest.mark.parametrize("pause", [0.0, 0.1], ids=["at once", "later"])
@pytest.mark.parametrize(
    "asked",
    [
        "POST /webhooks/post",
        "POST /health/live",
        "HEAD /webhooks/post",
        "HEAD /health/live",
        "POST /static/console.css",
        "POST /nothing",
    ],
)
async def test_a_body_that_cannot_be_read_is_no_error_of_this_side(
    database_url: str,
    redis_url: str,
    asked: str,
    pause: float,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It may come when its request is answered already, or just before."""
    head = f"{asked} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    with structlog.testing.capture_logs() as logs:
        async with running(Post(), database_url, redis_url) as (client, _):
            for _ in range(3):
                reader, writer = await asyncio.open_connection(
                    client.base_url.host, client.base_url.port
                )
                writer.write(head.encode())
                await asyncio.sleep(pause)
                writer.write(b"zz\r\n")
                with suppress(ConnectionError):
                    await reader.read()
                writer.close()
            live = await client.get("/health/live")

    assert live.status_code == 200
    assert [line for line in logs if line["log_level"] == "error"] == []
    assert [line for line in caplog.records if line.levelname == "ERROR"] == []


async def test_an_idle_connection_is_kept_longer_than_proxies_keep_theirs() -> None:
    """Whoever closes first must be the proxy: it would answer 502 to what it sends just then."""
    nginx_and_aws = 60  # seconds

    async with listening(InstanceState()) as client:
        reader, writer = await asyncio.open_connection(
            client.base_url.host, client.base_url.port
        )
        for _ in range(2):
            writer.write(b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n")
            async with asyncio.timeout(20):
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readuntil(b"}")
            assert head.startswith(b"HTTP/1.1 200 ")
            assert b"connection: close" not in head.lower()
        writer.close()

    assert IDLE_SECONDS > nginx_and_aws


async def _until_closed(reader: asyncio.StreamReader) -> None:
    try:
        while await reader.read(1000):
            pass
    except ConnectionResetError:
        pass


async def test_a_request_being_answered_is_never_ended_for_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The surplus is refused then, and nobody else."""
    monkeypatch.setattr(PatientProtocol, "most", 2)
    held = Held()
    state = InstanceState([Service("post", held)], phase="running")
    async with listening(state) as client:
        asked = [
            asyncio.create_task(client.post("/webhooks/post", content="1:hi"))
            for _ in range(2)
        ]
        await held.until(2)
        with pytest.raises(httpx.TransportError):
            await client.get("/health/live")
        held.gate.set()
        statuses = [(await one).status_code for one in asked]

    assert statuses == [200, 200]


class Held(Post):
    """Answers its deliveries when the gate is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()

    async def webhook(self, headers: object, body: bytes) -> WebhookReply:
        self.delivered.append(({}, body))
        await self.gate.wait()
        return WebhookReply(200)

    async def until(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.delivered) < count:
                await asyncio.sleep(0.01)


async def test_a_delivery_that_is_not_durable_is_put_off_before_the_platform_hangs_up() -> (
    None
):
    """Slack and Discord listen for three seconds."""
    state = InstanceState([Service("post", Held())], phase="running")
    async with listening(state) as client:
        started = time.monotonic()
        response = await client.post("/webhooks/post", content="1:hi")
        took = time.monotonic() - started

    assert response.status_code == 503
    assert took < 2.9


async def test_the_surplus_of_deliveries_is_put_off_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(webhooks, "AT_ONCE", 2)
    held = Held()
    state = InstanceState([Service("post", held)], phase="running")
    async with listening(state) as client:
        first = [
            asyncio.create_task(client.post("/webhooks/post", content="1:hi"))
            for _ in range(2)
        ]
        await held.until(2)
        surplus = await client.post("/webhooks/post", content="1:hi")
        live = await client.get("/health/live")
        held.gate.set()
        await asyncio.gather(*first)

    assert (surplus.status_code, live.status_code) == (503, 200)


async def test_a_delivery_that_was_put_off_keeps_its_place_until_it_is_stored_or_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The platform hangs up and comes again; what is still being stored does not pile up."""
    monkeypatch.setattr(webhooks, "AT_ONCE", 2)
    monkeypatch.setattr(webhooks, "SECONDS", 0.3)
    held = Held()
    state = InstanceState([Service("post", held)], phase="running")
    async with listening(state) as client:
        late = [await client.post("/webhooks/post", content="1:hi") for _ in range(3)]
        held.gate.set()
        after = await client.post("/webhooks/post", content="1:hi")

    assert [503, 503, 503, 200] == [one.status_code for one in (*late, after)]
    assert 3 == len(held.delivered), "the third was not begun"


async def test_unsigned_deliveries_are_limited_and_signed_ones_of_that_address_are_not(
    database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind a proxy, the platform's deliveries share an address with everybody's."""
    monkeypatch.setattr(rate_limit, "PER_ADDRESS", Limit(2, 3600))
    async with running(Post(), database_url, redis_url) as (client, _):
        unsigned = [
            (await client.post("/webhooks/post", content="forged")).status_code
            for _ in range(3)
        ]
        signed = await client.post("/webhooks/post", content="1:hi", headers=SIGNED)

    assert [*unsigned, signed.status_code] == [401, 401, 429, 200]


@pytest.mark.parametrize("trusted", [(), ("127.0.0.0/8",)])
async def test_addresses_of_people_are_known_behind_a_trusted_proxy_only(
    database_url: str,
    redis_url: str,
    trusted: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rate_limit, "PER_ADDRESS", Limit(2, 3600))
    async with running(Post(), database_url, redis_url, trusted_proxies=trusted) as (
        client,
        _,
    ):
        statuses = [
            (
                await client.post(
                    "/webhooks/post",
                    content="forged",
                    headers={"x-forwarded-for": f"198.51.100.{number}"},
                )
            ).status_code
            for number in range(4)
        ]

    assert statuses == ([401] * 4 if trusted else [401, 401, 429, 429])


# --- metrics ------------------------------------------------------------------


@pytest.mark.parametrize(
    "header", ["x-forwarded-for", "forwarded", "x-real-ip", "via", "cf-connecting-ip"]
)
async def test_metrics_are_not_shown_through_a_proxy(header: str) -> None:
    """A proxy that forwards everything must not publish them."""
    async with listening(InstanceState()) as client:
        direct = await client.get("/metrics")
        forwarded = await client.get("/metrics", headers={header: "198.51.100.7"})

    assert (direct.status_code, forwarded.status_code) == (200, 403)


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ("Bearer secret", 200),
        ("Bearer other", 401),
        ("Bearer sécret", 401),
        ("", 401),
    ],
)
async def test_metrics_with_a_token_are_shown_for_it_alone(
    given: str, status: int
) -> None:
    headers = {b"authorization": given.encode(), b"via": b"1.1 proxy"}
    async with listening(InstanceState(), metrics_token="secret") as client:
        response = await client.get("/metrics", headers=headers)

    assert response.status_code == status
