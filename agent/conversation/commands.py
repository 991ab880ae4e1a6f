"""What each command answers. Texts are made here; `agent.ports.ChatCommands` changes things."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from agent.core.commands import Command, help_text
from agent.core.effects import (
    MAX_TITLE_CHARS,
    AcceptLink,
    ChatRecords,
    ChooseModel,
    ContinueConversation,
    ConversationEntry,
    Effect,
    HistoryEntry,
    NewConversation,
    OfferLink,
    Outcome,
    StopAnswer,
    UsageTotal,
)
from agent.core.errors import UnknownModel
from agent.core.messages import Said
from agent.ports import ChatCommands, LanguageModels

HISTORY_LINES = 10
"""Messages that `/history` shows without a number."""

MAX_HISTORY_LINES = 50
"""Messages that `/history` shows at most."""

MAX_LINE_CHARS = 200
"""Characters of a message that `/history` shows."""

LISTED_CONVERSATIONS = 10
"""Conversations that `/conversations` shows."""

MAX_WORDS_CHARS = 60
"""Characters of its first message that stand for a conversation without a name."""

MAX_NUMBER_DIGITS = 9
"""Digits of a conversation's number."""

# Without characters that are easily misread.
_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_CODE_CHARS = 8

DefaultModel = Callable[[UUID | None], str]
"""What answers a person (None: not known yet) who chose no model."""


@dataclass(frozen=True, slots=True)
class CommandOutcome:
    """What a command will do, and what it will say once that is known."""

    reply: Callable[[Outcome], str]
    effect: Effect | None = None


def say(text: str) -> CommandOutcome:
    """Says something and changes nothing."""
    return CommandOutcome(lambda _: text)


async def command_outcome(
    command: Command,
    argument: str,
    inbound: Said,
    *,
    commands: ChatCommands,
    records: ChatRecords,
    models: LanguageModels,
    default_model: DefaultModel,
) -> CommandOutcome:
    """Reads what the command needs to know; changes nothing yet."""
    match command.name:
        case "new":
            return _new(argument)
        case "conversations":
            return await _conversations(argument, inbound, records)
        case "stop":
            return CommandOutcome(
                lambda found: "Stopped." if found else "There is nothing to stop.",
                StopAnswer(),
            )
        case "model" if argument in ("", "default"):
            return await _default_model(argument, inbound, commands, default_model)
        case "model":
            return _choose_model(argument, inbound, models)
        case "history":
            return await _history(argument, inbound, records)
        case "usage":
            return await _usage(inbound, records)
        case "link":
            return _link(argument, inbound)
        case _:
            return say(help_text())


def _new(argument: str) -> CommandOutcome:
    title = _shortened(argument, MAX_TITLE_CHARS) or None
    named = f", **{title}**," if title else ""

    return CommandOutcome(
        lambda _: f"A new conversation{named} begins. I no longer see the old one.",
        NewConversation(title),
    )


async def _conversations(
    argument: str, inbound: Said, records: ChatRecords
) -> CommandOutcome:
    if not argument:
        listed = await records.conversations(inbound, LISTED_CONVERSATIONS)
        lines = "\n".join(map(_conversation_line, listed))
        more = "`/conversations 1` goes on with the one of that number."

        return say(
            f"{lines}\n\n{more}" if lines else "There are no conversations yet."
        )

    short = len(argument) <= MAX_NUMBER_DIGITS and argument.isascii()
    number = int(argument) if short and argument.isdecimal() else 0
    found = await records.conversations(inbound, 1, number)
    if not found:
        return say(
            "There is no conversation of this number here. `/conversations` shows all."
        )

    [chosen] = found
    if chosen.is_active:
        return say(f"This is the conversation {_title(chosen)}.")

    return CommandOutcome(
        lambda _: f"We go on with {_title(chosen)}. I see what was said there.",
        ContinueConversation(chosen.id),
    )


