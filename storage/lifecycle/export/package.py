"""The file of an export, written row by row, so that no long history stands in memory."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from tempfile import SpooledTemporaryFile
from types import TracebackType
from typing import IO, Self
from uuid import UUID
from zipfile import ZIP_DEFLATED, ZipFile

from msgspec import Struct

from agent.core.errors import ConfigurationError
from agent.core.words.sizes import plain
from storage.lifecycle.export.kinds import Kind, Row

JSON = "export.json"
TEXT = "export.txt"

IN_MEMORY = 1_000_000
"""Bytes of a temporary file before it goes to the disk."""

CHUNK = 65_536
"""Bytes that are read at a time."""

PENDING = 200_000
"""Bytes that zlib may hold back, and that the ends of both files need."""

THE_WHOLE = "The operator gets all of it by `agent people export PERSON FOLDER`."


class Bound(Struct, frozen=True):
    """How large an export may be. What does not fit is named in it."""

    size: int | None = None
    """Bytes of the packed file."""
    rows: int | None = None
    """Of each kind, the newest."""


class ExportFile:
    """A packed export. It has no name on the disk, and goes when it is closed."""

    def __init__(self, file: IO[bytes], missing: Sequence[str]) -> None:
        self._file = file
        self.missing = missing
        """What did not fit, in words. Empty: nothing is missing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def content(self) -> bytes:
        """All of it, packed."""
        self._file.seek(0)

        return self._file.read()

    def chunks(self, name: str) -> Iterator[bytes]:
        """One of the two files in it, unpacked piece by piece."""
        with ZipFile(self._file) as archive, archive.open(name) as entry:
            while piece := entry.read(CHUNK):
                yield piece

    def beginning(self, chars: int) -> str:
        """Of the text, so many characters at most."""
        with ZipFile(self._file) as archive, archive.open(TEXT) as entry:
            # a character has four bytes at most; the last may be cut
            return entry.read(4 * chars).decode(errors="ignore")[:chars]

    def write_to(self, folder: Path) -> list[Path]:
        """Writes both files, for their owner's eyes. Raises ConfigurationError."""
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name in (JSON, TEXT):
                (folder / name).touch(mode=0o600)
                with (folder / name).open("wb") as target:
                    target.writelines(self.chunks(name))
        except OSError as error:
            raise ConfigurationError(
                f"{folder} cannot be written ({error.strerror}): name another folder."
            ) from error

        return [folder / JSON, folder / TEXT]

    def close(self) -> None:
        self._file.close()


class Package:
    """Packs an export: kinds one after the other, each row as it comes."""

    def __init__(self, person: UUID, bound: Bound) -> None:
        self._bound = bound
        self._missing: list[str] = []
        self._rows = 0
        self._last: Row | None = None

        self._file = SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115
        self._text = SpooledTemporaryFile(IN_MEMORY)  # noqa: SIM115
        self._archive = ZipFile(self._file, "w", ZIP_DEFLATED)
        self._json = self._archive.open(JSON, "w", force_zip64=True)
        self._add(f'{{\n"person": "{person}"')

    def begin(self, kind: Kind) -> None:
        self._kind = kind
        self._rows, self._last = 0, None
        self._add(f',\n"{kind.name}": [', f"{kind.title}:\n")

    def add(self, rows: Sequence[Row]) -> bool:
        """False: no more of this kind fits."""
        for row in rows:
            if self._is_full():
                self._missing.append(self._left_out())

                return False

            self._add_row(row)

        return True

    def end(self) -> None:
        """Of the kind."""
        self._add("\n]", "\n" if self._rows else "- none\n\n")

    def finish(self) -> ExportFile:
        self._add(f',\n"missing": {_json(self._missing)}\n}}\n')
        self._json.close()

        with self._archive.open(TEXT, "w", force_zip64=True) as entry:
            entry.write(self._notice().encode())
            self._text.seek(0)
            shutil.copyfileobj(self._text, entry, CHUNK)

        self._archive.close()
        self._text.close()

        return ExportFile(self._file, self._missing)

    def close(self) -> None:
        """Gives up; also after it was finished, and on a full disk."""
        with ExitStack() as parts:
            for part in (self._file, self._text, self._archive, self._json):
                parts.callback(part.close)

    def _is_full(self) -> bool:
        """The text is packed at last. Where lines are short, it is a tenth larger than the JSON."""
        size, rows = self._bound.size, self._bound.rows
        if rows is not None and self._rows >= rows:
            return True

        return size is not None and 2.2 * self._file.tell() + PENDING > size

    def _left_out(self) -> str:
        if self._last is None or "at" not in self._last:
            rest = "the rest" if self._rows else "all"
        else:
            rest = f"what is older than {self._last['at']:%Y-%m-%d %H:%M}"

        return f"{self._kind.title}: {rest}"

    def _notice(self) -> str:
        if not self._missing:
            return ""

        return "\n- ".join(["Not in here:", *self._missing]) + f"\n{THE_WHOLE}\n\n"

    def _add_row(self, row: Row) -> None:
        line = self._kind.line(row).replace("\n", "\n  ")
        self._add(",\n" * bool(self._rows) or "\n")
        self._add(_json(dict(row)), f"- {line}\n")
        self._rows += 1
        self._last = row

    def _add(self, written: str, shown: str = "") -> None:
        self._json.write(written.encode(errors="replace"))
        self._text.write(shown.encode(errors="replace"))


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=_text)


def _text(value: object) -> str:
    return plain(value) if isinstance(value, Decimal) else str(value)
