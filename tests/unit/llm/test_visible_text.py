"""What a model thinks before it answers is not shown, however its marks are cut; everything
else is.
"""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.llm.reading.visible_text import VisibleText

MARKS = [
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<Think>", "</THINK>"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<mm:think>", "</mm:think>"),
    ("<reflection>", "</reflection>"),
    ('<think duration="3" mode=deep>', "</think>"),
    ("<thinking type='long'>", "</thinking>"),
    ("<|channel>thought", "<channel|>"),
    ("<unused94>thought", "<unused95>"),
    ("Here is my thought process:", "Here is my response:"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
    (
        "<|channel|>analysis<|message|>",
        "<|end|><|start|>assistant<|channel|>final<|message|>",
    ),
]


def shown(*pieces: str) -> str:
    visible = VisibleText()
    return "".join(visible.feed(piece) for piece in pieces) + visible.close()


def cut(text: str, places: list[int]) -> list[str]:
    """The text in pieces, cut at these places."""
    edges = sorted({place % (len(text) + 1) for place in places} | {0, len(text)})
    return [text[begin:end] for begin, end in pairwise(edges)]


@pytest.mark.parametrize(("opener", "closer"), MARKS)
@pytest.mark.parametrize("before", ["", "\n", " \n\n"])
def test_thinking_is_not_shown_wherever_it_is_cut(
    opener: str, closer: str, before: str
) -> None:
    text = f"{before}{opener}\nsecret < {closer[:3]}\n{closer}\n\nThe answer is 42."
    for begin in range(len(text)):
        assert shown(text[:begin], text[begin:]) == "The answer is 42."
    assert shown(*text) == "The answer is 42."


@pytest.mark.parametrize(
    ("text", "visible"),
    [
        ("<think>\n\n</think>\n\nHi", "Hi"),
        ("<think>a</think><think>b</think>Hi", "Hi"),
        ("<think>a</think>\n<thinking>b</thinking>\nHi", "Hi"),
        (
            "</think>\n\nHi",
            "Hi",
        ),  # where the chat template has opened it already, and nothing was thought
        ("<think>a", ""),
        ("<think>a</think>", ""),
        ("<think>", ""),
        ("", ""),
        (" \n", ""),
        (" \nHi", " \nHi"),
        ("<", "<"),
        ("<think", "<think"),
        ("<thinker>Hi", "<thinker>Hi"),
        ("Use <think>x</think> for that.", "Use <think>x</think> for that."),
        ("```xml\n<think>x</think>\n```", "```xml\n<think>x</think>\n```"),
        ("`<think>` opens it.", "`<think>` opens it."),
        ("<think>a</think>Say <think>b</think>.", "Say <think>b</think>."),
        ("<div>\n<think>x</think></div>", "<div>\n<think>x</think></div>"),
        (" " * 5000 + "<think>x</think>", " " * 5000 + "<think>x</think>"),
        ("<think about it>Hi", "<think about it>Hi"),
        ("<think a=1", "<think a=1"),
        ("Here is my thought process: I add.", "Here is my thought process: I add."),
        ("Here is my view.", "Here is my view."),
        ("\ufeff<think>a</think>Hi", "Hi"),
        ("\ufeffHi", "\ufeffHi"),
        ("<|im_start|>user\nHi", "<|im_start|>user\nHi"),
        (
            "ChatML begins with <|im_start|>assistant\n",
            "ChatML begins with <|im_start|>assistant\n",
        ),
        ("Use <|channel>thought.", "Use <|channel>thought."),
    ],
)
def test_only_what_an_answer_starts_with_is_thinking(text: str, visible: str) -> None:
    assert (shown(text), shown(*text)) == (visible, visible)


@pytest.mark.parametrize(
    ("text", "visible"),
    [
        ("<think>a</think>\n<answer>\n42\n</answer>", "42\n"),
        ("<think>a</think><response>Hi</response>\n", "Hi"),
        ("<think>a</think><final_answer>42</final_answer>", "42"),
        ("<think>a</think><answer>42</answer><|im_end|>", "42"),
        ("<think>a</think><answer>42", "42"),
        (
            "<|begin_of_thought|>a<|end_of_thought|>\n\n"
            "<|begin_of_solution|>\n42\n<|end_of_solution|>",
            "42\n",
        ),
        ("<|begin_of_solution|>42<|end_of_solution|>", "42"),
        # somebody asked for it
        ("<answer>yes</answer>", "<answer>yes</answer>"),
        (
            "<think>a</think>```xml\n<answer>x</answer>\n```",
            "```xml\n<answer>x</answer>\n```",
        ),
        (
            "<think>a</think>Write `<answer>x</answer>`.",
            "Write `<answer>x</answer>`.",
        ),
    ],
)
def test_a_wrapper_around_the_answer_is_not_shown(text: str, visible: str) -> None:
    """Behind the thinking, where a model puts it by itself."""
    assert (shown(text), shown(*text)) == (visible, visible)


