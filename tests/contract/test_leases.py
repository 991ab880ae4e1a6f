"""What every store of leases promises. Live work is left alone; work left over is found by one."""

from __future__ import annotations

import asyncio

from agent.core.turns import Claim, StoredAnswer
from tests.contract.conftest import LEASE, Stores, answer_to, claimed, inbound, waits


async def test_a_heartbeat_tells_which_claims_are_held_and_up_to_which_message(
    stores: Stores,
) -> None:
    claim = await claimed(stores.one, "one")
    other = await claimed(stores.one, "bob's", chat="bob")
    await waits(stores.other, "two")
    beat = await stores.one.leases.beat([claim, other], [], 0)

    assert beat.held == {claim.fence: 2, other.fence: 1}


async def test_a_heartbeat_tells_the_version_of_the_last_edit_whatever_came_after_it(
    stores: Stores,
) -> None:
    claim = await claimed(stores.one, "one")
    other = await claimed(stores.one, "bob's", chat="bob")
    await stores.other.edits.edit(inbound("one").edited("won"))
    await waits(stores.other, "two")

    beat = await stores.one.leases.beat([claim, other], [], 0)

    assert beat.edited == {
        claim.fence: 2,
        other.fence: 0,
    }

    await stores.other.edits.edit(inbound("two").deleted())
    assert (await stores.one.leases.beat([claim], [], 0)).edited == {claim.fence: 4}


async def test_an_edit_of_what_was_answered_is_told_by_no_heartbeat(
    stores: Stores,
) -> None:
    claim = await claimed(stores.one, "one")
    second = await waits(stores.one, "two")
    stored = await stores.one.turns.answer(answer_to(claim, 1))

    assert isinstance(stored, StoredAnswer)
    assert stored.next_claim is not None

    edited = await stores.other.edits.edit(inbound("one").edited("won"))
    assert edited is None

    beat = await stores.one.leases.beat([stored.next_claim], [second], 0)
    assert beat.edited == {stored.next_claim.fence: 0}


async def test_a_heartbeat_tells_the_epoch_and_of_no_dead_peer_when_alone(
    stores: Stores,
) -> None:
    beat = await stores.one.leases.beat([], [], 0)
    assert beat.held == {}
    assert beat.edited == {}
    assert beat.stopped == frozenset()
    assert beat.peer_died is False
    assert beat.epoch == 1


async def test_a_claim_that_ended_or_was_taken_does_not_come_back(
    stores: Stores,
) -> None:
    ended = await claimed(stores.one, "one")
    await stores.one.turns.answer(answer_to(ended, 1))
    taken = await claimed(stores.one, "bob's", chat="bob")
    await stores.let_pass(LEASE + 1)
    await stores.other.recovery.take_over()

    beat = await stores.one.leases.beat([ended, taken], [], 0)

    assert beat.held == {}


async def test_a_claim_that_is_renewed_is_never_taken(stores: Stores) -> None:
    claim = await claimed(stores.one, "one")
    for _ in range(3):
        await stores.let_pass(LEASE - 1)
        await stores.one.leases.beat([claim], [], 0)

        taken = await stores.other.recovery.take_over()

        assert list(taken) == []


async def test_a_claim_of_a_dead_instance_is_taken_under_a_new_fence(
    stores: Stores,
) -> None:
    claim = await claimed(stores.one, "one")
    await stores.let_pass(LEASE + 1)
    (taken,) = await stores.other.recovery.take_over()

    assert taken.conversation == claim.conversation
    assert taken.key == claim.key
    assert taken.fence != claim.fence

    beat = await stores.other.leases.beat([taken], [], 0)
    assert beat.held == {taken.fence: 1}


async def test_only_one_takes_a_claim(stores: Stores) -> None:
    for chat in "abcdef":
        await claimed(stores.one, chat, chat=chat)
    await stores.let_pass(LEASE + 1)
    taken = await asyncio.gather(
        *(member.recovery.take_over() for member in (stores.one, stores.other) * 2)
    )
    claims: list[Claim] = [claim for some in taken for claim in some]

    assert sorted(claim.key[1] for claim in claims) == list("abcdef")


