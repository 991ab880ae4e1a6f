"""Reads statements.sql: each statement by its name."""

from __future__ import annotations

import re
from importlib.resources import files


def _parse(text: str) -> dict[str, str]:
    parts = re.split(r"^-- name: (\w+)$", text, flags=re.MULTILINE)
    return {name: body.strip().removesuffix(";") for name, body in zip(parts[1::2], parts[2::2], strict=True)}


STATEMENTS = _parse(files("storage").joinpath("statements.sql").read_text("utf-8"))
