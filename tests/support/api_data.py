"""Somebody who wrote, for tests of the API: a person, a conversation, words, an experiment."""

from __future__ import annotations

from uuid import UUID

from agent.control.experiments import Experiment, Variant
from agent.web.console.services import Services
from storage.control.audit import Author
from storage.control.experiments.admin import ExperimentAdmin
from storage.transaction import transaction

PERSON = UUID("01920000-0000-7000-8000-000000000001")
CONVERSATION = UUID("01920000-0000-7000-8000-000000000002")
ACCOUNT = "discord:4711"
WORDS = "grey herons wade at dawn"
"""What nobody may see who may not read messages."""

EXPERIMENT = "trial"
ROOT = Author("root", "a test")

STATEMENTS = (
    "INSERT INTO users (id, person_id, channel_type, channel_user_id, username) "
    f"VALUES ('{PERSON}', '{PERSON}', 'discord', '4711', 'Grace')",
    "INSERT INTO conversations (id, user_id, channel_type, chat_id, asked, answered, "
    f"version, last_activity) VALUES ('{CONVERSATION}', '{PERSON}', 'discord', 'c1', 1, 2, "
    "2, now() + interval '1 minute')",
    "INSERT INTO messages (conversation_id, seq, id, role, content, user_id, timestamp) "
    f"SELECT '{CONVERSATION}', n, gen_random_uuid(), CASE n % 2 WHEN 1 THEN 'user' ELSE "
    f"'assistant' END, '{WORDS} ' || n, CASE n % 2 WHEN 1 THEN CAST('{PERSON}' AS uuid) END, "
    "now() + n * interval '1 second' FROM generate_series(1, 5) n",
)


async def somebody_wrote(services: Services) -> None:
    """Five messages of one conversation, and a drafted experiment."""
    async with transaction(services.stores.database) as connection:
        for statement in STATEMENTS:
            await connection.execute(statement)

    stores = services.stores
    admin = ExperimentAdmin(stores.database, stores.pipe, services.flags.check)
    variants = (Variant("a", 1, None), Variant("b", 1, False))
    trial = Experiment(
        EXPERIMENT,
        "replies",
        EXPERIMENT,
        variants,
        frozenset(),
        100.0,
        None,
        None,
        0.1,
    )
    await admin.create(trial, ROOT)
