"""The server: HTTP in front, faults between, the methods behind."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from tests.support.platforms.telegram.methods import Methods
from tests.support.platforms.telegram.rules import (
    ApiError,
    Flood,
    Penalty,
    check_token,
    too_many,
)
from tests.support.platforms.telegram.state import BOT_NAME, Chat, Json, TelegramState
from tests.support.platforms.telegram.updates import Delivery

TOKEN = "700000001:AAF-loopback_token_of_the_tests_0123456"


class TelegramServer:
    """A Bot API server for one bot. Usable as an async context manager; `url` is its root.

    People act through `say`, `edit` and `redeliver`; what they see is in `Chat.screen`.
    Faults: `limit`, `fail`, `refuse`, `cut`, `alter`, `delay`, `reorder`. With `flood` it
    also keeps Telegram's own limits.
    """

    def __init__(
        self, *, flood: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.token = TOKEN
        self.state = TelegramState()
        self.delivery = Delivery(self.state)
        self.methods = Methods(self.state, self.delivery)
        self.calls: list[
            tuple[str, Json]
        ] = []  # every call, in order, with its fields
        self.refusals = 0  # answers of 429
        self.refuse_entities = False  # as if no formatting could be parsed
        self.early = 0  # calls that came before a Retry-After was over
        self._flood = Flood(clock) if flood else None
        self.clock = clock
        self._penalties: dict[int, Penalty] = {}
        self._failing: dict[int, int] = {}
        self._refused: dict[str, ApiError] = {}
        self._cut: dict[str, int] = {}
        self._delays: dict[int, float] = {}
        self._altered: dict[str, Callable[[Any], Any]] = {}
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def __aenter__(self) -> Self:
        application = web.Application()
        application.router.add_route("*", "/bot{token}/{method}", self._answer)
        self._runner = web.AppRunner(
            application, access_log=None, shutdown_timeout=0.1
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"

        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.delivery.close()
        if self._runner is not None:
            await self._runner.cleanup()

    # --- people ---------------------------------------------------------------

    def private(self, name: str) -> Chat:
        """The chat of this person with the bot."""
        return self.state.private(name)

    def group(self, title: str) -> Chat:
        """A supergroup with the bot in it."""
        return self.state.group(title)

    def say(
        self,
        chat: Chat,
        text: str,
        *,
        user: str = "ada",
        thread: str = "",
        mention: bool = False,
        deliver: int = 1,
        **fields: Any,
    ) -> Json:
        """A person writes. `mention` puts the bot's name first; `fields` go into the
        Message as they are.
        """
        if mention:
            name = f"@{BOT_NAME}"
            text = f"{name} {text}"
            fields["entities"] = [_mark("mention", name)]

        if text.startswith("/"):
            fields["entities"] = [_mark("bot_command", text.split()[0])]

        message = self.state.message(
            chat, self.state.person(user), text, thread=thread, **fields
        )
        for _ in range(deliver):
            self.state.deliver(message)

        self.delivery.wake()

        return message

    def press(
        self,
        chat: Chat,
        message: int,
        label: str,
        *,
        user: str = "ada",
        old: str = "",
    ) -> str:
        """A person presses a button that stands under a message now, or did (`old`: its
        data). Returns the press' id.
        """
        sent = chat.sent[message]
        keys = {key["text"]: key for row in sent.keyboard for key in row}
        id = f"44000000000{len(self.state.presses)}"
        query = {
            "id": id,
            "from": self.state.person(user),
            "message": self.methods.message(chat, sent),
            "chat_instance": "7",
            "data": old or keys[label]["callback_data"],
        }
        self.state.presses[id] = None
        self.state.deliver(query, "callback_query")
        self.delivery.wake()

        return id

    def edit(self, message: Json, text: str) -> None:
        """The person changes a message. A mention of the bot in front of the text is one."""
        kept = {name: value for name, value in message.items() if name != "entities"}
        name = f"@{BOT_NAME}"
        marks = (
            {"entities": [_mark("mention", name)]} if text.startswith(name) else {}
        )
        self._update(
            {
                **kept,
                **marks,
                "text": text,
                "edit_date": message["date"] + 1,
            },
            "edited_message",
        )

    def redeliver(self, message: Json) -> None:
        """The bot gets a message once more, as after its offset was lost."""
        self._update(message, "message")

    def react(
        self,
        chat: Chat,
        message: int,
        *emoji: str,
        user: str = "ada",
        deliver: int = 1,
    ) -> None:
        """A person's reactions to a message become these. In a group only an administrator
        is told.
        """
        change = self.state.reaction(chat, message, self.state.person(user), *emoji)
        if chat.kind == "private" or chat.bot_status == "administrator":
            for _ in range(deliver):
                self._update(change, "message_reaction")

    def _update(self, message: Json, kind: str) -> None:
        self.state.deliver(message, kind)
        self.delivery.wake()

    # --- faults ---------------------------------------------------------------

    def limit(
        self,
        chat: Chat,
        *,
        retry_after: float,
        times: int = 1,
    ) -> None:
        """The next `times` calls to this chat are refused with 429."""
        self._penalties[chat.id] = Penalty(retry_after, times)

    def fail(self, chat: Chat, *, times: int = 1) -> None:
        """The next `times` calls to this chat end in 500 and change nothing."""
        self._failing[chat.id] = times

    def refuse(
        self,
        method: str,
        code: int,
        description: str,
    ) -> None:
        """Every call of this method is refused."""
        self._refused[method] = ApiError(code, description)

    def allow(self, method: str) -> None:
        """Calls of this method are no longer refused."""
        self._refused.pop(method, None)

    def cut(self, method: str, *, times: int = 1) -> None:
        """The next `times` calls of this method are carried out, but the line is cut before
        the answer.
        """
        self._cut[method] = times

    def alter(self, method: str, change: Callable[[Any], Any]) -> None:
        """The results of this method are carried out, and answered changed."""
        self._altered[method] = change

    def delay(self, chat: Chat, seconds: float) -> None:
        """Every call to this chat takes that long."""
        self._delays[chat.id] = seconds

    def reorder(self) -> None:
        """Updates that wait now are delivered newest first."""
        ids = [update["update_id"] for update in self.state.updates]
        self.state.updates.reverse()
        for update, number in zip(self.state.updates, ids, strict=True):
            update["update_id"] = number

    def count(self, method: str) -> int:
        """How often a method was called."""
        return sum(name == method for name, _ in self.calls)

    # --- HTTP -----------------------------------------------------------------

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        try:
            check_token(request.match_info["token"], self.token)
            fields = await _fields(request)
            self.calls.append((method, dict(fields)))
            await self._trouble(method, fields)
            result = await self._method(method)(fields)
            result = self._altered.get(method, _same)(result)
        except ApiError as refusal:
            self.refusals += refusal.code == 429
            return web.json_response(refusal.body(), status=refusal.code)

        if self._cut.get(method, 0) > 0:
            self._cut[method] -= 1
            assert request.transport is not None
            request.transport.abort()

        return web.json_response({"ok": True, "result": result})

    def _method(self, name: str) -> Callable[[Mapping[str, str]], Awaitable[Any]]:
        method = self.methods.table.get(name)
        if method is None:
            raise ApiError(404, "Not Found")

        return method

    async def _trouble(self, method: str, fields: Mapping[str, str]) -> None:
        if method in self._refused:
            raise self._refused[method]
        if self.refuse_entities and "entities" in fields:
            raise ApiError(400, "Bad Request: can't parse entities")

        try:
            chat = int(fields.get("chat_id", ""))
        except ValueError:
            return

        self._limited(chat)
        if self._failing.get(chat, 0) > 0:
            self._failing[chat] -= 1
            raise ApiError(500, "Internal Server Error")

        if self._flood is not None and method in (
            "sendMessage",
            "editMessageText",
            "sendMessageDraft",
        ):
            self._flood.check(chat)

        await asyncio.sleep(self._delays.get(chat, 0))

    def _limited(self, chat: int) -> None:
        penalty = self._penalties.get(chat)
        if penalty is None:
            return
        if (rest := penalty.until - self.clock()) > 0:
            self.early += 1
            raise too_many(rest)
        if penalty.times > 0:
            penalty.times -= 1
            penalty.until = self.clock() + penalty.seconds
            raise too_many(penalty.seconds)


def _same(result: Any) -> Any:
    return result


def _mark(kind: str, word: str) -> Json:
    """The entity of the text's first word."""
    return {
        "type": kind,
        "offset": 0,
        "length": len(word),
    }


async def _fields(request: web.Request) -> dict[str, str]:
    """Parameters may come in the query, as a form or as JSON."""
    fields = dict(request.query)
    if request.content_type == "application/json":
        body = json.loads(await request.read() or b"{}")
        return fields | {
            name: v if isinstance(v, str) else json.dumps(v)
            for name, v in body.items()
        }

    return fields | {
        name: _plain(value) for name, value in (await request.post()).items()
    }


def _plain(value: object) -> str:
    """A file is told by its bytes, one character each."""
    if isinstance(value, web.FileField):
        return value.file.read().decode("latin-1")

    return str(value)
