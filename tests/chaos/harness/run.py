"""Carries a plan out in a world, lets it come to rest, and has it judged."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

from tests.chaos.harness.checker import Verdict, judge, tally
from tests.chaos.harness.faults import FAULTS
from tests.chaos.harness.gather import gathered
from tests.chaos.harness.people import Standing
from tests.chaos.harness.plan import Blow, Message, Plan
from tests.chaos.harness.world import World

SETTLE_SECONDS = 90.0
"""Until all is answered after the last fault: penalties, back-offs up to a minute, and
three deaths fit in.
"""

QUIET_SECONDS = 1.5
"""After everything is closed: what a late or stale instance still says comes in this time."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    messages: int
    prompts: int
    starts: int  # of agents
    lost_answers: int  # of platforms, on their way to an agent
    settled: bool
    verdicts: tuple[Verdict, ...]
    screens: tuple[str, ...]  # of the chats in which something was wrong

    @property
    def faults(self) -> dict[str, int]:
        """What was wrong, counted; empty when the promise was kept."""
        return tally(self.verdicts)

    def __str__(self) -> str:
        counts = (
            f"{self.messages} messages, {self.prompts} prompts, "
            f"{self.starts} starts, {self.lost_answers} lost"
        )
        lines = [
            f"{counts} answers, settled: {self.settled}",
            *map(str, self.verdicts),
            *self.screens,
        ]
        return "\n  ".join(lines)


async def carry_out(world: World, plan: Plan) -> Outcome:
    """Everything that the plan says, at its time; then the verdict."""
    print(plan, flush=True)
    await asyncio.gather(
        *(_say(world, message) for message in plan.messages),
        *(_strike(world, blow) for blow in plan.blows),
    )
    return await concluded(world)


async def concluded(world: World, seconds: float = SETTLE_SECONDS) -> Outcome:
    """Heals everything, waits for so long until nothing is open, and judges what stands then."""
    world.heal()
    settled = await world.settled(seconds)
    await asyncio.sleep(QUIET_SECONDS)
    evidence = await gathered(world)
    verdicts = judge(evidence)
    outcome = Outcome(
        messages=len(world.people.said),
        prompts=len(world.model.asked),
        starts=sum(instance.starts for instance in world.instances),
        lost_answers=sum(link.lost for link in world.links.values()),
        settled=settled,
        verdicts=tuple(verdicts),
        screens=tuple(
            f"{chat} shows {_ends(standing)}"
            for chat in sorted(
                {verdict.chat for verdict in verdicts} & set(evidence.standing)
            )
            for standing in evidence.standing[chat]
        ),
    )
    print(outcome, flush=True)
    return outcome


def _ends(standing: Standing) -> str:
    """How a message begins and ends, which is where their marks are."""
    words = standing.text.split()
    text = " ".join(words if len(words) <= 12 else [*words[:9], "…", *words[-3:]])
    return f"{text} [open]" if standing.open else text


async def _say(world: World, message: Message) -> None:
    await asyncio.sleep(message.at)
    await world.people.say(world.chats[message.chat], message.more)


async def _strike(world: World, blow: Blow) -> None:
    await asyncio.sleep(blow.at)
    await FAULTS[blow.fault](world, random.Random(blow.seed))
