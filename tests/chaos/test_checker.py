"""The checker finds each fault in evidence made by hand, and nothing where nothing is wrong."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.chaos.harness.checker import Fault, judge
from tests.chaos.harness.evidence import Asked, Evidence, Row
from tests.chaos.harness.model import Asking, answer_text
from tests.chaos.harness.people import Standing

CHAT = "slack-group"
OTHER = "discord-direct-1"
LABEL = "*(This may be a repeat.)*\n\n"


def asked(seq: int, token: str, *, failed: bool = False) -> Row:
    """A row of a person's message."""
    return Row("c1", seq, "user", f"{token} {CHAT}", failed=failed)


def answered(seq: int, number: int, up_to: int) -> Row:
    """A row of an answer."""
    return Row("c1", seq, "assistant", answer_text(number), answers=up_to)


def stands(
    number: int, *, words: int = 99, label: str = "", is_open: bool = False
) -> Standing:
    """An answer on the platform, or the first words of it."""
    return Standing(
        label + " ".join(answer_text(number).split()[:words]), open=is_open
    )


ROWS = (asked(1, "q1"), answered(2, 1, 1), asked(3, "q2"), answered(4, 2, 3))
GOOD = Evidence(
    asked=(
        Asked("q1", CHAT),
        Asked("q2", CHAT),
        Asked("q9", OTHER, acknowledged=False),
    ),
    rows=ROWS,
    standing={CHAT: (stands(1), stands(2)), OTHER: ()},
    prompts=(Asking(1, "i1", ("q1",)), Asking(2, "i1", ("q1", "a1", "q2"))),
)


def standing(*there: Standing) -> Evidence:
    """All is well but what stands."""
    return replace(GOOD, standing={CHAT: there, OTHER: ()})


def stored(*rows: Row) -> Evidence:
    """All is well but the rows."""
    return replace(GOOD, rows=rows)


def prompted(*tokens: str) -> Evidence:
    """One prompt more."""
    return replace(GOOD, prompts=(*GOOD.prompts, Asking(3, "i1", tokens)))


def faults_in(evidence: Evidence) -> list[Fault]:
    """What the checker says, without where."""
    return [verdict.fault for verdict in judge(evidence)]


WELL = {
    "nothing happened": GOOD,
    "said again, with a label": standing(
        stands(1), stands(2), stands(2, label=LABEL)
    ),
    "in several messages": standing(
        stands(1),
        Standing("a2 word0 word1"),
        Standing(answer_text(2)[15:]),
    ),
    "its end said again, with a label": standing(
        stands(1),
        stands(2),
        Standing(f"{LABEL}word11 z2"),
    ),
    "its end labelled": standing(
        stands(1),
        Standing("a2 word0 word1"),
        Standing(LABEL + answer_text(2)[15:]),
    ),
    "formatted otherwise": standing(
        stands(1),
        Standing(answer_text(2).replace("word1 ", "*word1*\n")),
    ),
}

WRONG = {
    Fault.LOST: stored(*ROWS[:2]),
    Fault.DOUBLED_ROW: stored(
        *ROWS,
        asked(5, "q2"),
        answered(6, 2, 5),
    ),
    Fault.UNANSWERED: stored(*ROWS[:3]),
    Fault.DOUBLED_ANSWER: stored(*ROWS, answered(5, 3, 3)),
    Fault.GIVEN_UP: stored(
        *ROWS[:2],
        asked(3, "q2", failed=True),
        ROWS[3],
    ),
    Fault.UNDELIVERED: standing(stands(1)),
    Fault.DOUBLED: standing(stands(1), stands(2), stands(2)),
    Fault.TORN: standing(
        stands(1),
        stands(7, words=3),
        stands(2),
    ),
    Fault.OPEN: standing(stands(1), stands(2, is_open=True)),
    Fault.STRANGE: standing(
        stands(1),
        stands(2),
        Standing("Hello?"),
    ),
    Fault.OUT_OF_ORDER: standing(stands(2), stands(1)),
    Fault.WRONG_CONTEXT: prompted("q1", "q2"),
    Fault.BELIEVED: standing(stands(2)),
}


@pytest.mark.parametrize("name", WELL)
def test_what_is_well_is_let_pass(name: str) -> None:
    assert judge(WELL[name]) == []


@pytest.mark.parametrize("fault", Fault)
def test_each_fault_is_found(fault: Fault) -> None:
    assert fault in faults_in(WRONG[fault])


@pytest.mark.parametrize(
    "tokens", ["q1 a1 q9", "q1 a1", "a1 q2 q1", "q2", "q1 a7 q2", "q1 q2 a1"]
)
def test_a_prompt_holds_what_was_said_there_in_order_and_nothing_else(
    tokens: str,
) -> None:
    assert Fault.WRONG_CONTEXT in faults_in(prompted(*tokens.split()))


def test_what_arrived_while_an_answer_was_written_is_read_after_it() -> None:
    rows = (
        asked(1, "q1"),
        asked(2, "q2"),
        answered(3, 1, 1),
        answered(4, 2, 2),
    )
    assert judge(stored(*rows)) == []


@pytest.mark.parametrize(
    ("chat", "faults"), [("telegram-group", []), ("discord-group", [Fault.TORN])]
)
def test_a_half_beside_a_labelled_answer_is_excused_only_where_nobody_can_know(
    chat: str, faults: list[Fault]
) -> None:
    """Telegram keeps no key and shows bots no history. The half has to be one of that very
    answer.
    """
    again = stands(2, label="(You may have received this before.)\n\n")
    evidence = replace(
        GOOD,
        asked=(Asked("q1", chat), Asked("q2", chat)),
        standing={chat: (stands(1), stands(7, words=3), again)},
        prompts=(Asking(7, "i1", ("q1", "a1", "q2")),),
    )
    other = replace(evidence, standing={chat: (stands(1, words=3), stands(1), again)})
    assert (faults_in(evidence), faults_in(other)) == (faults, [Fault.TORN])


@pytest.mark.parametrize(
    ("chat", "is_well"), [("telegram-group", True), ("discord-group", False)]
)
def test_a_half_in_the_middle_of_an_answer_is_excused_where_nobody_can_know(
    chat: str, is_well: bool
) -> None:
    """Its first message was known to stand, the draft of the second one was not."""
    label = "(You may have received this before.)\n\n"
    begin, half, end = (
        Standing("a2 word0 word1"),
        Standing("word2 word3"),
        Standing(label + answer_text(2)[15:]),
    )
    evidence = replace(
        GOOD,
        asked=(Asked("q1", chat), Asked("q2", chat)),
        standing={chat: (stands(1), begin, half, end)},
    )
    unlabelled = replace(
        evidence,
        standing={chat: (stands(1), begin, half, Standing(answer_text(2)[15:]))},
    )
    assert ([] == judge(evidence)) is is_well
    assert Fault.STRANGE in faults_in(unlabelled)


def test_what_poison_was_is_set_aside_and_nothing_else() -> None:
    rows = (*ROWS[:2], asked(3, "q2", failed=True), ROWS[3])
    assert judge(replace(stored(*rows), prompts=(), poison=frozenset({"q2"}))) == []
