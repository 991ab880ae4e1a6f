"""What every store of deliveries promises."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from agent.core.messages import Placed, delivered
from agent.core.turns import Ending, StoredAnswer, Undelivered
from tests.contract.conftest import Stores, answer_to, claimed, inbound, waits

HERE = Placed(("m1", "m2"), {"stream": "17"})


async def undelivered(stores: Stores, text: str = "one") -> None:
    """A stored answer whose instance died before it was delivered."""
    claim = await claimed(stores.one, text)
    await stores.one.turns.answer(answer_to(claim, 1))


async def found(stores: Stores) -> list[Undelivered]:
    """What another instance takes up a while later."""
    await stores.let_pass(6)
    return list(await stores.other.recovery.take_deliveries())


def ageless(answer: Undelivered) -> Undelivered:
    """The same, whenever it was stored and whatever came before it."""
    return replace(answer, age_seconds=0.0, previous=None)


async def test_what_stands_on_the_platform_is_known_before_the_answer_is_stored(
    stores: Stores,
) -> None:
    claim = await claimed(stores.one, "one")
    await stores.one.deliveries.placed(inbound("one").turn_id, HERE)
    (waiting,) = (await stores.other.turns.load(claim.conversation)).waiting

    assert waiting.placed == HERE


async def test_the_last_place_counts(stores: Stores) -> None:
    claim = await claimed(stores.one, "one")
    for placed in (Placed(("m0",)), HERE):
        await stores.one.deliveries.placed(inbound("one").turn_id, placed)
    (waiting,) = (await stores.other.turns.load(claim.conversation)).waiting

    assert waiting.placed == HERE


async def test_an_answer_nobody_delivered_is_found_with_its_place(
    stores: Stores,
) -> None:
    await undelivered(stores)
    await stores.one.deliveries.placed(inbound("one").turn_id, HERE)
    message = inbound("one")

    assert [ageless(each) for each in await found(stores)] == [
        Undelivered((message.turn_id,), message.address, HERE, "fine", 1)
    ]


@pytest.mark.parametrize("failed", [None, "The chat is gone."])
async def test_a_closed_turn_is_never_delivered_again(
    stores: Stores, failed: str | None
) -> None:
    await undelivered(stores)
    await stores.one.deliveries.done(
        [([inbound("one").turn_id], HERE)], failed=failed
    )

    assert await found(stores) == []


async def test_a_turn_is_closed_only_once(stores: Stores) -> None:
    await undelivered(stores)
    await asyncio.gather(
        stores.one.deliveries.done([([inbound("one").turn_id], HERE)]),
        stores.other.deliveries.done([([inbound("one").turn_id], HERE)]),
    )

    assert await found(stores) == []


async def test_all_turns_of_an_answer_are_closed_together(stores: Stores) -> None:
    claim = await claimed(stores.one, "one")
    turns = [inbound("one").turn_id, await waits(stores.one, "two")]
    await stores.one.turns.answer(answer_to(claim, 2))
    await stores.one.deliveries.done([(turns, HERE)])

    assert await found(stores) == []


async def test_answers_of_many_chats_are_closed_together(stores: Stores) -> None:
    endings: list[Ending] = []
    for name in ("ada", "bob"):
        claim = await claimed(stores.one, "one", chat=name)
        first = inbound("one", chat=name).turn_id
        turns = (first, await waits(stores.one, "two", chat=name))
        await stores.one.turns.answer(answer_to(claim, 2))
        endings.append((turns, HERE))
    await stores.one.deliveries.done(endings)

    assert await found(stores) == []


async def test_an_answer_to_several_messages_is_found_once_and_led_by_the_last(
    stores: Stores,
) -> None:
    claim = await claimed(stores.one, "one")
    turns = (inbound("one").turn_id, await waits(stores.one, "two"))
    await stores.one.turns.answer(answer_to(claim, 2))

    assert [ageless(each) for each in await found(stores)] == [
        Undelivered(turns, inbound("two").address, None, "fine", 1)
    ]


async def test_the_place_of_an_answer_to_several_is_kept_with_the_first(
    stores: Stores,
) -> None:
    """A restarted answer covers the first turn again, but perhaps not the last."""
    claim = await claimed(stores.one, "one")
    turns = (inbound("one").turn_id, await waits(stores.one, "two"))
    await stores.one.deliveries.placed(turns[0], HERE)
    await stores.one.turns.answer(answer_to(claim, 2))

    assert [ageless(each) for each in await found(stores)] == [
        Undelivered(turns, inbound("two").address, HERE, "fine", 1)
    ]


async def test_answers_of_one_conversation_are_found_apart(stores: Stores) -> None:
    claim = await claimed(stores.one, "one")
    await waits(stores.one, "two")
    stored = await stores.one.turns.answer(answer_to(claim, 1, "to one"))

    assert isinstance(stored, StoredAnswer)
    assert stored.next_claim is not None

    await stores.one.turns.answer(answer_to(stored.next_claim, 2, "to two"))

    assert sorted((answer.text, answer.turns) for answer in await found(stores)) == [
        ("to one", (inbound("one").turn_id,)),
        ("to two", (inbound("two").turn_id,)),
    ]


async def test_a_cut_answer_is_found_with_the_reason(stores: Stores) -> None:
    claim = await claimed(stores.one, "one")
    await stores.one.turns.answer(answer_to(claim, 1, "half", note="stopped"))
    (answer,) = await found(stores)

    assert answer.text == delivered("half", {"note": "stopped"})


async def test_many_deliveries_end_at_once(stores: Stores) -> None:
    chats = [f"chat {n}" for n in range(20)]
    for chat in chats:
        claim = await claimed(stores.one, chat, chat=chat)
        await stores.one.turns.answer(answer_to(claim, 1))

    turns = [inbound(chat, chat=chat).turn_id for chat in chats]
    await asyncio.gather(
        *(stores.one.deliveries.done([([turn], HERE)]) for turn in turns[:-1])
    )

    left_over = await found(stores)

    assert [answer.turns for answer in left_over] == [(turns[-1],)]


async def test_an_instance_with_nothing_to_say_does_not_close_over_what_somebody_else_placed(
    stores: Stores,
) -> None:
    """An instance that has died since recorded its draft late. The next sweep finds it, with
    all its turns.
    """
    claim = await claimed(stores.one, "one")
    turns = (inbound("one").turn_id, await waits(stores.one, "two"))
    await stores.one.turns.answer(answer_to(claim, 2))
    await stores.other.deliveries.placed(turns[0], HERE)
    await stores.one.deliveries.done([(turns, None)])

    assert [ageless(each) for each in await found(stores)] == [
        Undelivered(turns, inbound("two").address, HERE, "fine", 1)
    ]


@pytest.mark.parametrize(
    ("placed", "failed"), [(HERE, None), (None, "The chat is gone.")]
)
async def test_who_knows_how_it_ended_closes_over_what_somebody_else_placed(
    stores: Stores, placed: Placed | None, failed: str | None
) -> None:
    await undelivered(stores)
    await stores.other.deliveries.placed(inbound("one").turn_id, Placed(("m0",)))
    await stores.one.deliveries.done(
        [([inbound("one").turn_id], placed)], failed=failed
    )

    assert await found(stores) == []


async def test_a_draft_that_is_announced_is_looked_for_although_no_place_is_known(
    stores: Stores,
) -> None:
    claim = await claimed(stores.one, "one")
    await stores.one.deliveries.announce(inbound("one").turn_id)
    (waiting,) = (await stores.other.turns.load(claim.conversation)).waiting
    assert waiting.placed == Placed((), pending=True)


async def test_what_stands_is_known_beside_the_announcement(stores: Stores) -> None:
    claim = await claimed(stores.one, "one")
    turn = inbound("one").turn_id
    await stores.one.deliveries.announce(turn)
    await stores.one.deliveries.placed(turn, replace(HERE, pending=True))
    await stores.other.deliveries.announce(turn)
    (waiting,) = (await stores.other.turns.load(claim.conversation)).waiting
    assert waiting.placed == replace(HERE, pending=True)


async def test_what_two_instances_placed_is_both_known(stores: Stores) -> None:
    claim = await claimed(stores.one, "one")
    turn = inbound("one").turn_id
    await stores.one.deliveries.placed(turn, Placed(("mine", "both")))
    await stores.other.deliveries.placed(turn, Placed(("both", "other")), late=True)
    (waiting,) = (await stores.other.turns.load(claim.conversation)).waiting
    assert waiting.placed is not None
    assert ("mine", "both", "other") == waiting.placed.ids


async def test_a_draft_that_turns_up_after_the_end_is_mended_by_the_next_sweep(
    stores: Stores,
) -> None:
    """It stands beside the answer: the turn is open again, and names both."""
    await undelivered(stores)
    turn = inbound("one").turn_id
    await stores.other.deliveries.done([([turn], Placed(("whole",)))])
    await stores.one.deliveries.placed(turn, Placed(("draft",)))
    (answer,) = await found(stores)
    assert (("whole", "draft"), "fine") == (
        answer.placed and answer.placed.ids,
        answer.text,
    )


async def test_a_draft_written_over_the_answer_is_mended_by_the_next_sweep(
    stores: Stores,
) -> None:
    await undelivered(stores)
    turn = inbound("one").turn_id
    await stores.other.deliveries.done([([turn], HERE)])
    await stores.one.deliveries.placed(turn, HERE)
    assert [] == await found(stores)
    await stores.one.deliveries.placed(turn, HERE, late=True)
    (answer,) = await found(stores)
    assert HERE == answer.placed


async def test_an_answer_that_two_instances_sent_is_mended_by_the_next_sweep(
    stores: Stores,
) -> None:
    await undelivered(stores)
    turn = inbound("one").turn_id
    for _ in range(2):  # a statement whose confirmation was lost is sent again
        await stores.other.deliveries.done([([turn], Placed(("first",)))])
    assert [] == await found(stores)
    await stores.one.deliveries.done([([turn], Placed(("second",)))])
    (answer,) = await found(stores)
    assert ("first", "second") == (answer.placed and answer.placed.ids)
    await stores.other.deliveries.done([([turn], Placed(("first",)))])
    assert [] == await found(stores)


async def test_an_answer_that_was_given_up_is_no_part_of_later_prompts(
    stores: Stores,
) -> None:
    claim = await claimed(stores.one, "one")
    await stores.one.turns.answer(answer_to(claim, 1))
    before = (await stores.one.turns.load(claim.conversation)).window
    await stores.one.deliveries.done(
        [([inbound("one").turn_id], None)], failed="gone"
    )
    after = (await stores.one.turns.load(claim.conversation)).window
    assert [False, False] == [m.undelivered for m in before.messages]
    assert [(False, False), (True, True)] == [
        (m.notice, m.undelivered) for m in after.messages
    ]
    assert after.version > before.version, "a cached window is not used any more"


@pytest.mark.parametrize(
    "late", ["draft", "answer", "the answer where a draft stood"]
)
async def test_an_answer_that_was_given_up_and_arrives_is_part_of_prompts_again(
    stores: Stores, late: str
) -> None:
    """A call whose outcome nobody knew, or another instance's, was carried out after all."""
    claim = await claimed(stores.one, "one")
    turn = inbound("one").turn_id
    if late == "the answer where a draft stood":
        await stores.one.deliveries.placed(turn, HERE)
    await stores.one.turns.answer(answer_to(claim, 1))
    await stores.one.deliveries.done([([turn], None)], failed="gone")
    lost = (await stores.one.turns.load(claim.conversation)).window

    if late == "draft":
        await stores.other.deliveries.placed(turn, HERE, late=True)
    else:
        await stores.other.deliveries.done([([turn], HERE)])
    back = (await stores.one.turns.load(claim.conversation)).window

    assert [False, True] == [m.undelivered for m in lost.messages]
    assert [(False, False)] * 2 == [(m.notice, m.undelivered) for m in back.messages]
    assert back.version > lost.version
    assert bool(await found(stores)) is (late == "draft"), "a whole answer is done"


async def test_a_sentence_that_says_why_there_is_no_answer_arrived(
    stores: Stores,
) -> None:
    """Its turn has failed, but nothing is missing in the chat."""
    claim = await claimed(stores.one, "one")
    await stores.one.turns.answer(answer_to(claim, 1, "Sorry.", notice=True))
    await stores.one.deliveries.done(
        [([inbound("one").turn_id], HERE)], failed="set aside"
    )
    window = (await stores.one.turns.load(claim.conversation)).window

    assert [False, False] == [message.undelivered for message in window.messages]


async def test_how_old_an_undelivered_answer_is_is_told(stores: Stores) -> None:
    await undelivered(stores)
    (answer,) = await found(stores)
    assert 6 <= answer.age_seconds < 20
