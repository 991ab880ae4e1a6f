"""JSON as no specification has it: fields missing, null, added and of other types."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Sequence
from typing import Any

Path = tuple[str | int, ...]

ODD: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    7,
    -1,
    2**70,
    -1.5,
    "",
    "abc",
    "a\0b",
    "\ud800",
    [],
    [None],
    ["x"],
    {},
    {"id": None},
    {"x": {"y": []}},
)


def places(value: Any, path: Path = ()) -> Iterator[Path]:
    """Every place in this JSON."""
    pairs: Any = ()
    if isinstance(value, dict):
        pairs = value.items()
    elif isinstance(value, list):
        pairs = enumerate(value)

    for key, inner in pairs:
        yield (*path, key)
        yield from places(inner, (*path, key))


def mutated(
    value: dict[str, Any],
    chance: random.Random,
    names: Sequence[str],
) -> tuple[dict[str, Any], set[Path]]:
    """A copy that is odd in one to four places, and these places. Fields that are added
    have one of `names`, which the platform also uses.
    """
    odd = copy.deepcopy(value)
    touched: set[Path] = set()
    for _ in range(chance.choice((1, 1, 2, 3, 4))):
        path = chance.choice([(), *places(odd)])
        touched.add(_touch(odd, path, chance, names))

    return odd, touched


def _touch(
    value: Any,
    path: Path,
    chance: random.Random,
    names: Sequence[str],
) -> Path:
    inner = value
    for key in path[:-1]:
        inner = inner[key]

    here = inner[path[-1]] if path else inner
    if isinstance(here, dict) and (not path or chance.random() < 0.3):
        name = chance.choice(names)
        here[name] = copy.deepcopy(chance.choice(ODD))
        return (*path, name)

    if chance.random() < 0.3 and isinstance(inner, dict):
        del inner[path[-1]]
    else:
        inner[path[-1]] = copy.deepcopy(chance.choice(ODD))

    return path


def spares(touched: set[Path], needed: set[Path]) -> bool:
    """Whether none of what is needed was touched, nor anything around it."""
    return not any(path[: len(odd)] == odd for odd in touched for path in needed)
