"""What each command answers. Texts are made here; `agent.ports.ChatCommands` changes things."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from agent.core.commands import Command, help_text
from agent.core.effects import (
    AcceptLink,
    ChooseModel,
    Effect,
    HistoryEntry,
    NewConversation,
    OfferLink,
    Outcome,
    StopAnswer,
    UsageTotal,
)
from agent.core.errors import Rejected, UnknownModel
from agent.core.messages import Said
from agent.core.search import Found, parse_query
from agent.ports import ChatCommands, ChatRecords, LanguageModels
from agent.reports.usage import cost_text

HISTORY_LINES = 10
"""Messages that `/history` shows without a number."""

MAX_HISTORY_LINES = 50
"""Messages that `/history` shows at most."""

MAX_LINE_CHARS = 200
"""Characters of a message that `/history` shows."""

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
            return CommandOutcome(
                lambda _: "A new conversation begins. I no longer see the old one.",
                NewConversation(),
            )
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
        case "search":
            return await _search(argument, inbound, records)
        case "usage":
            return await _usage(inbound, records)
        case "link":
            return _link(argument, inbound)
        case _:
            return say(help_text())


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


async def _search(
    argument: str, inbound: Said, records: ChatRecords
) -> CommandOutcome:
    try:
        query = parse_query(argument)
    except Rejected as refusal:
        return say(refusal.sentence)

    found = await records.search(inbound, query)
    where = "in your messages and my answers" if inbound.direct else "here"

    return say("\n".join(map(_found_line, found)) or f"I found nothing {where}.")


def _found_line(found: Found) -> str:
    authors = {"user": found.author or "you", "assistant": "me"}
    link = f" ({found.link})" if found.link else ""

    return f"- {found.at:%Y-%m-%d %H:%M} {authors[found.role]}: {found.text}{link}"


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

    is_known = total.unpriced < total.answers
    return cost_text(total.cost_usd if is_known else None, total.unpriced)


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
