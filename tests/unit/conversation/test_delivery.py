"""What happens to an answer that its platform does not take."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID, uuid4

import pytest

from agent import metrics
from agent.conversation.background import BackgroundTasks
from agent.conversation.delivery import sending
from agent.conversation.delivery.fence import DeliveryFence
from agent.conversation.delivery.order import AnswerOrder
from agent.conversation.delivery.recorder import DeliveryRecorder
from agent.conversation.delivery.sending import GIVE_UP, MAX_TAKES, Again, Delivery
from agent.core.errors import AnswerRefused, DeliveryError, NotHere, Undeliverable
from agent.core.messages import Address, Placed
from agent.core.turns import Ending, Undelivered
from channels.pacing import Governor, RateLimited

AWAY = DeliveryError("The platform is away.")
REFUSED = AnswerRefused("The platform does not take this text.")
GONE = Undeliverable("The chat is gone.")
MISTAKE = TypeError("'NoneType' object is not subscriptable")
MISTAKEN = (
    "The answer could not be sent (TypeError). The log says where that happened."
)

DAY = 86_400.0


class Broken:
    """A reply and its deliveries, where answers meet an error.

    Implements agent.ports.Reply, Deliveries and OpenTurns.
    """

    drafts_stand = False

    def __init__(self, error: Exception, *, times: int = 1_000_000) -> None:
        self._error = error
        self._times = times
        self.tries = 0
        self.closed: list[str | None] = []
        self.places: list[Placed] = []

    async def show(self, text: str) -> Placed | None:
        raise self._error

    async def finish(self, text: str) -> Placed:
        self.tries += 1
        if self.tries > self._times:
            return Placed(("m1",))
        raise self._error

    async def is_open(self, turn: UUID) -> bool:
        return True

    async def announce(self, turn: UUID) -> None:
        """Nothing is."""

    async def placed(self, turn: UUID, placed: Placed, *, late: bool = False) -> None:
        self.places.append(placed)

    async def done(
        self, endings: Sequence[Ending], *, failed: str | None = None
    ) -> None:
        self.closed += [failed] * len(endings)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "FIRST_PAUSE", 0.0)


async def send(
    broken: Broken,
    *,
    age: float = 0.0,
    attempts: int = 1,
    again: Again | None = None,
    drained: float = 5.0,
) -> None:
    """`again` would be made after a day, so that what is recorded before it shows."""
    background = BackgroundTasks()
    order = AnswerOrder(broken, limit_seconds=DAY)
    recorder = DeliveryRecorder(broken, order, background.spawn)
    address = Address("test", "ada")
    answer = Undelivered((uuid4(),), address, None, "hello", attempts, age)
    fence = DeliveryFence(trusted_seconds=DAY)
    delivery = Delivery(recorder, order, fence, limit_seconds=DAY)
    await delivery.send(broken, answer, again=again, again_in=DAY)
    await background.drain(drained)
    await background.cancel(1.0)


async def test_a_platform_that_is_away_is_waited_for_however_often_it_is_tried() -> (
    None
):
    broken = Broken(AWAY, times=20 * GIVE_UP)

    await send(broken)

    assert (20 * GIVE_UP + 1, [None]) == (broken.tries, broken.closed)


async def test_an_answer_that_is_too_old_is_given_up() -> None:
    broken = Broken(AWAY)

    await send(broken, age=DAY)

    assert (1, [AWAY.sentence]) == (broken.tries, broken.closed)


@pytest.mark.parametrize(
    ("error", "reason"), [(REFUSED, REFUSED.sentence), (MISTAKE, MISTAKEN)]
)
async def test_what_is_about_the_answer_itself_is_tried_so_often_and_no_more(
    error: Exception, reason: str
) -> None:
    """A mistake in a channel would otherwise be met again for as long as turns are kept."""
    broken = Broken(error)

    await send(broken)

    assert (GIVE_UP, [reason]) == (broken.tries, broken.closed)


async def test_a_chat_that_is_gone_is_tried_once() -> None:
    broken = Broken(GONE)

    await send(broken)

    assert (1, [GONE.sentence]) == (broken.tries, broken.closed)


async def test_what_another_instance_has_to_deliver_stays_open() -> None:
    broken = Broken(NotHere("It is for another terminal."))
    before = metrics.deliveries.values.get(("test", "later"), 0)

    await send(broken)

    assert (1, []) == (broken.tries, broken.closed)
    assert 1 == metrics.deliveries.values["test", "later"] - before


async def test_an_answer_over_which_instances_keep_ending_is_given_up() -> None:
    broken = Broken(AWAY)

    await send(broken, attempts=MAX_TAKES + 1)

    assert [AWAY.sentence] == broken.closed


async def test_an_answer_that_is_sent_once_more_is_known_until_then() -> None:
    """Its turn stays open: an instance that takes it over edits what stands there."""
    sound = Broken(AWAY, times=0)

    await send(sound, again=lambda placed: sound, drained=0.1)

    assert ([Placed(("m1",), pending=True)], []) == (sound.places, sound.closed)


class Limited(Broken):
    """A platform that names an hour once; each try comes half a minute after the one before."""

    def __init__(self) -> None:
        super().__init__(AWAY)
        self.now = 0.0
        self.calls: list[float] = []
        self._governor = Governor(clock=lambda: self.now)

    async def finish(self, text: str) -> Placed:
        self.tries += 1
        try:
            return await self._governor.final("chat", "route", self._send)
        finally:
            self.now += sending.LONGEST_PAUSE

    async def _send(self) -> Placed:
        self.calls.append(self.now)
        if len(self.calls) == 1:
            raise RateLimited(3600.0)

        return Placed(("m1",))


async def test_after_a_retry_after_of_an_hour_the_answer_arrives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No call is made under the penalty, and none of the tries counts."""
    monkeypatch.setattr(Governor.final, "__kwdefaults__", {"deadline": 0.01})
    limited = Limited()

    await send(limited)

    assert [None] == limited.closed
    assert 2 == len(limited.calls)
    assert 3600.0 <= limited.calls[1] <= 3600.0 + 2 * sending.LONGEST_PAUSE
    assert limited.tries > 10 * GIVE_UP
