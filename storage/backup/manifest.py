"""The manifest of a backup: what it holds, and by what it is recognised as unchanged."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from hashlib import sha256
from pathlib import Path

import msgspec
from msgspec import Struct

from agent.core.errors import ConfigurationError
from storage.backup.sealing import Key
from storage.migrate import HEAD

NAME = "manifest.json"
FORMAT = 1
"""Counts changes of what a backup is made of; a newer one is refused."""

_MANIFEST_BYTES = 1 << 20


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One table at the snapshot."""

    rows: int
    digest: str
    """Sum of the rows' hashes, in any order."""


class DumpFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a backup."""

    bytes: int
    sha256: str


class Encryption(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Under which key it is, and how that was derived."""

    salt: str
    key: str
    """The key's fingerprint."""


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that is known of a backup."""

    format: int
    agent: str
    """Version of the agent that made it."""
    taken_at: datetime
    scheduled: bool
    """Made by `agent serve`, which removes old ones of its own."""
    server: str
    """Version of the Postgres it was taken from."""
    tools: int
    """Major version of the pg_dump that wrote it."""
    schema: str
    namespace: str
    """The schema, in Postgres' sense, that holds the tables."""
    epoch: int
    audit_rows: int
    audit_head: str
    tables: dict[str, Table]
    files: dict[str, DumpFile]
    encryption: Encryption | None
    seal: str = ""
    """Of all the rest: a SHA-256, or with a key its HMAC."""

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables.values())

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files.values())


class _Format(msgspec.Struct):
    format: int


class Backup(Struct, frozen=True):
    """A backup that was opened, or just made: its manifest is what was written."""

    folder: Path
    manifest: Manifest
    key: Key | None = None

    @property
    def pepper(self) -> str:
        return self.key.pepper if self.key else ""


def write(folder: Path, manifest: Manifest, key: Key | None) -> Manifest:
    """Seals it and writes it to the disk."""
    sealed = msgspec.structs.replace(manifest, seal=_seal(manifest, key))
    with (folder / NAME).open("xb") as file:
        file.write(_encoded(sealed))
        file.flush()
        os.fsync(file.fileno())

    return sealed


def read(folder: Path) -> Manifest:
    """What a backup says of itself, unchecked. Raises ConfigurationError with what is wrong."""
    if folder.is_file():
        raise ConfigurationError(
            f"{folder} is a file: name the folder of the backup it belongs to."
        )

    try:
        with (folder / NAME).open("rb") as file:
            data = file.read(_MANIFEST_BYTES)
    except OSError:
        raise ConfigurationError(
            f"{folder} is not a backup: it holds no {NAME}."
        ) from None

    try:
        if msgspec.json.decode(data, type=_Format).format > FORMAT:
            raise ConfigurationError(
                f"{folder} was made by a newer version of the agent: install that version."
            )
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise _damaged(folder) from None

    if _encoded(manifest) != data:
        raise _damaged(folder)

    return manifest


def open_backup(folder: Path, secrets: Sequence[str]) -> Backup:
    """A backup whose manifest and files are as they were written, for this version and keys.

    Raises ConfigurationError.
    """
    manifest = read(folder)
    key = _key(folder, manifest, secrets)
    if manifest.seal != _seal(manifest, key):
        raise _damaged(folder)

    if manifest.schema > HEAD:
        raise ConfigurationError(
            f"{folder} has the schema {manifest.schema}, which is newer than this version "
            f"knows ({HEAD}). Install a newer version."
        )
    for name, expected in manifest.files.items():
        _check_file(folder, name, expected)

    return Backup(folder, manifest, key)


def _key(folder: Path, manifest: Manifest, secrets: Sequence[str]) -> Key | None:
    if manifest.encryption is None:
        return None

    keys = [Key(one, bytes.fromhex(manifest.encryption.salt)) for one in secrets]
    for key in keys:
        if key.fingerprint == manifest.encryption.key:
            return key

    raise ConfigurationError(
        f"No key of ENCRYPTION_KEYS opens {folder}: add the key that was first when it was made."
        if keys
        else f"{folder} is encrypted: set ENCRYPTION_KEYS to the key that was first when it "
        "was made."
    )


def _check_file(folder: Path, name: str, expected: DumpFile) -> None:
    try:
        with (folder / name).open("rb") as file:
            found = DumpFile(os.fstat(file.fileno()).st_size, _digest(folder / name))
    except OSError:
        raise ConfigurationError(
            f"{folder} is not whole: {name} cannot be read."
        ) from None

    if found.bytes < expected.bytes:
        raise ConfigurationError(f"{folder} is not whole: {name} was cut off.")
    if found != expected:
        raise ConfigurationError(
            f"{folder} is damaged: {name} is not as it was written."
        )


def _digest(path: Path) -> str:
    digest = sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)

    return digest.hexdigest()


def _seal(manifest: Manifest, key: Key | None) -> str:
    data = _encoded(msgspec.structs.replace(manifest, seal=""))

    return key.signature(data) if key else sha256(data).hexdigest()


def _encoded(manifest: Manifest) -> bytes:
    plain = msgspec.json.encode(manifest, order="deterministic")

    return msgspec.json.format(plain, indent=2) + b"\n"


def _damaged(folder: Path) -> ConfigurationError:
    return ConfigurationError(
        f"{folder} is damaged: {NAME} is not as it was written."
    )
