"""Findings of `agent doctor` that an operator knows of and wants to see no more.

They are kept in a file of `AGENT_HOME`: what one machine lacks says nothing of another, and the
doctor has to know them while Postgres is away.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.core.channel import Finding
from agent.core.errors import ConfigurationError, Rejected
from agent.core.text import did_you_mean

FILE = "acknowledged.json"

_NUMBER = re.compile(r"\d+")


def name_of(finding: Finding) -> str:
    """What a finding is known by. Its numbers may change from day to day."""
    return f"{finding.part}: {_NUMBER.sub('#', finding.problem)}"


def acknowledged(home: Path) -> dict[str, str]:
    """By whom and when, for each finding's name. Raises ConfigurationError."""
    return {
        name: f"acknowledged by {entry['by']} on {entry['at'][:10]}"
        for name, entry in _read(home).items()
    }


def keep(home: Path, findings: Sequence[Finding], by: str) -> None:
    """Acknowledges these. Raises ConfigurationError when that cannot be written."""
    entry = {"by": by, "at": datetime.now(UTC).isoformat(timespec="seconds")}
    _write(home, _read(home) | {name_of(one): entry for one in findings})


def forget(home: Path, part: str) -> int:
    """Shows what was acknowledged of this part again. Returns how many.

    Raises Rejected when there is none.
    """
    known = _read(home)
    kept = {
        name: entry
        for name, entry in known.items()
        if name.partition(": ")[0] != part
    }
    if kept == known:
        parts = sorted({name.partition(": ")[0] for name in known})
        raise Rejected(
            f"Nothing of {part!r} is acknowledged.{did_you_mean(part, parts)} "
            f"Acknowledged: {', '.join(parts) or 'nothing'}."
        )

    _write(home, kept)

    return len(known) - len(kept)


def _read(home: Path) -> dict[str, Any]:
    path = home / FILE
    try:
        known = json.loads(path.read_bytes())
        return {
            name: {"by": entry["by"], "at": entry["at"]}
            for name, entry in known.items()
        }
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError, TypeError, KeyError) as error:
        raise ConfigurationError(
            f"{path} cannot be read ({type(error).__name__}). Mend or remove it."
        ) from error


def _write(home: Path, known: Mapping[str, Any]) -> None:
    path = home / FILE
    fresh = path.with_suffix(".new")
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh.write_text(json.dumps(known, ensure_ascii=False, indent=2) + "\n")
        fresh.replace(path)
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be written: {error.strerror}. Fix its permissions."
        ) from error
