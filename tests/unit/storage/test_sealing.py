"""A sealed stream opens as it was, or not at all."""

from __future__ import annotations

import io
import os
from collections.abc import Callable

import pytest

from storage.backup import sealing
from storage.backup.sealing import Damaged, Key
from storage.control.credentials import new_key

CHUNK, TAG = 64, 16
SECRET, SALT = new_key(), bytes(16)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sealing, "CHUNK", CHUNK)


def sealed(data: bytes) -> bytes:
    return b"".join(Key(SECRET, SALT).sealed([data[:100], data[100:]]))


def opened(data: bytes, secret: str = SECRET, salt: bytes = SALT) -> bytes:
    return b"".join(Key(secret, salt).opened(io.BytesIO(data)))


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 128, 1000])
def test_what_was_sealed_is_opened(size: int) -> None:
    """Also an empty stream, and one that ends where a chunk does."""
    data = os.urandom(size)
    assert data == opened(sealed(data))


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


WHOLE = CHUNK + TAG
CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "a byte of the first chunk": lambda data: flipped(data, 0),
    "a byte of the last tag": lambda data: flipped(data, len(data) - 1),
    "the last byte is cut off": lambda data: data[:-1],
    "the last chunk is cut off": lambda data: data[: len(data) // WHOLE * WHOLE],
    "all but one chunk is cut off": lambda data: data[:WHOLE],
    "everything is cut off": lambda data: b"",
    "the first chunk is cut off": lambda data: data[WHOLE:],
    "two chunks are exchanged": lambda data: (
        data[WHOLE : 2 * WHOLE] + data[:WHOLE] + data[2 * WHOLE :]
    ),
    "a chunk stands twice": lambda data: data[:WHOLE] + data,
    "something follows": lambda data: data + data[-WHOLE:],
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_every_change_is_found(change: Callable[[bytes], bytes]) -> None:
    """Changed, moved, left out, cut off or added to."""
    with pytest.raises(Damaged):
        opened(change(sealed(os.urandom(300))))


def test_every_single_byte_counts() -> None:
    """There is none that may be another."""
    data = sealed(os.urandom(150))

    for at in range(len(data)):
        with pytest.raises(Damaged):
            opened(flipped(data, at))


def test_another_key_or_salt_opens_nothing() -> None:
    """Each backup has a key of its own, made of both."""
    data = sealed(b"hello")

    for secret, salt in ((new_key(), SALT), (SECRET, bytes(15) + b"1")):
        with pytest.raises(Damaged):
            opened(data, secret, salt)
