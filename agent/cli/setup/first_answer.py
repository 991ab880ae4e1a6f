"""The end of `agent setup`: the channel runs with the real engine until a person got an answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from uuid import UUID

from agent.app import ChannelBuilder, configured_channels, open_app
from agent.cli.output import tell
from agent.cli.run import NOT_WELL, WELL
from agent.cli.serve import http
from agent.cli.status import show_findings
from agent.core.errors import ConfigurationError
from agent.core.messages import Address, Notice, Placed
from agent.operations.doctor import diagnose
from agent.ports import Accept, Channel, Reply
from agent.settings import Settings
from agent.web.state import InstanceState, Service
from channels.services import ChannelServices


class FirstAnswerProbe:
    """A channel that notes when an answer arrived in it."""

    def __init__(self, channel: Channel) -> None:
        self.name = channel.name
        self.answered = asyncio.Event()
        self._channel = channel

    async def run(self, accept: Accept) -> None:
        """Runs the channel."""
        await self._channel.run(accept)

    def reply(
        self,
        address: Address,
        placed: Placed | None,
        turns: Sequence[UUID],
        *,
        repeat: bool = False,
    ) -> Reply:
        """The channel's reply; when it is finished, `answered` is set."""
        reply = self._channel.reply(address, placed, turns, repeat=repeat)

        return _ProbedReply(self, reply)


class _ProbedReply:
    def __init__(self, probe: FirstAnswerProbe, reply: Reply) -> None:
        self._probe = probe
        self._reply = reply

    @property
    def drafts_stand(self) -> bool:
        return self._reply.drafts_stand

    async def show(self, text: str) -> Placed | None:
        return await self._reply.show(text)

    async def finish(self, text: str) -> Placed:
        placed = await self._reply.finish(text)
        if isinstance(text, Notice):
            tell(
                "A message came in, but there is no whole answer: the chat says why.",
                err=True,
            )
        else:
            self._probe.answered.set()

        return placed


async def until_answered(
    settings: Settings, name: str, *, wait: float, upgrade: bool
) -> int:
    """Runs this channel until an answer arrived, at most `wait` seconds.

    The exit status says whether one did. Raises ConfigurationError when the channel cannot
    run.
    """
    build = configured_channels(settings).get(name)
    if build is None:
        raise ConfigurationError(
            f"The token of {name} is not in .env: run agent setup {name} again."
        )

    if await _answered(settings, name, build, wait=wait, upgrade=upgrade):
        tell("It works: a message was answered. Run agent serve to keep it running.")
        return WELL

    tell(f"Nobody got an answer within {wait:g} s.", err=True)
    findings = await diagnose(settings, only=name)
    if any(finding.urgent for finding in findings):
        return show_findings(findings, as_json=False)

    tell(
        f"Nothing is wrong that can be seen from here: run agent setup {name} "
        "again and write to it.",
        err=True,
    )

    return NOT_WELL


async def _answered(
    settings: Settings,
    name: str,
    build: ChannelBuilder,
    *,
    wait: float,
    upgrade: bool,
) -> bool:
    service = Service(name)
    state = InstanceState([service])

    def build_probe(
        settings: Settings, services: ChannelServices
    ) -> FirstAnswerProbe | None:
        """It knows no chats: only what is written from now on is answered."""
        alone = ChannelServices(services.slash_commands)
        service.channel = build(settings, alone)

        return FirstAnswerProbe(service.channel) if service.channel else None

    async with (
        http(settings, state) if settings.public_url else nullcontext(),
        open_app(settings, {name: build_probe}, upgrade=upgrade) as app,
    ):
        state.run(app)
        service.tell(None)
        tell(f"Waiting up to {wait:g} s for your first message …", err=True)
        probe = app.ports.channels[name]
        assert isinstance(probe, FirstAnswerProbe)
        await _first_answer(probe, app.engine.accept, wait=wait)
        state.stop()

    return probe.answered.is_set()


async def _first_answer(
    probe: FirstAnswerProbe, accept: Accept, *, wait: float
) -> None:
    """Returns with the first answer, or after `wait` seconds. Raises what ended the channel."""
    async with _running(probe, accept) as ended:
        arrived = asyncio.create_task(probe.answered.wait())
        await asyncio.wait(
            {arrived, ended}, timeout=wait, return_when=asyncio.FIRST_COMPLETED
        )
        arrived.cancel()
        if ended.done() and not probe.answered.is_set():
            ended.result()


@asynccontextmanager
async def _running(
    channel: Channel, accept: Accept
) -> AsyncIterator[asyncio.Task[None]]:
    """The channel in a task. It is not restarted: a person waits to hear why it ended."""
    task = asyncio.create_task(channel.run(accept))
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait({task})
