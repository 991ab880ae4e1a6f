"""What the engine needs of the settings."""

from __future__ import annotations

from msgspec import Struct


class Options(Struct, frozen=True):
    """Settings of one instance. Times are in seconds."""

    default_model: str
    system_prompt: str = "You are a helpful assistant."
    max_message_chars: int = 32_000
    beat_seconds: float = 1.0
    lease_seconds: float = 5.0
    """How long a claim holds without a heartbeat."""
    drain_seconds: float = 8.0
    delivery_seconds: float = 86_400.0
    """How long a stored answer is tried to be delivered while its platform is away."""
