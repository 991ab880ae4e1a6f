"""What every store tells of the answer that the next one of its chat has to wait for."""

from __future__ import annotations

import pytest

from agent.core.messages import Placed
from agent.core.turns import Accepted, Answer, Claim, StoredAnswer
from tests.contract.conftest import (
    Stores,
    answer_to,
    claimed,
    inbound,
    new_turn,
    waits,
)

HERE = Placed(("m1",))
ONE = inbound("one").turn_id


async def answered(stores: Stores, *texts: str) -> Claim:
    """These messages are answered together by one instance; the answer is on its way."""
    claim = await claimed(stores.one, texts[0])
    for text in texts[1:]:
        await waits(stores.one, text)
    await stores.one.turns.answer(_first(answer_to(claim, len(texts)), texts[0]))

    return claim


def _first(answer: Answer, text: str) -> Answer:
    return Answer(
        answer.claim,
        answer.next_fence,
        answer.message_id,
        answer.answers,
        answer.content,
        first_turn=inbound(text).turn_id,
    )


async def accepted(stores: Stores, text: str) -> Accepted:
    verdict = await stores.other.turns.accept(new_turn(inbound(text)))
    assert verdict is not None

    return verdict


async def test_the_next_message_tells_the_first_turn_of_an_answer_on_its_way(
    stores: Stores,
) -> None:
    claim = await answered(stores, "one", "two")
    following = await accepted(stores, "three")
    loaded = await stores.other.turns.load(claim.conversation)

    assert (ONE, ONE) == (following.previous, loaded.previous)
    assert following.claim is not None
    assert await stores.other.deliveries.is_open(ONE)


async def test_a_message_that_waits_is_told_nothing_yet(stores: Stores) -> None:
    await answered(stores, "one")
    await accepted(stores, "two")
    waiting = await accepted(stores, "three")

    assert (None, None) == (waiting.claim, waiting.previous)


@pytest.mark.parametrize("failed", [None, "The chat is gone."])
async def test_an_answer_that_arrived_or_never_will_is_not_waited_for(
    stores: Stores, failed: str | None
) -> None:
    claim = await answered(stores, "one")
    placed = None if failed else HERE
    await stores.one.deliveries.done([([ONE], placed)], failed=failed)
    following = await accepted(stores, "two")
    loaded = await stores.other.turns.load(claim.conversation)

    assert (None, None) == (following.previous, loaded.previous)
    assert not await stores.other.deliveries.is_open(ONE)


async def test_what_covers_nothing_leaves_the_answer_before_it_the_last(
    stores: Stores,
) -> None:
    claim = await answered(stores, "one")
    following = await accepted(stores, "two")
    assert following.claim is not None
    await stores.other.turns.answer(answer_to(following.claim, 2, ""))

    assert ONE == (await stores.one.turns.load(claim.conversation)).previous


async def test_answers_that_are_taken_over_know_the_one_before_them(
    stores: Stores,
) -> None:
    claim = await claimed(stores.one, "one")
    two = await waits(stores.one, "two")
    stored = await stores.one.turns.answer(_first(answer_to(claim, 1), "one"))
    assert isinstance(stored, StoredAnswer)
    assert stored.next_claim is not None
    await stores.one.turns.answer(_first(answer_to(stored.next_claim, 2), "two"))

    await stores.let_pass(6)
    taken = await stores.other.recovery.take_deliveries()

    assert {(ONE,): None, (two,): ONE} == {
        each.turns: each.previous for each in taken
    }
