"""From a window to a prompt: the newest messages that fit, whole and in reading order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.messages import Message, Window
from agent.core.prompt import PER_MESSAGE, build_prompt, estimate_tokens

WIDE = 1_000_000
SYSTEM = "Be kind."


def user(seq: int, content: str, **rest: str | bool) -> Message:
    return Message(seq, "user", content, **rest)  # type: ignore[arg-type]


def assistant(
    seq: int, content: str, answers: int, *, notice: bool = False
) -> Message:
    return Message(seq, "assistant", content, answers, notice=notice)


def window(*messages: Message) -> Window:
    ordered = sorted(messages, key=lambda message: message.reading_order)
    return Window(
        max((message.seq for message in messages), default=0), tuple(ordered)
    )


def texts(*messages: Message, up_to_seq: int = WIDE, budget: int = WIDE) -> list[str]:
    return [
        text
        for _, text in build_prompt(
            SYSTEM, window(*messages), up_to_seq=up_to_seq, budget=budget
        ).messages
    ]


def test_a_prompt_is_the_system_text_and_the_messages_oldest_first() -> None:
    prompt = build_prompt(
        SYSTEM,
        window(user(1, "one"), assistant(2, "two", 1), user(3, "three")),
        up_to_seq=3,
        budget=WIDE,
    )

    assert prompt.system == SYSTEM
    assert prompt.messages == (
        ("user", "one"),
        ("assistant", "two"),
        ("user", "three"),
    )


def test_a_message_that_waited_is_read_after_the_answer_it_waited_for() -> None:
    assert texts(user(1, "one"), user(2, "two"), assistant(3, "to one", 1)) == [
        "one",
        "to one",
        "two",
    ]


def test_an_answer_to_several_messages_is_read_after_the_last_of_them() -> None:
    assert texts(
        user(1, "a"), user(2, "b"), assistant(4, "to both", 2), user(3, "c")
    ) == [
        "a",
        "b",
        "to both",
        "c",
    ]


def test_what_waits_behind_the_last_message_to_be_answered_is_left_out() -> None:
    assert texts(user(1, "now"), user(2, "later"), up_to_seq=1) == ["now"]


def test_an_answer_younger_than_the_last_message_to_be_answered_stays() -> None:
    assert texts(
        user(1, "one"), user(2, "two"), assistant(3, "to one", 1), up_to_seq=2
    ) == [
        "one",
        "to one",
        "two",
    ]


def test_notices_and_deleted_messages_are_left_out() -> None:
    assert texts(
        user(1, "one"),
        assistant(2, "The model is away.", 1, notice=True),
        user(3, ""),
        user(4, "two"),
    ) == [
        "one",
        "two",
    ]


def test_authors_are_named_where_they_are_known() -> None:
    assert texts(user(1, "hi", author="ada"), user(2, "hello", author="bob")) == [
        "ada: hi",
        "bob: hello",
    ]


def test_the_oldest_is_dropped_first_and_nothing_is_split() -> None:
    messages = [user(n, f"message number {n}") for n in range(1, 6)]
    each = estimate_tokens("message number 1") + PER_MESSAGE
    room = estimate_tokens(SYSTEM) + 3 * each

    assert texts(*messages, budget=room) == [f"message number {n}" for n in (3, 4, 5)]
    assert texts(*messages, budget=room - 1) == [
        f"message number {n}" for n in (4, 5)
    ]


def test_nothing_older_is_taken_past_one_that_does_not_fit() -> None:
    messages = (user(1, "short"), user(2, "x" * 4000), user(3, "new"))
    assert texts(*messages, budget=100) == ["new"]


def test_the_newest_is_kept_even_when_it_alone_is_too_long() -> None:
    assert texts(user(1, "old"), user(2, "x" * 4000), budget=10) == ["x" * 4000]


def test_an_empty_window_makes_an_empty_prompt() -> None:
    assert texts() == []


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("a", 1),
        ("abcd", 1),
        ("abcde", 2),
        ("שלום", 2),
        ("👩‍👩‍👧", 5),
        ("\ud83d", 1),
    ],
)
def test_a_token_is_four_bytes_of_utf8(text: str, tokens: int) -> None:
    assert estimate_tokens(text) == tokens


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Message, ...]:
    """What a conversation may look like: each answer covers more than the last, and some
    messages wait.
    """
    messages: list[Message] = []
    asked = [0]
    answered = 0

    for seq in range(1, draw(st.integers(1, 12)) + 1):
        content = draw(st.text("ab é👩", max_size=12))
        if asked[-1] > answered and draw(st.booleans()):
            answered = draw(st.sampled_from([seq for seq in asked if seq > answered]))
            messages.append(
                assistant(seq, content, answered, notice=draw(st.booleans()))
            )
        else:
            asked.append(seq)
            messages.append(user(seq, content))

    return tuple(messages)


def belongs(message: Message, up_to_seq: int) -> bool:
    return (
        bool(message.content)
        and not message.notice
        and (message.role == "assistant" or message.seq <= up_to_seq)
    )


@given(conversations(), st.integers(1, 12), st.integers(0, 60))
def test_a_prompt_is_always_the_longest_whole_ending_that_fits(
    messages: tuple[Message, ...], up_to_seq: int, budget: int
) -> None:
    prompt = build_prompt("", window(*messages), up_to_seq=up_to_seq, budget=budget)
    wanted = [
        message
        for message in window(*messages).messages
        if belongs(message, up_to_seq)
    ]
    costs = [estimate_tokens(message.content) + PER_MESSAGE for message in wanted]
    fitting = max(
        (n for n in range(len(wanted) + 1) if sum(costs[len(costs) - n :]) <= budget),
        default=0,
    )
    count = max(fitting, min(1, len(wanted)))

    assert prompt.messages == tuple(
        (m.role, m.content) for m in wanted[len(wanted) - count :]
    )


@given(conversations())
def test_the_model_is_never_asked_to_continue_its_own_answer_while_someone_waits(
    messages: tuple[Message, ...],
) -> None:
    answered = max((m.answers for m in messages if m.answers is not None), default=0)
    waiting = [
        m for m in messages if m.role == "user" and m.seq > answered and m.content
    ]
    if waiting:
        prompt = build_prompt(
            "", window(*messages), up_to_seq=waiting[-1].seq, budget=WIDE
        )

        assert prompt.messages[-1] == ("user", waiting[-1].content)
