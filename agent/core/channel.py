"""What is set for a channel, what it says of itself, and what it may also be able to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

from msgspec import Struct

from agent.core.limits import Allowance
from agent.core.messages import Address, Overlap


class ChannelSettings(Struct, frozen=True):
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
    retention: int | None = None
    """Days that messages are kept; 0: forever. None: as RETENTION_DAYS says."""


class WebhookReply(Struct, frozen=True):
    """What a webhook answers to its platform."""

    status: int
    body: bytes = b""
    content_type: str = "text/plain"


class Finding(Struct, frozen=True):
    """One problem that `agent doctor` found: what is wrong, and what fixes it."""

    part: str
    problem: str
    """One sentence."""
    remedy: str
    """A command, or a page to read."""
    urgent: bool = True
    """False: the agent works all the same, and somebody may want to know."""


SLOWEST_UPLOAD = 250_000
"""Bytes a second; what is slower counts as a failure."""


def unanswered(part: str) -> Finding:
    """Of what hangs."""
    return Finding(part, "It did not answer in time.", "Check the network.")


class OutgoingFile(Struct, frozen=True):
    """What the agent hands to a person. It is kept nowhere."""

    name: str
    content: bytes
    remark: str = ""
    """Said with it instead of the reply."""

    @property
    def upload_seconds(self) -> float:
        """How long an upload may take: half a minute, and what its size needs."""
        return 30.0 + len(self.content) / SLOWEST_UPLOAD


@runtime_checkable
class Webhook(Protocol):
    """Optional: a channel reached over HTTP (`/webhooks/<name>`) when `PUBLIC_URL` is set."""

    async def webhook(self, headers: Mapping[str, str], body: bytes) -> WebhookReply:
        """Verifies and takes one raw delivery. 200 only once it is durable.

        `headers` has lower-case names."""


@runtime_checkable
class Diagnosable(Protocol):
    """Optional: a channel that can say why it is silent."""

    async def diagnose(self) -> Sequence[Finding]:
        """Tries it for real. Empty: all is well. Never raises for what it can describe."""


@runtime_checkable
class Listening(Protocol):
    """Optional: a channel that knows whether messages reach it now."""

    @property
    def listening(self) -> bool:
        """Whether it is signed in and takes messages."""


@runtime_checkable
class SendsFiles(Protocol):
    """Optional: a channel on which people can be handed a file."""

    max_file_bytes: int

    async def send_file(self, address: Address, file: OutgoingFile) -> None:
        """Puts it there as a message of its own. A repeated call may put it there twice.

        Raises DeliveryError; AnswerRefused or Undeliverable when it is not taken.
        """
