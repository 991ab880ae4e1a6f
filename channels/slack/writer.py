"""Writing one message to Slack: as a native stream, as Markdown, or as plain text,
whichever is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from msgspec import Struct, field

from agent.core.messages import Address
from agent.core.words.buttons import is_same
from channels.slack.api import GONE, PASSING, SIGNED_OUT, ApiError, SlackApi
from channels.slack.incoming.buttons import actions_of, blocks_of
from channels.slack.incoming.payloads import answer_metadata, answered_by
from channels.slack.text import escaped, notification, plain

LIMIT = 12_000
"""Characters of Markdown in one message, in all (docs.slack.dev, markdown block and
chat.appendStream).
"""

STREAM_S = 240.0
"""A stream dies after about 300 s (slackapi/python-slack-sdk#1859): from here on its
message is edited.
"""

BAD_FORMAT = frozenset(
    {
        "invalid_blocks",
        "invalid_blocks_format",
        "invalid_chunks",
        "invalid_markdown",
        "msg_blocks_too_long",
        "msg_too_long",
        "markdown_text_conflict",
    }
)
_STREAM_OVER = frozenset(
    {"message_not_in_streaming_state", "stopped_by_user", "message_not_found"}
)
_NOT_EDITABLE = frozenset(
    {"message_not_found", "cant_update_message", "edit_window_closed", "is_inactive"}
    # Of plain text, a new message takes more than an edit does.
    | {"unknown_method", "msg_too_long"}
)
_NEVER = frozenset(
    {
        "unknown_method",
        "method_deprecated",
        "method_not_supported_for_channel_type",
        "missing_scope",
    }
    | {
        "not_allowed_token_type",
        "feature_not_enabled",
        "access_denied",
        "no_permission",
    }
)


class Abilities(Struct):
    """What Slack was seen to refuse this app, for all its answers."""

    stream: bool = True
    edit: bool = True
    status: bool = True
    no_stream: set[str] = field(
        default_factory=set
    )  # chats in which only streaming is refused

    def streams(self, address: Address) -> bool:
        """Streams answer a message in a thread; a direct chat without threads is served by
        edits.
        """
        return (
            self.stream
            and bool(address.thread)
            and address.chat not in self.no_stream
        )


class Part(Struct):
    """A message of the answer that stands on Slack."""

    ts: str
    stream: bool = False  # still open
    started: float = 0.0  # of the stream, wall clock
    shown: str | None = None  # None: not known for sure


class Writer:
    """The messages of one answer. Raises RateLimited and ApiError; each call may be repeated."""

    def __init__(
        self,
        api: SlackApi,
        address: Address,
        turns: Sequence[UUID],
        abilities: Abilities,
        clock: Callable[[], float],
    ) -> None:
        self._api = api
        self._address = address
        self._turns = [str(turn) for turn in turns]
        self._abilities = abilities
        self._clock = clock

    @property
    def can_grow(self) -> bool:
        """Whether an unfinished message can be shown at all."""
        return self._abilities.edit or self._abilities.streams(self._address)

    async def status(self, text: str) -> None:
        """Shows what the agent is doing until it writes something (two minutes at most)."""
        thread = self._address.thread or self._address.message
        if not (thread and self._abilities.status):
            return
        try:
            await self._api.call(
                "assistant.threads.setStatus",
                channel_id=self._address.chat,
                thread_ts=thread,
                status=text,
            )
        except ApiError as error:
            if error.code in _NEVER:
                self._abilities.status = False

    async def begin(self, text: str, number: int) -> Part:
        """The first text of an unfinished message."""
        if self._abilities.streams(self._address):
            try:
                return await self._stream(text)
            except ApiError as error:
                if (
                    error.code in PASSING
                    or error.code in GONE
                    or error.code in SIGNED_OUT
                ):
                    raise
                self._remember(error.code)
        return await self.post(text, number)

    def _remember(self, code: str) -> None:
        if code in _NEVER:
            self._abilities.stream = False
        elif code not in BAD_FORMAT:
            self._abilities.no_stream.add(self._address.chat)

    async def _stream(self, text: str) -> Part:
        answer = await self._api.call(
            "chat.startStream",
            channel=self._address.chat,
            thread_ts=self._address.thread,
            markdown_text=text,
            recipient_user_id=self._address.extra.get("user"),
            recipient_team_id=self._address.extra.get("team"),
        )
        return Part(str(answer["ts"]), stream=True, started=self._clock(), shown=text)

    async def post(self, text: str, number: int) -> Part:
        """A message by itself."""
        answer = await self._formatted(
            "chat.postMessage",
            text,
            thread_ts=self._address.thread or None,
            metadata=answer_metadata(self._turns, number),
            unfurl_links=False,
        )
        return Part(str(answer["ts"]), shown=text)

    async def grow(self, part: Part, text: str, number: int) -> None:
        """The same unfinished message with more text."""
        young = 0 <= self._clock() - part.started < STREAM_S
        if not (part.stream and young and await self._append(part, text)):
            await self.settle(part, text, number)

    async def _append(self, part: Part, text: str) -> bool:
        """Whether the stream now shows the text."""
        shown = part.shown
        if shown is None or not text.startswith(shown):
            return False
        part.shown = None  # until it is known whether it arrived
        try:
            await self._api.call(
                "chat.appendStream",
                channel=self._address.chat,
                ts=part.ts,
                markdown_text=text[len(shown) :],
            )
        except ApiError as error:
            if error.code in PASSING:
                raise
            part.stream = error.code not in _STREAM_OVER
            return False
        part.shown = text
        return True

    async def settle(self, part: Part, text: str, number: int) -> None:
        """The message shows exactly this text, and no stream is left open."""
        if part.stream:
            await self._stop(part, text, number)
        if not is_same(part.shown, text):
            await self._formatted(
                "chat.update",
                text,
                ts=part.ts,
                metadata=answer_metadata(self._turns, number),
            )
            part.shown = text

    async def _stop(self, part: Part, text: str, number: int) -> None:
        shown, part.shown = part.shown, None
        rest = (
            text[len(shown) :]
            if shown is not None and text.startswith(shown)
            else None
        )
        try:
            await self._api.call(
                "chat.stopStream",
                channel=self._address.chat,
                ts=part.ts,
                markdown_text=rest or None,
                blocks=actions_of(text) or None,
                metadata=answer_metadata(self._turns, number),
            )
        except ApiError as error:
            if error.code in PASSING or error.code in SIGNED_OUT:
                raise
            # Over already, or its last text was refused: the edit that follows says it all.
        else:
            part.shown = text if rest is not None else None
        part.stream = False

    async def replace(self, part: Part, text: str, number: int) -> Part:
        """`settle`, or a new message where this one cannot be edited any more."""
        try:
            await self.settle(part, text, number)
        except ApiError as error:
            if error.code not in _NOT_EDITABLE:
                raise
            self._abilities.edit = self._abilities.edit and error.code not in _NEVER
            await self.delete(part)
            return await self.post(text, number)
        return part

    async def delete(self, part: Part) -> None:
        """Takes a message away; that it is gone already is well."""
        try:
            await self._api.call(
                "chat.delete", channel=self._address.chat, ts=part.ts
            )
        except ApiError as error:
            if error.code in PASSING:
                raise

    async def found(self) -> tuple[Mapping[int, str], list[str]]:
        """What already stands there of this answer: its messages by number, and streams
        that were cut off.

        A stream gets its metadata when it is stopped; one without, after the question, was
        never finished. Raises ApiError when Slack cannot say.
        """
        me = (await self._api.call("auth.test")).get("user_id")
        where: dict[str, Any] = {
            "channel": self._address.chat,
            "include_all_metadata": True,
            "limit": 200,
        }
        if self._address.thread:
            answer = await self._api.call(
                "conversations.replies",
                ts=self._address.thread,
                oldest=self._address.message or None,
                **where,
            )
        else:
            answer = await self._api.call(
                "conversations.history", oldest=self._address.message or None, **where
            )
        numbered: dict[int, str] = {}
        cut_off: list[str] = []
        for message in answer.get("messages") or ():
            turns, number = answered_by(message)
            if not turns.isdisjoint(self._turns):
                numbered[number] = str(message["ts"])
            elif message.get("user") == me and not turns and self._address.thread:
                cut_off.append(str(message["ts"]))
        return numbered, cut_off

    async def _formatted(
        self, method: str, text: str, **arguments: Any
    ) -> Mapping[str, Any]:
        """Sends Markdown; as plain text what Slack cannot format, so that no answer is
        lost to it.
        """
        try:
            return await self._api.call(
                method,
                channel=self._address.chat,
                text=notification(text),
                blocks=blocks_of(text),
                **arguments,
            )
        except ApiError as error:
            if error.code not in BAD_FORMAT:
                raise
        return await self._api.call(
            method,
            channel=self._address.chat,
            text=escaped(plain(text)),
            blocks=[],
            mrkdwn=False,
            parse="none",
            **arguments,
        )
