"""Slack's events and commands as Inbound, acknowledged only when they are durable.

Bolt routes payloads of both transports to the listeners here. It runs with
`process_before_response`, so that an acknowledgement follows the listener instead of
preceding it; it is told who we are, because it would acknowledge (and so lose) a message
when its own auth.test fails; signatures are verified before it reads any.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakValueDictionary

from slack_bolt.async_app import AsyncAck, AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse
from slack_sdk.web.async_client import AsyncWebClient

from agent.core.commands import parse_command
from agent.core.errors import AgentError
from agent.core.messages import Address, Deleted, Edited, Inbound, Reacted, Said
from agent.ports import Accept
from channels.reactions import thumb_of_name
from channels.slack.api import Recent
from channels.slack.directory import Directory, Identity, Threads
from channels.slack.text import attachments, mentioned, readable, without_mention

SPOKEN = (None, "file_share", "me_message", "thread_broadcast")
"""Subtypes of messages that people write; all others are Slack's own remarks."""

SWITCHED_OFF = "Commands are switched off here; just write to me."

# https://docs.slack.dev/interactivity/handling-user-interaction: 30 minutes
_RESPONSE_URL_S = 1800.0

_log = logging.getLogger(__name__)
_bolt_log = logging.getLogger("channels.slack.channel.bolt")
_bolt_log.setLevel(logging.CRITICAL)  # Bolt logs payloads: message texts
_bolt_log.propagate = False