async def test_a_released_conversation_is_not_taken(stores: Stores) -> None:
    claim = await claimed(stores.one, "one")
    await stores.one.turns.answer(answer_to(claim, 1))
    await stores.let_pass(LEASE + 1)

    taken = await stores.other.recovery.take_over()

    assert list(taken) == []


async def test_what_is_left_is_found_however_old_it_is(stores: Stores) -> None:
    await claimed(stores.one, "one")
    await stores.let_pass(40 * 86_400)

    assert len(await stores.other.recovery.take_over()) == 1


async def test_an_answer_just_stored_is_left_to_its_instance(stores: Stores) -> None:
    claim = await claimed(stores.one, "one")
    await stores.one.turns.answer(answer_to(claim, 1))

    deliveries = await stores.other.recovery.take_deliveries()

    assert list(deliveries) == []


async def test_a_delivery_that_is_renewed_is_never_taken(stores: Stores) -> None:
    claim = await claimed(stores.one, "one")
    await stores.one.turns.answer(answer_to(claim, 1))

    for _ in range(3):
        await stores.let_pass(LEASE - 1)
        await stores.one.leases.beat([], [inbound("one").turn_id], 0)

        deliveries = await stores.other.recovery.take_deliveries()

        assert list(deliveries) == []


async def test_only_one_takes_a_delivery_and_each_take_counts(stores: Stores) -> None:
    claim = await claimed(stores.one, "one")
    await stores.one.turns.answer(answer_to(claim, 1))

    for attempt in (1, 2):
        await stores.let_pass(LEASE + 1)
        taken = await asyncio.gather(
            *(
                member.recovery.take_deliveries()
                for member in (stores.one, stores.other) * 2
            )
        )

        assert [answer.attempts for some in taken for answer in some] == [attempt]


async def test_an_unanswered_turn_is_no_delivery(stores: Stores) -> None:
    await claimed(stores.one, "one")
    await stores.let_pass(LEASE + 1)

    deliveries = await stores.other.recovery.take_deliveries()

    assert list(deliveries) == []


async def test_attempts_are_counted(stores: Stores) -> None:
    claim = await claimed(stores.one, "one")
    second = await waits(stores.one, "two")
    await stores.one.recovery.attempt([inbound("one").turn_id, second])
    await stores.one.recovery.attempt([second])
    waiting = (await stores.other.turns.load(claim.conversation)).waiting

    assert [one.attempts for one in waiting] == [1, 2]


async def test_what_is_handed_back_is_taken_at_once(stores: Stores) -> None:
    claim = await claimed(stores.one, "one")
    await stores.one.leases.beat([claim], [], 0)
    await stores.one.leases.hand_back([claim], [], [])

    beat = await stores.other.leases.beat([], [], 0)

    assert beat.peer_died
    assert [
        taken.conversation for taken in await stores.other.recovery.take_over()
    ] == [claim.conversation]


async def test_a_claim_that_was_lost_cannot_be_handed_back(stores: Stores) -> None:
    claim = await claimed(stores.one, "one")
    await stores.let_pass(LEASE + 1)
    (taken,) = await stores.other.recovery.take_over()
    await stores.one.leases.hand_back([claim], [], [])

    assert list(await stores.one.recovery.take_over()) == []

    beat = await stores.other.leases.beat([taken], [], 0)
    assert beat.held == {taken.fence: 1}


async def test_an_attempt_counts_unless_its_claim_is_handed_back(
    stores: Stores,
) -> None:
    """An instance that ends in good order died over nothing; one that lost its claim may have."""
    first = inbound("one").turn_id
    second = inbound("bob's", chat="bob").turn_id
    claim = await claimed(stores.one, "one")
    lost = await claimed(stores.one, "bob's", chat="bob")
    await stores.other.recovery.attempt([first])
    await stores.one.recovery.attempt([first, second])
    await stores.let_pass(LEASE + 1)
    await stores.one.leases.beat([claim], [], 0)
    await stores.other.recovery.take_over()
    await stores.one.leases.hand_back([claim, lost], [first, second], [])
    loaded = [
        await stores.other.turns.load(held.conversation) for held in (claim, lost)
    ]

    assert [1, 1] == [waiting.attempts for one in loaded for waiting in one.waiting]


