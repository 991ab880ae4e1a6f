"""The ends of deliveries are recorded together, and each of them for certain."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID, uuid4

import pytest

from agent.conversation.background import BackgroundTasks
from agent.conversation.delivery import recorder
from agent.conversation.delivery.order import AnswerOrder
from agent.conversation.delivery.recorder import DeliveryRecorder
from agent.core.errors import StoreUnavailable
from agent.core.messages import Placed
from agent.core.turns import Ending

HERE = Placed(("m1",))
ONE, TWO, THREE = (uuid4() for _ in range(3))


class Recorded:
    """Implements agent.ports.Deliveries; what is closed together stands in one list."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)
        self.together: list[list[UUID]] = []

    async def is_open(self, turn: UUID) -> bool:
        return False

    async def announce(self, turn: UUID) -> None:
        """Nothing is."""

    async def placed(self, turn: UUID, placed: Placed, *, late: bool = False) -> None:
        """Nothing is."""

    async def done(
        self, endings: Sequence[Ending], *, failed: str | None = None
    ) -> None:
        if self._errors:
            raise self._errors.pop(0)
        self.together.append([turn for turns, _ in endings for turn in turns])


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "RECORD_PAUSE", 0.0)
    monkeypatch.setattr(recorder, "LINGER_SECONDS", 0.0)


async def record(deliveries: Recorded, *answers: tuple[UUID, ...]) -> set[UUID]:
    """All of them arrived. Returns which are not recorded in the end."""
    background = BackgroundTasks()
    order = AnswerOrder(deliveries, limit_seconds=1.0)
    under_test = DeliveryRecorder(deliveries, order, background.spawn)
    for turns in answers:
        under_test.record(turns, HERE)
    await background.drain(5.0)

    return under_test.lead_turns


async def test_what_ends_at_one_moment_is_recorded_together() -> None:
    deliveries = Recorded()

    assert set() == await record(deliveries, (ONE, TWO), (THREE,))
    assert [[ONE, TWO, THREE]] == deliveries.together


async def test_a_turn_is_at_most_once_in_a_statement() -> None:
    deliveries = Recorded()

    assert set() == await record(deliveries, (ONE,), (TWO, ONE), (THREE,))
    assert [[ONE], [TWO, ONE, THREE]] == deliveries.together


async def test_it_is_tried_until_postgres_is_back() -> None:
    deliveries = Recorded(StoreUnavailable(), StoreUnavailable())

    assert set() == await record(deliveries, (ONE,), (TWO,))
    assert [[ONE, TWO]] == deliveries.together


async def test_a_bad_one_takes_no_other_with_it() -> None:
    deliveries = Recorded(ValueError("one of them"))

    assert set() == await record(deliveries, (ONE,), (TWO,))
    assert [[ONE], [TWO]] == deliveries.together
