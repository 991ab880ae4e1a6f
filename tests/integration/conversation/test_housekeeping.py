"""The agent looks after its tables by itself."""

from __future__ import annotations

import pytest

from storage.conversation import housekeeping
from storage.conversation.housekeeping import tidy
from storage.postgres import open_database
from tests.support.engine_harness import EngineHarness, Instance
from tests.support.settings import run

TURNS = """
INSERT INTO turns (id, channel_type, chat_id, platform_message_id, state, created_at)
SELECT gen_random_uuid(), 'test', 'chat', n::text, $1, now() - make_interval(days => $2)
FROM generate_series(1, $3::int) n
"""

SESSIONS = """
INSERT INTO operator_sessions (id, token_hash, operator, csrf, origin, seen_at, ends_at)
SELECT gen_random_uuid(), csrf::bytea, 'ada', csrf, '', now() - idle, now() + rest
FROM (VALUES ('good', interval '1 min', interval '1 h'), ('idle', '61 min', '1 h'),
             ('over', '1 min', '-1 s')) t (csrf, idle, rest)
"""
INVITATIONS = """
INSERT INTO operator_invitations (token_hash, operator, purpose, ends_at)
VALUES ('a', 'ada', 'sign-in', now() + interval '1 h'),
       ('b', 'ada', 'password', now() - interval '1 s')
"""
TOKENS = """
INSERT INTO api_tokens (id, token_hash, operator, label, scope, ends_at, revoked_at)
SELECT gen_random_uuid(), label::bytea, 'ada', label, 'read', now() + rest, now() + revoked
FROM (VALUES ('good', interval '1 d', NULL::interval), ('lately', '-29 d', NULL),
             ('over', '-31 d', NULL), ('revoked', '9 d', '-31 d')) t (label, rest, revoked)
"""


async def test_all_closed_turns_past_their_use_go_however_many_and_no_others(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few in one transaction, but all within the hour: a busy agent makes many."""
    monkeypatch.setattr(housekeeping, "PRUNED_AT_ONCE", 10)
    for state, days, count in (
        ("done", 31, 25),
        ("failed", 31, 10),
        ("open", 31, 2),
        ("done", 29, 3),
    ):
        await run(database_url, TURNS, state, days, count)

    async with open_database(database_url) as database:
        await tidy(database)
    left = await run(
        database_url,
        "SELECT state, count(*) FROM turns GROUP BY state ORDER BY state",
    )

    assert [("done", 3), ("open", 2)] == [tuple(row) for row in left]


async def test_what_a_command_said_is_forgotten_once_nobody_delivers_it_again(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`/history` quotes a conversation; the turn stays, so that no delivery is new."""
    monkeypatch.setattr(housekeeping, "PRUNED_AT_ONCE", 2)
    for state, days, count in (("done", 1, 5), ("open", 1, 1), ("done", 0, 1)):
        await run(database_url, TURNS, state, days, count)
    await run(database_url, "UPDATE turns SET reply = 'You said: hello'")

    async with open_database(database_url) as database:
        await tidy(database)
    left = await run(
        database_url,
        "SELECT reply, count(*) FROM turns GROUP BY reply ORDER BY reply",
    )

    assert [("", 5), ("You said: hello", 2)] == [tuple(row) for row in left]


async def test_a_link_code_is_nowhere_in_plain(
    world: EngineHarness, agent: Instance, database_url: str
) -> None:
    """The person has it; the database has its hash alone."""
    await agent.engine.accept(world.message("/link"))
    await world.platform.until(lambda: bool(world.platform.screen("ada")))
    [shown] = world.platform.screen("ada")
    code = shown.rpartition("/link ")[2].strip("`")
    rows = await run(database_url, "SELECT t::text FROM turns t")

    assert len(code) == 8
    assert rows
    assert not any(code in str(row[0]) for row in rows)


async def test_what_lets_no_operator_in_any_more_goes(database_url: str) -> None:
    """Whether anybody signs in or not. A token that ended lately is still listed."""
    for statement in (
        "INSERT INTO operators (name, role) VALUES ('ada', 'admin')",
        SESSIONS,
        INVITATIONS,
        TOKENS,
    ):
        await run(database_url, statement)
    async with open_database(database_url) as database:
        await tidy(database)

    left = await run(
        database_url,
        "SELECT csrf FROM operator_sessions UNION ALL"
        " SELECT purpose FROM operator_invitations UNION ALL"
        " SELECT label FROM api_tokens ORDER BY 1",
    )

    assert ["good", "good", "lately", "sign-in"] == [row[0] for row in left]
