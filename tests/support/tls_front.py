"""TLS in front of a Postgres that has none built in, as the wheel's: it answers the request
for TLS and passes on.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

_REQUEST = (8).to_bytes(4) + (80877103).to_bytes(
    4
)  # SSLRequest of the protocol, "Message Formats"


@dataclass
class Front:
    """Where it listens, and how often TLS was spoken."""

    port: int = 0
    encrypted: int = 0


@asynccontextmanager
async def tls_front(
    behind: int, certificate: Path, key: Path
) -> AsyncIterator[Front]:
    """Listens on both loopback addresses, with or without TLS, in front of a port of 127.0.0.1."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    front = Front()

    async def serve(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            first = await reader.readexactly(8)
            if first == _REQUEST:
                writer.write(b"S")
                await writer.start_tls(context)
                front.encrypted += 1
                first = b""
            onward, back = await asyncio.open_connection("127.0.0.1", behind)
            back.write(first)
            await asyncio.gather(_copy(reader, back), _copy(onward, writer))

    first = await asyncio.start_server(serve, "127.0.0.1", 0)
    front.port = first.sockets[0].getsockname()[1]
    second = await asyncio.start_server(serve, "::1", front.port)
    try:
        yield front
    finally:
        first.close()
        second.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
