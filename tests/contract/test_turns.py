"""What every store of turns promises."""

from __future__ import annotations

import asyncio
from math import inf

import pytest
from msgspec import structs
from msgspec.structs import replace

from agent.core.messages import Message, Window
from agent.core.turns import Claim, Loaded, Outdated, StoredAnswer, Waiting
from tests.contract.conftest import (
    WINDOW,
    Stores,
    answer_to,
    claimed,
    inbound,
    new_turn,
    waits,
)


async def contents(stores: Stores, claim: Claim) -> list[str]:
    return [
        m.content
        for m in (await stores.other.turns.load(claim.conversation)).window.messages
    ]


# --- accept -------------------------------------------------------------------


async def test_the_first_message_of_a_chat_begins_its_conversation_and_claims_it(
    stores: Stores,
) -> None:
    turn = new_turn(inbound("hello"))
    accepted = await stores.one.turns.accept(turn)

    assert accepted is not None
    assert accepted.turn == turn.inbound.turn_id
    assert accepted.conversation == turn.conversation
    assert accepted.user == turn.user
    assert accepted.seq == 1
    assert accepted.claim is not None
    assert accepted.claim.conversation == turn.conversation
    assert accepted.claim.key == ("test", "ada", "")


async def test_a_message_is_stored_once_whoever_delivers_it_again(
    stores: Stores,
) -> None:
    message = inbound("hello")
    deliveries = [
        member.turns.accept(new_turn(message))
        for member in (stores.one, stores.other) * 2
    ]
    verdicts = await asyncio.gather(*deliveries)

    assert sum(verdict is not None for verdict in verdicts) == 1

    (accepted,) = [verdict for verdict in verdicts if verdict is not None]
    loaded = await stores.one.turns.load(accepted.conversation)

    assert [m.content for m in loaded.window.messages] == ["hello"]


async def test_the_first_text_of_a_repeated_delivery_stays(stores: Stores) -> None:
    claim = await claimed(stores.one, "hello")

    accepted = await stores.other.turns.accept(
        new_turn(replace(inbound("hello"), text="changed"))
    )

    assert accepted is None
    assert await contents(stores, claim) == ["hello"]


async def test_a_message_during_an_answer_takes_the_next_seq_and_no_claim(
    stores: Stores,
) -> None:
    await claimed(stores.one, "one")
    accepted = await stores.other.turns.accept(new_turn(inbound("two")))

    assert accepted is not None
    assert accepted.seq == 2
    assert accepted.claim is None


async def test_chats_and_threads_do_not_wait_for_each_other(stores: Stores) -> None:
    claims = [
        await claimed(stores.one, "one"),
        await claimed(stores.one, "two", chat="bob"),
        await claimed(stores.one, "three", thread="t1"),
        await claimed(stores.one, "four", thread="t2"),
    ]

    assert len({claim.conversation for claim in claims}) == 4


async def test_an_author_is_one_person_in_every_chat(stores: Stores) -> None:
    first = await stores.one.turns.accept(
        new_turn(inbound("one", chat="room", user="ada"))
    )
    second = await stores.other.turns.accept(
        new_turn(inbound("two", chat="den", user="ada"))
    )
    third = await stores.other.turns.accept(
        new_turn(inbound("three", chat="den", user="bob"))
    )

    assert first
    assert second
    assert third
    assert first.user == second.user != third.user


async def test_a_known_author_that_the_store_has_never_seen_is_made(
    stores: Stores,
) -> None:
    """Perhaps under another id: the one that was remembered may be of somebody erased."""
    turn = structs.replace(new_turn(inbound("hello")), user_known=True)
    accepted = await stores.one.turns.accept(turn)
    again = await stores.other.turns.accept(new_turn(inbound("again")))

    assert accepted is not None
    assert again is not None
    assert accepted.user == again.user


