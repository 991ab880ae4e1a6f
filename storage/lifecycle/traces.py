"""What is left of a person outside Postgres: keys in Redis, and files of this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from storage.lifecycle.jobs import Job
from storage.redis import RedisPipe

AT_ONCE = 1000
TERMINAL = "terminal"


def as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


async def forget_keys(pipe: RedisPipe, job: Job) -> None:
    """Removes every key that names the person, and the windows that held their words.

    Raises redis-py's errors and OSError.
    """
    windows = [f"context:conv:{each}" for each in job.conversations]
    for start in range(0, len(windows), AT_ONCE):
        await pipe.client.delete(*windows[start : start + AT_ONCE])
    for account in job.accounts:
        await pipe.client.delete(f"session:{account.channel}:{account.name}")
        # another type stands there after versions before this one
        await pipe.client.eval(
            "if redis.call('TYPE', KEYS[1]).ok == 'zset' then "
            "return redis.call('ZREM', KEYS[1], ARGV[1]) end return 0",
            1,
            f"active:{account.channel}",
            account.name,
        )

    names = tuple(_names(job))
    keys = pipe.client.scan_iter(match="rate:*", count=AT_ONCE)
    found = [key async for key in keys if any(name in key + b":" for name in names)]
    for start in range(0, len(found), AT_ONCE):
        await pipe.client.delete(*found[start : start + AT_ONCE])


def _names(job: Job) -> Iterator[bytes]:
    """How a counter of a limit or of a pace names the person, between colons."""
    yield f":{job.person}:".encode()
    for account in job.accounts:
        yield f":{account.channel}:{account.name}:".encode()
    for channel, chat, own in job.places:
        if own:
            yield f":{channel}:{chat}:".encode()
            yield f":{chat}:".encode()


def forget_files(home: Path | None, job: Job) -> None:
    """What a person typed in this machine's terminal."""
    if home is not None and any(one.channel == TERMINAL for one in job.accounts):
        (home / TERMINAL / "history").unlink(missing_ok=True)
