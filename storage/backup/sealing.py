"""Encryption of a backup, chunk by chunk, in bounded memory.

AES-256-GCM. Each chunk's nonce is its number and whether it is the last, as in the STREAM
construction (Hoang, Reyhanitabar, Rogaway, Vizár: "Online Authenticated-Encryption and its
Nonce-Reuse Misuse-Resistance", 2015): a chunk that is changed, moved, left out or cut off is
found. The key is derived for this backup alone, so no nonce is ever used twice.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import IO

from storage.backup.tools import CHUNK

SALT_BYTES = 16
_TAG_BYTES = 16


class Damaged(Exception):
    """This is not what was sealed under this key."""


class Key:
    """What one key of ENCRYPTION_KEYS is for one backup."""

    def __init__(self, secret: str, salt: bytes) -> None:
        """`secret`: a Fernet key, 32 bytes in URL-safe base64."""
        self._secret, self._salt = urlsafe_b64decode(secret), salt

    @property
    def salt(self) -> str:
        return self._salt.hex()

    @property
    def fingerprint(self) -> str:
        """Tells which key it was, and nothing about it."""
        return self._derived("fingerprint")[:8].hex()

    @property
    def pepper(self) -> str:
        """Goes into the digests of rows, so that nobody without the key can guess a row."""
        return self._derived("digests").hex()

    def signature(self, data: bytes) -> str:
        return hmac.digest(self._derived("manifest"), data, sha256).hex()

    def sealed(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """The chunks of a stream, encrypted."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        cipher = AESGCM(self._derived("contents"))
        for number, (chunk, is_last) in enumerate(_equal(chunks)):
            yield cipher.encrypt(_nonce(number, is_last), chunk, None)

    def opened(self, file: IO[bytes]) -> Iterator[bytes]:
        """What was sealed. Raises Damaged."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        cipher = AESGCM(self._derived("contents"))
        sealed = iter(lambda: file.read(CHUNK + _TAG_BYTES), b"")
        for number, (chunk, is_last) in enumerate(_with_end(sealed)):
            try:
                yield cipher.decrypt(_nonce(number, is_last), chunk, None)
            except InvalidTag:
                raise Damaged from None

    def _derived(self, purpose: str) -> bytes:
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        info = f"simple-ai-agent backup: {purpose}".encode()

        return HKDF(SHA256(), 32, self._salt, info).derive(self._secret)


def _nonce(number: int, is_last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([is_last])


def _equal(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """The same stream in chunks of one size, the last perhaps shorter, and which is the last."""
    return _with_end(_cut(chunks))


def _cut(chunks: Iterable[bytes]) -> Iterator[bytes]:
    rest = bytearray()
    for chunk in chunks:
        rest += chunk
        while len(rest) >= CHUNK:
            yield bytes(rest[:CHUNK])
            del rest[:CHUNK]
    if rest:
        yield bytes(rest)


def _with_end(chunks: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Each with whether it is the last; an empty stream has one empty chunk."""
    before: bytes | None = None
    for chunk in chunks:
        if before is not None:
            yield before, False
        before = chunk

    yield before or b"", True
