"""The settings of backups."""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings

_HOME = re.compile(r"^\$(?:HOME|\{HOME\})(?=/|$)")


class BackupVariables(BaseSettings):
    """A part of `Settings`."""

    backup_dir: Path | None = Field(
        default=None,
        description="Folder for backups, best on another disk. Unset: `backups` in `AGENT_HOME`.",
    )
    backup_every: float | None = Field(
        default=None,
        ge=0.1,
        le=8760,
        description="Hours, at least 0.1, between two backups that `agent serve` makes by "
        "itself, on one instance at a time. Unset: it makes none.",
    )
    backup_keep: int = Field(
        default=7,
        ge=1,
        le=10_000,
        description="How many of these are kept. An old one is removed only after a new one is "
        "whole; those of `agent backup create` stay.",
    )

    @field_validator("agent_home", "backup_dir", mode="after", check_fields=False)
    @classmethod
    def _at_home(cls, value: Path | None) -> Path | None:
        """Files of variables are read by no shell, which would know what `$HOME` is."""
        try:
            return value and Path(_HOME.sub("~", str(value))).expanduser()
        except RuntimeError:
            raise ValueError(
                "it begins with the home folder of a user who does not exist"
            ) from None