async def test_many_messages_at_once_have_one_order_and_one_claim(
    stores: Stores,
) -> None:
    members = [stores.one, stores.other]
    verdicts = await asyncio.gather(
        *(members[n % 2].turns.accept(new_turn(inbound(f"m{n}"))) for n in range(40))
    )
    accepted = [verdict for verdict in verdicts if verdict is not None]

    assert sorted(verdict.seq for verdict in accepted) == list(range(1, 41))

    (claim,) = [verdict.claim for verdict in accepted if verdict.claim is not None]
    by_seq = {verdict.seq: verdict.turn for verdict in accepted}
    waiting = (await stores.one.turns.load(claim.conversation)).waiting

    assert [(w.seq, w.turn) for w in waiting] == sorted(by_seq.items())


@pytest.mark.parametrize(
    "text",
    [
        "שלום עולם",
        "👩‍👩‍👧‍👦 e\u0301 \u202e",
        "x" * 32_000,
        "'; DROP TABLE users; --",
        "",
    ],
)
async def test_texts_are_stored_exactly(stores: Stores, text: str) -> None:
    accepted = await stores.one.turns.accept(
        new_turn(replace(inbound("p1"), text=text))
    )

    assert accepted is not None

    loaded = await stores.other.turns.load(accepted.conversation)
    assert [m.content for m in loaded.window.messages] == [text]


# --- load ---------------------------------------------------------------------


async def test_an_unknown_conversation_is_empty(stores: Stores) -> None:
    nothing = new_turn(inbound("never stored")).conversation
    assert await stores.one.turns.load(nothing) == Loaded(Window(0, ()), ())


async def test_what_waits_is_told_with_all_that_its_answer_needs(
    stores: Stores,
) -> None:
    message = inbound("hi", chat="room", user="ada")
    accepted = await stores.one.turns.accept(new_turn(message))

    assert accepted is not None
    loaded = await stores.other.turns.load(accepted.conversation)
    ageless = tuple([replace(each, age_seconds=inf) for each in loaded.waiting])
    assert replace(loaded, waiting=ageless) == Loaded(
        Window(1, (Message(1, "user", "hi", author="ada"),)),
        (
            Waiting(
                1,
                message.turn_id,
                message.address,
                accepted.user,
                "ada",
                direct=False,
                person=accepted.person,
            ),
        ),
    )


async def test_a_window_is_in_reading_order(stores: Stores) -> None:
    claim = await claimed(stores.one, "one")
    await waits(stores.one, "two")
    await stores.one.turns.answer(answer_to(claim, 1, "to one"))
    loaded = await stores.other.turns.load(claim.conversation)

    assert [(m.seq, m.content, m.answers) for m in loaded.window.messages] == [
        (1, "one", None),
        (3, "to one", 1),
        (2, "two", None),
    ]
    assert [w.seq for w in loaded.waiting] == [2]


async def test_a_window_is_the_last_messages_and_all_that_wait(
    stores: Stores,
) -> None:
    for n in range(WINDOW):
        claim = await claimed(stores.one, f"old {n}")
        await stores.one.turns.answer(answer_to(claim, 2 * n + 1, f"to {n}"))

    claim = await claimed(stores.one, "new 0")

    for n in range(1, WINDOW + 2):
        await waits(stores.one, f"new {n}")

    assert await contents(stores, claim) == [
        "to 2",
        "old 3",
        "to 3",
        "old 4",
        "to 4",
        *(f"new {n}" for n in range(WINDOW + 2)),
    ]


async def test_notices_are_known_as_such(stores: Stores) -> None:
    claim = await claimed(stores.one, "one")
    await stores.one.turns.answer(
        answer_to(claim, 1, "The model is away.", notice=True)
    )
    loaded = await stores.other.turns.load(claim.conversation)

    assert [m.notice for m in loaded.window.messages] == [False, True]


async def test_loads_at_once_tell_each_its_own(stores: Stores) -> None:
    claims = [await claimed(stores.one, chat, chat=chat) for chat in "abc"]
    loaded = await asyncio.gather(
        *(stores.one.turns.load(claim.conversation) for claim in claims * 2)
    )

    assert [m.content for one in loaded for m in one.window.messages] == [
        "a",
        "b",
        "c",
    ] * 2


# --- answer -------------------------------------------------------------------


