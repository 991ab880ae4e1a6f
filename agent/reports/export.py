"""A report as a table for other programs: CSV and Parquet."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from agent.core.errors import ConfigurationError
from agent.core.words.sizes import plain

Record = Mapping[str, Any]
"""One line. Every record of a table has the same names."""

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""Spreadsheets run a text that begins so."""


def to_csv(names: Sequence[str], records: Sequence[Record]) -> bytes:
    """UTF-8, one line for each record, RFC 4180. What is not known is an empty cell."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(names)
    for record in records:
        writer.writerow([_cell(record[name]) for name in names])

    return text.getvalue().encode()


def to_parquet(names: Sequence[str], records: Sequence[Record]) -> bytes:
    """Costs are decimals and times have UTC. Raises ConfigurationError without pyarrow."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise ConfigurationError(
            "Parquet needs the extra `reports`. Run: pip install 'simple-ai-agent[reports]'."
        ) from None

    schema = pa.schema([(name, _type(pa, name)) for name in names])
    table = pa.Table.from_pylist([dict(record) for record in records], schema)
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)

    return bytes(sink.getvalue())


def write(path: Path, content: bytes) -> None:
    """Raises ConfigurationError when the file cannot be written."""
    try:
        path.write_bytes(content)
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be written: {error.strerror}. Name another file."
        ) from error


def _cell(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Decimal):
        return plain(value)
    if isinstance(value, str) and value.startswith(FORMULA):
        return f"'{value}"

    return value


def _type(pa: Any, name: str) -> Any:
    match name:
        case "cost_usd":
            return pa.decimal128(20, 8)
        case "period" | "begun":
            return pa.timestamp("us", "UTC")
        case "model" | "person" | "name":
            return pa.string()
        case "share":
            return pa.float64()
        case _:
            return pa.int64()
