"""A button does what its command or its reaction does, on every platform that has buttons."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from agent.conversation.commands.pressing import GONE, GONE_ON, NOTED, WRITTEN
from agent.core.completion import ModelFacts
from agent.core.words.model_lists import ModelList
from storage.control.flags import FlagAdmin
from tests.conformance.channel_harness import ChannelHarness
from tests.conformance.driver import Place
from tests.conformance.platform_extras import answers
from tests.conformance.presses import carried, heard, labels, press, waiting
from tests.conformance.thumbs import becomes
from tests.support.operators import ADA, EVERYBODY, operator

RETRY, STOP, UP, DOWN = "🔁 Retry", "⏹ Stop", "👍", "👎"


@pytest.fixture
async def admin(harness: ChannelHarness) -> AsyncIterator[FlagAdmin]:
    """Buttons are on."""
    async with operator(harness.database_url, harness.redis_url) as admin:
        await admin.set("buttons", EVERYBODY, True, ADA)
        yield admin


async def asked(harness: ChannelHarness, place: Place, text: str) -> str:
    """A person asks and is answered. Returns the platform's id of the answer."""
    await harness.ask(place, text, mention=not place.direct)
    return answers(harness.driver, place)[-1]


async def says(harness: ChannelHarness, place: Place, text: str) -> None:
    """The agent has said this, and no button waits."""
    await harness.until(lambda: text in plain(harness, place))
    await harness.until(lambda: waiting(harness.driver) == 0)


def plain(harness: ChannelHarness, place: Place) -> list[str]:
    return [text.replace("`", "") for text in heard(harness.driver, place)]


async def test_a_press_of_retry_answers_again(
    harness: ChannelHarness, admin: FlagAdmin
) -> None:
    """The last message is asked once more; the new answer has buttons of its own."""
    ada = harness.driver.direct("ada")
    async with harness.agent():
        answer = await asked(harness, ada, "hello")
        assert [RETRY, UP, DOWN] == labels(harness.driver, ada, answer)
        await press(harness.driver, ada, answer, RETRY)
        await harness.shows(ada, "re: hello", "re: hello")
        await harness.settled()
        await harness.until(lambda: waiting(harness.driver) == 0)
        again = answers(harness.driver, ada)[-1]
        assert [RETRY, UP, DOWN] == labels(harness.driver, ada, again)

    assert ["hello", "re: hello", "hello"] == harness.asked()


async def test_a_press_of_stop_cuts_the_answer_and_takes_its_button_away(
    harness: ChannelHarness, admin: FlagAdmin
) -> None:
    """In a chat where drafts are messages; afterwards the button is too late."""
    town = harness.driver.group("town")
    streams = harness.driver.name == "slack"
    async with harness.agent():
        harness.model.hold()
        await harness.driver.say(town, "a long story", mention=True)
        await harness.until(lambda: "re:" in "".join(harness.screen(town)))
        draft = answers(harness.driver, town)[-1]
        assert ([] if streams else [STOP]) == labels(harness.driver, town, draft)
        if not streams:
            stop = carried(harness.driver, town, draft, STOP)
            await press(harness.driver, town, draft, STOP, user="bob")
            await says(harness, town, "Stopped.")
            await harness.settled()
            assert [RETRY, UP, DOWN] == labels(harness.driver, town, draft)
            assert "stopped" in harness.screen(town)[0]
            await press(harness.driver, town, draft, STOP, old=stop)
            await says(harness, town, WRITTEN)

        harness.model.release()
        await harness.settled()


async def test_a_button_works_after_a_restart(
    harness: ChannelHarness, admin: FlagAdmin
) -> None:
    """Whoever hears the press knows what it is about: nothing is kept in a process."""
    ada = harness.driver.direct("ada")
    async with harness.agent() as first:
        answer = await asked(harness, ada, "hello")
        await first.crash()

    async with harness.agent():
        await press(harness.driver, ada, answer, RETRY)
        await harness.shows(ada, "re: hello", "re: hello")


async def test_a_pressed_thumb_is_a_vote(
    harness: ChannelHarness, admin: FlagAdmin
) -> None:
    """The last one counts, as with reactions; the person hears that it does."""
    ada = harness.driver.direct("ada")
    harness.model.said = lambda prompt: "fine"
    async with harness.agent():
        answer = await asked(harness, ada, "hello")
        await press(harness.driver, ada, answer, UP)
        await becomes(harness, fine=1)
        await press(harness.driver, ada, answer, DOWN)
        await becomes(harness, fine=-1)
        await harness.until(lambda: 2 == plain(harness, ada).count(NOTED))
        await harness.until(lambda: waiting(harness.driver) == 0)
        await harness.ask(ada, "and now?")

    assert "and now?" == harness.asked()[-1]


