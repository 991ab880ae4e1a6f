"""What people, platforms and models see of what an operator sets: one look at a running
agent, again and again.

A look has Ada do something in her chat and asserts what comes of it; the next look can follow.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.core.completion import Prompt
from agent.core.errors import ModelError
from tests.conformance.channel_harness import ChannelHarness, Speaker
from tests.conformance.driver import Place
from tests.conformance.platform_extras import command_refusal, has_menu
from tests.support.engine_harness import MODEL

SPARE = "test:spare"
HER_ID = "her id"  # as a value: what the platform calls Ada

Look = Callable[[ChannelHarness, Place], Awaitable[None]]


@dataclass(frozen=True)
class Scenario:
    """What is so without the operator's change (`usual`), and with it (`changed`)."""

    value: Any  # what the operator sets
    usual: Look
    changed: Look
    beside: Mapping[str, Any] = field(default_factory=dict)  # set all the time
    model: type[Speaker] = Speaker


class Broken(Speaker):
    """Only the spare model answers."""

    async def stream(self, model: str, prompt: Prompt):  # type: ignore[no-untyped-def]
        if model != SPARE:
            self.asked.append(model)
            raise ModelError("The model is down.")
        async for piece in super().stream(model, prompt):
            yield piece


async def after(stage: ChannelHarness, ada: Place, *texts: str) -> list[str]:
    """What the agent says to these messages, each sent when the one before is answered."""
    before = len(stage.screen(ada))
    for text in texts:
        await stage.ask(ada, text)
    return stage.screen(ada)[before:]


def told(*answers: str) -> Look:
    """As many hellos as answers, and she is told exactly these."""

    async def look(stage: ChannelHarness, ada: Place) -> None:
        assert list(answers) == await after(stage, ada, *["hello"] * len(answers))

    return look


def told_anew(answer: str) -> Look:
    """She begins a new conversation with a hello, and is told exactly this."""

    async def look(stage: ChannelHarness, ada: Place) -> None:
        assert answer == (await after(stage, ada, "/new", "hello"))[-1]

    return look


def asks(*models: str) -> Look:
    """Exactly these models are asked, one after the other, for the answer to a hello."""

    async def look(stage: ChannelHarness, ada: Place) -> None:
        before = len(stage.model.asked)
        await stage.ask(ada, "hello")
        assert list(models) == stage.model.asked[before:]

    return look


def says(prompt: str) -> Look:
    """The model is given this system prompt."""

    async def look(stage: ChannelHarness, ada: Place) -> None:
        await stage.ask(ada, "hello")
        assert prompt == stage.model.prompts[-1].system

    return look


def shows(*texts: str) -> Look:
    """Of two messages and what came before, the model is shown these last three at most."""

    async def look(stage: ChannelHarness, ada: Place) -> None:
        await after(stage, ada, "one", "two")
        assert list(texts) == stage.asked()[-3:]

    return look


def answers_burst(*answers: str) -> Look:
    """One message, two more during its answer: the agent says exactly these."""

    async def look(stage: ChannelHarness, ada: Place) -> None:
        before = len(stage.screen(ada))
        stage.model.hold()
        await stage.driver.say(ada, "one")
        await stage.model.started.wait()
        for text in ("two", "three"):
            counted = await stage.value("SELECT count(*) FROM turns")
            await stage.driver.say(ada, text)
            while await stage.value("SELECT count(*) FROM turns") == counted:
                await stage.value("SELECT pg_sleep(0.005)")
        stage.model.release()
        await stage.settled()
        assert list(answers) == stage.screen(ada)[before:]

    return look


async def grows(stage: ChannelHarness, ada: Place) -> None:
    """The first word of an answer stands there before the rest of it is written."""
    before = stage.screen(ada)
    stage.model.hold()
    await stage.driver.say(ada, "once upon a time")
    await stage.until(
        lambda: len(stage.screen(ada)) > len(before) and "re:" in stage.screen(ada)[-1]
    )
    assert "upon" not in stage.screen(ada)[-1]
    stage.model.release()
    await stage.shows(ada, *before, "re: once upon a time")
    await stage.settled()


