"""Made-up people and what they say: enough like real ones to look at reports and to measure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import accumulate
from random import Random
from uuid import UUID

from msgspec import Struct
from uuid_utils.compat import uuid7

DAYS_A_MONTH = 30
CHANNELS = {"discord": 5, "telegram": 3, "slack": 2}
"""How often people are on each."""

PEOPLE_A_GROUP = 20
"""One group for so many people."""

MAX_MEMBERS = 12
SESSION_TURNS = 6
"""People write a few messages, go away, and come back."""

SESSION_PAUSE = 90.0
"""Seconds between two turns of a session, in the mean."""

HOURS = (1, 1, 1, 1, 1, 2, 3, 5, 8, 9, 9, 8, 8, 9, 9, 8, 8, 8, 9, 10, 9, 7, 4, 2)
"""How much is written in each hour of a day."""

FIRST = (
    "Ada",
    "Bela",
    "Chidi",
    "Dana",
    "Emre",
    "Fatou",
    "Goran",
    "Hana",
    "Ines",
    "Jun",
)
LAST = ("Adler", "Brandt", "Costa", "Diaz", "Eriksen", "Fischer", "Gupta", "Haddad")
ASKED = (
    "How do I {verb} a {thing}?",
    "What is the best way to {verb} this {thing}?",
    "Can you {verb} my {thing} and say what is wrong?",
    "Why does the {thing} fail when I {verb} it?",
    "And the {thing}?",
    "Thanks! Please {verb} it once more, shorter.",
    "Is there a {thing} that can {verb} itself?",
)
SAID = (
    "You can {verb} a {thing} in three steps.",
    "First look at the {thing} as it is now.",
    "Then {verb} one part of it and compare.",
    "If the {thing} still fails, its input is the likely reason.",
    "Keep a copy of the {thing} before you {verb} it.",
    "That depends on how large the {thing} is.",
    "Tell me more about the {thing}, and I can be more exact.",
)
VERBS = (
    "rename",
    "test",
    "translate",
    "sort",
    "explain",
    "shorten",
    "deploy",
    "check",
)
THINGS = (
    "report",
    "recipe",
    "query",
    "letter",
    "script",
    "timetable",
    "budget",
    "form",
)


class Person(Struct, frozen=True):
    """An account that nobody has."""

    id: UUID
    channel: str
    account: str
    name: str


class Turn(Struct, frozen=True):
    """One message, or the answer to the one before (`author` None)."""

    id: UUID
    at: datetime
    text: str
    author: Person | None
    thumb: int = 0


class Talk(Struct, frozen=True):
    """A conversation, whole: its last message is an answer."""

    id: UUID
    channel: str
    chat: str
    turns: Sequence[Turn]


def people(count: int, chance: Random) -> list[Person]:
    """So many, each with an account that no platform gives out."""
    channels = chance.choices([*CHANNELS], [*CHANNELS.values()], k=count)

    return [_person(channel, chance) for channel in channels]


def _person(channel: str, chance: Random) -> Person:
    id = uuid7()

    return Person(id, channel, f"seed-{id.hex}", _name(chance))


def _name(chance: Random) -> str:
    return f"{chance.choice(FIRST)} {chance.choice(LAST)}"


def talks(
    known: Sequence[Person],
    messages: int,
    since: datetime,
    until: datetime,
    chance: Random,
) -> Iterator[Talk]:
    """Conversations of these people with so many messages in all, at least two.

    A few are long and most are short. All members of a group are on one channel.
    """
    circles = [[person] for person in known]
    circles.extend(_group(known, chance) for _ in range(len(known) // PEOPLE_A_GROUP))
    chance.shuffle(circles)

    # no more conversations than there are turns
    circles = circles[: messages // 2]
    lengths = _shares(messages // 2, len(circles), chance)
    for number, (circle, turns) in enumerate(zip(circles, lengths, strict=True)):
        # an odd number: somebody wrote twice before the first answer
        twice = number == 0 and messages % 2 == 1
        times = _times(turns, since, until, chance)
        yield _talk(circle, times, chance, twice=twice)


def _group(known: Sequence[Person], chance: Random) -> list[Person]:
    channel = chance.choice(known).channel
    alike = [
        person
        for person in chance.sample(known, min(len(known), 4 * MAX_MEMBERS))
        if person.channel == channel
    ]

    return alike[:MAX_MEMBERS] or [chance.choice(known)]


def _shares(total: int, parts: int, chance: Random) -> list[int]:
    """Whole numbers of at least one, with this sum: a few large ones, many small ones."""
    weights = [chance.paretovariate(1.2) for _ in range(parts)]
    spare, scale = total - parts, sum(weights)
    bounds = [round(spare * part / scale) for part in accumulate(weights)]

    return [
        1 + upper - lower for lower, upper in zip([0, *bounds], bounds, strict=False)
    ]


def _times(
    count: int, since: datetime, until: datetime, chance: Random
) -> Sequence[datetime]:
    """In sessions, by day more than by night, each later than the one before."""
    span = (until - since).total_seconds()
    sessions = [_moment(span, chance) for _ in range(1 + count // SESSION_TURNS)]
    moments = sorted(
        min(span, chance.choice(sessions) + chance.expovariate(1 / SESSION_PAUSE))
        for _ in range(count)
    )

    # a millisecond apart, back from the end, so that none is later than now
    times: list[datetime] = []
    latest = until
    for moment in reversed(moments):
        latest = min(
            since + timedelta(seconds=moment), latest - timedelta(milliseconds=1)
        )
        times.append(latest)

    return times[::-1]


def _moment(span: float, chance: Random) -> float:
    day = chance.uniform(0, max(0.0, span - 86_400)) // 86_400
    hour = chance.choices(range(24), HOURS)[0]

    return min(span, day * 86_400 + (hour + chance.random()) * 3600)


def _talk(
    circle: Sequence[Person],
    times: Sequence[datetime],
    chance: Random,
    *,
    twice: bool,
) -> Talk:
    turns: list[Turn] = []
    ends = [*times[1:], times[-1] + timedelta(seconds=30)]
    for at, end in zip(times, ends, strict=True):
        writes = chance.choice(circle)
        if twice and not turns:
            turns.append(Turn(uuid7(), at, _said(ASKED, 1, chance), writes))
        gap = min((end - at) / 4, timedelta(seconds=chance.uniform(0.7, 9)))
        turns.append(
            Turn(
                uuid7(),
                at + gap / 4,
                _said(ASKED, 1, chance),
                writes,
            )
        )
        turns.append(
            Turn(
                uuid7(),
                at + gap,
                _said(SAID, chance.randint(1, 5), chance),
                None,
                chance.choices((0, 1, -1), (95, 4, 1))[0],
            )
        )

    id = uuid7()

    return Talk(id, circle[0].channel, f"seed-{id.hex}", turns)


def _said(patterns: Sequence[str], sentences: int, chance: Random) -> str:
    words = {"verb": chance.choice(VERBS), "thing": chance.choice(THINGS)}

    return " ".join(
        pattern.format(**words) for pattern in chance.choices(patterns, k=sentences)
    )
