"""Commands about a person: linked accounts, and what is kept of them."""

from __future__ import annotations

import secrets
from functools import partial

from agent.core.effects import (
    AcceptLink,
    CommandOutcome,
    ForgetMe,
    HandOver,
    OfferLink,
    Outcome,
    SetConsent,
    say,
)
from agent.core.messages import Said
from agent.ports.chat import ChatCommands, ChatRecords

ASKS_ONCE_MORE = (
    "This erases all that is kept of you on every channel: what you said, what I answered "
    "you, your accounts and settings. It cannot be taken back. Write `/forget me now` to do it."
)
HANDED_OVER = (
    "Here is all that is kept of you: `export.txt` is to be read, `export.json` is the same "
    "for programs. If no file came with this, write `/export` once more."
)
"""The last sentence is for a restart in between: the file is kept nowhere."""
NOTHING_KEPT = "Nothing is kept of you."
FORGET_USAGE = "Write `/forget me` and I forget you: I ask once more before."

# Without characters that are easily misread.
_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_CODE_CHARS = 8


def link_outcome(argument: str, inbound: Said) -> CommandOutcome:
    if not inbound.direct:
        return say(
            "Write `/link` to me in a direct message: others would see the code here."
        )
    if argument:
        return CommandOutcome(_link_reply, AcceptLink(argument))

    code = "".join(secrets.choice(_ALPHABET) for _ in range(_CODE_CHARS))
    return CommandOutcome(
        lambda _: (
            f"On your other channel, write this to me within ten minutes: `/link {code}`"
        ),
        OfferLink(code),
    )


def _link_reply(joined: Outcome) -> str:
    if joined:
        return "Your accounts are one now; the conversation goes on here."

    return (
        "This code is not valid (any more). "
        "Get a new one with `/link` on the other channel."
    )


async def export_outcome(
    inbound: Said, commands: ChatCommands, records: ChatRecords, *, as_file: bool
) -> CommandOutcome:
    """`/export`: a file where the channel takes any, else the newest of it as text."""
    if not inbound.direct:
        return _in_private("export")
    if not as_file:
        return say(await records.export(inbound))

    person = (await commands.chat_context(inbound)).person
    if person is None:
        return say(NOTHING_KEPT)

    return CommandOutcome(
        lambda _: HANDED_OVER, HandOver(), partial(records.export_file, person)
    )


def _in_private(name: str) -> CommandOutcome:
    return say(f"Write `/{name}` to me in a direct message: it is about you alone.")


def personal_outcome(name: str, argument: str, inbound: Said) -> CommandOutcome:
    """`/forget me` and `/consent on|off`."""
    if not inbound.direct:
        return _in_private(name)

    words = argument.lower().split()
    match name, words:
        case "forget", ["me"]:
            return say(ASKS_ONCE_MORE)
        case "forget", ["me", "now"]:
            return CommandOutcome(_forgotten, ForgetMe())
        case "forget", _:
            return say(FORGET_USAGE)
        case _, ["on" | "off" as given]:
            return CommandOutcome(
                _agreed if given == "on" else _refused, SetConsent(given == "on")
            )
        case _:
            return say(
                "Write `/consent on` if your messages may be used to train a model, "
                "else `/consent off`. Without a word from you they are not used."
            )


def _forgotten(found: bool) -> str:
    if found:
        return "I am erasing you now; in a minute nothing is left. Goodbye!"

    return "There is nothing to erase, or it is being erased already."


def _agreed(_: bool) -> str:
    return (
        "Thank you: your messages may be used for training. `/consent off` ends that."
    )


def _refused(_: bool) -> str:
    return "Your messages are not used for training."
