"""Getting connected to Telegram: what setup says, and what the doctor finds when the bot is
silent.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import pytest

from agent.core.channel import Finding
from agent.core.errors import ConfigurationError
from channels.pacing import Governor
from channels.telegram import setup as telegram_setup
from channels.telegram.channel import Telegram
from tests.support.platforms.telegram import TelegramServer
from tests.support.platforms.telegram.inbox import Inbox, listening, until

BOTFATHER = "https://t.me/BotFather"


@pytest.fixture
async def server() -> AsyncIterator[TelegramServer]:
    async with TelegramServer() as running:
        yield running


def channel(
    server: TelegramServer,
    *chats: int,
    token: str | None = None,
    public_url: str | None = None,
    url: str = "",
) -> Telegram:
    async def last_accepted(name: str) -> Mapping[str, str]:
        return {str(chat): "1" for chat in chats}

    return Telegram(
        token=token or server.token,
        api_url=url or server.url,
        governor=Governor(),
        public_url=public_url,
        last_accepted=last_accepted,
    )


async def only(telegram: Telegram) -> Finding:
    (finding,) = await telegram.diagnose()
    return finding


async def test_the_doctor_is_silent_when_all_is_well(server: TelegramServer) -> None:
    group = server.group("Engines")
    group.bot_status = "administrator"

    assert await channel(server, server.private("ada").id, group.id).diagnose() == []


async def test_a_group_whose_reactions_the_bot_is_not_told_of_is_found(
    server: TelegramServer,
) -> None:
    finding = await only(channel(server, server.group("Engines").id))
    assert "In the group Engines" in finding.problem
    assert "Administrators" in finding.remedy
    finding = await only(
        channel(server, server.group("Engines").id, server.group("Looms").id)
    )

    assert "In 2 groups" in finding.problem


@pytest.mark.parametrize(
    "token", ["nonsense", "700000001:AAF-a_token_that_was_revoked_0123456"]
)
async def test_a_wrong_token_is_found_with_the_page_that_mends_it(
    server: TelegramServer, token: str
) -> None:
    finding = await only(channel(server, token=token))

    assert "TELEGRAM_TOKEN" in finding.problem
    assert BOTFATHER in finding.remedy
    assert token not in finding.problem + finding.remedy


async def test_a_server_out_of_reach_is_found(server: TelegramServer) -> None:
    finding = await only(channel(server, url="http://127.0.0.1:9"))

    assert "cannot be reached" in finding.problem
    assert "TELEGRAM_API_URL" in finding.remedy


async def test_a_webhook_that_telegram_cannot_reach_is_found_with_telegrams_own_words(
    server: TelegramServer,
) -> None:
    telegram = channel(server, public_url="http://127.0.0.1:9")
    async with listening(telegram, Inbox()):
        server.say(server.private("ada"), "anybody there?")
        await until(lambda: server.delivery.last_error != "")

    finding = await only(telegram)

    assert "PUBLIC_URL: Connection refused" in finding.problem
    assert "443" in finding.remedy


async def test_a_webhook_of_another_program_is_found_without_its_path(
    server: TelegramServer,
) -> None:
    server.delivery.url = "https://elsewhere.example/secret-path"
    finding = await only(channel(server))

    assert "elsewhere.example" in finding.problem
    assert "secret-path" not in finding.problem


async def test_privacy_mode_is_found_with_the_page_that_ends_it(
    server: TelegramServer,
) -> None:
    server.methods.me["can_read_all_group_messages"] = False
    _, finding = await channel(server, server.group("Engines").id).diagnose()

    assert "Privacy mode" in finding.problem
    assert BOTFATHER in finding.remedy
    assert "/setprivacy" in finding.remedy


async def test_privacy_mode_does_not_matter_to_an_administrator_or_a_bot_without_groups(
    server: TelegramServer,
) -> None:
    server.methods.me["can_read_all_group_messages"] = False
    group = server.group("Engines")
    group.bot_status = "administrator"
    assert await channel(server, group.id).diagnose() == []
    server.methods.me["can_join_groups"] = False

    assert await channel(server).diagnose() == []


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("left", "no longer a member"),
        ("kicked", "no longer a member"),
        ("restricted", "may not write"),
    ],
)
async def test_a_group_in_which_the_bot_cannot_write_is_found(
    server: TelegramServer, status: str, words: str
) -> None:
    group = server.group("Engines")
    group.bot_status = status
    finding = await only(channel(server, group.id))

    assert words in finding.problem


async def test_setup_names_the_bot_its_link_and_privacy_mode(
    server: TelegramServer,
) -> None:
    server.methods.me["can_read_all_group_messages"] = False
    steps = await telegram_setup.after(
        {"TELEGRAM_TOKEN": server.token, "TELEGRAM_API_URL": server.url}
    )
    assert "https://t.me/simple_agent_bot" in steps
    assert "/setprivacy" in steps
    server.methods.me["can_read_all_group_messages"] = True
    steps = await telegram_setup.after(
        {"TELEGRAM_TOKEN": server.token, "TELEGRAM_API_URL": server.url}
    )

    assert "/setprivacy" not in steps


async def test_setup_refuses_a_token_that_telegram_refuses(
    server: TelegramServer,
) -> None:
    with pytest.raises(ConfigurationError, match=BOTFATHER):
        await telegram_setup.after(
            {"TELEGRAM_TOKEN": "1:2", "TELEGRAM_API_URL": server.url}
        )


def test_setup_leads_to_the_token_it_asks_for() -> None:
    assert BOTFATHER in telegram_setup.before()
    assert [question.setting for question in telegram_setup.QUESTIONS] == [
        "TELEGRAM_TOKEN"
    ]
    assert all(question.secret for question in telegram_setup.QUESTIONS)
