"""The server: people act on it with plain methods, the app over HTTP and websockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Self
from uuid import uuid4

from aiohttp import web

from tests.support.platforms.slack.delivery import Delivery, Hooks, Sockets
from tests.support.platforms.slack.state import (
    AGENT,
    APP_TOKEN,
    BOT_TOKEN,
    TEAM,
    Clock,
    Fault,
    SlackMessage,
    Workspace,
    payload,
)
from tests.support.platforms.slack.web_api import Refusal, WebApi

MENU_FROM = 5
"""Buttons; more are a menu here."""

_TOLERANCE_S = 0.005  # of a timer that may fire a little early


class SlackServer:
    """Slack with one workspace and one app. Start it with `running`."""

    def __init__(self, *, frozen: bool = False, redeliver_after: float = 3.0) -> None:
        self.clock = Clock(frozen=frozen)
        self.space = Workspace(self.clock)
        self.sockets = Sockets(
            self.clock, self._answered, redeliver_after=redeliver_after
        )
        self.deliveries: list[Delivery] = []
        self.early_calls = 0
        self.root = ""
        self._api = WebApi(self.space)
        self._hooks: Hooks | None = None
        self._held: dict[str, float] = {}
        self._events: dict[tuple[str, str], list[dict[str, Any]]] = {}
        self._urls: dict[str, tuple[str, str, int]] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Listens on loopback meanwhile."""
        app = web.Application()
        app.router.add_route("*", "/api/{method}", self._call)
        app.router.add_post("/upload/{id}", self._upload)
        app.router.add_get("/link", self.sockets.connect)
        app.router.add_post("/commands/{id}", self._response)
        runner = web.AppRunner(app, shutdown_timeout=1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        self.root = f"127.0.0.1:{port}"
        self.space.upload_root = f"http://{self.root}/upload"

        try:
            yield self
        finally:
            await self.sockets.stop()
            await runner.cleanup()

    @property
    def api_url(self) -> str:
        """What SLACK_API_URL is set to."""
        return f"http://{self.root}/api/"

    def post_to(self, url: str) -> None:
        """Events go to this request URL instead of sockets."""
        self._hooks = Hooks(self.clock, self._answered, url)

    # --- people ---------------------------------------------------------------

    async def say(
        self,
        chat: str,
        user: str,
        text: str,
        *,
        thread: str = "",
        deliver: int = 1,
        files: Any = (),
    ) -> str:
        """A person writes. Returns the message's ts."""
        message = self.space.add(chat, user, text, thread, files=list(files))
        self._events[(chat, message.ts)] = self._message_events(message)
        for _ in range(deliver):
            await self.redeliver(chat, message.ts)

        return message.ts

    async def redeliver(self, chat: str, ts: str) -> None:
        """The events of a message are delivered once more."""
        for event in self._events[(chat, ts)]:
            await self.emit(event)

    async def edit(
        self,
        chat: str,
        ts: str,
        text: str,
    ) -> None:
        """A person edits a message."""
        message = self.space.find(chat, ts)
        assert message is not None
        event = payload("message_changed")["event"] | self._place(chat)
        event["previous_message"] = message.as_json()
        message.text = text
        event["message"] = message.as_json() | {
            "edited": {"user": message.user, "ts": self.space.new_ts()}
        }
        await self.emit(event)

    async def remove(self, chat: str, ts: str) -> None:
        """A person deletes a message."""
        message = self.space.find(chat, ts)
        assert message is not None
        self.space.chats[chat].remove(message)
        event = payload("message_deleted")["event"] | self._place(chat)
        await self.emit(
            event | {"deleted_ts": ts, "previous_message": message.as_json()}
        )

    async def react(
        self,
        chat: str,
        ts: str,
        reaction: str,
        *,
        user: str,
        taken: bool = False,
        deliver: int = 1,
    ) -> None:
        """A person gives a message a reaction or takes it back. Slack tells only apps that
        ask for reactions.
        """
        message = self.space.find(chat, ts)
        name = "reaction_removed" if taken else "reaction_added"
        assert message is not None
        if name not in self.space.events or "reactions:read" not in self.space.scopes:
            return

        event = payload(name)["event"] | {
            "user": user,
            "reaction": reaction,
            "item_user": message.user,
        }
        event |= {
            "item": {
                "type": "message",
                "channel": chat,
                "ts": ts,
            },
            "event_ts": self.space.new_ts(),
        }
        for _ in range(deliver):
            await self.emit(event)

    async def command(
        self,
        chat: str,
        user: str,
        command: str,
        text: str = "",
    ) -> Delivery:
        """A person uses a slash command."""
        name = uuid4().hex
        self._urls[name] = (chat, user, 5)
        body = payload("slash_command") | {
            "channel_id": chat,
            "user_id": user,
            "command": command,
        }
        body |= {
            "text": text,
            "trigger_id": f"{int(self.clock())}.{name}",
            "user_name": self.space.names[user],
        }
        body |= {"response_url": f"http://{self.root}/commands/{name}"}

        return await self._deliver(Delivery("slash_commands", body, self.clock()))

    async def press(self, chat: str, ts: str, data: str, *, user: str) -> Delivery:
        """A person presses a button, or chooses from a menu, under a message."""
        message = self.space.message(ts)
        self.space.members[chat].add(user)
        body = payload("block_actions")
        body["user"] |= {"id": user, "username": self.space.names[user]}
        where = {"channel_id": chat, "message_ts": ts}
        body["container"] |= where | {"is_ephemeral": bool(message.only_for)}
        body |= {
            "channel": {"id": chat, "name": chat},
            "message": message.as_json(),
            "trigger_id": f"{int(self.clock())}.{uuid4().hex}",
        }
        action = body["actions"][0]
        if len(message.buttons) > MENU_FROM:
            option = {"text": {"type": "plain_text", "text": "-"}, "value": data}
            body["actions"] = [
                {
                    "type": "static_select",
                    "action_id": "choices",
                    "block_id": action["block_id"],
                    "selected_option": option,
                    "action_ts": action["action_ts"],
                }
            ]
        else:
            action |= {"action_id": data, "value": data}

        return await self._deliver(Delivery("interactive", body, self.clock()))

    async def emit(self, event: dict[str, Any]) -> Delivery:
        """Delivers an event."""
        body = payload("message_im") | {
            "event": event,
            "event_id": "Ev" + uuid4().hex[:10].upper(),
        }
        return await self._deliver(Delivery("events_api", body, self.clock()))

    async def _deliver(self, delivery: Delivery) -> Delivery:
        self.deliveries.append(delivery)
        await (self._hooks or self.sockets).send(delivery)
        return delivery

    def unacknowledged(self) -> int:
        """Deliveries that Slack still tries to make."""
        return sum(delivery.open for delivery in self.deliveries)

    def _place(self, chat: str) -> dict[str, str]:
        return {"channel": chat, "channel_type": self.space.kinds[chat]}

    def _message_events(self, message: SlackMessage) -> list[dict[str, Any]]:
        """A mention comes twice: as a message of the channel and as app_mention."""
        common = {
            "user": message.user,
            "text": message.text,
            "ts": message.ts,
            "event_ts": message.ts,
            "team": TEAM,
        }
        if message.thread:
            root = self.space.find(message.chat, message.thread)
            common |= {
                "thread_ts": message.thread,
                "parent_user_id": root.user if root else "",
            }

        event = (
            payload("message_channel")["event"] | common | self._place(message.chat)
        )
        if message.files:
            event |= {"files": message.files, "subtype": "file_share"}

        events = [event]
        if f"<@{AGENT}>" in message.text and self.space.kinds[message.chat] != "im":
            events.append(
                payload("app_mention")["event"] | common | {"channel": message.chat}
            )

        return events

    def _answered(self, delivery: Delivery, answer: dict[str, Any]) -> None:
        if delivery.kind == "slash_commands" and answer.get("text"):
            user = str(delivery.body["user_id"])
            self.space.add(
                str(delivery.body["channel_id"]),
                AGENT,
                str(answer["text"]),
                only_for=user,
            )

    # --- the app --------------------------------------------------------------

    async def _response(self, request: web.Request) -> web.Response:
        """A response_url: five answers at most."""
        name = request.match_info["id"]
        if name not in self._urls or not self._urls[name][2]:
            return web.Response(status=404, text="used_url")

        chat, user, left = self._urls[name]
        self._urls[name] = (chat, user, left - 1)
        arguments = await request.json()
        self.space.add(
            chat,
            AGENT,
            str(arguments["text"]),
            blocks=arguments.get("blocks") or [],
            only_for=user,
        )

        return web.Response(text="ok")

    async def _upload(self, request: web.Request) -> web.Response:
        self.space.uploads[request.match_info["id"]] = await request.read()
        return web.Response(text="OK")

    async def _call(self, request: web.Request) -> web.Response:
        try:
            return await self._respond(request)
        finally:
            await self.sockets.notify()

    async def _respond(self, request: web.Request) -> web.Response:
        method = request.match_info["method"]
        arguments = await _arguments(request)
        self.space.calls.append((method, arguments))
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")

        try:
            self._check_token(method, token)
            fault = self._fault(method, arguments)
            if fault is not None and fault.retry_after is not None:
                headers = {"Retry-After": f"{fault.retry_after:g}"}
                return web.json_response(
                    {"ok": False, "error": "ratelimited"}, status=429, headers=headers
                )

            if fault is not None and not fault.lost:
                raise Refusal(fault.error, **fault.more)

            answer = (
                self._open_link()
                if method == "apps.connections.open"
                else self._api.answer(method, arguments)
            )
            if fault is not None and request.transport is not None:
                request.transport.close()
        except Refusal as refusal:
            answer = {
                "ok": False,
                "error": refusal.error,
                **refusal.more,
            }
            return web.json_response(answer, headers=self._headers())

        return web.json_response({"ok": True, **answer}, headers=self._headers())

    def _headers(self) -> dict[str, str]:
        return {"X-OAuth-Scopes": ",".join(sorted(self.space.scopes))}

    def _open_link(self) -> dict[str, Any]:
        return {"url": f"ws://{self.root}/link?ticket={uuid4().hex}"}

    def _check_token(self, method: str, token: str) -> None:
        if not token:
            raise Refusal("not_authed")
        if token in self.space.refused_tokens:
            raise Refusal(self.space.refused_tokens[token])
        if token not in (BOT_TOKEN, APP_TOKEN):
            raise Refusal("invalid_auth")
        if (token == APP_TOKEN) != (method == "apps.connections.open"):
            raise Refusal("not_allowed_token_type")

    def _fault(self, method: str, arguments: dict[str, Any]) -> Fault | None:
        """What goes wrong with this call; a call before Retry-After is over is noted."""
        named = arguments.get("channel") or arguments.get("channel_id")
        chat = str(named) if named else None
        now = asyncio.get_running_loop().time()
        writes = method.startswith(("chat.", "assistant."))
        if chat and writes and now < self._held.get(chat, 0.0) - _TOLERANCE_S:
            self.early_calls += 1

        fault = next(
            (fault for fault in self.space.faults if fault.concerns(method, chat)),
            None,
        )
        if fault is None or not (writes or fault.method):
            return None

        fault.times -= 1
        if chat and fault.retry_after is not None:
            self._held[chat] = now + fault.retry_after

        return fault


async def _arguments(request: web.Request) -> dict[str, Any]:
    arguments: dict[str, Any] = dict(request.query)
    if request.content_type == "application/json":
        body: dict[str, Any] = json.loads(await request.text() or "{}")
        return arguments | body

    return arguments | dict(await request.post())
