"""Libraries without what they import to show colours, which we never ask them for.

structlog and httpx import rich and pygments, where these are installed: a tenth of a start, and
20 MB of a process. Whoever shows a screen still imports them.
"""

from __future__ import annotations

import sys
from importlib import import_module

COLOURS = ("rich", "pygments", "colorama")


def import_plainly(name: str) -> None:
    """Imports this module. It finds none of those for colours, unless they were imported before."""
    if name in sys.modules:
        return

    absent = [each for each in COLOURS if each not in sys.modules]
    modules: dict[str, object] = vars(sys)["modules"]
    modules.update(dict.fromkeys(absent))  # None: as if it were not installed
    try:
        import_module(name)
    finally:
        for each in absent:
            del modules[each]
