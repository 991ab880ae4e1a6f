"""Redis as people have it: TLS, users with rights, replicas, full ones; with each of them
the agent runs.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from storage.redis import open_redis
from tests.support.certificates import certificate
from tests.support.commands import Machine
from tests.support.servers import Valkey, free_port, running

PASSWORD = "p%40ss%2Fw"


class ListeningValkey(Valkey):
    """On a port of loopback, too."""

    def __init__(self, *options: str) -> None:
        self.port = free_port()
        super().__init__(
            "--appendonly",
            "no",
            "--port",
            str(self.port),
            "--enable-debug-command",
            "no",
            *options,
        )


@pytest.fixture(scope="module")
def valkey() -> Iterator[ListeningValkey]:
    """With a user who may do all, and some who lack something."""
    users = {
        "ada": "~* &* +@all",
        "eve": "~other:* &* +@all",
        "bob": "~* &* +@read",
        "tom": "~* resetchannels +@all",
    }
    options = [
        part
        for name, rights in users.items()
        for part in ("--user", name, "on", ">p@ss/w", *rights.split())
    ]
    with running(ListeningValkey(*options)) as server:
        yield server


@asynccontextmanager
async def tls_in_front(port: int, folder: Path) -> AsyncIterator[tuple[int, Path]]:
    """TLS before a port, and the file of its CA."""
    signed = certificate("localhost")
    for name, content in (
        ("ca", signed.ca),
        ("crt", signed.certificate),
        ("key", signed.key),
    ):
        (folder / name).write_bytes(content)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "crt", folder / "key")

    async def serve(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        onward, back = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(copy(reader, back), copy(onward, writer))

    async with await asyncio.start_server(
        serve, "127.0.0.1", 0, ssl=context
    ) as listening:
        yield listening.sockets[0].getsockname()[1], folder / "ca"


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
    writer.close()


@asynccontextmanager
async def hanging_in_front(port: int, flows: asyncio.Event) -> AsyncIterator[int]:
    """A port before a port, through which nothing comes unless `flows` is set."""

    async def serve(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        onward, back = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(held(reader, back), held(onward, writer))

    async def held(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                await flows.wait()
                writer.write(data)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        yield listening.sockets[0].getsockname()[1]


async def seen(machine: Machine, url: str) -> tuple[str, str]:
    """What a conversation says about Redis while it runs, and what the doctor finds."""
    machine.variables["REDIS_URL"] = url
    chat, doctor = (
        await machine.agent("chat", lines=b"hello\n"),
        await machine.agent("doctor", "--json"),
    )
    assert (0, True) == (chat.status, "You said: hello" in chat.out), chat
    findings = [
        f"{found['problem']}"
        for found in json.loads(doctor.out)["findings"]
        if found["part"] == "redis"
    ]
    assert len(findings) <= 1
    return chat.err, "".join(findings)


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:<PORT>",
        f"redis://ada:{PASSWORD}@localhost:<PORT>/3?client_name=x",
        f"redis://localhost:<PORT>?db=2&username=ada&password={PASSWORD}",
        "redis://localhost:<PORT>?protocol=3&decode_responses=true&socket_timeout=0.00001",
    ],
)
async def test_a_legal_url_is_used_without_a_word(
    machine: Machine, valkey: ListeningValkey, url: str
) -> None:
    assert ("", "") == await seen(machine, url.replace("<PORT>", str(valkey.port)))


async def test_tls_is_spoken_and_checked(
    machine: Machine, valkey: ListeningValkey, tmp_path: Path
) -> None:
    async with tls_in_front(valkey.port, tmp_path) as (port, ca):
        for parameters in (
            f"ssl_ca_certs={ca}",
            "ssl_cert_reqs=none",
            "ssl_cert_reqs=CERT_NONE",
        ):
            assert ("", "") == await seen(
                machine, f"rediss://localhost:{port}/0?{parameters}"
            )
        said, found = await seen(machine, f"rediss://localhost:{port}/0")
    assert ("TLS to Redis failed" in said, "REDIS_URL" in found) == (True, True), (
        said,
        found,
    )


async def test_a_server_that_hangs_holds_up_nobody_who_leaves(
    valkey: ListeningValkey, tmp_path: Path
) -> None:
    """With TLS, to close a connection is a word that the other side answers."""
    flows = asyncio.Event()
    flows.set()
    async with (
        tls_in_front(valkey.port, tmp_path) as (tls, ca),
        hanging_in_front(tls, flows) as port,
    ):
        url = f"rediss://ada:{PASSWORD}@localhost:{port}?ssl_ca_certs={ca}"
        try:
            async with open_redis(url, deadline=5.0) as pipe:
                assert [b"PONG"] == await pipe.send(("PING",))
                assert await pipe.client.ping()
                flows.clear()
                left = time.monotonic()
            took = time.monotonic() - left
        finally:
            flows.set()

    assert took < 3


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("redis://127.0.0.1:<PORT>/0?family=0", "family"),
        ("redis://127.0.0.1:<PORT>/cache", "a database"),
        ("redis://127.0.0.1:<PORT>/99", "database"),
        ("127.0.0.1:<PORT>", "is not a URL"),
        ("http://:secretword@127.0.0.1", "is not a Redis URL"),
        ("redis+cluster://127.0.0.1", "cluster"),
        ("redis://no-such-host.invalid", "does not answer"),
        ("unix:///no/such/socket", "does not answer"),
        (f"redis://eve:{PASSWORD}@127.0.0.1:<PORT>", "does not permit"),
        (f"redis://bob:{PASSWORD}@127.0.0.1:<PORT>", "does not permit"),
        (f"redis://tom:{PASSWORD}@127.0.0.1:<PORT>", "does not permit"),
    ],
)
async def test_what_is_odd_is_one_warning_and_the_agent_runs(
    machine: Machine, valkey: ListeningValkey, url: str, named: str
) -> None:
    """It names the setting or the right, never a secret."""
    said, found = await seen(machine, url.replace("<PORT>", str(valkey.port)))
    assert ([1, 1], [True, True]) == (
        [said.count("\n"), len(found.split("\n"))],
        [named in said, named in found],
    ), (
        said,
        found,
    )
    assert not any(
        secret in said + found for secret in ("secretword", PASSWORD, "p@ss/w")
    )


async def test_a_wrong_password_is_still_an_error(
    machine: Machine, valkey: ListeningValkey
) -> None:
    for user in ("ada:bad", "nobody:bad"):
        machine.variables["REDIS_URL"] = f"redis://{user}@127.0.0.1:{valkey.port}"
        ended = await machine.agent("chat", lines=b"hello\n")
        assert (2, "agent: Redis refused the password. Correct REDIS_URL.\n") == (
            ended.status,
            ended.err,
        )


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (("--replicaof", "127.0.0.1 1"), "read-only replica"),
        (("--maxmemory", "1", "--maxmemory-policy", "noeviction"), "is full"),
    ],
)
async def test_a_redis_that_takes_nothing_is_said_to(
    machine: Machine, options: tuple[str, ...], named: str
) -> None:
    with running(Valkey("--appendonly", "no", *options)) as server:
        said, found = await seen(machine, server.url)
    assert [True, True] == [named in said, named in found], (said, found)
