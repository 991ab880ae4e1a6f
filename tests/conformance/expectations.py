"""What people, platforms and models see of an operator's change, at a running
agent, again and again.

A look has Ada do something in her chat and asserts what comes of it; the next look can follow.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.core.completion import Prompt, Tuning
from agent.core.errors import ModelError
from storage.lifecycle.retention import kept
from storage.postgres import open_database
from tests.conformance.channel_harness import ChannelHarness, Speaker
from tests.conformance.driver import Place
from tests.conformance.platform_extras import answers, command_refusal, has_menu
from tests.conformance.presses import labels
from tests.support.engine_harness import MODEL
from tests.support.settings import run

SPARE = "test:spare"
TITLE = "SELECT title FROM conversations WHERE is_active"
HER_ID = "her id"  # as a value: what the platform calls Ada

Expectation = Callable[[ChannelHarness, Place], Awaitable[None]]


@dataclass(frozen=True)
class Scenario:
    """What is expected without the operator's change (`usual`), and with it (`changed`)."""

    value: Any  # what the operator sets
    usual: Expectation
    changed: Expectation
    always: Mapping[str, Any] = field(default_factory=dict)  # set all the time
    model: type[Speaker] = Speaker


class Broken(Speaker):
    """Only the spare model answers."""

    async def stream(self, model: str, prompt: Prompt):  # type: ignore[no-untyped-def]
        if model != SPARE:
            self.asked.append(model)
            raise ModelError("The model is down.")

        async for piece in super().stream(model, prompt):
            yield piece


async def after(harness: ChannelHarness, ada: Place, *texts: str) -> list[str]:
    """What the agent says to these messages, each sent when the one before is answered."""
    before = len(harness.screen(ada))
    for text in texts:
        await harness.ask(ada, text)

    return harness.screen(ada)[before:]


def keeps_for(days: int) -> Expectation:
    """How long messages of this channel are kept; FOREVER: nothing is deleted."""

    async def look(harness: ChannelHarness, ada: Place) -> None:
        assert await after(harness, ada, "hello") == ["re: hello"]
        async with open_database(harness.database_url) as database:
            found = await kept(database, None)

        assert days == found.policy.days(harness.driver.name)

    return look


def answers_hello(*answers: str) -> Expectation:
    """As many hellos as answers; the answers are exactly these."""

    async def look(harness: ChannelHarness, ada: Place) -> None:
        assert list(answers) == await after(harness, ada, *["hello"] * len(answers))

    return look


def answered_in_a_new_conversation(answer: str) -> Expectation:
    """A hello in a new conversation has exactly this answer."""

    async def look(harness: ChannelHarness, ada: Place) -> None:
        assert answer == (await after(harness, ada, "/new", "hello"))[-1]

    return look


def asks(*models: str) -> Expectation:
    """Exactly these models are asked, one after the other, for the answer to a hello."""

    async def look(harness: ChannelHarness, ada: Place) -> None:
        before = len(harness.model.asked)
        await harness.ask(ada, "hello")

        assert list(models) == harness.model.asked[before:]

    return look


def says(prompt: str) -> Expectation:
    """The model gets this system prompt."""

    async def look(harness: ChannelHarness, ada: Place) -> None:
        await harness.ask(ada, "hello")
        assert prompt == harness.model.prompts[-1].system

    return look


def names_prompt(is_named: bool) -> Expectation:
    """Whether the stored answer names the system prompt that it was given under."""

    async def look(harness: ChannelHarness, ada: Place) -> None:
        await harness.ask(ada, "hello")
        [last] = await run(
            harness.database_url,
            "SELECT metadata ? 'prompt' FROM messages WHERE role = 'assistant'"
            " ORDER BY timestamp DESC LIMIT 1",
        )
        assert is_named == last[0]

    return look


def tunes(tuning: Tuning) -> Expectation:
    """The model is asked like this."""

    async def look(harness: ChannelHarness, ada: Place) -> None:
        await harness.ask(ada, "hello")
        assert tuning == harness.model.prompts[-1].tuning

    return look


def shows(*texts: str) -> Expectation:
    """Of two messages and what came before, the model is shown these last three at most."""

    async def look(harness: ChannelHarness, ada: Place) -> None:
        await after(harness, ada, "one", "two")
        assert list(texts) == harness.asked()[-3:]

    return look


def answers_burst(*answers: str) -> Expectation:
    """One message, two more during its answer: the agent says exactly these."""

    async def look(harness: ChannelHarness, ada: Place) -> None:
        before = len(harness.screen(ada))
        harness.model.hold()
        await harness.driver.say(ada, "one")
        await harness.model.started.wait()

        for text in ("two", "three"):
            counted = await harness.value("SELECT count(*) FROM turns")
            await harness.driver.say(ada, text)
            while await harness.value("SELECT count(*) FROM turns") == counted:
                await harness.value("SELECT pg_sleep(0.005)")

        harness.model.release()
        await harness.settled()

        assert list(answers) == harness.screen(ada)[before:]

    return look


async def grows(harness: ChannelHarness, ada: Place) -> None:
    """The first word of an answer is shown before the rest is written."""
    before = harness.screen(ada)
    harness.model.hold()
    await harness.driver.say(ada, "once upon a time")
    await harness.until(
        lambda: (
            len(harness.screen(ada)) > len(before)
            and "re:" in harness.screen(ada)[-1]
        )
    )
    assert "upon" not in harness.screen(ada)[-1]
    harness.model.release()
    await harness.shows(ada, *before, "re: once upon a time")
    await harness.settled()


