"""An experiment from its first command to its last: people on three platforms, and `agent
serve` in another process.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from agent.core.messages import Thumb
from tests.conformance.driver import Driver, Place
from tests.conformance.platform_extras import answers, react
from tests.support.commands import DEADLINE, Machine
from tests.support.model_server import ModelServer, model_server
from tests.support.servers import Valkey
from tests.support.serving import LOOK, Platforms, connected, machine_among, until
from tests.support.settings import run
from tests.support.warm import Warm

BRIEF, PLAIN, OWN = (
    "Be brief.",
    "Be yourself.",
    "You know me.",
)  # what the model is told
EACH = 10  # people on each platform


@dataclass(frozen=True)
class Somebody:
    """One account on one platform."""

    driver: Driver
    name: str
    place: Place

    async def asks(self, words: str) -> None:
        """The model repeats what somebody says, so that nobody else's answer can be taken
        for theirs.
        """
        text = f"{words}, says {self.name}"
        await self.driver.say(self.place, text, user=self.name)
        await until(lambda: text in self.driver.screen(self.place))

    async def types(self, command: str, argument: str = "") -> str:
        """Uses a command. Returns what is answered."""
        before = len(self.driver.screen(self.place))
        await self.driver.command(self.place, command, argument, user=self.name)
        await until(lambda: len(self.driver.screen(self.place)) > before)
        return self.driver.screen(self.place)[-1]

    async def thinks(self, thumb: Thumb) -> None:
        """Of the last answer."""
        answer = answers(self.driver, self.place)[-1]
        await react(self.driver, self.place, answer, given=thumb, user=self.name)


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    async with model_server() as server:
        yield server


@pytest.fixture
def machine(
    tmp_path: Path,
    database_url: str,
    redis_url: str,
    platforms: Platforms,
    model: ModelServer,
    warm: Warm,
) -> Machine:
    return machine_among(tmp_path, database_url, redis_url, platforms, model, warm)


@pytest.fixture
def people(platforms: Platforms) -> list[Somebody]:
    names = [
        (driver, f"{driver.name}{number}")
        for driver in platforms.all
        for number in range(EACH)
    ]
    return [Somebody(driver, name, driver.direct(name)) for driver, name in names]


async def typed(machine: Machine, *words: str) -> Any:
    """A command that succeeds, and the document that it prints."""
    ended = await machine.agent(*words, "--json")
    document = json.loads(ended.out)
    split_is_wrong = (
        "error" in document and document["error"] is not None
    )  # by chance, in one of a thousand runs
    assert (int(split_is_wrong), "") == (ended.status, ended.err)
    return document


async def settled(database_url: str, sql: str, expected: int) -> None:
    """Returns once the query counts so many."""
    async with asyncio.timeout(DEADLINE):
        while (await run(database_url, sql))[0][0] != expected:
            await asyncio.sleep(LOOK)


async def told(
    people: Sequence[Somebody], model: ModelServer, words: str
) -> dict[str, str]:
    """What the model is told for each of them when all write at once."""
    before = len(model.requests)
    await asyncio.gather(*(somebody.asks(words) for somebody in people))
    asked = [request.body["messages"] for request in model.requests[before:]]
    assert len(people) == len(asked)
    return {
        messages[-1]["content"].rpartition(" ")[2]: messages[0]["content"]
        for messages in asked
    }


def totals(report: Any, *metrics: str) -> dict[str, dict[str, int]]:
    """Of each variant: how many people, and the sums over them."""
    found = {
        variant: {"people": people} for variant, people in report["people"].items()
    }
    for compared in report["comparisons"]:
        if compared["metric"] in metrics:
            samples = {
                report["control"]: compared["control_sample"],
                compared["variant"]: compared["variant_sample"],
            }
            for variant, sample in samples.items():
                found[variant][compared["metric"]] = round(
                    (sample["mean"] or 0) * sample["people"]
                )
    return found


def expected(
    variants: dict[str, str], **counted: Sequence[str]
) -> dict[str, dict[str, int]]:
    """The same from what the test saw; `counted` has a name for each time something was
    counted for somebody.
    """
    people = {
        variant: {"people": count}
        for variant, count in Counter(variants.values()).items()
    }
    for metric, names in counted.items():
        counts = Counter(variants[name] for name in names if name in variants)
        for variant, sums in people.items():
            sums[metric] = counts[variant]
    return people


@pytest.mark.chaos
@pytest.mark.timeout(600)  # twenty processes start slowly on a busy machine
async def test_an_experiment_from_its_first_command_to_its_last(
    machine: Machine,
    platforms: Platforms,
    people: list[Somebody],
    model: ModelServer,
    database_url: str,
    _valkey: Valkey,
) -> None:
    """Everybody keeps their variant, also when `agent serve` is restarted and Redis forgets;
    the report counts exactly who took part and what they did; afterwards the flag's other
    rules hold again."""
    names = [somebody.name for somebody in people]
    ups, downs, retried = people[0::3], people[1::3], people[0::4]
    rule_of_own, elsewhere = people[EACH], people[:EACH] + people[-EACH:]
    await typed(machine, "flags", "set", "system_prompt", PLAIN, "--yes")
    await typed(
        machine,
        "flags",
        "create",
        "tone",
        "--type",
        "string",
        "--default",
        "calm",
        "--meaning",
        "How it is.",
    )
    two = ("--variant", "control", "--variant")
    await typed(
        machine,
        "experiments",
        "create",
        "brief",
        "--flag",
        "system_prompt",
        *two,
        f"short={BRIEF}",
    )
    where = ("--channel", "discord", "--channel", "slack")
    await typed(
        machine,
        "experiments",
        "create",
        "warmth",
        "--flag",
        "tone",
        *two,
        "warm:3=warm",
        *where,
    )
    async with connected(machine, platforms):
        assert dict.fromkeys(names, PLAIN) == await told(people, model, "before it")
        own = f"telegram:{rule_of_own.place.chat}"
        await typed(machine, "flags", "set", "system_prompt", OWN, "--person", own)
        for name in ("brief", "warmth"):
            await typed(machine, "experiments", "start", name, "--yes")
        prompts = await told(people, model, "first")
        assert {rule_of_own.name: OWN} == {
            name: said for name, said in prompts.items() if said not in (PLAIN, BRIEF)
        }
        assert {PLAIN, BRIEF, OWN} == {*prompts.values()}
        _valkey.flush()
        assert prompts == await told(people, model, "after Redis lost everything")
        await asyncio.gather(
            *(s.thinks(Thumb.UP) for s in ups), *(s.thinks(Thumb.DOWN) for s in downs)
        )
        await settled(
            database_url, "SELECT count(*) FROM votes", len(ups) + len(downs)
        )
    async with connected(machine, platforms):
        assert prompts == await told(people, model, "in another process")
        await asyncio.gather(*(somebody.types("retry") for somebody in retried))
        await settled(
            database_url, "SELECT count(*) FROM turns WHERE state = 'open'", 0
        )
        variants = {
            name: {PLAIN: "control", BRIEF: "short"}[said]
            for name, said in prompts.items()
            if said != OWN
        }
        acts = {
            "answers": [*names * 3, *(somebody.name for somebody in retried)],
            "retries": [somebody.name for somebody in retried],
            "thumbs_up": [somebody.name for somebody in ups],
            "thumbs_down": [somebody.name for somebody in downs],
        }
        report = await typed(machine, "experiments", "report", "brief")
        assert (0, expected(variants, **acts)) == (
            report["crossed"],
            totals(report, *acts),
        )
        warmth = await typed(machine, "experiments", "report", "warmth")
        assert expected(await warm_or_not(elsewhere, database_url), **acts) == totals(
            warmth, *acts
        )
        one, other = await linked(people, prompts)
        assert [prompts[one.name]] * 2 == [
            *(await told([one, other], model, "one person")).values()
        ]
        report = await typed(machine, "experiments", "report", "brief")
        assert (1, len(variants) - 2) == (
            report["crossed"],
            sum(report["people"].values()),
        )
        for name in ("brief", "warmth"):
            await typed(machine, "experiments", "stop", name, "--yes")
        assert dict.fromkeys(names, PLAIN) | {rule_of_own.name: OWN} == await told(
            people, model, "after it"
        )
        ended = await typed(machine, "experiments", "report", "brief")
        assert report["people"] == ended["people"]


async def warm_or_not(
    people: Sequence[Somebody], database_url: str
) -> dict[str, str]:
    """The variants of `warmth` by the arithmetic of docs/experiments.md: a quarter of all
    buckets are the control's.
    """
    found = (
        "SELECT c.chat_id, u.person_id::text FROM conversations c JOIN users "
        "u ON u.id = c.user_id"
    )
    persons = dict(await run(database_url, found))
    buckets = {
        somebody.name: int.from_bytes(
            sha256(f"warmth:{persons[somebody.place.chat]}".encode()).digest()[:8]
        )
        % 100_000
        for somebody in people
    }
    return {
        name: "control" if bucket < 25_000 else "warm"
        for name, bucket in buckets.items()
    }


async def linked(
    people: Sequence[Somebody], prompts: dict[str, str]
) -> tuple[Somebody, Somebody]:
    """Somebody on Discord and somebody on Slack who are told different things, once they
    are one person.
    """
    one, *_ = people[:EACH]
    other = next(
        somebody
        for somebody in people[-EACH:]
        if prompts[somebody.name] != prompts[one.name]
    )
    code = re.search(r"/link ([A-Z2-9]{8})", await one.types("link"))
    assert code is not None
    assert "one now" in await other.types("link", code[1])
    return one, other