def _conversation_line(entry: ConversationEntry) -> str:
    here = ", this one" if entry.is_active else ""

    return f"- {entry.number}: {_title(entry)}, {entry.last_activity:%Y-%m-%d %H:%M}{here}"


def _title(entry: ConversationEntry) -> str:
    """The name that a person gave, else the first words that were said."""
    if entry.title:
        return f"**{entry.title}**"

    words = _shortened(entry.first_words or "", MAX_WORDS_CHARS)

    return f"“{words}”" if words else "without a message"


def _shortened(text: str, limit: int) -> str:
    """In one line, without marks that would format the rest."""
    line = " ".join(text.replace("*", "").replace("`", "").split())

    return line if len(line) <= limit else line[: limit - 1] + "…"


async def _default_model(
    argument: str, inbound: Said, commands: ChatCommands, default_model: DefaultModel
) -> CommandOutcome:
    """`/model` and `/model default`."""
    context = await commands.chat_context(inbound)
    default = default_model(context.person)
    if argument:
        return CommandOutcome(
            lambda _: f"From now on the default is used: `{default}`.",
            ChooseModel(None),
        )

    if context.override:
        return say(
            f"This conversation uses `{context.override}`. `/model default` ends that."
        )
    if context.preferred:
        return say(f"You chose `{context.preferred}`. `/model default` ends that.")

    return say(
        f"The default is used: `{default}`. Choose another with `/model provider:model`."
    )


def _choose_model(
    argument: str, inbound: Said, models: LanguageModels
) -> CommandOutcome:
    try:
        models.check(argument)
    except UnknownModel as error:
        return say(error.sentence)

    scope = "you" if inbound.direct else "this conversation"
    return CommandOutcome(
        lambda _: f"From now on `{argument}` answers {scope}.", ChooseModel(argument)
    )


async def _history(
    argument: str, inbound: Said, records: ChatRecords
) -> CommandOutcome:
    if argument and not _is_line_count(argument):
        return say(
            f"How many messages? A number from 1 to {MAX_HISTORY_LINES}, "
            "as in `/history 5`."
        )

    count = int(argument) if argument else HISTORY_LINES
    entries = await records.history(inbound, count)

    return say("\n".join(map(_history_line, entries)) or "There are no messages yet.")


def _is_line_count(argument: str) -> bool:
    # Python refuses to read numbers of thousands of digits.
    is_short = len(argument) <= len(str(MAX_HISTORY_LINES))
    is_number = is_short and argument.isdecimal()

    return is_number and 1 <= int(argument) <= MAX_HISTORY_LINES


def _history_line(entry: HistoryEntry) -> str:
    authors = {"user": entry.author or "you", "assistant": "me"}
    author = authors.get(entry.role, entry.role)
    text = " ".join(entry.content.split())
    if len(text) > MAX_LINE_CHARS:
        text = text[: MAX_LINE_CHARS - 1] + "…"

    return f"- {entry.timestamp:%Y-%m-%d %H:%M} **{author}**: {text}"


async def _usage(inbound: Said, records: ChatRecords) -> CommandOutcome:
    here, everywhere = await records.usage(inbound)
    return say(
        f"This conversation: {_usage_line(here)}\n"
        f"Your last 30 days: {_usage_line(everywhere)}"
    )


def _usage_line(total: UsageTotal) -> str:
    estimated = f", {total.estimated} estimated" if total.estimated else ""
    tokens = f"{total.prompt_tokens} tokens read, {total.completion_tokens} written"
    return f"{total.answers} answers, {tokens}{estimated}, cost {_cost(total)}"


def _cost(total: UsageTotal) -> str:
    if not total.answers:
        return "$0"
    if total.unpriced == total.answers:
        return "unknown"

    unknown = f" and {total.unpriced} of unknown price" if total.unpriced else ""
    return f"${total.cost_usd:.4f}{unknown}"


def _link(argument: str, inbound: Said) -> CommandOutcome:
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
