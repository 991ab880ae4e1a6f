"""What is set for a channel, and what one says of itself."""

from __future__ import annotations

from dataclasses import dataclass

from agent.core.limits import Allowance
from agent.core.messages import Overlap


@dataclass(frozen=True, slots=True)
class ChannelSettings:
    """What an operator sets for one channel."""

    default_model: str | None = None
    system_prompt: str | None = None
    overlap: Overlap = Overlap.MERGE
    greeting: str = ""  # stands before the first answer of a conversation
    allowed_models: tuple[str, ...] = ()  # empty: all
    allow: frozenset[str] = (
        frozenset()
    )  # platform ids of those who may talk to the agent; empty: all
    deny: frozenset[str] = frozenset()
    user_limit: Allowance = None  # None: the default
    chat_limit: Allowance = None
    channel_limit: Allowance = None


@dataclass(frozen=True, slots=True)
class WebhookReply:
    """What a webhook answers to its platform."""

    status: int
    body: bytes = b""
    content_type: str = "text/plain"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that `agent doctor` found wrong, as one sentence, and what mends it (a
    command or a page).
    """

    part: str
    problem: str
    remedy: str
