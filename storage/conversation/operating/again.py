"""An operator lets the last message of a conversation be answered once more, as its author does
with `/retry`: as a new turn, which an instance that serves the channel takes with its next
heartbeat. What it finds may be hours later than the page that the operator sees, so everything
is asked again under the conversation's lock.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Struct
from uuid_utils.compat import uuid7

from agent.control import flags
from agent.core.errors import Conflict, Rejected, VersionConflict
from agent.core.messages import Address, Said
from storage.connecting.connection import Connection
from storage.control.audit import Author
from storage.control.changes import Change, admit, changing
from storage.control.channels import known_channel
from storage.control.flags import FlagAdmin
from storage.control.targets import RuleTarget
from storage.conversation.operating import STATEMENTS
from storage.limits.used_up import used_up
from storage.postgres import LEASE_SECONDS, Database
from storage.redis import RedisPipe
from storage.transaction import transaction

ACTION = "conversation.again"

BY = "again_by"
"""In the metadata of a message: the operator who asked it once more."""

OF_ONE_PRESS = ("interaction", "token", "application", "query")
"""Parts of an address that belong to the answer of one command or button, on any channel: with
them, the new answer would be written over the old one. What keeps an answer to one person alone
stays: without it, a whole channel would read what somebody asked in private.
"""

KEY = re.compile(r"[A-Za-z0-9_-]{1,64}")

GONE = "There is no such conversation. It may have been erased."
ODD_KEY = "A key has 1 to 64 letters, digits, - or _. Load the page again."
MOVED = (
    "This conversation went on since you looked at it. Load it again, and press once "
    "more if it is still to be answered again."
)
ENDED = "This conversation has ended, so nothing in it is answered again."
UNDER_WAY = (
    "An answer is under way here. Wait for it, or stop it first; then press again."
)
ON_ITS_WAY = (
    "The last answer is still on its way to the chat. Press again when it is there."
)
NOTHING = "Nobody has said anything here yet that could be answered again."
TAKEN_BACK = "The last message was deleted, so it is not answered again."
TOO_OLD = "It is no longer kept how the last message arrived, so no answer would find its chat."
FORGOTTEN = "The person who wrote last is forgotten, or is being forgotten."
BLOCKED = (
    "The person who wrote last may not talk to the agent here. Unblock them, or put "
    "them on the channel's list, first."
)
UNSERVED = (
    "No running instance serves this channel, so the answer could not arrive. Start one "
    "with `agent serve`, then press again."
)
SWITCHED_OFF = (
    "The flag `replies` is off here, so no model would be asked. Switch it on first."
)


class Press(Struct, frozen=True):
    """One wish of an operator."""

    conversation: UUID
    author: Author
    key: str
    """Names it: sent twice, it is carried out once."""
    expected: int | None
    """The version of the conversation that was seen; None: any."""

    def __post_init__(self) -> None:
        """Raises Rejected for a key that is none."""
        if not KEY.fullmatch(self.key):
            raise Rejected(ODD_KEY)


class AskedAgain(Struct, frozen=True):
    """What became of it."""

    seq: int
    """Of the message that is asked once more."""
    is_new: bool
    """False: it was carried out before."""


async def answer_again(
    database: Database,
    pipe: RedisPipe,
    rules: FlagAdmin,
    press: Press,
) -> AskedAgain:
    """Raises Rejected without the right or the conversation, Conflict with what stands in the
    way, VersionConflict when the conversation went on.
    """
    async with transaction(database) as connection:
        await admit(connection, press.author)
        seen = await _found(connection, press)
        before = await _before(connection, press, seen)

    if before is not None:
        return before

    _check(press, seen)
    await _check_flag(rules, seen)
    async with changing(database, pipe, press.author) as change:
        return await _ask(change, press, seen.author)


async def _ask(
    change: Change,
    press: Press,
    author: UUID,
) -> AskedAgain:
    """Presses come one after the other, because each change holds the epoch."""
    connection = change.connection
    await connection.execute(STATEMENTS["hold_author"], {"author": author})
    here = {"id": press.conversation}
    await connection.execute(STATEMENTS["hold_conversation"], here)

    found = await _found(connection, press)
    before = await _before(connection, press, found)
    if before is not None:
        return before

    _check(press, found)
    if found.author != author:
        raise VersionConflict(MOVED)
    await _check_author(connection, found)
    seq = await _written(connection, press, found)
    await change.record(
        ACTION,
        f"conversation:{press.conversation}",
        before=None,
        after={"seq": seq},
    )

    return AskedAgain(seq, is_new=True)


async def _found(connection: Connection, press: Press) -> Any:
    """Raises Rejected when there is no such conversation."""
    values = {"id": press.conversation, "lease": LEASE_SECONDS}
    rows = await connection.execute(STATEMENTS["to_answer_again"], values)
    found = rows.first()
    if found is None:
        raise Rejected(GONE)

    return found


async def _before(
    connection: Connection,
    press: Press,
    found: Any,
) -> AskedAgain | None:
    values = {"id": press.conversation, "turn": _said(press, found).turn_id}
    rows = await connection.execute(STATEMENTS["asked_again"], values)
    row = rows.first()

    return None if row is None else AskedAgain(row.seq, is_new=False)


def _check(press: Press, found: Any) -> None:
    """Raises Conflict."""
    if press.expected not in (None, found.version):
        raise VersionConflict(MOVED)
    if objection := _objection(found):
        raise Conflict(objection)


def _objection(found: Any) -> str | None:
    metadata: Mapping[str, Any] = found.metadata or {}
    objections = {
        ENDED: not found.is_active,
        UNDER_WAY: found.is_answering,
        FORGOTTEN: found.is_forgotten or "erased" in metadata,
        NOTHING: found.content is None or "carried" in metadata,
        TAKEN_BACK: not found.content,
        TOO_OLD: not found.address or found.account is None,
        ON_ITS_WAY: found.state == "open",
        UNSERVED: not found.is_served,
    }

    return next((why for why, stands in objections.items() if stands), None)


async def _check_flag(rules: FlagAdmin, found: Any) -> None:
    """Raises Conflict, and Rejected for a channel that is no more."""
    target = RuleTarget(str(found.person), found.channel, found.chat)
    explanation = await rules.explain(flags.REPLIES.name, target)
    if explanation.decided.value is False:
        raise Conflict(SWITCHED_OFF)


async def _check_author(connection: Connection, found: Any) -> None:
    """Raises Conflict, and Rejected for a channel that is no more."""
    form = (await known_channel(connection, found.channel)).form
    is_missing = bool(form.allow) and found.account not in form.allow
    if found.account in form.deny or is_missing:
        raise Conflict(BLOCKED)

    sentence = await used_up(connection, found.channel, found.person)
    if sentence is not None:
        raise Conflict(sentence)


async def _written(connection: Connection, press: Press, found: Any) -> int:
    """The new message's `seq`."""
    said = _said(press, found)
    kept = (
        {"author": found.metadata.get("author")} if "author" in found.metadata else {}
    )
    values = {
        "id": press.conversation,
        "turn": said.turn_id,
        "name": said.message_id,
        "address": _json(_address(found.address)),
        "message": uuid7(),
        "content": found.content,
        "author": found.author,
        "metadata": _json({**kept, BY: press.author.name}),
    }
    seq = await connection.scalar(STATEMENTS["ask_again"], values)
    assert isinstance(seq, int)

    return seq


def _said(press: Press, found: Any) -> Said:
    """The press as a message: its name gives it a turn of its own, always the same one."""
    address = Address(found.channel, found.chat, found.thread)
    name = f"operator:{press.conversation}:{press.key}"

    return Said(address, name, found.account or "", found.content or "")


def _address(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Where the person wrote, and that nobody wrote there now."""
    rest = {name: value for name, value in stored.items() if name != "part_of"}
    extra = {
        name: value
        for name, value in stored.get("extra", {}).items()
        if name not in OF_ONE_PRESS
    }

    return {**rest, "extra": extra, "operator": True}


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()
