"""Compares what was said, what was stored, what every prompt had in it, and what stands in the end.

Pure: it judges evidence, wherever that comes from. An empty list of verdicts is a promise kept.
"""

from __future__ import annotations

import enum
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise

from tests.chaos.harness.evidence import Asked, Evidence, Row
from tests.chaos.harness.model import Asking, token_of
from tests.chaos.harness.people import Standing

WINDOW = 20
"""Messages of a prompt, as agents have it where no setting says otherwise."""

_LABELS = (
    "This may be a repeat",
    "A part of this answer may stand above",
    "You may have received this before",
    "You may have seen this already",
)
LABEL = re.compile(rf"\W*({'|'.join(_LABELS)})\W+")
"""What an answer begins with that may have been sent before, on each of the three platforms."""

MOST_PIECES = 8  # messages that one answer may take

_WORD = re.compile(r"\w+")

Words = tuple[str, ...]


class Fault(enum.StrEnum):
    """What must never be."""

    LOST = "acknowledged, but not stored"
    DOUBLED_ROW = "stored twice"
    UNANSWERED = "stored, but no answer covers it"
    DOUBLED_ANSWER = "answered twice"
    GIVEN_UP = "given up, though nothing was wrong with it"
    UNDELIVERED = "answered, but the answer stands nowhere"
    DOUBLED = "stands twice without a label"
    TORN = "half an answer stands by itself"
    OPEN = "still looks as if it were being written"
    STRANGE = "stands there, and nobody knows why"
    OUT_OF_ORDER = "stands before an earlier answer"
    WRONG_CONTEXT = "a prompt had something else in it than was said there"
    BELIEVED = "a prompt had an answer in it that stands nowhere"


@dataclass(frozen=True)
class Verdict:
    """One thing that is wrong."""

    fault: Fault
    chat: str
    what: str = ""

    def __str__(self) -> str:
        return f"{self.chat}: {self.fault} ({self.what})"


@dataclass
class _Chat:
    """The evidence of one chat."""

    name: str
    asked: list[Asked] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)  # in reading order
    standing: Sequence[Standing] = ()
    prompts: list[Asking] = field(default_factory=list)
    poison: frozenset[str] = frozenset()


def judge(evidence: Evidence) -> list[Verdict]:
    """Everything that is wrong."""
    home = {asked.token: asked.chat for asked in evidence.asked}
    chats = _sorted_out(evidence, home)
    verdicts = [*_foreign_prompts(evidence.prompts, chats, home)]
    for chat in chats.values():
        verdicts += [*_rows(chat), *_answers(chat), *_prompts(chat)]
    return verdicts


def tally(verdicts: Sequence[Verdict]) -> dict[str, int]:
    """How often each fault was found on each platform."""
    return dict(
        Counter(
            f"{verdict.chat.partition('-')[0]}: {verdict.fault}"
            for verdict in verdicts
        )
    )


def _sorted_out(evidence: Evidence, home: Mapping[str, str]) -> dict[str, _Chat]:
    chats = {
        name: _Chat(name, standing=standing, poison=evidence.poison)
        for name, standing in evidence.standing.items()
    }
    for asked in evidence.asked:
        chats[asked.chat].asked.append(asked)

    by_conversation: defaultdict[str, list[Row]] = defaultdict(list)
    for row in evidence.rows:
        by_conversation[row.conversation].append(row)
    for rows in by_conversation.values():
        name = next(home[row.token] for row in rows if row.token in home)
        chats[name].rows += sorted(rows, key=_reading_order)

    for prompt in evidence.prompts:
        if prompt.tokens and prompt.tokens[-1] in home:
            chats[home[prompt.tokens[-1]]].prompts.append(prompt)
    return chats


def _reading_order(row: Row) -> tuple[int, int]:
    """An answer is read after all that it answers, also after what arrived while it was written."""
    return (row.seq, 0) if row.answers is None else (row.answers, 1)


# --- sent, acknowledged, stored ---


