"""What happens to an answer that its platform does not take."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID, uuid4

import pytest

from agent.conversation import delivery
from agent.conversation.background import BackgroundTasks
from agent.conversation.delivery import GIVE_UP, DeliveryRecorder, deliver
from agent.core.errors import DeliveryError
from agent.core.messages import Placed

AWAY = DeliveryError("The platform is away.")
MISTAKE = TypeError("'NoneType' object is not subscriptable")
MISTAKEN = (
    "The answer could not be sent (TypeError). The log says where that happened."
)


class Broken:
    """A reply that always fails with the same error. Implements agent.ports.Reply and
    Deliveries.
    """

    def __init__(self, error: Exception) -> None:
        self._error = error
        self.closed: list[str | None] = []

    async def show(self, text: str) -> Placed | None:
        raise self._error

    async def finish(self, text: str) -> Placed:
        raise self._error

    async def placed(self, turn: UUID, placed: Placed) -> None:
        """Nothing is."""

    async def done(
        self,
        turns: Sequence[UUID],
        placed: Placed | None,
        *,
        failed: str | None = None,
    ) -> None:
        self.closed.append(failed)


@pytest.mark.parametrize(
    ("error", "reason"), [(AWAY, AWAY.sentence), (MISTAKE, MISTAKEN)]
)
async def test_an_answer_is_given_up_after_the_same_attempts_whatever_goes_wrong(
    monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    """Otherwise each sweep would meet a mistake in a channel again, as long as turns are kept."""
    monkeypatch.setattr(delivery, "FIRST_PAUSE", 0.0)
    broken = Broken(error)
    tasks = BackgroundTasks()
    endings = DeliveryRecorder(broken, tasks.spawn)

    for attempts in (GIVE_UP - 1, GIVE_UP):
        await deliver(
            endings, broken, [uuid4()], "hello", channel="test", attempts=attempts
        )

    await tasks.drain(5.0)

    assert [reason] == broken.closed
