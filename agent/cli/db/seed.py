"""`agent db seed`: made-up people and messages, with a progress bar."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import TYPE_CHECKING

from msgspec.structs import asdict

from agent.cli.change import ChangeOptions, confirm
from agent.cli.options import author
from agent.cli.output import show_json, tell
from agent.cli.run import WELL, Command
from agent.core.errors import SchemaError
from agent.core.remedies import Run

if TYPE_CHECKING:
    from agent.settings import Settings
    from storage.control.audit import Author
    from storage.migrate.seed import Seeded


def seeding(
    people: int, messages: int, months: int, options: ChangeOptions, *, force: bool
) -> Command:
    """Makes so many of them."""

    async def work(settings: Settings) -> int:
        from agent.operations.connect import reach_postgres
        from storage.migrate.seed import Seeded, sow

        by = author(settings, options.as_, options.reason)
        async with reach_postgres(settings) as postgres:
            if postgres.found is not None:
                postgres.found.check_may_create()
            await _check(postgres.url, by, force=force)
            confirm(f"This adds {messages:,} made-up messages. Do it?", options)
            began = time.monotonic()
            with _bar(messages) as advance:
                wanted = Seeded(people, 0, messages)
                made = await sow(
                    postgres.url,
                    wanted,
                    months,
                    by,
                    advance,
                    Random(),  # noqa: S311
                )

        _show("made", made, time.monotonic() - began, as_json=options.as_json)

        return WELL

    return work


def cleaning(options: ChangeOptions, *, force: bool) -> Command:
    """Removes all of them."""

    async def work(settings: Settings) -> int:
        from agent.operations.connect import reach_postgres
        from storage.migrate.seed import clean, count

        by = author(settings, options.as_, options.reason)
        async with reach_postgres(settings) as postgres:
            await _check(postgres.url, by, force=force)
            conversations = await count(postgres.url)
            question = f"This removes {conversations:,} made-up conversations. Do it?"
            confirm(question, options)
            began = time.monotonic()
            with _bar(None) as advance:
                removed = await clean(postgres.url, by, advance)

        _show("removed", removed, time.monotonic() - began, as_json=options.as_json)

        return WELL

    return work


async def _check(url: str, by: Author, *, force: bool) -> None:
    """Raises ConfigurationError when it is not possible, not for this author, or not now."""
    from storage.migrate.seed import check_may_seed
    from storage.migrate.version import HEAD, current_revision

    if await current_revision(url) != HEAD:
        raise SchemaError(
            "The schema is not that of this version. Run: agent db upgrade"
        )

    again = None if force else Run("db seed", "does it all the same", consent="force")
    await check_may_seed(url, by, again)


@contextmanager
def _bar(total: int | None) -> Iterator[Callable[[int], object]]:
    """Shown on a terminal only; called with how many messages more are done."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TimeElapsedColumn,
    )

    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=total)
        yield lambda done: bar.advance(task, done)


def _show(verb: str, done: Seeded, seconds: float, *, as_json: bool) -> None:
    if as_json:
        show_json({**asdict(done), "seconds": round(seconds, 1)})
    else:
        tell(
            f"{verb} {done.people:,} people, {done.conversations:,} conversations and "
            f"{done.messages:,} messages in {seconds:.1f} s"
        )
