"""Getting connected to Slack: the manifest, `agent setup slack` and `agent doctor`."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from agent.core.commands import COMMANDS
from agent.core.errors import ConfigurationError
from channels.slack.setup import (
    EVENTS,
    QUESTIONS,
    SCOPES,
    after,
    before,
    creation_link,
    manifest,
)
from tests.support.platforms.slack import (
    APP_TOKEN,
    BOT_TOKEN,
    SIGNING_SECRET,
    Fault,
    SlackServer,
)
from tests.support.platforms.slack.agent import hooked, slack

DOCS = Path(__file__).parents[4] / "docs" / "slack.md"
RESERVED = {
    "/me",
    "/status",
    "/away",
    "/dnd",
    "/shrug",
    "/remind",
    "/msg",
    "/feed",
    "/who",
    "/collapse",
} | {
    "/expand",
    "/leave",
    "/join",
    "/open",
    "/search",
    "/topic",
    "/mute",
    "/shortcuts",
    "/invite",
    "/archive",
}


@pytest.fixture
async def server() -> AsyncIterator[SlackServer]:
    async with SlackServer().running() as server:
        yield server


def _values(server: SlackServer) -> dict[str, str]:
    return {
        "SLACK_BOT_TOKEN": BOT_TOKEN,
        "SLACK_APP_TOKEN": APP_TOKEN,
        "SLACK_API_URL": server.api_url,
    }


# --- the manifest -------------------------------------------------------------


def slack_name(command: str) -> str:
    return "/find" if command == "search" else f"/{command}"


def test_the_manifest_has_every_command() -> None:
    """The commands come from the registry, under names that Slack does not keep for itself."""
    names = [
        command["command"] for command in manifest()["features"]["slash_commands"]
    ]

    assert names == [slack_name(command.name) for command in COMMANDS]
    assert RESERVED.isdisjoint(names)


def test_the_manifest_fits_the_transport() -> None:
    """Socket Mode has no address; with a public one, everything comes to the webhook."""
    sockets, hooks = manifest(), manifest("https://agent.example/")

    assert sockets["settings"]["socket_mode_enabled"] is True
    assert "https://" not in json.dumps(sockets["settings"])
    assert hooks["settings"]["socket_mode_enabled"] is False
    assert {
        hooks["settings"]["event_subscriptions"]["request_url"],
        hooks["settings"]["interactivity"]["request_url"],
        *(command["url"] for command in hooks["features"]["slash_commands"]),
    } == {"https://agent.example/webhooks/slack"}


def test_every_event_has_its_scope() -> None:
    """Slack refuses a manifest whose events need scopes that it does not ask for."""
    needed = {
        "app_mention": "app_mentions:read",
        "message.channels": "channels:history",
        "message.groups": "groups:history",
        "message.im": "im:history",
        "message.mpim": "mpim:history",
        "reaction_added": "reactions:read",
        "reaction_removed": "reactions:read",
    }

    assert {needed[event] for event in EVENTS if event in needed} <= set(SCOPES)
    assert set(EVENTS) - set(needed) == {"app_home_opened"}


def test_the_link_creates_the_app_from_the_manifest() -> None:
    """The manifest in the link is the generated one."""
    query = parse_qs(urlsplit(creation_link()).query)

    assert query["new_app"] == ["1"]
    assert json.loads(query["manifest_json"][0]) == manifest()


def test_the_documented_manifest_is_the_generated_one() -> None:
    """docs/slack.md holds the manifest to paste."""
    found = re.search(
        r"```json\n(.*?)\n```", DOCS.read_text(encoding="utf-8"), re.DOTALL
    )

    assert found is not None
    assert json.loads(found[1]) == manifest()


# --- setup --------------------------------------------------------------------


def test_setup_begins_with_the_link(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What to do first, and what will be asked."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PUBLIC_URL", raising=False)

    assert creation_link() in before()
    assert [question.setting for question in QUESTIONS] == [
        "SLACK_BOT_TOKEN",
        "SLACK_APP_TOKEN",
        "SLACK_SIGNING_SECRET",
    ]


async def test_setup_signs_in_and_says_what_is_next(server: SlackServer) -> None:
    """With working tokens it names the agent and how to reach it."""
    steps = await after(_values(server))

    assert "Signed in to **Example** as **@agent**" in steps
    assert "/invite @agent" in steps


@pytest.mark.parametrize(
    ("token", "setting"),
    [(BOT_TOKEN, "SLACK_BOT_TOKEN"), (APP_TOKEN, "SLACK_APP_TOKEN")],
)
async def test_setup_names_the_token_that_is_wrong(
    server: SlackServer, token: str, setting: str
) -> None:
    """One sentence, without the token."""
    server.space.refused_tokens[token] = "invalid_auth"
    with pytest.raises(ConfigurationError) as raised:
        await after(_values(server))

    assert setting in raised.value.sentence
    assert token not in raised.value.sentence


async def test_setup_names_missing_scopes(server: SlackServer) -> None:
    """An app that was made by hand lacks some."""
    server.space.scopes -= {"users:read"}
    with pytest.raises(ConfigurationError, match="lacks users:read"):
        await after(_values(server))


# --- doctor -------------------------------------------------------------------


def _talked(server: SlackServer, *, seconds_ago: float = 0) -> tuple[str, str]:
    """A person wrote to the agent. Returns chat and ts."""
    ada = server.space.person("ada")
    chat = server.space.chat("D0ADA", "im", ada)
    message = server.space.add(chat, ada, "hello?")
    message.ts = f"{server.clock() - seconds_ago:.6f}"

    return chat, message.ts


async def test_the_doctor_is_silent_when_all_is_well(server: SlackServer) -> None:
    """Nothing wrong, nothing said."""
    chat, ts = _talked(server, seconds_ago=120)

    async def last_accepted(_: str) -> dict[str, str]:
        return {chat: ts}

    assert await slack(server, last_accepted=last_accepted).diagnose() == []


async def test_the_doctor_finds_unsubscribed_events(server: SlackServer) -> None:
    """A direct message of two minutes ago that never came: message.im is not subscribed."""
    _talked(server, seconds_ago=120)

    async def last_accepted(_: str) -> dict[str, str]:
        return {}

    [finding] = await slack(server, last_accepted=last_accepted).diagnose()

    assert "message.im" in finding.problem
    assert "Event Subscriptions" in finding.remedy


async def test_the_doctor_finds_that_nobody_invited_the_agent(
    server: SlackServer,
) -> None:
    """In no channel and never written to."""
    [finding] = await slack(server).diagnose()

    assert (
        finding.problem
        == "@agent is in no channel, and nobody has written to it yet."
    )
    assert finding.remedy.startswith("/invite @agent")


async def test_the_doctor_names_missing_scopes(server: SlackServer) -> None:
    """By the header that comes with auth.test."""
    _talked(server)
    server.space.scopes -= {"im:history", "users:read"}
    [finding] = await slack(server).diagnose()

    assert (
        finding.problem == "The app's token lacks the scopes im:history, users:read."
    )


async def test_the_doctor_repeats_what_slack_needs(server: SlackServer) -> None:
    """`needed` and `provided` of missing_scope are in the sentence."""
    more = {"needed": "channels:read", "provided": "chat:write"}
    server.space.faults.append(
        Fault("missing_scope", method="users.conversations", more=more)
    )
    [finding] = await slack(server).diagnose()

    assert "channels:read" in finding.problem
    assert "chat:write" in finding.problem


@pytest.mark.parametrize("token", [BOT_TOKEN, APP_TOKEN])
async def test_the_doctor_names_a_refused_token(
    server: SlackServer, token: str
) -> None:
    """Which of the two, and where to get another."""
    _talked(server)
    server.space.refused_tokens[token] = "token_revoked"
    [finding] = await slack(server).diagnose()

    assert ("SLACK_BOT_TOKEN" in finding.problem) == (token == BOT_TOKEN)
    assert "token_revoked" in finding.problem


async def test_the_doctor_names_the_missing_way_in(server: SlackServer) -> None:
    """No app token, no signing secret."""
    _talked(server)
    [finding] = await slack(server, app_token=None).diagnose()

    assert finding.problem == "SLACK_APP_TOKEN is not set: no event can come in."


async def test_the_doctor_tries_the_webhook(server: SlackServer) -> None:
    """It sends itself what Slack sends to verify an address."""
    _talked(server)
    async with hooked(server) as (channel, _):
        assert await channel.diagnose() == []

    channel = slack(
        server, public_url="http://127.0.0.1:9", signing_secret=SIGNING_SECRET
    )
    [finding] = await channel.diagnose()

    assert finding.problem.startswith(
        "http://127.0.0.1:9/webhooks/slack cannot be reached"
    )


async def test_the_doctor_says_when_slack_is_away(server: SlackServer) -> None:
    """No exception, one sentence."""
    [finding] = await slack(server, api_url="http://127.0.0.1:9/api/").diagnose()
    assert finding.problem.startswith("Slack cannot be reached")
