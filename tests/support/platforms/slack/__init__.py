"""Slack on loopback: Web API, Socket Mode and signed HTTP events, for the real client
library to talk to.
"""

from tests.support.platforms.slack.server import SlackServer
from tests.support.platforms.slack.state import (
    AGENT,
    APP_TOKEN,
    BOT_TOKEN,
    SIGNING_SECRET,
    Clock,
    Fault,
    SlackMessage,
)

__all__ = [
    "AGENT",
    "APP_TOKEN",
    "BOT_TOKEN",
    "SIGNING_SECRET",
    "Clock",
    "Fault",
    "SlackMessage",
    "SlackServer",
]