async def test_an_old_button_says_so_in_a_sentence(
    harness: ChannelHarness, admin: FlagAdmin
) -> None:
    """Someone asked since, or the conversation ended: nothing is asked again by mistake."""
    ada = harness.driver.direct("ada")
    async with harness.agent():
        first = await asked(harness, ada, "one")
        second = await asked(harness, ada, "two")
        await press(harness.driver, ada, first, RETRY)
        await says(harness, ada, GONE_ON.replace("`", ""))
        await harness.ask(ada, "/new")
        await press(harness.driver, ada, second, RETRY)
        await harness.until(
            lambda: 2 == plain(harness, ada).count(GONE_ON.replace("`", ""))
        )

    assert 2 == len(harness.model.prompts)


async def test_a_button_of_an_erased_answer_says_so(
    harness: ChannelHarness, admin: FlagAdmin
) -> None:
    """And so does a button whose data a client made up, of an answer in another chat."""
    ada, bob = harness.driver.direct("ada"), harness.driver.direct("bob")
    async with harness.agent():
        answer = await asked(harness, ada, "hello")
        await harness.ask(bob, "secret", user="bob")
        of_bob = answers(harness.driver, bob)[-1]
        made_up = carried(harness.driver, bob, of_bob, RETRY)
        await press(harness.driver, ada, answer, RETRY, old=made_up)
        await says(harness, ada, GONE)
        await harness.settled()
        await harness.value("DELETE FROM turns")
        await press(harness.driver, ada, answer, UP)
        await harness.until(lambda: 2 == plain(harness, ada).count(GONE))

    assert 2 == len(harness.model.prompts)
    assert 0 == await harness.value("SELECT count(*) FROM votes")


async def test_a_model_is_chosen_by_a_press(
    harness: ChannelHarness, admin: FlagAdmin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`/model` offers those that there are; a press does what `/model NAME` does."""
    ada = harness.driver.direct("ada")

    async def listed(seconds: float) -> dict[str, ModelList]:
        return {"test": ModelList(("mine", "other", "x" * 80))}

    async def no_objection(model: str, seconds: float) -> str:
        return ""

    async def facts(model: str) -> ModelFacts:
        return ModelFacts(128_000, is_ending=True)

    monkeypatch.setattr(harness.model, "facts", facts, raising=False)
    monkeypatch.setattr(harness.model, "listed", listed, raising=False)
    monkeypatch.setattr(harness.model, "objection", no_objection, raising=False)
    async with harness.agent():
        await harness.ask(ada, "/model")
        assert "It reads 128,000 tokens at once." in harness.screen(ada)[-1]
        assert "better choose another" in harness.screen(ada)[-1]
        offer = answers(harness.driver, ada)[-1]
        assert ["test:mine", "test:other"] == labels(harness.driver, ada, offer)
        await press(harness.driver, ada, offer, "test:mine")
        await says(harness, ada, "From now on test:mine answers you.")
        await harness.ask(ada, "hello")

    assert ["test:mine"] == harness.model.asked


async def test_someone_who_may_not_talk_here_presses_for_nothing(
    harness: ChannelHarness, admin: FlagAdmin
) -> None:
    """As with the command: people on the deny list are not heard, and no button waits."""
    town = harness.driver.group("town")
    async with harness.agent():
        answer = await asked(harness, town, "hello")
        await harness.ask(town, "me, too", mention=True, user="bob")
        account = "SELECT channel_user_id FROM users ORDER BY created_at DESC LIMIT 1"
        denied = await harness.value(account)
        await harness.value(
            "INSERT INTO channel_configs (id, channel_type, settings) VALUES ("
            "gen_random_uuid(), $1, jsonb_build_object('deny', jsonb_build_array($2::text)))",
            harness.driver.name,
            denied,
        )
        await harness.value("UPDATE control_epoch SET epoch = epoch + 1")
        await harness.applied()
        await press(harness.driver, town, answer, UP, user="bob")
        await harness.until(lambda: waiting(harness.driver) == 0)
        await press(harness.driver, town, answer, UP, user="carl")
        await harness.until(lambda: NOTED in plain(harness, town))

    assert 1 == await harness.value("SELECT count(*) FROM votes")


async def test_a_press_in_a_thread_acts_there(
    harness: ChannelHarness, admin: FlagAdmin
) -> None:
    """The thread's own last message is answered again, and nowhere else."""
    town = harness.driver.group("town")
    plans = harness.driver.thread(town, "plans")
    harness.model.said = lambda prompt: "fine"
    async with harness.agent():
        await asked(harness, town, "one")
        inside = await asked(harness, plans, "two")
        await press(harness.driver, plans, inside, RETRY)
        await harness.until(lambda: 2 == len(harness.screen(plans)))
        await harness.settled()

    assert ["fine", "fine"] == harness.screen(plans)
    assert ["fine"] == harness.screen(town)


async def test_without_the_flag_there_are_no_buttons(harness: ChannelHarness) -> None:
    """Messages are what they were."""
    ada = harness.driver.direct("ada")
    async with harness.agent():
        answer = await asked(harness, ada, "hello")
        assert [] == labels(harness.driver, ada, answer)
