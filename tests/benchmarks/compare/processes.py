"""What processes used, as Linux counts it; elsewhere nothing is known."""

from __future__ import annotations

import os
import resource
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def own_cpu() -> float:
    """Seconds of CPU that this process used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def family_cpu(pid: int) -> float:
    """Seconds of CPU of a server, its processes, and those of them that ended."""
    own = _times(pid)
    children = Path(f"/proc/{pid}/task/{pid}/children")
    pids = children.read_text().split() if children.exists() else []

    return sum(own) + sum(sum(_times(int(child))[:2]) for child in pids)


def _times(pid: int) -> list[float]:
    """Its own user and system time, and that of its children that ended, in seconds."""
    try:
        line = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return [0.0] * 4

    fields = line.rpartition(")")[2].split()

    return [int(ticks) / _TICKS for ticks in fields[11:15]]
