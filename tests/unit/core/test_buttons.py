"""What buttons carry, and how each platform draws many of them."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest

from agent.core.messages import Notice
from agent.core.words.buttons import (
    MAX_DATA_BYTES,
    Act,
    Press,
    answer_buttons,
    buttons_of,
    is_same,
    model_buttons,
    offering,
    read_press,
    retry_button,
    stop_button,
    under_last,
)
from channels.discord.reading.buttons import components
from channels.slack.incoming.buttons import actions_of
from channels.telegram.text import Piece

TURN = UUID(int=42)
MANY = model_buttons([f"test:model-{number}" for number in range(40)])


@pytest.mark.parametrize(
    ("data", "press"),
    [
        (f"retry:{TURN.hex}", Press(Act.RETRY, TURN)),
        (f"stop:{TURN}", Press(Act.STOP, TURN)),
        ("model:test:one", Press(Act.MODEL, model="test:one")),
        ("model:", None),
        ("up:", None),
        ("up:42", None),
        ("forget:me", None),
        ("", None),
        ("\0", None),
    ],
)
def test_a_press_says_what_it_asks_for(data: str, press: Press | None) -> None:
    assert press == read_press(data)


def test_each_button_carries_little_enough_and_comes_back() -> None:
    turn = uuid4()
    all_buttons = (*answer_buttons(turn), *stop_button(turn), *retry_button(turn))

    assert {turn} == {
        press.turn for button in all_buttons if (press := read_press(button.data))
    }
    assert MAX_DATA_BYTES >= max(len(one.data.encode()) for one in all_buttons)


def test_a_model_whose_name_is_too_long_has_no_button() -> None:
    assert ["a:b"] == [one.label for one in model_buttons(["a:b", "a:" + "ü" * 40])]


def test_a_notice_stays_one() -> None:
    made = offering(Notice("no answer"), stop_button(TURN))

    assert isinstance(made, Notice)
    assert stop_button(TURN) == buttons_of(made)
    assert "no answer" == made


def test_buttons_stand_under_the_last_part() -> None:
    first, last = under_last(["one", "two"], offering("one two", stop_button(TURN)))

    assert () == buttons_of(first)
    assert stop_button(TURN) == buttons_of(last)
    assert ["one"] == under_last(["one"], "one")


def test_the_same_words_with_other_buttons_are_shown_again() -> None:
    growing = offering("fine", stop_button(TURN))

    assert not is_same(growing, offering("fine", answer_buttons(TURN)))
    assert is_same(growing, offering("fine", stop_button(TURN)))
    assert not is_same(None, growing)


def test_many_buttons_are_a_menu_or_a_column() -> None:
    text = offering("There are:", MANY)
    [row] = components(text)
    [block] = actions_of(text)
    keyboard = Piece("There are:", buttons=MANY).keyboard

    assert [(3, 25)] == [(c["type"], len(c["options"])) for c in row["components"]]
    assert ["static_select"] == [one["type"] for one in block["elements"]]
    assert 40 == len(block["elements"][0]["options"])
    assert keyboard is not None
    assert [1] * 40 == [len(keys) for keys in keyboard.inline_keyboard]
