"""A channel's connection is spoken of once: at the start, when it is lost, when it is back."""

from __future__ import annotations

import asyncio
import logging

import pytest

from agent.core.errors import DeliveryError
from agent.logs import ANNOUNCEMENTS
from channels.connection import Connection, patiently

UP, DOWN, END, PAUSE = "up", "down", "end", "pause"
FIRST = "test: Connected as @bot."
LOST = "test: Not connected (It is away). It is tried again until it works."
BACK = "test: Connected again as @bot."

CASES = {
    "it connects": ([UP], [FIRST]),
    "every event says it": ([UP, UP, UP], [FIRST]),
    "a short gap is nobody's business": ([UP, DOWN, UP, PAUSE], [FIRST]),
    "a gap": ([UP, DOWN, PAUSE], [FIRST, LOST]),
    "a gap in which much is tried": (
        [UP, DOWN, DOWN, PAUSE, DOWN, PAUSE, DOWN, PAUSE],
        [FIRST, LOST],
    ),
    "it is back": ([UP, DOWN, PAUSE, UP, UP], [FIRST, LOST, BACK]),
    "two gaps": (
        [UP, DOWN, PAUSE, UP, DOWN, PAUSE, UP],
        [FIRST, LOST, BACK, LOST, BACK],
    ),
    "away at the start": ([DOWN, PAUSE, DOWN, UP], [LOST, FIRST]),
    "the run ends in a gap": ([UP, DOWN, END, PAUSE], [FIRST]),
    "the next run": ([UP, END, UP], [FIRST, FIRST]),
}


@pytest.mark.parametrize("name", CASES)
async def test_each_change_is_one_line(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    events, expected = CASES[name]
    caplog.set_level(logging.INFO, ANNOUNCEMENTS)
    connection = Connection("test", patience=0)
    connection.account = "@bot"

    for event in events:
        if event == UP:
            connection.established()
        elif event == DOWN:
            connection.lost("It is away.")
        elif event == END:
            connection.close()
        else:
            await asyncio.sleep(0.01)

    assert expected == [_sentence(record) for record in caplog.records]


async def test_what_a_step_repeats_is_heard_each_time_and_ends_with_success() -> None:
    outcomes: list[Exception | str] = [
        DeliveryError("It is away."),
        DeliveryError("It is away."),
        "done",
    ]
    heard: list[str] = []

    async def step() -> str:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome

        return outcome

    assert "done" == await patiently(step, 0.001, heard.append)
    assert ["It is away."] * 2 == heard


def _sentence(record: logging.LogRecord) -> str:
    return str(
        record.msg["event"] if isinstance(record.msg, dict) else record.getMessage()
    )