def _rows(chat: _Chat) -> Iterator[Verdict]:
    stored = Counter(row.token for row in chat.rows if row.role == "user")
    covered = max((row.answers or 0 for row in chat.rows), default=0)
    for asked in chat.asked:
        if asked.acknowledged and not stored[asked.token]:
            yield Verdict(Fault.LOST, chat.name, asked.token)
        elif stored[asked.token] > 1:
            yield Verdict(Fault.DOUBLED_ROW, chat.name, asked.token)

    answers = Counter(row.answers for row in chat.rows if row.role == "assistant")
    for row in chat.rows:
        if row.role == "user" and row.seq > covered:
            yield Verdict(Fault.UNANSWERED, chat.name, row.token)
        elif row.role == "user" and answers[row.seq] > 1:
            yield Verdict(Fault.DOUBLED_ANSWER, chat.name, row.token)
        elif row.failed and row.token not in chat.poison:
            yield Verdict(Fault.GIVEN_UP, chat.name, row.token)


# --- what stands ---


@dataclass(frozen=True)
class _Whole:
    """An answer that stands as it was stored."""

    words: Words
    labelled: bool


def _answers(chat: _Chat) -> Iterator[Verdict]:
    expected = [
        _words(row.text) for row in chat.rows if row.role == "assistant" and row.text
    ]
    wholes, rest = _recognised(chat, set(expected))
    yield from _counted(chat, expected, wholes)
    yield from _ordered(chat, expected, wholes)
    said_again = {whole.words for whole in wholes if whole.labelled}
    for standing in rest:
        yield from _left_over(chat, standing, said_again)
    for standing in chat.standing:
        if standing.open:
            yield Verdict(Fault.OPEN, chat.name, _short(standing.text))


def _recognised(
    chat: _Chat, expected: set[Words]
) -> tuple[list[_Whole], list[Standing]]:
    """The whole answers among the messages, and the messages that are none or no part of one."""
    wholes, rest, at = [], [], 0
    while at < len(chat.standing):
        whole, pieces = _whole_at(chat, at, expected)
        if whole is None:
            rest.append(chat.standing[at])
        else:
            wholes.append(whole)
        at += pieces
    return wholes, rest


def _whole_at(
    chat: _Chat, at: int, expected: set[Words]
) -> tuple[_Whole | None, int]:
    """The answer that begins here, and of how many messages it is made."""
    parts: list[Words] = []
    labelled = False
    for number, piece in enumerate(chat.standing[at : at + MOST_PIECES], start=1):
        text, labels = LABEL.subn("", piece.text, count=1)
        part = _words(text)
        if labels and _is_unknowable(chat) and _is_half_of(parts[1:], part):
            del parts[-1]
        parts.append(part)
        words, labelled = tuple(chain(*parts)), labelled or labels > 0
        if words in expected:
            return _Whole(words, labelled), number

    return None, 1


def _is_unknowable(chat: _Chat) -> bool:
    """Whether nobody can ask the platform what arrived, nor give a message a key of its own."""
    return chat.name.startswith("telegram")


def _is_half_of(before: Sequence[Words], part: Words) -> bool:
    """Whether a labelled message says again what stands in the one above it, and more: that is
    a draft of which nobody knows whether it arrived.
    """
    return bool(before) and part[: len(before[-1])] == before[-1] != part


def _counted(
    chat: _Chat, expected: Sequence[Words], wholes: Sequence[_Whole]
) -> Iterator[Verdict]:
    once = Counter(whole.words for whole in wholes if not whole.labelled)
    again = Counter(whole.words for whole in wholes if whole.labelled)
    for words, wanted in Counter(expected).items():
        if once[words] + again[words] < wanted:
            yield Verdict(Fault.UNDELIVERED, chat.name, _short(" ".join(words)))
        if once[words] > wanted:
            yield Verdict(Fault.DOUBLED, chat.name, _short(" ".join(words)))


def _ordered(
    chat: _Chat, expected: Sequence[Words], wholes: Sequence[_Whole]
) -> Iterator[Verdict]:
    """Each answer counts where it stood last: a labelled one may follow what was known to stand."""
    rank = {words: number for number, words in enumerate(expected)}
    last = {whole.words: number for number, whole in enumerate(wholes)}
    in_place = sorted(last, key=lambda words: last[words])
    for earlier, later in pairwise(in_place):
        if rank[earlier] > rank[later]:
            yield Verdict(Fault.OUT_OF_ORDER, chat.name, _short(" ".join(earlier)))


