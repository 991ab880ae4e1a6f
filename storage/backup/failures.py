"""What can go wrong with disks and servers meanwhile, in one sentence each."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg

from agent.core.errors import ConfigurationError
from storage.connecting.postgres_errors import GONE, sentence_of
from storage.connecting.requirements import EXAMPLE
from storage.connecting.urls import UnreadableUrl

_FULL = (errno.ENOSPC, errno.EDQUOT)
_OF_DISKS = (*_FULL, errno.EFBIG)


@contextmanager
def told(path: Path, undone: str) -> Iterator[None]:
    """Raises ConfigurationError instead of what the disk at `path` or Postgres raises.

    `undone` is the end of the sentence: what did not happen.
    """
    try:
        yield
    except UnreadableUrl as error:
        raise ConfigurationError(f"The URL {error.reason}. {EXAMPLE}") from None
    except asyncpg.PostgresError as error:
        raise ConfigurationError(f"{_of_postgres(error)} {undone}") from error
    except OSError as error:
        # the driver's own errors of the network are among them
        if error.filename is None and error.errno not in _OF_DISKS:
            raise ConfigurationError(f"Postgres went away. {undone}") from error
        raise ConfigurationError(f"{_of_disk(path, error)} {undone}") from error
    except GONE as error:
        raise ConfigurationError(f"Postgres went away. {undone}") from error


def _of_postgres(error: asyncpg.PostgresError) -> str:
    if sentence := sentence_of(error):
        return sentence

    return (
        f"Postgres refused a statement ({type(error).__name__}); its log says more."
    )


def _of_disk(path: Path, error: OSError) -> str:
    if error.errno in _FULL:
        return f"The disk of {path} is full: make room on it, or name another path."
    if error.errno == errno.EFBIG:
        return (
            f"A file in {path} would be larger than this process may write: raise its limit "
            "(ulimit -f), or name another file system."
        )

    reason = error.strerror or type(error).__name__

    return f"{path} cannot be used ({reason}): name another path."
