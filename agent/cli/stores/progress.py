"""A bar for work that is counted in bytes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def bytes_done(
    label: str, total: int | None = None
) -> Iterator[Callable[[int], None]]:
    """On a terminal a bar on standard error, otherwise nothing.

    What is yielded takes the bytes done since the last time, also from another thread.
    """
    if not sys.stderr.isatty():
        yield lambda size: None
        return

    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    columns = (TextColumn(label), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total)
        yield lambda size: bar.advance(task, size)
