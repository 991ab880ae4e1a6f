"""What operators set for a person, or where they named one."""

from __future__ import annotations

import re
from collections.abc import Collection

from agent.control.rules import chat_scope, person_scope
from storage.connecting.connection import Connection
from storage.lifecycle import STATEMENTS
from storage.lifecycle.conversations import all_names
from storage.lifecycle.jobs import Job
from storage.lifecycle.wording import INSTEAD, names_pattern

NOBODY = "00000000-0000-0000-0000-000000000000"
"""Stands for the person where an audience cannot be empty."""


async def erase_settings(connection: Connection, job: Job) -> None:
    """Rules, audiences, lists, budgets, names in prompts. The caller holds the epoch."""
    own = [(channel, chat) for channel, chat, is_own in job.places if is_own]
    direct = [(account.channel, account.name) for account in job.accounts]
    scopes = [person_scope(job.person)]
    scopes += [chat_scope(*place) for place in {*own, *direct}]
    await connection.execute(STATEMENTS["erase_rules"], {"scopes": scopes})
    await _erase_from_named_rules(connection, job, {*own, *direct})

    pattern = {"pattern": re.escape(str(job.person)), "instead": NOBODY}
    await connection.execute(STATEMENTS["erase_from_experiments"], pattern)

    for account in job.accounts:
        values = {"channel": account.channel, "account": account.name}
        await connection.execute(STATEMENTS["erase_from_allow"], values)

    if names := names_pattern(all_names(job)):
        values = {"pattern": names, "instead": INSTEAD}
        await connection.execute(STATEMENTS["remove_names_from_prompts"], values)

    await erase_budgets(connection, job)


async def erase_budgets(connection: Connection, job: Job) -> None:
    """Of days and of months. Calls that were under way may have counted once more since."""
    person = {"person": str(job.person)}
    await connection.execute(STATEMENTS["erase_budgets"], person)


async def _erase_from_named_rules(
    connection: Connection, job: Job, own: Collection[tuple[str, str]]
) -> None:
    person = {"person": str(job.person)}
    await connection.execute(STATEMENTS["erase_from_named_rules"], person)
    for channel, chat in own:
        values = {"channel": channel, "chat": chat}
        await connection.execute(STATEMENTS["erase_named_rules_of_chat"], values)
