"""Commands that show what was said and spent, and begin or continue conversations."""

from __future__ import annotations

from agent.core.effects import (
    MAX_TITLE_CHARS,
    CommandOutcome,
    ContinueConversation,
    ConversationEntry,
    HistoryEntry,
    NewConversation,
    UsageTotal,
    say,
)
from agent.core.errors import Rejected
from agent.core.messages import Said
from agent.core.words.search import Found, parse_query
from agent.ports.chat import ChatRecords
from agent.reports.usage import cost_text

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


async def record_outcome(
    name: str, argument: str, inbound: Said, records: ChatRecords
) -> CommandOutcome:
    """`/new`, `/conversations`, `/history`, `/search` and `/usage`."""
    match name:
        case "new":
            return _new(argument)
        case "conversations":
            return await _conversations(argument, inbound, records)
        case "history":
            return await _history(argument, inbound, records)
        case "search":
            return await _search(argument, inbound, records)
        case _:
            return await _usage(inbound, records)


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
    answers = "1 answer" if total.answers == 1 else f"{total.answers} answers"

    return f"{answers}, {tokens}{estimated}, cost {_cost(total)}"


def _cost(total: UsageTotal) -> str:
    if not total.answers:
        return "$0"

    is_known = total.unpriced < total.answers
    return cost_text(total.cost_usd if is_known else None, total.unpriced)
