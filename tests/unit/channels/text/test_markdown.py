"""Markdown is read as people mean it, and no character of it is ever changed by that."""

from __future__ import annotations

from collections.abc import Iterator

import pyromark
import pytest
from hypothesis import given

from channels.markdown.parser import Event, Tag, parse, sound
from tests.support.markdown_texts import ANSWERS, JUNK, MANY

STYLES = (Tag.BOLD, Tag.ITALIC, Tag.STRIKE, Tag.SPOILER)


def styled(text: str) -> list[tuple[str, str]]:
    """The bold, italic, struck and hidden parts of a text, with their marks."""
    return [
        (event.tag.name, text[event.start : event.end])
        for event in parse(text)
        if _ends(event, STYLES)
    ]


def _ends(event: Event, tags: tuple[Tag, ...]) -> bool:
    return event.kind == "end" and event.tag in tags


def shown(text: str) -> str:
    """All text and code that is shown."""
    return "".join(event.value for event in parse(text) if event.kind == "leaf")


@pytest.mark.parametrize(
    ("text", "bold"),
    [
        ("**“文字”**文字", "**“文字”**"),
        ("文字**“文字”**文字", "**“文字”**"),
        ("**注意:**这很重要", "**注意:**"),
        ("**注意：**这很重要", "**注意：**"),
        ("这是**重要(重要)**的", "**重要(重要)**"),
        ("**「日本語」**です", "**「日本語」**"),
        ("**한국어(韓國語)**는", "**한국어(韓國語)**"),
        ("**✅ Done**text", "**✅ Done**"),
        ("see **“this”**now", "**“this”**"),
        ("**bold**", "**bold**"),
    ],
)
def test_bold_needs_no_spaces_where_a_script_has_none(text: str, bold: str) -> None:
    assert [("BOLD", bold)] == styled(text)


@pytest.mark.parametrize(
    "text",
    [
        "2 * 3 * 4",
        "a ** b ** c",
        "snake_case_name and __init__.py_x",
        "from ~5 to ~10",
        "a || b || c",
        "a||b||c",
        "the norm ||x|| and ||Ax|| and ||u + v||",
        "if (!a || !b) return ||",
        "| a || b |",
        r"\(a_1 * b_2 * c\) and $x*y$ and $z*w$",
        "\\[\na * b * c\n\\]",
        r"\*not italic\*",
        "2*3*4 and a*b*c, d*e*f",
        "2**10 and 2**20, x**2 + y**2, 2**n or 2**m",
        "*.py, **/*.js and src/**, **/*.ts",
        "SELECT *, a.* FROM t WHERE (*) or *; *",
        "un*frigging*believable",
    ],
)
def test_what_only_looks_like_marks_is_text(text: str) -> None:
    assert [] == styled(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*em*phasis", "*em*"),
        ("de**bug**ger", "**bug**"),
        ("**Step**2", "**Step**"),
        ("**2*3*4**", "**2*3*4**"),
        ("**/etc/hosts** is", "**/etc/hosts**"),
        ("**.env** is", "**.env**"),
        ("*.gitignore* is", "*.gitignore*"),
        ("这是*粗*体", "*粗*"),
    ],
)
def test_what_is_marked_beside_letters_and_in_paths_stays_marked(
    text: str, expected: str
) -> None:
    assert [expected] == [marked for _, marked in styled(text)]


@pytest.mark.parametrize(
    "text",
    [
        "||the butler||",
        "It is ||Rosebud||.",
        "(||42||)",
        "||秘密||",
        "||a `b` word||",
    ],
)
def test_two_pipes_around_words_hide_them(text: str) -> None:
    assert ["SPOILER"] == [style for style, _ in styled(text)]


@pytest.mark.parametrize(
    "text",
    [
        "vector<int> and <think>hm</think> and <br>",
        "<div>\n*x*\n</div>",
        "[1]: https://example.org\n[^1]: a note",
        r"\(x^2\) and $$a_b$$ and $a*b$",
        "~5~ and a || b",
        r"\\server\share and 2*3*4",
    ],
)
def test_what_is_no_markup_is_shown_as_it_stands(text: str) -> None:
    assert _solid(text.replace("*x*", "x")) == _solid(shown(text))


def _solid(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize(
    "code",
    ["**注意:**这", "||hidden words||", "vector<int> ~5", r"\(x\) $a*b$", "[1]: x"],
)
@pytest.mark.parametrize(
    "form",
    [
        "`{}`",
        "``` \n{}\n```",
        "x\n\n    {}\n",
        "- a\n\n  ~~~py\n  {}\n  ~~~",
        "|a|b|\n|-|-|\n|`{}`|c|",
    ],
)
def test_code_is_never_touched(code: str, form: str) -> None:
    if "||" in code and form.startswith("|"):
        pytest.skip("two pipes are an empty cell there, also in code")
    assert code in shown(form.format(code))


@MANY
@given(ANSWERS | JUNK)
def test_every_event_names_its_place_and_ends_what_it_began(text: str) -> None:
    text = sound(text)
    open_: list[Tag] = []
    for event in parse(text):
        assert 0 <= event.start <= event.end <= len(text)
        if event.kind == "start":
            open_.append(event.tag)
        elif event.kind == "end":
            assert open_.pop() is event.tag
    assert [] == open_


class PanicException(BaseException):
    """What the parser raises when it breaks down; its own kind cannot be imported."""


@pytest.mark.parametrize("error", [PanicException, ValueError])
def test_a_text_over_which_the_parser_breaks_down_is_a_paragraph(
    monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def broken(*_: object, **__: object) -> Iterator[object]:
        raise error

    monkeypatch.setattr(pyromark, "events_with_range", broken)
    assert "**all** of it" == shown("**all** of it")


def test_a_request_to_stop_is_not_taken_for_a_breakdown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stopped(*_: object, **__: object) -> Iterator[object]:
        raise KeyboardInterrupt

    monkeypatch.setattr(pyromark, "events_with_range", stopped)
    with pytest.raises(KeyboardInterrupt):
        parse("text")
