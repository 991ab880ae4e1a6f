r"""Markdown as people and models mean it, where a parser by the letter reads it otherwise.

Before a text is parsed, characters that would mislead the parser are replaced one for one
by stand-ins, and what the parser hands back is translated back. So places stay the same,
and no character of the text is ever changed:

- `vector<int>` and `<think>` are text, and so is a lone `~`: no HTML, no strikethrough from
  "~5 to ~10".
- `[1]: https://…` is text: a definition that nobody uses would vanish.
- `\(a_1 * b\)`, `\[…\]`, `$$…$$` and `$a*b$` are mathematics: shown as written.
- `**注意:**这` is bold though no space follows (CommonMark 6.2 is for scripts with spaces).
- `__init__.py` is a name, `2*3*4` and `2**8` are calculations, `*.py` and `SELECT *, a.*` are
  patterns, `\\server\share` is a path: no marks.
- `||secret||` is a spoiler (its pipes become tildes for the parser), `a || b` and the norm
  `||x||` are not.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import (
    Callable,
    Iterator,
    Sequence,
)

Translation = dict[int, str]

_CJK = (
    r"\u1100-\u11ff\u2e80-\u303f\u3040-\u30ff\u3100-\u318f\u31a0-\u9fff\uac00-\ud7ff"
    r"\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef\U00020000-\U0003ffff"
)
IDEOGRAPH = rf"[{_CJK}]"
"""A regular expression for a character of a script that puts no spaces between words."""

_LETTERS = range(0x20000, 0x2A6D6)  # rare ideographs: letters to the parser
_SYMBOLS = range(0x1D800, 0x1DA00)  # signs of SignWriting: punctuation to the parser

_SCHEME = r"(?:https?://|mailto:)"
_MATHEMATICS = re.compile(  # lengths are bounded, so that no text takes long
    r"^[ \t>]*\\\[(?:[^`~\n]|\n(?![ \t]*\n)){1,2000}?\\\][ \t]*$"  # a formula on lines of its own
    r"|(?<![\\\w/])\\\([^`\n]{1,500}?\\\)"
    r"|(?<![\\$])\$\$(?:[^`~\n$]|\n(?![ \t]*\n)){1,2000}?\$\$(?!\$)"
    r"|(?<![\\$\w])\$(?=[^\s$])[^`\n$]{0,500}?(?<=[^\s\\$])\$(?![\d$])",
    re.MULTILINE,
)
_TAG = re.compile(
    rf"(?<!\\)(?<!\]\()<(?!{_SCHEME}[^\s<>]*>|[\w.+-]+@[\w-]+(?:\.[\w-]+)+>)"
)
_TILDE = re.compile(r"(?<![\\~])~(?!~)")
_DEFINITION = re.compile(
    r"^(?:[ \t>*+-]|\d+[.)])*\[(?:\\.|[^]\\\n]|\n(?![ \t]*\n)){1,999}\](:)",
    re.MULTILINE,
)
_NAME = re.compile(
    r"(?<![\w\\])__(?:a?enter|a?exit|add|all|annotations|bool|builtins|call|class"
    r"|contains|del|dict|doc|eq|file|future|getattr|getitem|hash|init|iter|len|main"
    r"|module|name|new|next|path|post_init|repr|setattr|setitem|slots|str|version)__(?!\w)"
)
_CALCULATION = re.compile(
    r"(?:(?<![\w*\\])|(?<=\*\*))[A-Za-z0-9_]+(?:\*[A-Za-z0-9_]+)+"  # `2*3*4`, not `*em*phasis`
    r"(?!\w|\*(?!\*))"
    r"|(?<![\w*\\])(?:[A-Za-z0-9_]+\*\*(?=\d)|\d+\*\*(?=[A-Za-z(]))"  # `x**2`, `2**n`
)
_PATTERN = re.compile(
    r"(?<![\w*\\])\*\.\w{1,10}\b(?!\*)"  # `*.py`
    r"|(?<![\w*\\])\*\*/(?:\*(?!\*))?(?=[\w.\s]|$)(?!\S{0,200}\*\*)"  # `**/x`, not `**/etc**`
    r"|(?<![\w*\\])\*(?=[,;)\]])"  # `SELECT *, a.*`
)
_SHARE = re.compile(r"(?<![\w\\])(\\\\)(?=[A-Za-z][\w.-]{0,62}\\[\w$])")
_MARKING = frozenset("\\*_")
_BOLD = "**"
_RUN = re.compile(r"(?<!\\)(?:\*+|~~)")
_SPOILER = re.compile(
    r"(?<![\\|\w])\|\|(?=[^\s|])((?:`[^`\n]*`|[^|`\n]){1,1000}?)(?<=[^\s|\\])\|\|(?![|\w])"
)
_ROW = re.compile(
    r"^[ \t>]*\|(?!\|).*$", re.MULTILINE
)  # of a table, where two pipes are an empty cell
_WORDS = re.compile(rf"[^\W\d_]{{3}}|{IDEOGRAPH}|^\d+$")


def meant(text: str) -> tuple[str, Translation]:
    """The text for the parser, as long as the given one, and how to translate back what it says."""
    stand_ins = _StandIns(text)

    for pattern, replacement in (
        (_MATHEMATICS, stand_ins.letters),
        (_TAG, stand_ins.symbols),
        (_TILDE, stand_ins.symbols),
        (_DEFINITION, stand_ins.symbols),
        (_NAME, stand_ins.letters),
        (_CALCULATION, stand_ins.letters),
        (_PATTERN, stand_ins.symbols),
        (_SHARE, stand_ins.symbols),
    ):
        text = pattern.sub(_of_last_group(replacement), text)

    return _with_bold(text, stand_ins), stand_ins.back


def literal(text: str) -> list[int]:
    """Where a parser by the letter would take characters for marks or leave them out, though
    they are text.
    """
    readable, _ = meant(text)
    pairs = zip(text, readable, strict=True)

    return [
        at
        for at, (written, read) in enumerate(pairs)
        if written != read and written in _MARKING
    ]


def with_spoilers(text: str, apart: Sequence[tuple[int, int]]) -> str:
    """The text for the parser, with strikethroughs in place of spoilers; `apart` is where
    in it code is.
    """
    apart = [
        *apart,
        *(found.span() for found in _ROW.finditer(text)),
    ]

    def struck(found: re.Match[str]) -> str:
        marks = found.start(), found.end() - 1
        inside = any(start <= mark < end for mark in marks for start, end in apart)
        meant_so = "~~" not in found[1] and _WORDS.search(found[1]) and not inside

        return f"~~{found[1]}~~" if meant_so else found[0]

    return _SPOILER.sub(struck, text)


def _of_last_group(
    replacement: Callable[[str], str],
) -> Callable[[re.Match[str]], str]:
    """Replaces what stands in the last group of a match, or the whole match when it has none."""

    def replaced(found: re.Match[str]) -> str:
        group = found.re.groups
        kept = found[0][: found.start(group) - found.start()]

        return kept + replacement(found[group])

    return replaced


class _StandIns:
    """Characters that do not occur in a text, and what each of them stands for."""

    def __init__(self, text: str) -> None:
        self.back: Translation = {}
        self._given: dict[tuple[str, bool], str] = {}
        present = frozenset(text)
        self._letters = _absent(present, _LETTERS)
        self._symbols = _absent(present, _SYMBOLS)

    def letters(self, text: str) -> str:
        """The text as letters without a meaning, on the same lines."""
        return "".join(
            character if character == "\n" else self._one(character, True)
            for character in text
        )

    def symbols(self, text: str) -> str:
        """The text as punctuation without a meaning."""
        return "".join(self._one(character, False) for character in text)

    def _one(self, character: str, letter: bool) -> str:
        known = self._given.get((character, letter))
        if known:
            return known

        # None left: looks may suffer.
        stand_in = next(
            self._letters if letter else self._symbols,
            character,
        )
        self._given[character, letter] = stand_in
        # The character may be a stand-in itself.
        self.back[ord(stand_in)] = self.back.get(ord(character), character)

        return stand_in


def _absent(present: frozenset[str], codes: range) -> Iterator[str]:
    return (chr(code) for code in codes if chr(code) not in present)


def _with_bold(text: str, stand_ins: _StandIns) -> str:
    """Bold, italic and struck text next to scripts without spaces, quotation marks and
    emoji; `**Note:**so`, too.
    """
    characters = list(text)
    line = -1  # where the line begins in which bold text is open
    here = before = 0

    for run in _RUN.finditer(text):
        left = text[run.start() - 1 : run.start()] or "\n"
        right = text[run.end() : run.end() + 1] or "\n"
        here = max(here, text.rfind("\n", before, run.start()) + 1)
        before = run.start()

        if _is_mark(left) and right.isalnum():
            closes = run[0] == _BOLD and line == here
            _stand_in(
                characters,
                run.start() - 1,
                run.end(),
                stand_ins,
                always=closes,
            )
        elif left.isalnum() and _is_mark(right):
            _stand_in(characters, run.end(), run.start() - 1, stand_ins)

        if run[0] == _BOLD:
            begins = (
                line != here
                and (left.isspace() or _is_mark(left))
                and not right.isspace()
            )
            line = here if begins else -1

    return "".join(characters)


def _stand_in(
    characters: list[str],
    mark: int,
    letter: int,
    stand_ins: _StandIns,
    *,
    always: bool = False,
) -> None:
    """Lets the marks between these two open and close: the mark counts as a letter, or the
    letter as a mark.
    """
    if characters[mark].isascii():
        if always or re.match(IDEOGRAPH, characters[letter]):
            characters[letter] = stand_ins.symbols(characters[letter])
    elif not characters[mark].isalnum():
        characters[mark] = stand_ins.letters(characters[mark])


def _is_mark(character: str) -> bool:
    """Whether it is punctuation or a symbol, as CommonMark 2.1 tells them."""
    return unicodedata.category(character)[0] in "PS" and character != "\\"
