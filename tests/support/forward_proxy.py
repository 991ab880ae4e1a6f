"""A forward proxy on loopback that remembers what it was asked for."""

from __future__ import annotations

import asyncio
import base64
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_REQUEST = re.compile(rb"([A-Z]{3,7}) ((?:http|ws)://\S+) HTTP/1\.1\r\n")


@dataclass
class Proxy:
    """Where it is, and what was asked of it."""

    port: int = 0
    asked: list[tuple[str, str]] = field(default_factory=list)  # method and target
    passwords: set[str] = field(default_factory=set)  # as they were sent

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def targets(self) -> set[str]:
        """Hosts, ports and paths, without what follows a `?`."""
        return {target.partition("?")[0] for _, target in self.asked}


@asynccontextmanager
async def forward_proxy() -> AsyncIterator[Proxy]:
    """Passes plain requests on, also those for websockets. It refuses each tunnel."""
    proxy = Proxy()

    async def serve(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            method, target, version = head.partition(b"\r\n")[0].decode().split(" ")
            proxy.asked.append((method, target))
            _note_password(proxy, head)
            if method == "CONNECT":
                writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                writer.close()
                return
            place = urlsplit(target)
            onward, back = await asyncio.open_connection(place.hostname, place.port)
            path = f"{place.path or '/'}{'?' + place.query if place.query else ''}"
            back.write(
                f"{method} {path} {version}".encode() + head[head.index(b"\r\n") :]
            )
            await asyncio.gather(_copy(reader, back, proxy), _copy(onward, writer))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()


def _note_password(proxy: Proxy, head: bytes) -> None:
    for line in head.decode("latin-1").split("\r\n"):
        name, _, value = line.partition(": ")
        if name.lower() == "proxy-authorization":
            proxy.passwords.add(
                base64.b64decode(value.removeprefix("Basic ")).decode()
            )


async def _copy(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    proxy: Proxy | None = None,
) -> None:
    """To its end. What is asked later on the same connection is noted in `proxy`, and passed
    on as it is.
    """
    with suppress(OSError):
        while data := await reader.read(65536):
            if proxy is not None:
                proxy.asked.extend(
                    (method.decode(), target.decode())
                    for method, target in _REQUEST.findall(data)
                )
            writer.write(data)
            await writer.drain()
    writer.close()
