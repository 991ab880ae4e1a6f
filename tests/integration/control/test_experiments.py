"""A turn obeys the variant of its person, and what is recorded with the answer is what was
obeyed.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from agent.control.evaluation import RuleFlags
from agent.control.experiments import Experiment, Variant, definition_of
from agent.control.flags import (
    DEFAULT_MODEL,
    FALLBACK_MODEL,
    OVERLAP,
    SYSTEM_PROMPT,
    new_flag,
)
from agent.control.uses import FlagUses
from agent.core.channel import ChannelSettings
from agent.core.options import Options
from agent.ports import Ports
from storage.control.experiments.admin import ExperimentAdmin
from storage.control.flags import FlagAdmin
from storage.control.state import ControlSnapshot, ControlState, state
from storage.control.targets import RuleTarget
from tests.support.engine_harness import MODEL, EngineHarness, Instance
from tests.support.operators import ADA, EVERYBODY, experimenter
from tests.support.settings import run

LOOK = Experiment(
    "look",
    "system_prompt",
    "look",
    (Variant("control", 1), Variant("brief", 1, "Be brief.")),
)
DEFAULT_PROMPT = Options(MODEL).system_prompt


@pytest.fixture
async def admin(database_url: str, redis_url: str) -> AsyncIterator[ExperimentAdmin]:
    async with experimenter(database_url, redis_url) as admin:
        yield admin


async def begin(admin: ExperimentAdmin, *experiments: Experiment) -> None:
    for experiment in experiments:
        await admin.create(experiment, ADA)
        await admin.start(experiment.name, ADA)


async def records(
    world: EngineHarness,
    chat: str = "ada",
    role: str = "assistant",
) -> list[dict[str, Any]]:
    """What was recorded with the messages of a chat, in their order."""
    rows = await run(
        world.database_url,
        "SELECT m.metadata FROM messages m JOIN conversations c ON c.id = m.conversation_id"
        " WHERE c.chat_id = $1 AND m.role = $2 ORDER BY m.seq",
        chat,
        role,
    )
    return [json.loads(row["metadata"]) for row in rows]


async def person(world: EngineHarness, account: str = "ada") -> str:
    [row] = await run(
        world.database_url,
        "SELECT person_id FROM users WHERE channel_user_id = $1",
        account,
    )
    return str(row["person_id"])


async def test_every_answer_tells_its_epoch(
    world: EngineHarness,
    agent: Instance,
    flags: FlagAdmin,
) -> None:
    """Also what is said instead of one; nothing of experiments where there are none."""
    await world.ask(agent, "one")
    await flags.set("streaming", EVERYBODY, False, ADA)
    await world.ask(agent, "two")
    await flags.set("replies", EVERYBODY, False, ADA)
    await world.ask(agent, "three")

    assert [
        {"epoch": 1},
        {"epoch": 2},
        {"epoch": 3, "notice": True},
    ] == await records(world)


async def test_people_have_the_prompt_of_their_variant(
    world: EngineHarness,
    agent: Instance,
    admin: ExperimentAdmin,
) -> None:
    """And it is recorded, with the person; the control has the prompt that stands without
    the experiment.
    """
    await begin(admin, LOOK)
    for number in range(12):
        chat = f"chat {number}"
        await world.ask(agent, "hello", chat=chat)
        asker = await person(world, chat)
        variant = LOOK.variant_for(UUID(asker), "test")

        assert variant is not None
        assert [
            {"epoch": 3, "person": asker, "variants": {"look": variant.name}}
        ] == await records(world, chat)
        assert (variant.value or DEFAULT_PROMPT) == world.model.prompts[-1].system


async def test_a_person_keeps_the_variant_until_the_experiment_ends(
    world: EngineHarness,
    agent: Instance,
    admin: ExperimentAdmin,
) -> None:
    """Turn after turn, with Redis and without, on this instance and another."""
    await begin(admin, LOOK)
    await world.ask(agent, "one")
    await agent.pipe.client.flushall()
    await world.ask(agent, "two")

    async with world.instance() as other:
        await world.ask(other, "three")

    await admin.stop("look", ADA)
    await world.ask(agent, "four")
    first, *rest, last = await records(world)

    assert [first, first] == rest
    assert {"epoch": 4} == last
    assert DEFAULT_PROMPT == world.model.prompts[-1].system


async def test_two_linked_accounts_have_the_same_variant(
    world: EngineHarness,
    agent: Instance,
    admin: ExperimentAdmin,
) -> None:
    """Five experiments with ten variants each: as one person, not by chance (1 in 100,000)."""
    ten = tuple(Variant(f"v{number}", 1) for number in range(10))
    tried = (
        "system_prompt",
        "overlap",
        "streaming",
        "fallback_model",
        "max_conversation_length",
    )
    await begin(admin, *(Experiment(f"on_{flag}", flag, flag, ten) for flag in tried))
    await world.ask(agent, "hello", chat="ada at work")
    await world.ask(agent, "hello", chat="ada at home")
    await world.ask(agent, "/link", chat="ada at work")
    code = re.search(r"/link (\w+)", world.platform.screen("ada at work")[-1])

    assert code is not None

    await world.ask(agent, f"/link {code[1]}", chat="ada at home")

    for chat in ("ada at work", "ada at home"):
        await world.ask(agent, "and now?", chat=chat)

    work, home = [
        (await records(world, chat))[-1] for chat in ("ada at work", "ada at home")
    ]

    assert 5 == len(work["variants"])
    assert work == home


async def test_a_model_of_ones_own_is_no_variant(
    world: EngineHarness,
    agent: Instance,
    admin: ExperimentAdmin,
) -> None:
    """Somebody with a model of their own is not asked for the default; after `/model default`
    they take part again.
    """
    models = (Variant("one", 1, "test:tried"), Variant("two", 1, "test:tried"))
    await begin(admin, Experiment("models", "default_model", "s", models), LOOK)
    await world.ask(agent, "one")
    await world.ask(agent, "/model test:mine")
    await world.ask(agent, "two")
    await world.ask(agent, "/model default")
    await world.ask(agent, "three")

    assert ["test:tried", "test:mine", "test:tried"] == world.model.asked
    assert [{"look", "models"}, {"look"}, {"look", "models"}] == [
        set(record["variants"]) for record in await records(world)
    ]


async def test_a_flag_that_only_others_read_is_recorded_too(
    world: EngineHarness,
    agent: Instance,
    admin: ExperimentAdmin,
    flags: FlagAdmin,
) -> None:
    """One that an operator made; another program in this process may have obeyed it."""
    await flags.create(new_flag("new_look", "string", "How it looks."), "plain", ADA)
    await begin(admin, replace(LOOK, flag="new_look"))
    await world.ask(agent, "hello")
    [record] = await records(world)
    variant = LOOK.variant_for(UUID(await person(world)), "test")

    assert variant is not None
    assert {"look": variant.name} == record["variants"]


async def test_who_is_decided_by_a_narrower_rule_takes_no_part(
    world: EngineHarness,
    agent: Instance,
    admin: ExperimentAdmin,
    flags: FlagAdmin,
) -> None:
    await begin(admin, LOOK)
    await world.ask(agent, "one")
    await flags.set("system_prompt", RuleTarget(person="test:ada"), "Be kind.", ADA)
    await world.ask(agent, "two")

    assert "Be kind." == world.model.prompts[-1].system
    assert ["look"] == list((await records(world))[0]["variants"])
    assert {"epoch": 4} == (await records(world))[1]


async def test_in_a_group_the_last_author_is_the_person(
    world: EngineHarness,
    agent: Instance,
    admin: ExperimentAdmin,
) -> None:
    """The person whose flags are obeyed is the one that is recorded."""
    await begin(admin, LOOK)

    for user in ("ada", "bob"):
        message = world.message("hello", chat="town", user=user)
        await agent.engine.accept(message)
        await world.platform.until(
            lambda turn=message.turn_id: world.platform.finished[turn] > 0  # type: ignore[misc]
        )

    people = [await person(world, user) for user in ("ada", "bob")]

    assert people == [record["person"] for record in await records(world, "town")]


async def test_a_message_asked_again_is_marked(
    world: EngineHarness,
    agent: Instance,
) -> None:
    """So that a report can count how often people wanted another answer."""
    await world.ask(agent, "one")
    await world.ask(agent, "/retry")
    await world.ask(agent, "two")

    assert [{}, {"retry": True}, {}] == await records(world, role="user")


@dataclass
class Restless:
    """A control whose every value changes with each tick of the event loop: the busiest
    operator there can be.
    """

    number: int = 1000
    state: ControlState = field(default_factory=ControlState)
    stale: bool = False
    watchers: list[Any] = field(default_factory=list)
    uses: FlagUses = field(default_factory=FlagUses)

    async def observe(self, epoch: int | None) -> None:
        """It changes anyway."""

    async def miss(self) -> None:
        """It changes anyway."""

    @property
    def epoch(self) -> int:
        return self.state.epoch

    def channel(self, name: str) -> ChannelSettings:
        return self.state.channels.get(name, ChannelSettings())

    def change(self) -> None:
        self.number += 1
        values = {
            SYSTEM_PROMPT: "p",
            DEFAULT_MODEL: "test:m",
            FALLBACK_MODEL: "test:f",
        }
        rules: list[tuple[str, str, Any]] = [
            ("global", flag.name, f"{value}{self.number}")
            for flag, value in values.items()
        ]
        both = (
            Variant(f"v{self.number}", 1, "merge"),
            Variant(f"w{self.number}", 1, "merge"),
        )
        tried = Experiment(f"e{self.number}", OVERLAP.name, "salt", both)
        self.state = state(
            ControlSnapshot(
                self.number, "", rules, [], [(tried.name, definition_of(tried))]
            )
        )

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[None]:
        async def change_for_ever() -> None:
            while True:
                self.change()
                await asyncio.sleep(0)

        task = asyncio.create_task(change_for_ever())
        yield
        task.cancel()
        await asyncio.wait({task})


async def test_what_is_recorded_is_what_was_obeyed(world: EngineHarness) -> None:
    """Prompt, model, fallback and variant are all of the recorded epoch, though each await
    sees another one.

    The model fails before its first word, so that the fallback is asked: long after the
    prompt was made.
    """
    control = Restless()

    def wrap(ports: Ports) -> Ports:
        return replace(
            ports,
            control=control,
            control_updates=control,
            flags=RuleFlags(control),
        )

    world.model.said = lambda prompt: ""
    world.model.error = "It failed."

    async with world.instance(wrap) as agent, control.changing():
        for number in range(10):
            await world.ask(agent, f"message {number}")

    found = await records(world)
    epochs = [record["epoch"] for record in found]

    assert (10, epochs) == (len(set(epochs)), sorted(epochs))
    assert [
        model for n in epochs for model in (f"test:m{n}", f"test:f{n}")
    ] == world.model.asked
    assert [f"p{n}" for n in epochs for _ in range(2)] == [
        prompt.system for prompt in world.model.prompts
    ]
    assert [[f"e{n}"] for n in epochs] == [
        list(record["variants"]) for record in found
    ]
    assert all(
        record["variants"][f"e{n}"] in (f"v{n}", f"w{n}")
        for n, record in zip(epochs, found, strict=True)
    )
