"""`agent serve` in forks of a process that has imported it, some of them changed on purpose.

`python -m tests.chaos.harness.serve` reads one JSON document a line (folder, environment,
log, changes), forks an agent for each and prints its pid. All agents end with this process,
and it ends with its standard input.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import importlib
import json
import os
import pkgutil
import random
import signal
import sys
from collections.abc import Callable, Mapping
from functools import partial
from importlib.metadata import entry_points
from typing import Any, NoReturn, cast

DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG, prctl(2)
LATE_SECONDS = 3.0

HASTE = {"fast clock": 3.0, "racing clock": 10.0}
"""How many times faster an agent's clock goes with this change."""


def no_take_over() -> None:
    """A mutant: what a dead instance left stays there."""
    from storage.conversation.leases import PostgresLeases

    async def nothing(self: object) -> list[Any]:
        return []

    PostgresLeases.take_over = nothing  # type: ignore[method-assign]


def no_fence() -> None:
    """A mutant: an answer is stored whoever has the claim, and no heartbeat says that it is
    lost.
    """
    from agent.conversation.active_answer import ActiveAnswer, CancelReason
    from storage.conversation import STATEMENTS

    fenced = STATEMENTS["answer"]
    statements = cast(dict[str, str], STATEMENTS)
    statements["answer"] = fenced.replace(" AND c.answering = input.fence", "")
    assert STATEMENTS["answer"] != fenced
    cancel = ActiveAnswer.cancel

    def deaf(self: ActiveAnswer, reason: CancelReason) -> None:
        if reason is not CancelReason.LEASE_LOST:
            cancel(self, reason)

    ActiveAnswer.cancel = deaf  # type: ignore[method-assign]


def late_records() -> None:
    """A mutant: that a draft is coming, and where it stands, is recorded seconds later, whoever
    waits for it.
    """
    from storage.conversation import STATEMENTS
    from storage.postgres import PinnedConnection

    fetch, kept = PinnedConnection.fetch, set()

    async def later(
        self: PinnedConnection, sql: str, *args: Any, **options: Any
    ) -> Any:
        await asyncio.sleep(LATE_SECONDS)
        return await fetch(self, sql, *args, **options)

    async def fetch_late(
        self: PinnedConnection, sql: str, *args: Any, **options: Any
    ) -> Any:
        if sql not in (STATEMENTS["announce"], STATEMENTS["placed"]):
            return await fetch(self, sql, *args, **options)
        task = asyncio.create_task(later(self, sql, *args, **options))
        kept.add(task)
        task.add_done_callback(kept.discard)
        return []

    PinnedConnection.fetch = fetch_late  # type: ignore[method-assign]


def hurried(times: float) -> None:
    """A faster clock: leases, heartbeats and routine sweeps follow each other that many
    times sooner.
    """
    from agent import app
    from agent.conversation import engine
    from agent.conversation.delivery import sending

    lease, beat = 5.0 / times, 1.0 / times
    replaced: dict[str, Any] = vars(app)
    replaced["wire"] = partial(replaced["wire"], lease=lease)
    replaced["Options"] = partial(
        replaced["Options"], lease_seconds=lease, beat_seconds=beat
    )
    engine.SWEEP_EVERY_BEATS = 5
    sending.FIRST_PAUSE = sending.FIRST_PAUSE / times
    sending.LONGEST_PAUSE = sending.LONGEST_PAUSE / times


def quick_pace(times: float) -> None:
    """Platforms take messages that many times faster than the real ones do."""
    from channels.pacing import Governor, Rate

    def quicker(rate: Rate | None) -> Rate | None:
        return rate and Rate(rate.count, rate.seconds / times)

    begin = Governor.__init__

    def scaled(
        self: Governor,
        *,
        chat: Rate | None = None,
        bot: Rate | None = None,
        **more: Any,
    ) -> None:
        begin(self, chat=quicker(chat), bot=quicker(bot), **more)

    Governor.__init__ = scaled  # type: ignore[method-assign]


def short_deadlines() -> None:
    """What waits for a platform's penalty gives up after seconds instead of ten minutes."""
    from channels.pacing import Governor

    assert Governor.final.__kwdefaults__ is not None
    Governor.final.__kwdefaults__["deadline"] /= 200.0


CHANGES: Mapping[str, Callable[[], None]] = {
    "no take_over": no_take_over,
    "no fence": no_fence,
    "late records": late_records,
    **{name: partial(hurried, times) for name, times in HASTE.items()},
    "quick pace": partial(quick_pace, 10.0),
    "short deadlines": short_deadlines,
}


def main() -> None:
    """Forks agents until standard input ends."""
    for name in ("agent", "storage", "channels"):
        package = importlib.import_module(name)
        for module in pkgutil.walk_packages(package.__path__, f"{name}."):
            importlib.import_module(module.name)
    gc.freeze()
    signal.signal(
        signal.SIGCHLD, signal.SIG_IGN
    )  # an agent that ends is forgotten at once
    print("ready", flush=True)
    for line in sys.stdin:
        order, parent = json.loads(line), os.getpid()
        pid = os.fork()
        if pid == 0:
            ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGKILL)
            if os.getppid() == parent:
                become(order)
            os._exit(1)
        print(pid, flush=True)


def become(order: Mapping[str, Any]) -> NoReturn:
    """From here on this is `agent serve`, changed as ordered."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _redirect(order["log"])
    os.chdir(order["folder"])
    os.environ.clear()
    os.environ.update(order["environment"])
    random.seed()
    for name in order["changes"]:
        CHANGES[name]()

    [agent] = entry_points(group="console_scripts", name="agent")
    sys.argv = ["agent", "serve"]
    try:
        agent.load()()
    except SystemExit as end:
        os._exit(int(end.code or 0))
    os._exit(1)


def _redirect(log: str) -> None:
    """Nothing comes in; what is logged goes to a file."""
    nothing = os.open(os.devnull, os.O_RDWR)
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for stream, target in enumerate((nothing, nothing, file)):
        os.dup2(target, stream)
    os.closerange(3, max(nothing, file) + 1)


if __name__ == "__main__":
    main()
