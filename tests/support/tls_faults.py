"""Servers whose TLS fails after its handshake."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread

import pytest

from tests.support.certificates import certificate
from tests.support.resets import reset_at_end


def trusted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server's, whose certificate agents trust."""
    made = certificate("127.0.0.1")
    for name in ("ca", "certificate", "key"):
        (folder / name).write_bytes(getattr(made, name))
    monkeypatch.setenv("SSL_CERT_FILE", str(folder / "ca"))

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(folder / "certificate", folder / "key")
    context.load_verify_locations(folder / "ca")

    return context


@contextmanager
def demanding(context: ssl.SSLContext) -> Iterator[str]:
    """Where a server refuses everybody who has no certificate."""
    context.verify_mode = ssl.CERT_REQUIRED

    def refuse(connection: socket.socket) -> None:
        with connection.dup() as kept:
            with suppress(OSError):
                context.wrap_socket(connection, server_side=True)
            while kept.recv(65_536):  # else a reset overtakes what it said
                pass

    with _served(refuse) as url:
        yield url


@contextmanager
def resetting(context: ssl.SSLContext) -> Iterator[str]:
    """Where a server resets each connection after its own part of the handshake."""

    def reset(connection: socket.socket) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        incoming.write(connection.recv(65_536))
        with suppress(ssl.SSLWantReadError):
            context.wrap_bio(incoming, outgoing, server_side=True).do_handshake()
        connection.sendall(outgoing.read())
        reset_at_end(connection)

    with _served(reset) as url:
        yield url


@contextmanager
def _served(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                serve(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=accept)
        thread.start()
        try:
            yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