async def test_an_answer_is_stored_and_the_conversation_released(
    stores: Stores,
) -> None:
    claim = await claimed(stores.one, "one")
    assert await stores.one.turns.answer(
        answer_to(claim, 1, "to one")
    ) == StoredAnswer(2, None)

    loaded = await stores.other.turns.load(claim.conversation)
    assert loaded == Loaded(
        Window(2, (Message(1, "user", "one"), Message(2, "assistant", "to one", 1))),
        (),
    )

    again = await claimed(stores.other, "two")
    assert again.fence != claim.fence


async def test_the_claim_goes_on_under_its_next_fence_while_someone_waits(
    stores: Stores,
) -> None:
    claim = await claimed(stores.one, "one")
    await waits(stores.other, "two")
    answer = answer_to(claim, 1)
    stored = await stores.one.turns.answer(answer)

    assert stored == StoredAnswer(
        3, Claim(claim.conversation, answer.next_fence, claim.key)
    )

    await waits(stores.other, "three")
    assert stored.next_claim is not None
    assert await stores.one.turns.answer(
        answer_to(stored.next_claim, 4)
    ) == StoredAnswer(5, None)


async def test_one_answer_may_cover_several_messages(stores: Stores) -> None:
    claim = await claimed(stores.one, "one")
    await waits(stores.other, "two")

    assert await stores.one.turns.answer(answer_to(claim, 2)) == StoredAnswer(3, None)

    loaded = await stores.one.turns.load(claim.conversation)
    assert loaded.waiting == ()


async def test_an_answer_under_an_old_fence_is_refused(stores: Stores) -> None:
    claim = await claimed(stores.one, "one")
    await waits(stores.one, "two")
    await stores.one.turns.answer(answer_to(claim, 1, "to one"))

    stored = await stores.one.turns.answer(answer_to(claim, 2, "late"))

    assert stored is None
    assert "late" not in await contents(stores, claim)


async def test_an_answer_whose_claim_was_taken_over_is_refused(
    stores: Stores,
) -> None:
    claim = await claimed(stores.one, "one")
    await stores.let_pass(6)
    (taken,) = await stores.other.recovery.take_over()

    stored = await stores.one.turns.answer(answer_to(claim, 1, "late"))

    assert stored is None
    assert await stores.other.turns.answer(
        answer_to(taken, 1, "in time")
    ) == StoredAnswer(2, None)
    assert await contents(stores, claim) == ["one", "in time"]


async def test_of_two_answers_at_once_the_valid_one_is_stored(stores: Stores) -> None:
    claim = await claimed(stores.one, "one")
    await stores.let_pass(6)
    (taken,) = await stores.one.recovery.take_over()
    verdicts = await asyncio.gather(
        *(
            stores.one.turns.answer(answer_to(which, 1, name))
            for which, name in [(claim, "stale"), (taken, "valid")]
        )
    )

    assert verdicts == [None, StoredAnswer(2, None)]
    assert await contents(stores, claim) == ["one", "valid"]


async def test_an_answer_made_before_an_edit_is_not_stored_and_its_claim_goes_on(
    stores: Stores,
) -> None:
    claim = await claimed(stores.one, "one")
    await stores.other.edits.edit(inbound("one").edited("won"))
    answer = structs.replace(answer_to(claim, 1, "to one"), seen=1)

    assert await stores.one.turns.answer(answer) == Outdated()

    loaded = await stores.other.turns.load(claim.conversation)
    assert loaded.window == Window(2, (Message(1, "user", "won"),))
    assert await stores.one.turns.answer(
        structs.replace(answer, seen=2)
    ) == StoredAnswer(3, None)


@pytest.mark.parametrize("text", ["won", None])
async def test_an_edit_of_one_text_leaves_another_as_it_is(
    stores: Stores, text: str | None
) -> None:
    """A person changed or deleted the message meanwhile."""
    message = inbound("one")
    claim = await claimed(stores.one, "one")
    conditional = replace(message.edited("above one"), replaces="one")
    change = message.deleted() if text is None else message.edited(text)
    await stores.other.edits.edit(change)

    assert await stores.one.edits.edit(conditional) is None
    assert await contents(stores, claim) == [text or ""]
    assert (await stores.one.turns.load(claim.conversation)).window.version == 2