async def test_what_is_handed_back_twice_is_counted_once(stores: Stores) -> None:
    """A statement whose confirmation was lost is sent again."""
    claim = await claimed(stores.one, "one")
    turn = inbound("one").turn_id
    await stores.other.recovery.attempt([turn])
    await stores.one.recovery.attempt([turn])

    for _ in range(2):
        await stores.one.leases.hand_back([claim], [turn], [])
    (waiting,) = (await stores.other.turns.load(claim.conversation)).waiting

    assert 1 == waiting.attempts


async def test_an_instance_that_stops_beating_is_noticed(stores: Stores) -> None:
    await stores.one.leases.beat([], [], 0)
    beat = await stores.other.leases.beat([], [], 0)

    assert not beat.peer_died

    await stores.let_pass(LEASE + 1)
    assert (await stores.other.leases.beat([], [], 0)).peer_died


async def test_who_takes_over_knows_a_death_from_a_restart(stores: Stores) -> None:
    claim = await claimed(stores.one, "one")
    await stores.let_pass(LEASE + 1)
    (after_death,) = await stores.other.recovery.take_over()
    await stores.other.leases.hand_back([after_death], [], [])
    (after_restart,) = await stores.one.recovery.take_over()
    assert (True, False) == (after_death.died, after_restart.died)
    assert claim.conversation == after_restart.conversation


async def test_what_is_set_aside_is_no_part_of_later_prompts(stores: Stores) -> None:
    claim = await claimed(stores.one, "one")
    await waits(stores.one, "two")
    await stores.one.edits.set_aside([inbound("one").turn_id])
    window = (await stores.other.turns.load(claim.conversation)).window
    assert [("one", True), ("two", False)] == [
        (m.content, m.notice) for m in window.messages
    ]
    assert window.version == 3


async def test_a_heartbeat_tells_which_deliveries_another_instance_took(
    stores: Stores,
) -> None:
    turns = [inbound(chat, chat=chat).turn_id for chat in ("ada", "bob")]
    for chat in ("ada", "bob"):
        await stores.one.turns.answer(
            answer_to(await claimed(stores.one, chat, chat=chat), 1)
        )
    fresh = await stores.one.leases.beat([], turns, 0)
    await stores.let_pass(LEASE + 1)
    await stores.one.leases.beat([], turns[1:], 0)
    await stores.other.recovery.take_deliveries()

    mine = await stores.one.leases.beat([], turns, 0)
    others = await stores.other.leases.beat([], turns[:1], 0)

    assert frozenset() == fresh.taken == others.taken
    assert frozenset(turns[:1]) == mine.taken


async def test_a_heartbeat_of_an_instance_that_lost_a_delivery_does_not_renew_it(
    stores: Stores,
) -> None:
    turn = inbound("one").turn_id
    await stores.one.turns.answer(answer_to(await claimed(stores.one, "one"), 1))
    await stores.let_pass(LEASE + 1)
    await stores.other.recovery.take_deliveries()
    await stores.let_pass(LEASE + 1)
    await stores.one.leases.beat([], [turn], 0)
    (again,) = await stores.other.recovery.take_deliveries()

    assert (turn,) == again.turns


async def test_a_delivery_that_is_handed_back_is_free_at_once_and_counts_no_attempt(
    stores: Stores,
) -> None:
    """Also when the statement is sent twice, because its confirmation was lost."""
    turn = inbound("one").turn_id
    await stores.one.turns.answer(answer_to(await claimed(stores.one, "one"), 1))
    await stores.let_pass(LEASE + 1)
    (taken,) = await stores.one.recovery.take_deliveries()
    for _ in range(2):
        await stores.one.leases.hand_back([], [], [turn])
    (again,) = await stores.other.recovery.take_deliveries()

    assert (1, 1) == (taken.attempts, again.attempts)


async def test_a_delivery_that_another_instance_took_cannot_be_handed_back(
    stores: Stores,
) -> None:
    turn = inbound("one").turn_id
    await stores.one.turns.answer(answer_to(await claimed(stores.one, "one"), 1))
    await stores.let_pass(LEASE + 1)
    await stores.other.recovery.take_deliveries()
    await stores.one.leases.hand_back([], [], [turn])

    assert [] == list(await stores.one.recovery.take_deliveries())
