"""The gateway's side of a bot's connection: sessions with a replay buffer, heartbeats,
close codes.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from tests.support.platforms.discord.state import DiscordState
from tests.support.platforms.discord.values import BOT, GUILD, payload

HEARTBEAT, IDENTIFY, RESUME, RECONNECT = 1, 2, 6, 7
AUTHENTICATION_FAILED, DISALLOWED_INTENTS = 4004, 4014
MESSAGE_CONTENT_INTENT = 1 << 15
GUILD_REACTIONS_INTENT, DIRECT_REACTIONS_INTENT = 1 << 10, 1 << 13
_CONTENT_FLAGS = (1 << 18) | (1 << 19)

Parts = Mapping[str, Any]


class Wire:
    """One socket. Discord compresses everything on it as one stream (`compress=zlib-stream`)."""

    def __init__(self, socket: web.WebSocketResponse, *, compressed: bool) -> None:
        self.socket = socket
        self._stream = zlib.compressobj() if compressed else None

    async def send(self, message: Any) -> None:
        """A text goes as it is."""
        text = message if isinstance(message, str) else json.dumps(message)
        if self.socket.closed:
            return

        if self._stream is None:
            await self.socket.send_str(text)
        else:
            data = self._stream.compress(text.encode()) + self._stream.flush(
                zlib.Z_SYNC_FLUSH
            )
            await self.socket.send_bytes(data)


@dataclass(eq=False)
class Session:
    """The events of one bot, kept for a resume after a break."""

    id: str
    intents: int
    events: list[Parts] = field(default_factory=list)
    outbox: asyncio.Queue[Any] = field(default_factory=asyncio.Queue)
    wire: Wire | None = None

    def tell(self, event: str, data: Parts) -> None:
        message = {
            "op": 0,
            "t": event,
            "s": len(self.events) + 1,
            "d": data,
        }
        self.events.append(message)
        if self.wire is not None:
            self.outbox.put_nowait(message)


class Gateway:
    """All sessions of the bot."""

    def __init__(self, token: str, changed: asyncio.Event) -> None:
        self.token = token
        self.url = ""
        self.sessions: dict[str, Session] = {}
        self.identified = 0
        self.resumed = 0
        self.odd_greetings: list[
            Any
        ] = []  # for the next connections, instead of a good one
        self.odd_start: dict[
            str, Any
        ] = {}  # fields of the event READY, instead of its own
        self.changed = changed  # set whenever a session begins, resumes or breaks
        self._ids = itertools.count(1)

    @property
    def connected(self) -> list[Session]:
        """Sessions that have a socket now."""
        return [
            session for session in self.sessions.values() if session.wire is not None
        ]

    def dispatch(self, event: str, data: Parts) -> None:
        """Tells every session that asked for such events; one that is cut off hears it when
        it resumes.
        """
        for session in self.sessions.values():
            if _asked_for(session.intents, event, data):
                session.tell(event, data)

    def push(self, frame: Any) -> None:
        """Sends every connected session this frame as it is, outside of the replay."""
        for session in self.connected:
            session.outbox.put_nowait(frame)

    async def serve(
        self, request: web.Request, state: DiscordState
    ) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=0)
        await socket.prepare(request)
        wire = Wire(socket, compressed=request.query.get("compress") == "zlib-stream")
        odd = self.odd_greetings
        await wire.send(odd.pop(0) if odd else payload("hello"))
        session: Session | None = None
        sender: asyncio.Task[None] | None = None

        try:
            async for message in socket:
                if message.type is not WSMsgType.TEXT:
                    break

                content = json.loads(message.data)
                if content["op"] == HEARTBEAT:
                    await wire.send(payload("heartbeat_ack"))
                elif content["op"] in (IDENTIFY, RESUME) and session is None:
                    session = await self._begin(wire, content, state)
                    if session is not None:
                        sender = asyncio.create_task(self._send(session, wire))
        finally:
            if sender is not None:
                sender.cancel()

            self._end(session, socket)

        return socket

    async def _begin(
        self, wire: Wire, content: Parts, state: DiscordState
    ) -> Session | None:
        data = content["d"]
        if data["token"] != self.token:
            await wire.socket.close(
                code=AUTHENTICATION_FAILED, message=b"Authentication failed."
            )
            return None

        if content["op"] == RESUME:
            return await self._resume(wire, data)
        if (
            data["intents"] & MESSAGE_CONTENT_INTENT
            and not state.application["flags"] & _CONTENT_FLAGS
        ):
            await wire.socket.close(
                code=DISALLOWED_INTENTS, message=b"Disallowed intent(s)."
            )
            return None

        session = Session(f"session-{next(self._ids)}", data["intents"])
        session.wire = wire
        self.sessions[session.id] = session
        self.identified += 1
        guilds = [{"id": GUILD, "unavailable": True}] if state.in_guild else []
        ready = {
            "session_id": session.id,
            "resume_gateway_url": self.url,
            "guilds": guilds,
        }
        session.tell(
            "READY",
            payload("ready", user=state.bot, application={"id": BOT, "flags": 0})
            | ready
            | self.odd_start,
        )
        if state.in_guild:
            session.tell("GUILD_CREATE", state.guild())

        self.changed.set()

        return session

    async def _resume(self, wire: Wire, data: Parts) -> Session | None:
        session = self.sessions.get(data["session_id"])
        if session is None:
            await wire.send(payload("invalid_session"))
            return None

        session.outbox = asyncio.Queue()
        for event in session.events[data["seq"] :]:
            session.outbox.put_nowait(event)

        session.wire = wire
        session.tell("RESUMED", {"_trace": []})
        self.resumed += 1
        self.changed.set()

        return session

    async def _send(self, session: Session, wire: Wire) -> None:
        while True:
            await wire.send(await session.outbox.get())

    def _end(self, session: Session | None, socket: web.WebSocketResponse) -> None:
        if (
            session is None
            or session.wire is None
            or session.wire.socket is not socket
        ):
            return

        session.wire = None
        if socket.close_code in (WSCloseCode.OK, WSCloseCode.GOING_AWAY):
            # the bot said good-bye: it cannot resume
            self.sessions.pop(session.id, None)

        self.changed.set()

    async def drop(self, *, resumable: bool) -> None:
        """The connection breaks; the session is kept or forgotten."""
        for session in self.connected:
            wire = session.wire
            assert wire is not None
            if not resumable:
                self.sessions.pop(session.id)

            session.wire = None
            await wire.socket.close(code=4000, message=b"Unknown error.")

        self.changed.set()

    async def ask_to_reconnect(self) -> None:
        """What Discord does before it stops a node."""
        for session in self.connected:
            session.outbox.put_nowait({"op": RECONNECT, "d": None})

    async def close_with(self, code: int) -> None:
        """Closes every connection with this code."""
        for session in self.connected:
            assert session.wire is not None
            self.sessions.pop(session.id)
            await session.wire.socket.close(code=code)


def _asked_for(
    intents: int,
    event: str,
    data: Parts,
) -> bool:
    """https://docs.discord.com/developers/events/gateway, "List of Intents": reactions
    go only to bots that ask for them.
    """
    if not event.startswith("MESSAGE_REACTION_"):
        return True

    return bool(
        intents
        & (GUILD_REACTIONS_INTENT if "guild_id" in data else DIRECT_REACTIONS_INTENT)
    )
