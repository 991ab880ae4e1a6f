"""Libraries without what we never ask them for, and what they import wherever it is installed.

structlog, httpx and alembic import rich and pygments, to show colours: a tenth of a start, and
20 MB of a process. Whoever shows a screen still imports them. redis imports the metrics of
OpenTelemetry, which take as long.
"""

from __future__ import annotations

import sys
from importlib import import_module

NEEDLESS = ("rich", "pygments", "colorama", "opentelemetry.sdk.metrics")


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
