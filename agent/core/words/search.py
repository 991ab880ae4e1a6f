"""What a search means: how texts are cut into words, which of them match, and how well.

A text in a script without spaces is cut into all pairs of neighbouring characters, so that any
part of it is found. Accents, case and width do not count.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from math import log1p
from uuid import UUID

from msgspec import Struct

from agent.core.errors import Rejected

MAX_QUERY_CHARS = 300
MAX_TERMS = 20
MAX_WORD_CHARS = 100
"""Longer words are found by their beginning."""

MAX_WORDS = 4_000
"""Of one message. Beyond that it is not found."""

# Scripts without spaces: Thai, Lao, Myanmar, Khmer; kana, Bopomofo, Han with its extensions.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u312f\u31a0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
# Letters, digits and _ of all other scripts with their marks; else one symbol, such as an emoji.
_RUN = re.compile(rf"([{_UNSPACED}]+)|((?:[^\W{_UNSPACED}]|[\u0900-\u0dff])+)|(\S)")
_ANY_UNSPACED = re.compile(f"[{_UNSPACED}]")
_TERM = re.compile(r'(-?)(?:"([^"]*)"?|(\S+))')
_MARKS = re.compile(
    "[\u0300-\u036f\u0610-\u061a\u064b-\u065f\u0670\u0640\u200c\u200d\ufe0f]"
)
_SYMBOLS = {"So", "Sk", "Sm", "Sc"}


class Term(Struct, frozen=True):
    """One part of a query. All must be there, in any order."""

    text: str
    """Folded."""
    words: tuple[str, ...]
    is_prefix: bool = False
    is_phrase: bool = False
    is_excluded: bool = False


class Query(Struct, frozen=True):
    terms: tuple[Term, ...]

    @property
    def wanted(self) -> tuple[Term, ...]:
        return tuple(term for term in self.terms if not term.is_excluded)


class Found(Struct, frozen=True):
    """A message that matches."""

    at: datetime
    role: str
    author: str | None
    """Who wrote it, in a group."""
    channel: str
    text: str
    """Around the first hit, with each hit between ** and **."""
    link: str | None = None
    conversation: UUID | None = None
    """For operators, who may open it."""


def parse_query(typed: str) -> Query:
    """What was typed: words, "phrases", -words and beginnings*. Raises Rejected."""
    if len(typed) > MAX_QUERY_CHARS:
        raise Rejected(
            f"A search has at most {MAX_QUERY_CHARS} characters. Shorten it."
        )

    terms = tuple(_terms(typed))
    if not terms:
        raise Rejected('Search for what? Give some words, as in "red bicycle" -blue.')
    if all(term.is_excluded for term in terms):
        raise Rejected(
            "A minus only leaves out. Name a word that must be there, too."
        )
    if len(terms) > MAX_TERMS:
        raise Rejected(f"A search has at most {MAX_TERMS} words. Shorten it.")

    return Query(terms)


def _terms(typed: str) -> Iterator[Term]:
    for minus, quoted, plain in _TERM.findall(typed):
        text = fold(quoted or plain)
        is_prefix = bool(plain) and text.endswith("*") and len(text) > 1
        if words := tuple(tokens(text.rstrip("*") if is_prefix else text)):
            parts = len(words) > 1
            yield Term(
                text.strip("*").strip() if is_prefix else text.strip(),
                words,
                is_prefix,
                bool(quoted) or parts,
                bool(minus),
            )


def fold(text: str) -> str:
    """Without what does not count: case, accents, width, points of Arabic vowels."""
    if text.isascii():
        return text.lower()

    bare = _MARKS.sub("", unicodedata.normalize("NFKD", text.casefold()))

    return unicodedata.normalize("NFC", bare).casefold()


def tokens(folded: str) -> Iterator[str]:
    """The words of a folded text; of scripts without spaces, pairs and the last character."""
    for run, word, symbol in _RUN.findall(folded):
        if run:
            yield from (run[n : n + 2] for n in range(len(run)))
        elif word:
            yield word[:MAX_WORD_CHARS]
        elif unicodedata.category(symbol) in _SYMBOLS and not symbol.isascii():
            yield symbol


def words_of(text: str) -> list[str]:
    """All by which a message is found, each once."""
    return list(dict.fromkeys(tokens(fold(text))))[:MAX_WORDS]


def index_query(query: Query) -> str:
    """The query for the index, as a `tsquery`: it finds all that match, and perhaps more."""
    return " & ".join(
        _quoted(word, is_prefix=_opens(term, number))
        for term in query.wanted
        for number, word in enumerate(term.words)
    )


def _opens(term: Term, number: int) -> bool:
    """Whether a word in the index may go on after this one."""
    word = term.words[number]
    is_last = number == len(term.words) - 1

    return (is_last and (term.is_prefix or _is_unspaced(word[-1]))) or len(
        word
    ) >= MAX_WORD_CHARS


def _quoted(word: str, *, is_prefix: bool) -> str:
    escaped = word.replace("\\", "\\\\").replace("'", "''")

    return f"'{escaped}'" + (":*" if is_prefix else "")


def matches(query: Query, text: str) -> bool:
    """Whether a message, as it stands, is meant."""
    return _matches(query, fold(text))


def _matches(query: Query, folded: str) -> bool:
    return all(
        bool(_pattern(term, folded).search(folded)) != term.is_excluded
        for term in query.terms
    )


def _pattern(term: Term, folded: str) -> re.Pattern[str]:
    """Finds a term in this folded text."""
    return _compiled(term, is_mixed=_ANY_UNSPACED.search(folded) is not None)


@lru_cache(256)
def _compiled(term: Term, *, is_mixed: bool) -> re.Pattern[str]:
    """Between the words of a phrase anything but words may be. `is_mixed`: the text may have
    scripts without spaces, too; to compile their ranges takes milliseconds.
    """
    part_of_word = rf"[^\W{_UNSPACED}]" if is_mixed else r"\w"
    parts = [run or word or symbol for run, word, symbol in _RUN.findall(term.text)]
    kept = [part for part in parts if any(tokens(part))]
    body = r"[^\w]*".join(map(re.escape, kept))
    is_inside = _is_unspaced(kept[0][0]) or not kept[0][0].isalnum()
    # a neighbour of another kind of script ends a word, too
    before = "" if is_inside else rf"(?<!{part_of_word})"
    is_open = (
        term.is_prefix or _is_unspaced(kept[-1][-1]) or not kept[-1][-1].isalnum()
    )
    after = "" if is_open else rf"(?!{part_of_word})"

    return re.compile(before + body + after)


def _is_unspaced(char: str) -> bool:
    return _ANY_UNSPACED.match(char) is not None


def score(query: Query, text: str, age_days: float) -> float | None:
    """Higher is better: more hits in a shorter text, and younger. A month halves it.

    None: it does not match.
    """
    folded = fold(text)
    if not _matches(query, folded):
        return None

    hits = sum(
        log1p(len(_pattern(term, folded).findall(folded))) for term in query.wanted
    )

    return hits / (1 + log1p(len(folded)) / 10) / (1 + max(age_days, 0) / 30)


def marked(query: Query, text: str, width: int = 160) -> str:
    """The text around the first hit in one line, with each hit between ** and **."""
    line = " ".join(text.split())
    hits = _hits(query, line)
    start = max(hits[0][0] - width // 3, 0) if hits else 0
    shown, at = "", start
    for begin, end in hits:
        if begin >= at and end <= start + width:
            shown += f"{line[at:begin]}**{line[begin:end]}**"
            at = end
    shown += line[at : start + width]

    return ("…" if start else "") + shown + ("…" if start + width < len(line) else "")


def _hits(query: Query, line: str) -> list[tuple[int, int]]:
    """Where the terms stand in the text as it was written."""
    folded, places = _folded_with_places(line)

    return sorted(
        (places[hit.start()], places[hit.end() - 1] + 1)
        for term in query.wanted
        for hit in _pattern(term, folded).finditer(folded)
        if hit.end() > hit.start()
    )


def _folded_with_places(line: str) -> tuple[str, Sequence[int]]:
    """The folded text, and for each of its characters where it comes from."""
    if line.isascii():
        return fold(line), range(len(line))

    # of each character once: a text may have a hundred thousand
    folded = {char: fold(char) for char in set(line)}
    places = [at for at, char in enumerate(line) for _ in folded[char]]

    return "".join(folded[char] for char in line), places
