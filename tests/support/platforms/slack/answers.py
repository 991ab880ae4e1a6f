"""Answers of the agent on Slack: where they go, and what the platform shows."""

from __future__ import annotations

from uuid import UUID

from agent.core.messages import Address, Placed
from channels.slack.channel import Slack
from tests.support.platforms.slack import AGENT, SlackServer
from tests.support.platforms.slack.state import TEAM

TURN = UUID(int=7)
# about 22,000 characters
LONG = "\n\n".join(f"Paragraph {number}: " + "words " * 60 for number in range(60))


def thread(server: SlackServer) -> Address:
    ada = server.space.person("ada")
    chat = server.space.chat("C0GENERAL", "channel", ada)
    root = server.space.add(chat, ada, f"<@{AGENT}> question")

    return Address("slack", chat, root.ts, root.ts, {"user": ada, "team": TEAM})


def direct(server: SlackServer) -> Address:
    ada = server.space.person("ada")
    chat = server.space.chat("D0ADA", "im", ada)
    asked = server.space.add(chat, ada, "question")

    return Address("slack", chat, "", asked.ts, {"user": ada, "team": TEAM})


def screen(server: SlackServer, address: Address) -> list[str]:
    return [
        message.visible
        for message in server.space.of_agent(address.chat, address.thread)
    ]


def methods(server: SlackServer) -> list[str]:
    return [method for method, _ in server.space.calls]


async def show(channel: Slack, address: Address, *texts: str) -> Placed | None:
    reply = channel.reply(address, None, [TURN])
    placed = None
    for text in texts:
        placed = await reply.show(text)

    return placed