async def comes_whole(stage: ChannelHarness, ada: Place) -> None:
    """While the model writes nothing of it is shown, also when a heartbeat has passed; then
    all of it in one state.
    """
    before, revisions = stage.screen(ada), stage.driver.revisions(ada)
    stage.model.hold()
    await stage.driver.say(ada, "once upon a time")
    await stage.model.started.wait()
    began = await stage.value("SELECT now()")
    while await stage.value(
        "SELECT max(seen_at) < $1::timestamptz + interval '0.2 s' FROM instances", began
    ):
        await stage.value("SELECT pg_sleep(0.005)")
    assert before == stage.screen(ada)
    stage.model.release()
    await stage.settled()
    assert [*before, "re: once upon a time"] == stage.screen(ada)
    assert revisions + 1 == stage.driver.revisions(ada)


async def offers_commands(stage: ChannelHarness, ada: Place) -> None:
    """They stand in the platform's menu, where it has one, and are obeyed when they are used."""
    await stage.applied()
    await stage.until(lambda: has_menu(stage.driver) is not False)
    before = len(stage.screen(ada))
    await stage.driver.command(ada, "stop")
    await stage.until(
        lambda: stage.screen(ada)[before:] == ["There is nothing to stop."]
    )
    await stage.settled()


async def withholds_commands(stage: ChannelHarness, ada: Place) -> None:
    """They are gone from the menu; used nevertheless they are refused in a sentence; typed
    they are obeyed.
    """
    await stage.applied()
    await stage.until(lambda: has_menu(stage.driver) is not True)
    before, turns = (
        len(stage.screen(ada)),
        await stage.value("SELECT count(*) FROM turns"),
    )
    if (
        stage.driver.name != "telegram"
    ):  # where a command that is chosen is a message like any other
        await stage.driver.command(ada, "stop")
        await stage.until(lambda: "switched off" in command_refusal(stage.driver, ada))
        assert turns == await stage.value("SELECT count(*) FROM turns")
    before = len(stage.screen(ada))
    await stage.ask(ada, "!stop")
    assert ["There is nothing to stop."] == stage.screen(ada)[before:]


async def chooses(stage: ChannelHarness, ada: Place) -> None:
    """Any model, with `/model`; it answers until she takes that back."""
    for choice, model in (("test:dear", "test:dear"), ("default", MODEL)):
        await stage.ask(ada, f"/model {choice}")
        await asks(model)(stage, ada)


def is_refused_a_model(*allowed: str) -> Look:
    """She may choose none but these, of which the first answers."""
    sentence = (
        f"test:dear may not be used here; allowed: {', '.join(allowed)}. "
        "Choose one with /model, or /model default."
    )

    async def look(stage: ChannelHarness, ada: Place) -> None:
        assert [sentence] == await after(stage, ada, "/model test:dear")
        await asks(allowed[0])(stage, ada)

    return look


async def is_a_stranger(stage: ChannelHarness, ada: Place) -> None:
    """She is told her id, and what she wrote is neither stored nor shown to a model."""
    stored, asked = (
        await stage.value("SELECT count(*) FROM messages"),
        len(stage.model.asked),
    )
    [said] = await after(stage, ada, "hello")
    account = await stage.value("SELECT channel_user_id FROM users")
    assert said.endswith(f"Please ask whoever runs me to add your id, {account}.")
    assert (stored, asked) == (
        await stage.value("SELECT count(*) FROM messages"),
        len(stage.model.asked),
    )


async def hears_nothing(stage: ChannelHarness, ada: Place) -> None:
    """Her message is taken off the platform; nothing is stored, nothing is said."""
    [agent], before = stage.running, stage.screen(ada)
    stored, accepted = await stage.value("SELECT count(*) FROM turns"), agent.accepted
    await stage.driver.say(ada, "hello")
    await stage.until(
        lambda: agent.accepted > accepted and not stage.driver.unacknowledged()
    )
    assert (stored, before) == (
        await stage.value("SELECT count(*) FROM turns"),
        stage.screen(ada),
    )
