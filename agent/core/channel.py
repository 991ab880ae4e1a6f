"""What is set for a channel, and what a channel says of itself."""

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
    greeting: str = ""
    """Stands before the first answer of a conversation."""
    allowed_models: tuple[str, ...] = ()
    """Empty: all models."""
    allow: frozenset[str] = frozenset()
    """Platform ids of the people that the agent talks to. Empty: everybody."""
    deny: frozenset[str] = frozenset()
    """Platform ids of people that the agent never talks to."""
    user_limit: Allowance = None
    """None: the default limit."""
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
    """One problem that `agent doctor` found: what is wrong, and what fixes it."""

    part: str
    problem: str
    """One sentence."""
    remedy: str
    """A command, or a page to read."""
