"""Writing settings into `.env`, and leaving everything else in it as it is."""

from __future__ import annotations

import os
import re
import stat
import tempfile
from collections.abc import Mapping
from io import StringIO
from pathlib import Path

from dotenv.parser import Binding, parse_stream

from agent.core.errors import ConfigurationError

_SAFE = re.compile(r"[\w:./@+=-]+", re.ASCII)
"""What stands in `.env` without quotes and is read back as it is; every platform's tokens do."""

_QUOTED = re.compile(r"'[!-&(-\[\]-~]*'")
"""What stands in quotes and is read back without them: no quote, no backslash, no blank."""

_BINDING = re.compile(
    r"""(?P<name>\s*(?:export[^\S\r\n]+)?[^=\s]+[^\S\r\n]*=[^\S\r\n]*)
        (?:'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|(?:(?![^\S\r\n]+\#)[^\r\n])*)
        (?P<rest>.*)""",
    re.VERBOSE | re.DOTALL,
)


def write_env(path: Path, values: Mapping[str, str]) -> None:
    """Sets these; other lines, comments and their order stay. In one step, readable to its
    owner alone (0600).

    Raises ConfigurationError when a value is nothing that a setting can be, or the file can
    not be written.
    """
    for name, value in values.items():
        if not _SAFE.fullmatch(value) and not _QUOTED.fullmatch(value):
            raise ConfigurationError(
                f"{name} has a blank or a character that no token has: copy it "
                "again, without quotes."
            )
    target = path.resolve()  # a link stays one
    try:
        _replace(target, changed(_read(target), values))
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be written: {error.strerror}. Fix its permissions."
        ) from error


def in_quotes(value: str) -> str:
    """For `write_env`: a URL, whose & and ? mean something to a shell, or nothing at all."""
    return f"'{value}'"


def exposure(path: Path) -> str | None:
    """A sentence, if others on this machine may read or write the file. Windows knows no
    such permissions.
    """
    if (
        os.name == "nt"
        or not path.is_file()
        or not path.stat().st_mode & stat.S_IRWXO
    ):
        return None

    return f"{path} holds secrets and others on this machine may read it. Run: chmod 600 {path}"


def changed(text: str, values: Mapping[str, str]) -> str:
    """The file's text with these values: in their old places, new ones at the end."""
    bindings = list(parse_stream(StringIO(text, newline="")))
    known = {binding.key for binding in bindings}
    lines = "".join(_line(binding, values) for binding in bindings)
    end = "\r\n" if "\r\n" in text else "\n"
    added = "".join(
        f"{name}={value}{end}" for name, value in values.items() if name not in known
    )
    return (
        lines + (end if added and lines and not lines.endswith(end) else "") + added
    )


def _line(binding: Binding, values: Mapping[str, str]) -> str:
    written = binding.original.string
    if binding.key is None or values.get(binding.key, binding.value) == binding.value:
        return written
    found = _BINDING.fullmatch(written)
    if found is None:  # a name without =, or in quotes
        return f"{binding.key}={values[binding.key]}\n"
    return f"{found['name']}{values[binding.key]}{found['rest']}"


def _read(path: Path) -> str:
    if not path.exists():
        return ""
    with path.open(encoding="utf-8", newline="") as file:
        return file.read()


def _replace(path: Path, text: str) -> None:
    """Whoever reads it meanwhile sees the old file or the new one."""
    descriptor, name = tempfile.mkstemp(
        dir=path.parent, prefix=f"{path.name}."
    )  # made with mode 0600
    try:
        with open(descriptor, "w", encoding="utf-8", newline="") as file:  # noqa: PTH123
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
