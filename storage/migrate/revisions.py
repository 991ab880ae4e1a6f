"""The migrations that this version has, in their order, and which of them a word means."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Literal, cast

from msgspec import Struct

from agent.core.errors import ConfigurationError, SchemaError

BASE = "base"
"""What stands for a database without any migration."""

VERSIONS = Path(__file__).parents[2] / "migrations" / "versions"

Direction = Literal["upgrade", "downgrade"]

_STEPS = re.compile(r"[+-]\d{1,4}")


class Migration(Struct, frozen=True):
    """One file of `migrations/versions`."""

    revision: str
    title: str
    """The first sentence of its docstring."""
    checksum: str
    """SHA-256 of the file, however its lines end."""


@cache
def migrations() -> tuple[Migration, ...]:
    """All of this version, the oldest first.

    Their files are read, not run: Alembic and SQLAlchemy, which take most of a second to
    import, would hold up the server that is asked for the history.
    """
    after = dict(map(_read, VERSIONS.rglob("[0-9]*.py")))
    order: list[Migration] = []
    while following := after.get(order[-1].revision if order else None):
        order.append(following)

    return tuple(order)


def _read(path: Path) -> tuple[str | None, Migration]:
    """The migration of a file, and the one it comes after."""
    module = ast.parse(path.read_bytes())
    named = {
        target.id: node.value.value
        for node in module.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    title = _title(ast.get_docstring(module))

    return cast("str | None", named["down_revision"]), Migration(
        cast("str", named["revision"]), title, checksum_of(str(path))
    )


def checksum_of(path: str) -> str:
    """SHA-256 in hexadecimal. Git may end lines as Windows does; that changes nothing."""
    content = Path(path).read_bytes().replace(b"\r\n", b"\n")

    return sha256(content).hexdigest()


def check_known(current: str | None) -> None:
    """Raises SchemaError when this version does not have the schema's migration."""
    if current is not None and current not in _names():
        raise SchemaError(
            f"The database is at migration {current}, which this version does not have. "
            "Install the version that made it."
        )


def target_of(wanted: str, current: str | None, direction: Direction) -> str:
    """The revision that is meant, or BASE. `wanted` may also be head, base, +1 or -1.

    Raises ConfigurationError for what does not exist, or lies in the other direction.
    """
    check_known(current)
    order = [BASE, *_names()]
    here = order.index(current or BASE)
    target = _position(wanted, here, order)

    if direction == "downgrade" and current is None and target > here:
        raise ConfigurationError(
            "No migration is applied to this database: there is nothing to take back."
        )
    if direction == "downgrade" and target > here:
        raise ConfigurationError(
            f"The schema is at {current}, before {order[target]}. "
            f"`agent db upgrade {order[target]}` goes there."
        )
    if direction == "upgrade" and target < here:
        raise ConfigurationError(
            f"The schema is at {current}, after {order[target]}. "
            f"`agent db downgrade {order[target]}` goes back there."
        )

    return order[target]


def _position(wanted: str, here: int, order: Sequence[str]) -> int:
    if wanted == "head":
        return len(order) - 1
    if wanted in order:
        return order.index(wanted)

    if _STEPS.fullmatch(wanted):
        position = here + int(wanted)
        if 0 <= position < len(order):
            return position
        if here == len(order) - 1 and position > here:
            raise ConfigurationError(f"{order[here]} is the newest already.")

    raise ConfigurationError(
        f"There is no migration {wanted!r} from {order[here]}. There are {order[1]} to "
        f"{order[-1]}, head, base, and steps such as -1."
    )


def _names() -> list[str]:
    return [migration.revision for migration in migrations()]


def _title(doc: str | None) -> str:
    words = " ".join((doc or "").split())

    return words.partition(". ")[0].partition(" (")[0].rstrip(".")
