"""Most of a start is imports: libraries without what we never ask them for, and modules of ours
that are imported when they are needed.

structlog, httpx and alembic import rich and pygments, to show colours: a tenth of a start, and
20 MB of a process. Whoever shows a screen still imports them. redis imports the metrics of
OpenTelemetry, which take as long; redis and telegram import cryptography (8 MB) for what is not
used here. Where something is sealed, it is imported then.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")

NEEDLESS = (
    "rich",
    "pygments",
    "colorama",
    "opentelemetry.metrics",
    "opentelemetry.sdk",
    "cryptography",
)


def import_plainly(name: str) -> None:
    """Imports this module. It finds none of those, unless they were imported before."""
    if name in sys.modules:
        return

    absent = [each for each in NEEDLESS if each not in sys.modules]
    modules: dict[str, object] = vars(sys)["modules"]
    modules.update(dict.fromkeys(absent))  # None: as if it were not installed
    try:
        import_module(name)
    finally:
        for each in absent:
            del modules[each]


def on_demand(make: Callable[[], T]) -> T:
    """Stands for what `make` makes, and makes it when it is first asked for something."""
    return cast("T", _OnDemand(cache(make)))


class _OnDemand(Generic[T]):
    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make

    def __getattr__(self, name: str) -> Any:
        return getattr(self._make(), name)
