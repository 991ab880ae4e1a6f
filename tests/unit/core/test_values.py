"""The values of the core: names that must never change, and the order in which messages are
read.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from agent.core.errors import AgentError, ModelError, StoreUnavailable
from agent.core.messages import Address, Message, Notice, Said, delivered

HELLO = Said(Address("telegram", "42"), "7", "1", "hello")


@pytest.mark.parametrize(
    ("channel", "chat", "message", "identifier"),
    [
        ("telegram", "42", "7", "59ec548a-ac3d-9e2d-b43c-75225a1dacb2"),
        (
            "discord",
            "1234567890",
            "9876543210",
            "92b80166-9231-b0b2-d79a-24ed18f01fe1",
        ),
        (
            "slack",
            "C024BE91L",
            "1355517523.000005",
            "e18abe3f-7ec4-82fc-2f62-4d7aaa971d29",
        ),
        ("terminal", "", "1", "e55924ba-d43f-7a21-4072-2acd85089a55"),
        ("test", "שלום", "👩\ud83d", "fd83951d-c39b-b53b-0d52-0dccd55f9361"),
    ],
)
def test_a_turns_id_never_changes(
    channel: str, chat: str, message: str, identifier: str
) -> None:
    """Turns are stored under it: another would answer old messages again after an upgrade."""
    assert str(Said(Address(channel, chat), message, "1", "").turn_id) == identifier


def test_a_turns_id_depends_on_channel_chat_and_message_alone() -> None:
    others = [
        replace(HELLO, text="bye", user_id="2", username="ada", direct=False),
        HELLO.edited("bye"),
        HELLO.deleted(),
        replace(HELLO, address=Address("telegram", "42", "thread", "9", {"a": "b"})),
    ]

    assert {other.turn_id for other in others} == {HELLO.turn_id}


@given(st.lists(st.tuples(st.text(), st.text(), st.text()), unique=True, max_size=20))
def test_different_messages_have_different_turns(
    names: list[tuple[str, str, str]],
) -> None:
    clean = {tuple(part.replace("\0", "") for part in name) for name in names}
    turns = {
        Said(Address(channel, chat), message, "1", "").turn_id
        for channel, chat, message in clean
    }

    assert len(turns) == len(clean)


def test_a_conversation_is_named_by_channel_chat_and_thread() -> None:
    assert Address("slack", "C1", "17.5", "99", {"team": "T"}).key == (
        "slack",
        "C1",
        "17.5",
    )


def test_reading_order_puts_an_answer_behind_the_last_message_it_answers() -> None:
    stored = [
        Message(1, "user", "a"),
        Message(2, "user", "b"),
        Message(3, "user", "c"),
        Message(4, "assistant", "to a", 1),
        Message(5, "assistant", "to b and c", 3),
    ]
    ordered = sorted(stored, key=lambda message: message.reading_order)

    assert [message.content for message in ordered] == [
        "a",
        "to a",
        "b",
        "c",
        "to b and c",
    ]


def test_a_cut_answer_says_why_it_ends() -> None:
    cut = delivered("half", {"note": "stopped"})
    assert cut == "half\n\n*(stopped)*"
    assert isinstance(cut, Notice)


def test_a_notice_is_shown_as_it_is_and_known_as_one() -> None:
    notice = delivered("The model is away.", {"notice": True})
    assert notice == "The model is away."
    assert isinstance(notice, Notice)


def test_a_whole_answer_is_no_notice() -> None:
    answer = delivered("fine", {"estimated": True})
    assert answer == "fine"
    assert not isinstance(answer, Notice)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            ModelError("The model is away. Ask again.", retry_after=2.0),
            "The model is away. Ask again.",
        ),
        (StoreUnavailable(), StoreUnavailable.__doc__),
        (AgentError(), AgentError.__doc__),
    ],
)
def test_every_error_has_a_sentence_for_people(
    error: AgentError, sentence: str
) -> None:
    assert error.sentence == sentence
