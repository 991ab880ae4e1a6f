"""System prompts that answers were given under, each kept once."""

from __future__ import annotations

from datetime import UTC, date, datetime
from functools import cached_property
from hashlib import sha256

import structlog

from agent.core.errors import AgentError
from agent.core.text import storable
from storage.people import STATEMENTS
from storage.postgres import Database, PinnedConnection

DIGEST_CHARS = 32

log = structlog.get_logger()


class SystemPrompts:
    """Keeps texts beside turns: no answer waits for it."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._kept: dict[str, date] = {}
        """By hash, the day on which it was last noted that it is used."""

    def note(self, prompt: str) -> str:
        """The text is kept soon, if it is not yet. Returns its hash, which answers name."""
        digest = sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest()
        digest = digest[:DIGEST_CHARS]
        today = datetime.now(UTC).date()
        if self._kept.get(digest) != today:
            self._kept[digest] = today
            self._database.spawn(self._keep(digest, storable(prompt)))

        return digest

    @cached_property
    def _line(self) -> PinnedConnection:
        """Asked for last, so that no turn has to share for it."""
        return self._database.line()

    async def _keep(self, digest: str, prompt: str) -> None:
        try:
            await self._line.fetch(STATEMENTS["keep_prompt"], digest, prompt)
        except AgentError as error:
            # the next answer under it tries again
            self._kept.pop(digest, None)
            log.warning(f"a system prompt is not kept yet: {error.sentence}")
