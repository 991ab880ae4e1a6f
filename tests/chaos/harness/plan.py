"""What happens in a run and when, all of it drawn from one seed: the same seed is the same plan."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from tests.chaos.harness.model import LONG

BURST = 0.3  # share of messages that are followed by another within a second
LONG_SHARE = 0.1  # share of messages that ask for a long answer


@dataclass(frozen=True)
class Message:
    """Somebody writes. `chat` counts the chats of the world."""

    at: float
    chat: int
    more: str


@dataclass(frozen=True)
class Blow:
    """A fault strikes. Its own chance comes from its own seed."""

    at: float
    fault: str
    seed: int


@dataclass(frozen=True)
class Plan:
    """Everything that was drawn. Moments are seconds from the beginning."""

    seed: int
    messages: tuple[Message, ...]
    blows: tuple[Blow, ...]

    def __str__(self) -> str:
        blows = ", ".join(f"{blow.at:.1f} s {blow.fault}" for blow in self.blows)
        return (
            f"seed {self.seed}: {len(self.messages)} messages; {blows or 'no faults'}"
        )


def drawn(
    seed: int,
    faults: Sequence[str],
    *,
    chats: int,
    rounds: int = 1,
    pause: float = 12.0,
    at_once: int = 1,
    each: int = 4,
) -> Plan:
    """A plan with so many rounds of faults, `at_once` of them together and `pause` seconds
    between two rounds.

    In each round every chat gets about `each` messages.
    """
    dice = random.Random(seed)
    blows = tuple(
        Blow(pause * number + dice.uniform(0.5, 1.5), fault, dice.randrange(2**32))
        for number in range(rounds)
        for fault in _chosen(dice, faults, at_once)
    )
    messages = sorted(
        (
            message
            for chat in range(chats)
            for message in _talk(dice, chat, rounds * pause, rounds * each)
        ),
        key=lambda message: message.at,
    )
    return Plan(seed, tuple(messages), blows)


def _chosen(dice: random.Random, faults: Sequence[str], at_once: int) -> list[str]:
    """Different ones, as many as there are."""
    return dice.sample(list(faults), min(at_once, len(faults)))


def _talk(
    dice: random.Random, chat: int, seconds: float, count: int
) -> list[Message]:
    moments: list[float] = []
    while len(moments) < count:
        at = dice.uniform(0.0, seconds)
        moments += [at, at + dice.random()] if dice.random() < BURST else [at]
    return [
        Message(at, chat, LONG if dice.random() < LONG_SHARE else "")
        for at in sorted(moments[:count])
    ]
