"""What is known of messages that wait for an answer."""

from __future__ import annotations

from math import inf
from uuid import uuid4

import pytest

from agent.core.messages import Address, Window
from agent.core.turns import PARTS_SECONDS, Loaded, Waiting


@pytest.mark.parametrize(
    ("waiting", "seconds"),
    [
        ([], 0.0),
        ([("", 0.0)], 0.0),
        ([("album", inf)], 0.0),
        ([("album", PARTS_SECONDS + 1)], 0.0),
        ([("album", 0.25)], PARTS_SECONDS - 0.25),
        ([("album", 0.5), ("album", 0.25)], PARTS_SECONDS - 0.25),
        ([("album", 0.25), ("", 0.0)], PARTS_SECONDS - 0.25),
    ],
)
def test_the_rest_of_a_message_in_parts_is_waited_for_after_its_last_part(
    waiting: list[tuple[str, float]], seconds: float
) -> None:
    ones = tuple(
        Waiting(
            seq,
            uuid4(),
            Address("test", "ada"),
            uuid4(),
            "ada",
            part_of=part_of,
            age_seconds=age,
        )
        for seq, (part_of, age) in enumerate(waiting)
    )

    assert Loaded(Window(0, ()), ones).rest_seconds == seconds
