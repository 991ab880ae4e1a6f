"""What the HTTP server knows of the instance around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from msgspec import Struct, field

from agent.app import App
from agent.core.channel import Listening
from agent.ports import Channel

SIGNING_IN = "It is signing in."
STOPPING = "It takes no more messages: the agent is stopping."


class Service(Struct, eq=False):
    """One channel as it is run."""

    name: str
    channel: Channel | None = None  # built once the stores are open
    _runs: bool = False
    _trouble: str = SIGNING_IN

    def tell(
        self,
        trouble: str | None,
    ) -> None:
        """It was started (None), or it ended, and this sentence says why."""
        self._runs = trouble is None
        self._trouble = trouble or self._trouble

    @property
    def problem(self) -> str | None:
        """Why it takes no messages now. A channel that can tell (`listening`) is asked;
        until it signed in again, what ended it last is still the problem.
        """
        listens = not isinstance(self.channel, Listening) or self.channel.listening
        return None if self._runs and listens else self._trouble


class InstanceState(Struct, eq=False):
    """An instance: `starting` until its stores are open, `stopping` from the end of the
    intake on.
    """

    services: Sequence[Service] = ()
    phase: Literal["starting", "running", "stopping"] = "starting"
    app: App | None = None
    waits_for: Mapping[str, str] = field(default_factory=dict)
    """What the start waits for, by part: one sentence each."""

    def __repr__(self) -> str:
        """Without the app, which knows the stores' passwords."""
        return f"InstanceState({self.phase!r}, {self.services!r})"

    def run(
        self,
        app: App,
    ) -> None:
        """Its stores are open and its engine takes messages."""
        self.app, self.phase, self.waits_for = app, "running", {}
        for service in self.services:
            service.channel = service.channel or app.ports.channels.get(service.name)

    def stop(self) -> None:
        """It takes no more messages."""
        self.phase = "stopping"
        for service in self.services:
            service.tell(STOPPING)
