"""How updates reach the bot: long polling with an offset, or a webhook that is retried
until it says 200.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping

import aiohttp

from tests.support.platforms.telegram.rules import ApiError, bad, number
from tests.support.platforms.telegram.state import DATE, Json, TelegramState

_CONFLICT = (
    "Conflict: terminated by other getUpdates request; make sure that "
    "only one bot instance is running"
)
# sent only to bots that ask for them
BY_REQUEST = {
    "chat_member",
    "message_reaction",
    "message_reaction_count",
}
_HOOKED = (
    "Conflict: can't use getUpdates method while webhook is active; use "
    "deleteWebhook to delete the webhook first"
)


class Delivery:
    """Updates that wait stay in `state.updates` until the bot confirms them."""

    def __init__(self, state: TelegramState, *, retry: float = 0.05) -> None:
        self.url = ""
        self.secret = ""
        # seconds until a failed delivery is tried again; Telegram waits longer each time
        self.retry = retry
        self.last_error = ""
        self.attempts = 0
        self._state = state
        self._news = asyncio.Event()
        self._kinds: list[str] = []
        self._poll: asyncio.Event | None = None  # set: the fetch that waits is over
        self._sender: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """Something happened."""
        self._news.set()

    async def fetch(self, fields: Mapping[str, str]) -> list[Json]:
        """getUpdates: a newer fetch ends the one that waits."""
        if self.url:
            raise ApiError(409, _HOOKED)

        if self._poll is not None:
            self._poll.set()
            self.wake()

        mine = self._poll = asyncio.Event()
        self._choose(fields)
        self._confirm_before(number(fields, "offset", 0))

        try:
            return await self._waited(fields, mine)
        finally:
            if self._poll is mine:
                self._poll = None

    async def _waited(
        self, fields: Mapping[str, str], mine: asyncio.Event
    ) -> list[Json]:
        deadline = asyncio.get_running_loop().time() + number(fields, "timeout", 0)
        while True:
            if mine.is_set():
                raise ApiError(409, _CONFLICT)
            if found := self._wanted()[: number(fields, "limit", 100)]:
                return found

            rest = deadline - asyncio.get_running_loop().time()
            if rest <= 0:
                return []

            self._news.clear()
            try:
                async with asyncio.timeout(rest):
                    await self._news.wait()
            except TimeoutError:
                return []

    def _choose(self, fields: Mapping[str, str]) -> None:
        if "allowed_updates" in fields:
            self._kinds = json.loads(fields["allowed_updates"])

    def _wanted(self) -> list[Json]:
        kept = [
            update
            for update in self._state.updates
            if self._is_wanted(set(update) - {"update_id"})
        ]
        self._state.updates[:] = kept
        return kept

    def _is_wanted(self, kinds: set[str]) -> bool:
        """https://core.telegram.org/bots/api#getupdates, allowed_updates."""
        return bool(kinds & set(self._kinds) if self._kinds else kinds - BY_REQUEST)

    def _confirm_before(self, offset: int) -> None:
        self._state.updates[:] = [
            u for u in self._state.updates if u["update_id"] >= offset
        ]

    async def set_webhook(self, fields: Mapping[str, str]) -> bool:
        """setWebhook; http is let pass, for loopback only."""
        url = fields.get("url", "")
        if not url.startswith(("https://", "http://127.0.0.1")):
            raise bad("bad webhook: An HTTPS URL must be provided for webhook")

        self._choose(fields)
        self.url, self.secret = url, fields.get("secret_token", "")
        if self._poll is not None:
            self._poll.set()

        if self._sender is None:
            self._sender = asyncio.create_task(self._deliver())

        self.wake()

        return True

    async def delete_webhook(self, fields: Mapping[str, str]) -> bool:
        """deleteWebhook."""
        if fields.get("drop_pending_updates") == "true":
            self._state.updates.clear()

        self.url = ""
        await self.close()

        return True

    async def info(self, fields: Mapping[str, str]) -> Json:
        """getWebhookInfo."""
        trouble = (
            {"last_error_date": DATE, "last_error_message": self.last_error}
            if self.last_error
            else {}
        )
        waiting = len(self._state.updates)
        return {
            "url": self.url,
            "has_custom_certificate": False,
            "pending_update_count": waiting,
        } | trouble

    async def close(self) -> None:
        """Ends deliveries."""
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.gather(self._sender, return_exceptions=True)
            self._sender = None

    async def _deliver(self) -> None:
        """One chat's updates one after the other, chats side by side."""
        async with aiohttp.ClientSession() as session:
            while True:
                first: dict[int, Json] = {}
                for update in self._wanted():
                    first.setdefault(_chat(update), update)

                self._news.clear()
                if not first:
                    await self._news.wait()
                    continue

                done = await asyncio.gather(
                    *(self._post(session, update) for update in first.values())
                )
                if not all(done):
                    await asyncio.sleep(self.retry)

    async def _post(self, session: aiohttp.ClientSession, update: Json) -> bool:
        self.attempts += 1
        headers = (
            {"X-Telegram-Bot-Api-Secret-Token": self.secret} if self.secret else {}
        )

        try:
            async with session.post(
                self.url, json=update, headers=headers
            ) as response:
                status = response.status
        except aiohttp.ClientError:
            self.last_error = "Connection refused"
            return False

        if status // 100 != 2:
            self.last_error = f"Wrong response from the webhook: {status}"
            return False

        self.last_error = ""
        self._state.updates[:] = [u for u in self._state.updates if u is not update]

        return True


def _chat(update: Json) -> int:
    event: Json = next(value for key, value in update.items() if key != "update_id")
    message: Json = event.get("message", event)
    chat: int = message["chat"]["id"]
    return chat
