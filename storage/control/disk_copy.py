"""All that operators set, on disk with a checksum: an instance starts from it when no store
answers.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import msgspec

from storage.control.state import ControlSnapshot

FILE = "flags.json"
"""In AGENT_HOME. Its first line is the SHA-256 of the rest; the rest is JSON."""


def save(path: Path, truth: ControlSnapshot) -> None:
    """Replaces the file as a whole; only its owner can read it. Raises OSError."""
    body = msgspec.json.encode(truth)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".flags-", dir=path.parent)  # mode 0600

    try:
        with os.fdopen(handle, "wb") as file:
            file.write(sha256(body).hexdigest().encode() + b"\n" + body)
        Path(name).replace(path)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise


def load(path: Path) -> ControlSnapshot | None:
    """What was saved; None when there is nothing, or it is not whole."""
    try:
        checksum, _, body = path.read_bytes().partition(b"\n")
        if checksum.decode("ascii") != sha256(body).hexdigest():
            return None

        return msgspec.json.decode(body, type=ControlSnapshot)
    except (OSError, UnicodeDecodeError, msgspec.MsgspecError):
        return None
