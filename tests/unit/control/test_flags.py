"""Which values a flag takes, and what a refusal says."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.control.flags import (
    DECLARED,
    NAME,
    Flag,
    Kind,
    definition_of,
    made_by_operator,
    new_flag,
)
from agent.core.errors import Rejected

BOOL: Flag[bool] = Flag("b", Kind.BOOL, True, "…")
INT: Flag[int] = Flag("i", Kind.INT, 3, "…", minimum=1, maximum=200)
BIG: Flag[int] = Flag("n", Kind.INT, 3, "…")
MANY: Flag[int] = Flag("m", Kind.INT, 16, "…", minimum=16, maximum=1_000_000)
SHARE: Flag[float] = Flag("p", Kind.FLOAT, 1.0, "…", minimum=0.25, maximum=2)
FLOAT: Flag[float] = Flag("f", Kind.FLOAT, 0.5, "…")
TEXT: Flag[str] = Flag("s", Kind.STRING, "", "…")
CHOICE: Flag[str] = Flag(
    "c", Kind.STRING, None, "…", choices=("merge", "queue", "interrupt")
)
JSON: Flag[Any] = Flag("j", Kind.JSON, {}, "…")


@pytest.mark.parametrize("name", DECLARED)
def test_a_declared_flag_is_well_made(name: str) -> None:
    """Its name is a name, its default one of its values, its meaning one line."""
    flag = DECLARED[name]
    assert flag.name == name
    assert bool(NAME.fullmatch(name)) is True
    assert "\n" not in flag.meaning
    assert flag.default is None or flag.accepts(flag.default)


@pytest.mark.parametrize(
    ("flag", "typed", "value"),
    [
        (BOOL, "true", True),
        (BOOL, "off", False),
        (BOOL, " Yes ", True),
        (INT, "200", 200),
        (FLOAT, "2", 2.0),
        (TEXT, "", ""),
        (TEXT, "true", "true"),
        (TEXT, "\\u0000 is how JSON writes it", "\\u0000 is how JSON writes it"),
        (TEXT, "x" * 20_000, "x" * 20_000),
        (BIG, "-9007199254740992", -9007199254740992),
        (CHOICE, "queue", "queue"),
        (JSON, '{"a": [1]}', {"a": [1]}),
    ],
)
def test_what_is_typed_becomes_a_value_of_its_type(
    flag: Flag[Any], typed: str, value: object
) -> None:
    assert value == flag.parsed(typed)
    assert type(value) is type(flag.parsed(typed))


@pytest.mark.parametrize(
    ("flag", "typed", "sentence"),
    [
        (BOOL, "maybe", "b takes true or false."),
        (BOOL, "1", "b takes true or false."),
        (INT, "201", "i takes a whole number from 1 to 200."),
        (INT, "1.5", "i takes a whole number from 1 to 200."),
        (MANY, "1", "m takes a whole number from 16 to 1000000."),
        (SHARE, "3", "p takes a number from 0.25 to 2."),
        (FLOAT, "nan", "f takes a number."),
        (FLOAT, "inf", "f takes a number."),
        (TEXT, "a\0b", "s takes a text in UTF-8 of at most 20000 characters."),
        (TEXT, "\ud800", "s takes a text in UTF-8 of at most 20000 characters."),
        (TEXT, "x" * 20_001, "s takes a text in UTF-8 of at most 20000 characters."),
        (CHOICE, "drop", "c takes merge, queue or interrupt."),
        (JSON, "{", "j takes a JSON object or list."),
        (JSON, '{"a": NaN}', "j takes a JSON object or list."),
        (JSON, '["\\ud800"]', "j takes a JSON object or list."),
        (
            BIG,
            "9007199254740993",
            "n takes a whole number from -9007199254740992 to 9007199254740992.",
        ),
        (JSON, "3", "j takes a JSON object or list."),
        (JSON, '{"a": "\\u0000"}', "j takes a JSON object or list."),
        (JSON, "[" * 100_000, "j takes a JSON object or list."),
    ],
)
def test_what_is_no_value_is_refused_with_what_is(
    flag: Flag[Any], typed: str, sentence: str
) -> None:
    with pytest.raises(Rejected) as refused:
        flag.parsed(typed)

    assert sentence == refused.value.sentence


@pytest.mark.parametrize(
    ("flag", "value"),
    [(BOOL, 1), (INT, True), (INT, 2.0), (TEXT, None), (JSON, "text")],
)
def test_a_value_of_another_type_is_none(flag: Flag[Any], value: object) -> None:
    """A console passes values, not texts: types are not mixed there either."""
    assert not flag.accepts(value)


@given(st.text())
def test_no_text_does_more_than_be_refused(typed: str) -> None:
    for flag in (BOOL, INT, FLOAT, TEXT, CHOICE, JSON):
        try:
            assert flag.accepts(flag.parsed(typed))
        except Rejected as refused:
            assert refused.sentence.startswith(f"{flag.name} takes ")


def test_a_flag_that_an_operator_made_is_the_same_when_read_back() -> None:
    flag = made_by_operator(
        "new_look", {"type": "int", "default": 3, "meaning": "How it looks."}
    )

    assert flag == made_by_operator("new_look", definition_of(flag))
    assert flag.kind == Kind.INT
    assert flag.default == 3
    assert flag.meaning == "How it looks."


@pytest.mark.parametrize(
    ("name", "kind", "meaning"),
    [
        ("Big", "int", "…"),
        ("_x", "int", "…"),
        ("x" * 64, "int", "…"),
        ("x", "date", "…"),
        ("x", "int", " "),
    ],
)
def test_a_flag_that_cannot_be_is_not_made(
    name: str, kind: str, meaning: str
) -> None:
    with pytest.raises(Rejected, match="A flag"):
        new_flag(name, kind, meaning)
