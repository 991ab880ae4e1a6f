"""Only what everybody in a conversation agreed to is training data."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from storage.lifecycle.training import masked, training_lines
from tests.support.commands import Machine
from tests.support.engine_harness import EngineHarness, Instance

EPOCH = datetime(2020, 1, 1, tzinfo=UTC)


async def said(
    world: EngineHarness,
    agent: Instance,
    text: str,
    chat: str,
    user: str | None = None,
) -> None:
    message = world.message(text, chat=chat, user=user)
    await agent.engine.accept(message)
    await world.platform.until(lambda: world.platform.finished[message.turn_id] > 0)


async def test_a_conversation_goes_in_only_if_everybody_agreed(
    world: EngineHarness, agent: Instance
) -> None:
    await said(world, agent, "/consent on", "ada")
    await said(world, agent, "my key is sk-abcdefghijklmnopqrstuv", "ada")
    await said(world, agent, "mine alone", "bob")
    await said(world, agent, "for all of us", "g", "ada")
    await said(world, agent, "not for them", "g", "bob")
    lines = [line async for line in training_lines(agent.database, EPOCH)]

    expected = [
        {"role": "user", "content": "my key is [secret]"},
        {"role": "assistant", "content": "re: my key is [secret]"},
    ]
    assert [{"messages": expected}] == [json.loads(line) for line in lines]
    assert [] == [x async for x in training_lines(agent.database, EPOCH, "other")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("see https://ada:hush@example.org/x", "see https://[secret]@example.org/x"),
        ("ghp_0123456789abcdefghij0123", "[secret]"),
        ("mail ada@example.org now", "mail [secret] now"),
        ("card 4111 1111 1111 1111.", "card [secret]."),
        ("password: hunter2 ok", "password:[secret] ok"),
        ("in 2026 there were 12 of 365", "in 2026 there were 12 of 365"),
    ],
)
def test_what_looks_like_a_secret_is_masked(text: str, expected: str) -> None:
    assert expected == masked(text)


async def test_a_moment_that_is_none_is_one_sentence(machine: Machine) -> None:
    ended = await machine.agent("export", "training", "--since", "soon", "out.jsonl")

    assert (2, 1) == (ended.status, ended.err.count("\n"))
    assert "A moment looks like" in ended.err
