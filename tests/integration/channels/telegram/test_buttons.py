"""What is said to a press of a button, also when Telegram does not take it any more."""

from __future__ import annotations

from agent.core.messages import Address
from agent.core.words.buttons import Button, offering
from tests.support.platforms.telegram import TelegramServer
from tests.support.platforms.telegram.answers import TURN, patient_channel


async def test_a_sentence_that_comes_too_late_for_the_press_is_a_message() -> None:
    async with TelegramServer() as server:
        ada = server.private("ada")
        server.refuse("answerCallbackQuery", 400, "Bad Request: query is too old")
        address = Address("telegram", str(ada.id), extra={"query": "7"})
        reply = patient_channel(server).reply(address, None, [TURN])
        await reply.finish("There is nothing to stop.")

        assert ["There is nothing to stop."] == ada.screen()


async def test_a_sentence_that_is_too_long_for_a_toast_is_a_message() -> None:
    async with TelegramServer() as server:
        ada = server.private("ada")
        address = Address("telegram", str(ada.id), extra={"query": "7"})
        await patient_channel(server).reply(address, None, [TURN]).finish("x" * 201)

        assert ["x" * 201] == ada.screen()


async def test_what_cannot_be_pressed_costs_no_answer() -> None:
    """Buttons that Telegram refuses are left out, as formatting is."""
    async with TelegramServer() as server:
        ada = server.private("ada")
        address = Address("telegram", str(ada.id))
        text = offering("fine", [Button("too much", "x" * 65)])
        await patient_channel(server).reply(address, None, [TURN]).finish(text)

        assert ["fine"] == ada.screen()
        assert [[]] == [sent.keyboard for sent in ada.sent.values()]
