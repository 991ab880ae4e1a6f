"""People in an experiment, as the agent would have recorded them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from agent.control.experiments import Experiment, Variant, definition_of
from agent.reports.experiment import Figures
from storage.postgres import connect
from storage.reports.experiment_figures import experiment_figures
from tests.support.settings import run

BEGUN = datetime.now(UTC) - timedelta(hours=6)
NAME = "shorter"
VARIANTS = (Variant("control", 1), Variant("short", 1, "Be brief."))

INSERT_EXPERIMENT = (
    "INSERT INTO experiments (name, definition, started_at, "
    "ended_at) VALUES ($1, $2, $3, $4)"
)
_USER = "INSERT INTO users (id, person_id, channel_type, channel_user_id) VALUES ($1, $1, $2, $3)"
_MESSAGE = """
INSERT INTO messages (conversation_id, "timestamp", seq, id, role, content, user_id,
                      prompt_tokens, token_count, cost_usd, latency_ms, metadata)
VALUES (gen_random_uuid(), $1, 1, $2, $3, '', $4, $5, $6, $7, $8, $9)
"""
_VOTE = """
WITH chat AS (
    INSERT INTO conversations (id, user_id, channel_type, chat_id)
    VALUES ($2, $2, 'discord', $2::uuid::text)
    RETURNING id
)
INSERT INTO votes (message_id, user_id, conversation_id, thumb) SELECT $1, $2, id, $3 FROM chat
"""


@dataclass
class ExperimentData:
    """What the agent would have written; `store` writes it."""

    database_url: str
    users: list[tuple[Any, ...]] = field(default_factory=list)
    messages: list[tuple[Any, ...]] = field(default_factory=list)
    votes: list[tuple[Any, ...]] = field(default_factory=list)

    async def experiment(
        self, name: str = NAME, variants: tuple[Variant, ...] = VARIANTS, **more: Any
    ) -> None:
        started = more.pop("started", BEGUN)
        ended = more.pop("ended", None)
        definition = definition_of(
            Experiment(name, "system_prompt", name, variants, **more)
        )
        await run(
            self.database_url,
            INSERT_EXPERIMENT,
            name,
            json.dumps(definition),
            started,
            ended,
        )

    def person(self, channel: str = "discord") -> UUID:
        person = uuid4()
        self.users.append((person, channel, str(person)))

        return person

    def reply(
        self,
        person: UUID,
        variant: str,
        *,
        experiment: str = NAME,
        tokens: int = 10,
        latency: int = 1_000,
        cost: str | None = "0.01",
        at: datetime | None = None,
        **metadata: Any,
    ) -> UUID:
        """An answer, unless `notice`. Defaults: 0.01 USD, 5 + 10 tokens, one second."""
        noted = {
            "epoch": 7,
            "variants": {experiment: variant},
            "person": str(person),
            **metadata,
        }
        identifier = uuid4()
        when = at or BEGUN + timedelta(minutes=1)
        self.messages.append(
            (
                when,
                identifier,
                "assistant",
                None,
                5,
                tokens,
                cost,
                latency,
                json.dumps(noted),
            )
        )

        return identifier

    def retry(self, account: UUID, **metadata: Any) -> None:
        when = BEGUN + timedelta(minutes=1)
        noted = json.dumps({"retry": True, **metadata})
        self.messages.append(
            (when, uuid4(), "user", account, None, None, None, None, noted)
        )

    def vote(self, answer: UUID, thumb: int) -> None:
        self.votes.append((answer, self.person(), thumb))

    async def store(self) -> None:
        connection = await connect(self.database_url)
        for sql, rows in (
            (_USER, self.users),
            (_MESSAGE, self.messages),
            (_VOTE, self.votes),
        ):
            await connection.executemany(sql, rows)
            rows.clear()

        await connection.close()

    async def figures(self) -> Figures:
        await self.store()
        return await experiment_figures(self.database_url, NAME)