STOPS = ("<|im_end|>", "<|return|>", "<|eot_id|>", "<|endoftext|>", "<end_of_turn>")


@pytest.mark.parametrize("stop", [*STOPS, "<|end|>", "</s>", "<turn|>", "<|IM_END|>"])
@pytest.mark.parametrize("end", ["", "\n", "<|endoftext|>\n", "\n</s>"])
def test_a_stop_token_at_the_end_is_no_part_of_an_answer(stop: str, end: str) -> None:
    for answer in ("Hi.", "It is 1 < 2", "```\ncode\n```\n", "日本"):
        text = f"{answer}{stop}{end}"
        assert (shown(text), shown(*text)) == (answer, answer)
        assert shown(f"<think>a</think>{text}") == answer


@pytest.mark.parametrize(
    "text",
    [
        "ChatML ends a turn with <|im_end|>",
        "ChatML ends a turn with `<|im_end|>`",
        'stop=["<|im_end|>"]',
        'say "<|im_end|>',
        "<|im_end|>",
        "Two of them:\n- <|im_end|>\n- <|eot_id|>",
        "```\n<|im_start|>user\nHi<|im_end|>\n```",
        "a<|im_end|> stands amid it",
        "<s>old</s>",
        "It was <S>10</S>",
        "| token |\n|---|\n| <|return|> |",
        "a <b>bold</b>",
        "x<",
        "x<|im_",
        "x</",
        "y</sub>",
    ],
)
def test_a_stop_token_that_a_text_is_about_stays(text: str) -> None:
    assert (shown(text), shown(*text)) == (text, text)


def test_a_server_that_never_stops_to_stop_shows_nothing_of_it() -> None:
    visible = VisibleText()
    pieces = [visible.feed(piece) for piece in ["Hi", *["<|im_end|>"] * 5000]]

    assert "Hi" == "".join(pieces) + visible.close()
    assert len(visible._stops._held) <= 4096


def test_the_first_words_are_shown_at_once() -> None:
    visible = VisibleText()
    assert [visible.feed(piece) for piece in ("Hel", "lo <", "think>")] == [
        "Hel",
        "lo <",
        "think>",
    ]
    begun = VisibleText()
    # where a mark may stand, what may begin one waits for the next piece
    assert [begun.feed(piece) for piece in ("Hello", "<", "b>")] == [
        "Hello",
        "",
        "<b>",
    ]


def test_it_is_known_whether_thinking_has_ended() -> None:
    visible = VisibleText()
    states = []
    for piece in ("<think>", "hm", "</think>", "Hi"):
        visible.feed(piece)
        states.append(visible.thinks)
    assert states == [True, True, False, False]


TEXTS = st.text(
    st.characters(exclude_categories=())
    | st.sampled_from("<>/[]thinkTHINK \n\ud83d\ude00"),
    max_size=60,
)


def repaired(text: str) -> str:
    """Joins halves of surrogate pairs, and replaces those that have none."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


@given(TEXTS, st.lists(st.integers(0, 100), max_size=8))
@example("a\ud83d\ude00\ud83d", [2])
@example("\ude00\ud83d", [1])
def test_how_a_text_is_cut_changes_nothing(text: str, places: list[int]) -> None:
    assert shown(*cut(text, places)) == shown(text)


@given(TEXTS, st.lists(st.integers(0, 100), max_size=8))
def test_what_starts_with_a_letter_is_shown_whole_and_can_be_stored(
    text: str, places: list[int]
) -> None:
    seen = shown(*cut(f"x{text}", places))
    assert seen == repaired(f"x{text}")
    assert seen.encode("utf-8").decode() == seen


@given(
    st.sampled_from(MARKS), TEXTS, TEXTS, st.lists(st.integers(0, 100), max_size=8)
)
def test_nothing_of_the_thinking_is_ever_shown(
    marks: tuple[str, str], thought: str, answer: str, places: list[int]
) -> None:
    text = f"{marks[0]}{thought.replace('<', '').replace('[', '')}{marks[1]}x{answer}"
    assert shown(*cut(text, places)) == repaired(f"x{answer}")
