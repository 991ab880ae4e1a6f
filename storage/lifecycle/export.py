"""What is kept of a person, for that person: as JSON for programs and as text to read."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import text

from agent.core.errors import ConfigurationError
from agent.core.words.sizes import dollars
from storage.lifecycle import STATEMENTS
from storage.postgres import Database
from storage.transaction import transaction

Export = Mapping[str, Any]
"""Kind to rows: accounts, messages, votes, limits and so on."""

_KINDS: Mapping[str, str] = {
    "accounts": STATEMENTS["export_accounts"],
    "votes": STATEMENTS["export_votes"],
    "settings": STATEMENTS["export_settings"],
    "budget_days": STATEMENTS["export_budget_days"],
    "titles": STATEMENTS["export_titles"],
    "instructions": STATEMENTS["export_instructions"],
    "usage": STATEMENTS["export_usage"],
    "earlier_texts": STATEMENTS["export_earlier_texts"],
}


async def export_person(
    database: Database, person: UUID, newest: int | None = None
) -> Export:
    """All of it, messages oldest first; `newest`: only so many of the last messages.

    Raises StoreUnavailable.
    """
    found: dict[str, Any] = {"person": str(person)}
    values = {"person": person, "name": str(person), "scope": f"person:{person}"}
    async with transaction(database) as connection:
        for kind, sql in _KINDS.items():
            rows = await connection.execute(text(sql), values)
            found[kind] = [dict(row) for row in rows.mappings()]

        statement = text(STATEMENTS["export_messages"])
        rows = await connection.execute(statement, values | {"newest": newest})
        found["messages"] = [dict(row) for row in rows.mappings()][::-1]

    return found


def as_json(found: Export) -> str:
    return json.dumps(found, ensure_ascii=False, indent=2, default=str) + "\n"


def as_text(found: Export) -> str:
    """For people."""
    accounts = [
        f"- {a['channel']}: {a['account']}"
        + (", consents to training" * a["consent"])
        for a in found["accounts"]
    ]
    settings = [f"- {one['name']}: {one['value']}" for one in found["settings"]]
    parts = [
        ("Your accounts", accounts),
        ("What was set for you", settings),
        ("What counted against a budget of yours", _used(found["budget_days"])),
        ("What reports count of you, by month", _counted(found["usage"])),
        ("Your titles", [f"- {t['channel']}: {t['title']}" for t in found["titles"]]),
        ("What you ask of each answer", _wishes(found["instructions"])),
        (f"Your messages ({len(found['messages'])})", _lines(found["messages"])),
        ("What you edited or deleted", _lines(found["earlier_texts"])),
        (f"Your thumbs ({len(found['votes'])})", _votes(found["votes"])),
    ]

    return "\n\n".join(
        f"{title}:\n" + ("\n".join(lines) or "- none") for title, lines in parts
    )


def _wishes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return [f"- {row['channel']}: {row['instruction']}" for row in rows]


def _used(days: Sequence[Mapping[str, Any]]) -> list[str]:
    return [
        f"- {d['period']} of {d['day']}: {d['tokens']} tokens, {dollars(d['usd'])}"
        for d in days
    ]


def _counted(months: Sequence[Mapping[str, Any]]) -> list[str]:
    return [
        f"- {m['month']} {m['channel']} {m['model'] or 'without a model'}: "
        f"{m['messages']} messages, {m['answers']} answers, "
        f"{m['prompt_tokens'] + m['tokens']} tokens, {dollars(m['usd'])}"
        for m in months
    ]


def _lines(messages: Sequence[Mapping[str, Any]]) -> list[str]:
    return [
        f"- {m['at']:%Y-%m-%d %H:%M} {m['channel']}: {m['text']}" for m in messages
    ]


def _votes(votes: Sequence[Mapping[str, Any]]) -> list[str]:
    return [f"- {v['at']:%Y-%m-%d %H:%M} {v['thumb']:+d}" for v in votes]


def as_zip(found: Export) -> bytes:
    """Both files in one, for a chat."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in _files(found).items():
            archive.writestr(name, content)

    return packed.getvalue()


def _files(found: Export) -> Mapping[str, str]:
    return {"export.json": as_json(found), "export.txt": as_text(found) + "\n"}


def write_export(found: Export, folder: Path) -> list[Path]:
    """Writes both files, for their owner's eyes. Raises ConfigurationError."""
    files = _files(found)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, content in files.items():
            (folder / name).touch(mode=0o600)
            (folder / name).write_text(content, "utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"{folder} cannot be written ({error.strerror}): name another folder."
        ) from error

    return [folder / name for name in files]