class SlackEvents:
    """Takes Slack's payloads in."""

    def __init__(
        self,
        *,
        me: Identity,
        accept: Accept,
        people: Directory,
        threads: Threads,
        slash_commands: Callable[[], bool],
        opened: Callable[[Mapping[str, Any]], None],
        urls: Recent[str],
    ) -> None:
        """`opened` is told of events with which a person opens the agent's window.

        `urls` gets where the slash command of a turn is answered: a secret of half an hour,
        so not stored.
        """
        self._me = me
        self._accept = accept
        self._people = people
        self._threads = threads
        self._slash_commands = slash_commands
        self._opened = opened
        self._urls = urls
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._app = self._routes()

    async def take(self, request: AsyncBoltRequest) -> BoltResponse:
        """Status 200: durable, acknowledge. 503: do not."""
        response = await self._app.async_dispatch(request)
        if response.status == 404:  # nothing here listens to it
            return BoltResponse(status=200)

        return response

    def _routes(self) -> AsyncApp:
        me = AuthorizeResult(
            enterprise_id=None,
            team_id=self._me.team,
            bot_user_id=self._me.user,
            bot_id=self._me.bot,
        )

        async def authorize() -> AuthorizeResult:
            return me

        app = AsyncApp(
            client=AsyncWebClient(logger=_bolt_log),
            authorize=authorize,
            process_before_response=True,
            request_verification_enabled=False,
            ssl_check_enabled=False,
            attaching_function_token_enabled=False,
            attaching_conversation_kwargs_enabled=False,
            logger=_bolt_log,
        )
        app.event(re.compile("^(message|app_mention)$"))(self._message)
        app.event(re.compile("^(assistant_thread_started|app_home_opened)$"))(
            self._open
        )
        app.event(re.compile("^reaction_(added|removed)$"))(self._reaction)
        app.command(re.compile("."))(self._command)
        app.error(self._failed)

        return app

    async def _failed(self, error: Exception) -> BoltResponse:
        """Not acknowledged: Slack delivers it again."""
        sentence = (
            error.sentence if isinstance(error, AgentError) else type(error).__name__
        )
        _log.warning("a Slack event was not taken and will come again: %s", sentence)
        _log.debug("why the event was not taken", exc_info=error)

        return BoltResponse(status=503)

    # --- messages -------------------------------------------------------------

    async def _open(self, event: dict[str, Any]) -> None:
        self._opened(event)

    async def _message(self, event: dict[str, Any]) -> None:
        await self.message(event)

    async def message(self, event: Mapping[str, Any]) -> None:
        """A message, an edit or a deletion. Raises what `accept` raises, ApiError or
        RateLimited.
        """
        lock = self._locks.setdefault(str(event["channel"]), asyncio.Lock())
        async with lock:  # a look-up must not let a later message of the channel pass
            inbound = await self._inbound(event)
            if inbound is not None:
                await self._accept(inbound)

    async def _inbound(self, event: Mapping[str, Any]) -> Inbound | None:
        subtype = event.get("subtype")
        if subtype == "message_changed":
            return await self._edit(event)
        if subtype == "message_deleted":
            return await self._deletion(event)
        if subtype not in SPOKEN or not await self._addressed(event):
            return None

        return await self._said(event)

    async def _edit(self, event: Mapping[str, Any]) -> Edited | None:
        after, before = _within(event, "message"), _within(event, "previous_message")
        if after.get("text") == before.get("text") or not await self._addressed(before):
            # links unfurl, replies are counted: only another text is an edit
            return None

        said = await self._said(after)

        return said.edited(said.text)

    async def _deletion(self, event: Mapping[str, Any]) -> Deleted | None:
        before = _within(event, "previous_message")
        if not before.get("ts") or not await self._addressed(before):
            return None

        address = self._address(before)

        return Deleted(
            address,
            str(before["ts"]),
            str(before["user"]),
            direct=_direct(before),
        )

    async def _addressed(self, event: Mapping[str, Any]) -> bool:
        """Whether a person says this to the agent: directly, by mention, or in a thread it
        takes part in.
        """
        if event.get("bot_id") or event.get("user") in (
            None,
            self._me.user,
            "USLACKBOT",
        ):
            return False

        to = mentioned(str(event.get("text") or ""))
        if _direct(event) or event.get("type") == "app_mention" or self._me.user in to:
            return True

        thread = event.get("thread_ts")
        # who mentions others talks to them
        if not thread or thread == event.get("ts") or to:
            return False

        return event.get(
            "parent_user_id"
        ) == self._me.user or await self._threads.taken_part(
            self._me, str(event["channel"]), str(thread)
        )

    async def _said(self, event: Mapping[str, Any]) -> Said:
        direct, user, address = _direct(event), str(event["user"]), self._address(event)
        if not direct:
            self._threads.joined(address.chat, address.thread)

        spoken = without_mention(str(event.get("text") or ""), self._me.user)
        text = _as_command(
            readable(spoken, await self._people.names(mentioned(spoken)))
        )
        files = attachments(event.get("files") or ())

        return Said(
            address=address,
            message_id=str(event["ts"]),
            user_id=user,
            text="\n".join(part for part in (text, files) if part),
            username=None if direct else await self._people.name(user),
            direct=direct,
        )

    def _address(self, event: Mapping[str, Any]) -> Address:
        """In a channel the conversation is the thread under the message, from its first
        message on.
        """
        ts = str(event["ts"])
        return Address(
            channel="slack",
            chat=str(event["channel"]),
            thread=str(event.get("thread_ts") or ("" if _direct(event) else ts)),
            message=ts,
            extra={
                "user": str(event["user"]),
                "team": str(event.get("team") or self._me.team),
            },
        )

    # --- reactions ------------------------------------------------------------

    async def _reaction(self, event: dict[str, Any]) -> None:
        lock = self._locks.setdefault(
            f"votes in {event['item'].get('channel')}", asyncio.Lock()
        )
        async with lock:  # in order, and no message waits for the search of an answer
            inbound = await self._vote(event)
            if inbound is not None:
                await self._accept(inbound)

    async def _vote(self, event: Mapping[str, Any]) -> Reacted | None:
        """A person's thumb on a message of the agent. Slack does not say in which thread
        that stands.
        """
        item, user, thumb = (
            event["item"],
            str(event["user"]),
            thumb_of_name(str(event["reaction"])),
        )
        if (
            thumb is None
            or item["type"] != "message"
            or user in (self._me.user, "USLACKBOT")
        ):
            return None

        if (
            event.get("item_user") not in (None, self._me.user)
            or (person := await self._people.person(user)).bot
        ):
            return None

        chat, direct = str(item["channel"]), _direct(item)

        return Reacted(
            address=Address("slack", chat),
            message_id=str(item["ts"]),
            user_id=user,
            thumb=thumb,
            username=None if direct else person.name or None,
            direct=direct,
            taken_back=event["type"] == "reaction_removed",
        )

    # --- slash commands -------------------------------------------------------

    async def _command(self, ack: AsyncAck, command: dict[str, Any]) -> None:
        if not self._slash_commands():
            await ack(SWITCHED_OFF)
            return

        inbound = self._slash(command)
        if command.get("response_url"):
            self._urls.put(
                inbound.turn_id, str(command["response_url"]), _RESPONSE_URL_S
            )

        await self._accept(inbound)
        await ack()

    def _slash(self, command: Mapping[str, Any]) -> Said:
        chat, user = str(command["channel_id"]), str(command["user_id"])
        team = str(command.get("team_id") or self._me.team)
        return Said(
            address=Address(
                "slack", chat, extra={"user": user, "team": team, "command": "1"}
            ),
            message_id=str(command["trigger_id"]),
            user_id=user,
            text=_slash_text(str(command["command"]), str(command.get("text") or "")),
            username=str(command.get("user_name") or "") or None,
            direct=chat.startswith("D"),
        )


def _within(event: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The message inside an event of its change, which leaves out what the event says."""
    message = dict(event.get(name) or {})
    return {
        **message,
        "channel": event["channel"],
        "channel_type": event.get("channel_type"),
    }


def _direct(event: Mapping[str, Any]) -> bool:
    return event.get("channel_type") == "im" or str(event["channel"]).startswith("D")


def _as_command(text: str) -> str:
    """`!name argument`, which people can write in threads, is the command `/name argument`."""
    found = parse_command(text) if text.startswith("!") else None
    return f"/{found[0].name} {found[1]}".rstrip() if found else text


def _slash_text(name: str, argument: str) -> str:
    """`/name argument`; under another name (an operator's `/agent`) the argument is the command."""
    if parse_command(name):
        return f"{name} {argument}".strip()

    return f"/{argument or 'help'}"