def _left_over(
    chat: _Chat, standing: Standing, said_again: set[Words]
) -> Iterator[Verdict]:
    """A half is excused only where a platform can neither be asked nor keep a key, and the
    whole says so.

    A message that says so itself may be the end of an answer whose beginning was known to stand.
    """
    if _is_labelled_end(chat, standing):
        return

    token = token_of(standing.text)
    unknowable = _is_unknowable(chat) and _whole_of(chat, token) in said_again
    if not token.startswith("a"):
        yield Verdict(Fault.STRANGE, chat.name, _short(standing.text))
    elif not standing.open and not unknowable:
        yield Verdict(Fault.TORN, chat.name, _short(standing.text))


def _is_labelled_end(chat: _Chat, standing: Standing) -> bool:
    text, labels = LABEL.subn("", standing.text, count=1)
    end = _words(text)
    return labels > 0 and any(
        _words(row.text)[-len(end) :] == end for row in chat.rows
    )


def _whole_of(chat: _Chat, half: str) -> Words:
    """The stored answer to what the model was asked when it wrote this."""
    asked = next(
        (prompt.tokens[-1] for prompt in chat.prompts if f"a{prompt.number}" == half),
        "",
    )
    seq = next((row.seq for row in chat.rows if row.token == asked), 0)
    return next(
        (_words(row.text) for row in chat.rows if seq and (row.answers or 0) >= seq),
        (),
    )


# --- what the model saw ---


def _foreign_prompts(
    prompts: Sequence[Asking], chats: Mapping[str, _Chat], home: Mapping[str, str]
) -> Iterator[Verdict]:
    """Prompts that mix chats, or end with nothing that anybody said."""
    home = {
        **home,
        **{
            row.token: chat.name
            for chat in chats.values()
            for row in chat.rows
            if row.token
        },
    }
    for prompt in prompts:
        places = {home[token] for token in prompt.tokens if token in home}
        if len(places) != 1 or not prompt.tokens[-1].startswith("q"):
            yield Verdict(
                Fault.WRONG_CONTEXT, "/".join(sorted(places)), " ".join(prompt.tokens)
            )


def _prompts(chat: _Chat) -> Iterator[Verdict]:
    aside = {row.token for row in chat.rows if row.failed}
    spoken = [
        row
        for row in chat.rows
        if row.token and not row.notice and row.token not in aside
    ]
    at_least = WINDOW - sum(row.notice for row in chat.rows)
    expected = {
        _words(row.text): row.token for row in chat.rows if row.role == "assistant"
    }
    arrived = {expected[whole.words] for whole in _recognised(chat, set(expected))[0]}
    for prompt in chat.prompts:
        tokens = [token for token in prompt.tokens if token not in aside]
        read = _then(prompt, spoken)
        if not _is_window(tokens, read, at_least):
            transcript = " ".join(row.token for row in read)
            yield Verdict(
                Fault.WRONG_CONTEXT, chat.name, f"{' '.join(tokens)} of {transcript}"
            )
        believed = {token for token in tokens if token.startswith("a")} - arrived
        for token in sorted(believed):
            yield Verdict(Fault.BELIEVED, chat.name, token)


def _then(prompt: Asking, spoken: Sequence[Row]) -> list[Row]:
    """What was there when this was asked: later calls, and this one, had not answered yet. One
    whose instance died was asked again, perhaps about less.
    """
    return [
        row
        for row in spoken
        if row.role != "assistant" or int(row.token[1:]) < prompt.number
    ]


def _is_window(tokens: Sequence[str], spoken: Sequence[Row], at_least: int) -> bool:
    """Whether these are the newest messages up to the last one asked, in reading order,
    none of them missing.

    `spoken` is in reading order. The oldest ones are chosen by `seq`: there an answer may
    be without its question.
    """
    known = {row.token: number for number, row in enumerate(spoken)}
    if any(token not in known for token in tokens):
        return False

    if not tokens:
        return True

    read = spoken[: known[tokens[-1]] + 1]
    oldest = min(spoken[known[token]].seq for token in tokens)
    wanted = [row.token for row in read if row.seq >= oldest]
    return list(tokens) == wanted and (
        len(wanted) == len(read) or len(wanted) >= at_least
    )


def _words(text: str) -> Words:
    """A text without its formatting, which differs between platforms."""
    return tuple(_WORD.findall(text))


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:60]}…"
