"""Servers whose TLS fails after its handshake."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread

import pytest

from tests.support.certificates import certificate


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

    def refuse() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection, connection.dup() as kept:
                    with suppress(OSError):
                        context.wrap_socket(connection, server_side=True)
                    while kept.recv(65_536):  # else a reset overtakes what it said
                        pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = Thread(target=refuse)
        thread.start()
        yield f"https://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()
