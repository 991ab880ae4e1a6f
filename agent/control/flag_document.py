"""Flags as a file: JSON, so that every tool of version control shows what changed. Pure.

    {"version": 1, "flags": {"replies": {"owner": "chat team", "tags": ["ops"],
                                         "rules": {"channel:slack": false}}}}

`definition` stands with a flag that an operator made.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from agent.control.about import About, about_in
from agent.control.rules import ABOUT, DEFINITION, NO_RULE, Rules
from agent.core.errors import Rejected
from agent.core.remedies import Run
from agent.core.text import shown_name

VERSION = 1
MAX_BYTES = 5_000_000
"""Of a file: more than all flags of anybody."""

_PARTS = frozenset(("owner", "tags", "rules", "definition"))


def document_of(flags: Mapping[str, Rules]) -> dict[str, Any]:
    """What is written. Flags of which nothing is set are left out."""
    return {
        "version": VERSION,
        "flags": {name: _entry(rules) for name, rules in flags.items() if rules},
    }


def _entry(rules: Rules) -> dict[str, Any]:
    about = about_in(rules)
    plain = {scope: rule for scope, rule in rules.items() if scope not in NO_RULE}
    parts = {
        "owner": about.owner,
        "tags": sorted(about.tags) or None,
        "definition": rules.get(DEFINITION),
    }

    return {
        **{part: value for part, value in parts.items() if value is not None},
        "rules": plain,
    }


def read_document(raw: bytes) -> dict[str, dict[str, Any]]:
    """The rules by flag and scope. Raises Rejected with one sentence."""
    if len(raw) > MAX_BYTES:
        raise Rejected(f"The file is larger than {MAX_BYTES // 10**6} MB. Split it.")

    try:
        document = json.loads(
            raw.decode("utf-8-sig"),
            object_pairs_hook=_unique,
            parse_constant=_no_constant,
        )
    except (ValueError, RecursionError) as error:
        raise Rejected(f"The file is no JSON{_where(error)}. Correct it.") from None

    match document:
        case {"version": 1, "flags": dict() as flags} if len(document) == 2:
            return {name: _rules(name, entry) for name, entry in flags.items()}
        case _:
            raise Rejected(
                f'The file has no flags of version {VERSION}: it is {{"version": '
                f'{VERSION}, "flags": …}}.',
                Run("flags export", "writes one"),
            )


def _where(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f" (line {error.lineno}, column {error.colno})"

    return f" ({error})" if isinstance(error, _DoubleName) else ""


class _DoubleName(ValueError):
    """One name stands twice in an object."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _DoubleName(f"{shown_name(name)} stands there twice")
        found[name] = value

    return found


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _rules(name: str, entry: object) -> dict[str, Any]:
    """Rules, definition, owner and tags by scope."""
    if not isinstance(entry, dict) or not set(entry) <= _PARTS:
        raise Rejected(
            f"The flag {shown_name(name)} has owner, tags, rules and definition, "
            "and nothing else."
        )

    rules = entry.get("rules", {})
    owner, tags = entry.get("owner"), entry.get("tags", [])
    if not isinstance(rules, dict) or set(rules) & set(NO_RULE):
        raise Rejected(f"The rules of {shown_name(name)} are an object by scope.")
    if not isinstance(owner, str | None) or not _are_texts(tags):
        raise Rejected(
            f"The owner of {shown_name(name)} is a text, its tags are a list."
        )

    about = About(owner, tuple(tags))
    about.check()
    found = {**rules, **({ABOUT: about.stored()} if about.is_set else {})}
    if "definition" in entry:
        found[DEFINITION] = entry["definition"]

    return found


def _are_texts(values: object) -> bool:
    return isinstance(values, list) and all(isinstance(one, str) for one in values)