async def test_an_edit_of_the_text_that_stands_there_counts(stores: Stores) -> None:
    claim = await claimed(stores.one, "one")
    conditional = replace(inbound("one").edited("above one"), replaces="one")

    assert await stores.other.edits.edit(conditional) == claim.conversation
    assert await contents(stores, claim) == ["above one"]


async def test_of_a_persons_edit_and_a_conditional_one_at_once_the_persons_stays(
    stores: Stores,
) -> None:
    for number in range(10):
        text = f"message {number}"
        message = inbound(text, chat=text)
        claim = await claimed(stores.one, text, chat=text)
        conditional = replace(message.edited("above"), replaces=text)
        await asyncio.gather(
            stores.one.edits.edit(conditional),
            stores.other.edits.edit(message.edited("changed")),
        )

        assert await contents(stores, claim) == ["changed"]


async def test_an_answer_for_which_edits_do_not_matter_is_stored(
    stores: Stores,
) -> None:
    claim = await claimed(stores.one, "one")
    await stores.other.edits.edit(inbound("one").edited("won"))

    assert await stores.one.turns.answer(answer_to(claim, 1)) == StoredAnswer(3, None)


async def test_of_an_edit_and_an_answer_at_once_the_first_counts(
    stores: Stores,
) -> None:
    """Never both: an edit in time, and an answer to the older text."""
    for number in range(20):
        text = f"message {number}"
        claim = await claimed(stores.one, text, chat=text)
        answered, edited = await asyncio.gather(
            stores.one.turns.answer(structs.replace(answer_to(claim, 1), seen=1)),
            stores.other.edits.edit(inbound(text, chat=text).edited("changed")),
        )

        assert (answered, edited) in [
            (StoredAnswer(2, None), None),
            (Outdated(), claim.conversation),
        ]


async def test_an_outdated_answer_does_not_hold_up_the_others_of_its_list(
    stores: Stores,
) -> None:
    claims = [await claimed(stores.one, chat, chat=chat) for chat in "abc"]
    await stores.other.edits.edit(inbound("b", chat="b").edited("changed"))
    verdicts = await asyncio.gather(
        *(
            stores.one.turns.answer(structs.replace(answer_to(claim, 1), seen=1))
            for claim in claims
        )
    )

    assert verdicts == [StoredAnswer(2, None), Outdated(), StoredAnswer(2, None)]


async def test_an_outdated_answer_under_an_old_fence_is_refused(
    stores: Stores,
) -> None:
    claim = await claimed(stores.one, "one")
    await stores.let_pass(6)
    await stores.other.recovery.take_over()
    await stores.other.edits.edit(inbound("one").edited("won"))

    stored = await stores.one.turns.answer(
        structs.replace(answer_to(claim, 1), seen=1)
    )

    assert stored is None


async def test_an_answer_sent_twice_is_stored_once_and_told_the_same(
    stores: Stores,
) -> None:
    """After a connection breaks during a commit, nobody knows whether it happened."""
    claim = await claimed(stores.one, "one")
    await waits(stores.one, "two")
    answer = answer_to(claim, 1, "to one")
    verdicts = [await stores.one.turns.answer(answer) for _ in range(2)]

    assert (
        verdicts
        == [StoredAnswer(3, Claim(claim.conversation, answer.next_fence, claim.key))]
        * 2
    )
    assert await contents(stores, claim) == ["one", "to one", "two"]


async def test_answers_of_many_conversations_at_once_stay_apart(
    stores: Stores,
) -> None:
    claims = [await claimed(stores.one, chat, chat=chat) for chat in "abcdef"]
    verdicts = await asyncio.gather(
        *(
            stores.one.turns.answer(answer_to(claim, 1, f"to {claim.key[1]}"))
            for claim in claims
        )
    )

    assert verdicts == [StoredAnswer(2, None)] * 6
    assert [await contents(stores, claim) for claim in claims] == [
        [chat, f"to {chat}"] for chat in "abcdef"
    ]