async def comes_whole(harness: ChannelHarness, ada: Place) -> None:
    """While the model writes nothing of it is shown, also when a heartbeat has passed; then
    all of it in one state.
    """
    before, revisions = harness.screen(ada), harness.driver.revisions(ada)
    harness.model.hold()
    await harness.driver.say(ada, "once upon a time")
    await harness.model.started.wait()
    began = await harness.value("SELECT now()")

    while await harness.value(
        "SELECT max(seen_at) < $1::timestamptz + interval '0.2 s' FROM instances",
        began,
    ):
        await harness.value("SELECT pg_sleep(0.005)")

    assert before == harness.screen(ada)
    harness.model.release()
    await harness.settled()

    assert [*before, "re: once upon a time"] == harness.screen(ada)
    assert revisions + 1 == harness.driver.revisions(ada)


async def offers_commands(harness: ChannelHarness, ada: Place) -> None:
    """The platform's menu, where it has one, shows them, and they work."""
    await harness.applied()
    await harness.until(lambda: has_menu(harness.driver) is not False)
    before = len(harness.screen(ada))
    await harness.driver.command(ada, "stop")
    await harness.until(
        lambda: harness.screen(ada)[before:] == ["There is nothing to stop."]
    )
    await harness.settled()


async def withholds_commands(harness: ChannelHarness, ada: Place) -> None:
    """They are gone from the menu; used nevertheless they are refused in a sentence; typed
    they are obeyed.
    """
    await harness.applied()
    await harness.until(lambda: has_menu(harness.driver) is not True)
    before = len(harness.screen(ada))
    turns = await harness.value("SELECT count(*) FROM turns")

    # where a command that is chosen is a message like any other
    if harness.driver.name != "telegram":
        await harness.driver.command(ada, "stop")
        await harness.until(
            lambda: "switched off" in command_refusal(harness.driver, ada)
        )
        assert turns == await harness.value("SELECT count(*) FROM turns")

    before = len(harness.screen(ada))
    await harness.ask(ada, "!stop")

    assert ["There is nothing to stop."] == harness.screen(ada)[before:]


async def chooses(harness: ChannelHarness, ada: Place) -> None:
    """Any model, with `/model`; it answers until she undoes that."""
    for choice, model in (("test:dear", "test:dear"), ("default", MODEL)):
        await harness.ask(ada, f"/model {choice}")
        await asks(model)(harness, ada)


def is_refused_a_model(*allowed: str) -> Expectation:
    """She may choose only these; the first of them answers."""
    sentence = (
        f"test:dear may not be used here; allowed: {', '.join(allowed)}. "
        "Choose one with /model, or /model default."
    )

    async def look(harness: ChannelHarness, ada: Place) -> None:
        assert [sentence] == await after(harness, ada, "/model test:dear")
        await asks(allowed[0])(harness, ada)

    return look


async def is_a_stranger(harness: ChannelHarness, ada: Place) -> None:
    """The answer names her id; her message is neither stored nor shown to a model."""
    stored = await harness.value("SELECT count(*) FROM messages")
    asked = len(harness.model.asked)
    [answer] = await after(harness, ada, "hello")
    account = await harness.value("SELECT channel_user_id FROM users")

    assert answer.endswith(f"Please ask whoever runs me to add your id, {account}.")
    assert (stored, asked) == (
        await harness.value("SELECT count(*) FROM messages"),
        len(harness.model.asked),
    )


async def hears_nothing(harness: ChannelHarness, ada: Place) -> None:
    """Her message is acknowledged; nothing is stored, nothing is answered."""
    [agent], before = harness.running, harness.screen(ada)
    stored, accepted = (
        await harness.value("SELECT count(*) FROM turns"),
        agent.accepted,
    )
    await harness.driver.say(ada, "hello")
    await harness.until(
        lambda: agent.accepted > accepted and not harness.driver.unacknowledged()
    )

    assert (stored, before) == (
        await harness.value("SELECT count(*) FROM turns"),
        harness.screen(ada),
    )


async def bears_buttons(harness: ChannelHarness, ada: Place) -> None:
    """An answer has buttons under it."""
    await harness.ask(ada, "hello")
    assert labels(harness.driver, ada, answers(harness.driver, ada)[-1])


async def bears_no_buttons(harness: ChannelHarness, ada: Place) -> None:
    """An answer stands alone."""
    await harness.ask(ada, "hello")
    assert [] == labels(harness.driver, ada, answers(harness.driver, ada)[-1])


async def offers_system(harness: ChannelHarness, ada: Place) -> None:
    """Help names /system."""
    await harness.applied()
    assert "/system" in (await after(harness, ada, "/help"))[-1]


async def withholds_system(harness: ChannelHarness, ada: Place) -> None:
    """Help does not name /system."""
    await harness.applied()
    assert "/system" not in (await after(harness, ada, "/help"))[-1]


async def leaves_untitled(harness: ChannelHarness, ada: Place) -> None:
    """A new conversation is named by nobody, and nothing more is asked of the model."""
    await after(harness, ada, "/new")
    before = len(harness.model.prompts)
    await harness.ask(ada, "hello")

    assert await harness.value(TITLE) is None
    assert before + 1 == len(harness.model.prompts)


async def gets_titled(harness: ChannelHarness, ada: Place) -> None:
    """A new conversation is named after its first answer; /conversations shows it."""
    await after(harness, ada, "/new")
    harness.model.said = lambda prompt: '"Greetings"' if is_titling(prompt) else "hi"
    await harness.ask(ada, "hello")
    await harness.until_value(TITLE, "Greetings")

    shown = (await after(harness, ada, "/conversations"))[-1]
    assert "Greetings" in shown.splitlines()[0]
    assert ["hi"] == (await after(harness, ada, "and now?"))
    harness.model.said = lambda prompt: f"re: {prompt.messages[-1][1]}"


def is_titling(prompt: Prompt) -> bool:
    """Whether it asks for a title."""
    return prompt.messages[-1][1].startswith("Person: ")
