"""What is kept of a person is handed to them as a file, in private."""

from __future__ import annotations

import json

import pytest

from agent.conversation.commands.personal import HANDED_OVER
from agent.conversation.delivery.files import NOT_TAKEN, TOO_LARGE
from agent.core.effects import HandOver
from tests.conformance.channel_harness import ChannelHarness
from tests.conformance.files import fail_file, files_in, refuse_files, unpacked

KEPT = "SELECT string_agg(reply, '|') FROM turns WHERE reply <> ''"


async def asked_for_export(harness: ChannelHarness) -> str:
    """Ada said something and asks what is kept. What she is told."""
    ada = harness.driver.direct("ada")
    await harness.ask(ada, "my cat is grey")
    known = len(harness.screen(ada))
    await harness.driver.command(ada, "export")
    await harness.until(lambda: len("".join(harness.screen(ada)[known:])) > 0)
    await harness.settled()

    return "".join(harness.screen(ada)[known:])


async def test_an_export_is_handed_over_as_a_file_and_kept_nowhere(
    harness: ChannelHarness,
) -> None:
    """As JSON and as text. What is stored of the reply holds none of it."""
    ada = harness.driver.direct("ada")
    async with harness.agent():
        told = await asked_for_export(harness)
        kept = await harness.value(KEPT)

    [file] = files_in(harness.driver, ada)
    inside = unpacked(file)
    said = [one["text"] for one in json.loads(inside["export.json"])["messages"]]

    assert {"export.json", "export.txt"} == set(inside)
    assert "my cat is grey" in said
    assert "my cat is grey" in inside["export.txt"]
    assert HANDED_OVER.replace("`", "") == told.replace("`", "")
    assert HandOver.KEPT == kept


async def test_a_file_that_is_too_large_for_a_chat_is_had_from_the_operator(
    harness: ChannelHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is sent then, and the sentence names the command."""
    monkeypatch.setattr(type(harness.driver.channel()), "max_file_bytes", 10)
    async with harness.agent():
        told = await asked_for_export(harness)

    assert [] == list(files_in(harness.driver, harness.driver.direct("ada")))
    assert TOO_LARGE.replace("`", "") == told.replace("`", "")


async def test_a_file_that_the_platform_refuses_is_had_from_the_operator(
    harness: ChannelHarness,
) -> None:
    """Such as by an app that lacks the permission."""
    refuse_files(harness.driver)
    async with harness.agent():
        told = await asked_for_export(harness)

    assert NOT_TAKEN.replace("`", "") == told.replace("`", "")


async def test_a_platform_in_trouble_gets_the_file_later_and_once(
    harness: ChannelHarness,
) -> None:
    """The same file is tried again, and the text comes after it."""
    ada = harness.driver.direct("ada")
    async with harness.agent():
        await harness.ask(ada, "my cat is grey")
        fail_file(harness.driver, ada)
        await harness.driver.command(ada, "export")
        await harness.until(lambda: "export.txt" in "".join(harness.screen(ada)))
        await harness.settled()

    assert 1 == len(files_in(harness.driver, ada))


async def test_in_a_group_no_file_is_handed_over(harness: ChannelHarness) -> None:
    """Others would see it: the person is sent to a direct chat."""
    town = harness.driver.group("town")
    async with harness.agent():
        await harness.driver.command(town, "export")
        await harness.until(lambda: "direct message" in "".join(harness.screen(town)))
        await harness.settled()

    assert [] == list(files_in(harness.driver, town))
