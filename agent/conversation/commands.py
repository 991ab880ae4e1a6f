"""What each command answers. Texts are made here; `agent.ports.ChatCommands` changes things."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from uuid import UUID

from agent.core.commands import Command, help_text
from agent.core.effects import (
    MAX_TITLE_CHARS,
    AcceptLink,
    ChooseModel,
    CommandOutcome,
    ContinueConversation,
    ConversationEntry,
    ForgetMe,
    HistoryEntry,
    NewConversation,
    OfferLink,
    Outcome,
    SetConsent,
    StopAnswer,
    UsageTotal,
    say,
)
from agent.core.errors import Rejected, UnknownModel
from agent.core.messages import Said
from agent.core.model_lists import (
    ListsModels,
    model_names,
    near_names,
    of_one,
    offer,
    overview,
)
from agent.core.search import Found, parse_query
from agent.ports import LanguageModels
from agent.ports.chat import ChatCommands, ChatRecords
from agent.reports.usage import cost_text

HISTORY_LINES = 10
"""Messages that `/history` shows without a number."""

MODEL_LIST_SECONDS = 1.5
"""So long `/model` waits for a provider's list. A platform wants to hear within three."""

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

ASKS_ONCE_MORE = (
    "This erases all that is kept of you on every channel: what you said, what I answered "
    "you, your accounts and settings. It cannot be taken back. Write `/forget me now` to do it."
)
FORGET_USAGE = "Write `/forget me` and I forget you: I ask once more before."

# Without characters that are easily misread.
_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"
_CODE_CHARS = 8

DefaultModel = Callable[[UUID | None], str]
"""What answers a person (None: not known yet) who chose no model."""


async def command_outcome(
    command: Command,
    argument: str,
    inbound: Said,
    *,
    commands: ChatCommands,
    records: ChatRecords,
    models: LanguageModels,
    default_model: DefaultModel,
    allowed_models: Sequence[str] = (),
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
        case "model" if argument == "default":
            return await _default_model(inbound, commands, default_model)
        case "model" if not argument:
            current = await _current_model(inbound, commands, default_model)
            return say(current + await _choices(models, allowed_models))
        case "model":
            return await _choose_model(argument, inbound, models, allowed_models)
        case "history":
            return await _history(argument, inbound, records)
        case "search":
            return await _search(argument, inbound, records)
        case "usage":
            return await _usage(inbound, records)
        case "link":
            return _link(argument, inbound)
        case "export" | "forget" | "consent":
            return await _about_yourself(command.name, argument, inbound, records)
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
    inbound: Said, commands: ChatCommands, default_model: DefaultModel
) -> CommandOutcome:
    """`/model default`."""
    context = await commands.chat_context(inbound)
    default = default_model(context.person)

    return CommandOutcome(
        lambda _: f"From now on the default is used: `{default}`.",
        ChooseModel(None),
    )


async def _current_model(
    inbound: Said, commands: ChatCommands, default_model: DefaultModel
) -> str:
    context = await commands.chat_context(inbound)
    if context.override:
        return f"This conversation uses `{context.override}`. `/model default` ends that."
    if context.preferred:
        return f"You chose `{context.preferred}`. `/model default` ends that."

    return (
        f"The default is used: `{default_model(context.person)}`. "
        "Choose another with `/model provider:model`."
    )


async def _choices(models: LanguageModels, allowed: Sequence[str]) -> str:
    """What may be chosen here, as a part of an answer; "": nobody can say."""
    if not isinstance(models, ListsModels):
        return ""

    shown = overview(await models.listed(MODEL_LIST_SECONDS), allowed)
    return f"\n\nThere are:\n\n{shown}" if shown else ""


async def _choose_model(
    argument: str, inbound: Said, models: LanguageModels, allowed: Sequence[str]
) -> CommandOutcome:
    """`/model NAME`: a model; else a provider, or a part of a name."""
    try:
        models.check(argument)
    except UnknownModel as error:
        return say(await _instead(argument, error.sentence, models, allowed))

    if isinstance(models, ListsModels):
        objection = await models.objection(argument, MODEL_LIST_SECONDS)
        if objection:
            return say(objection)

    scope = "you" if inbound.direct else "this conversation"
    return CommandOutcome(
        lambda _: f"From now on `{argument}` answers {scope}.", ChooseModel(argument)
    )


async def _instead(
    argument: str, refusal: str, models: LanguageModels, allowed: Sequence[str]
) -> str:
    """What is said to what is no model: the provider's, near ones, or how one is written."""
    if not isinstance(models, ListsModels):
        return refusal

    lists = await models.listed(MODEL_LIST_SECONDS)
    if argument in lists and not allowed:
        return of_one(argument, lists[argument])

    near = near_names(argument, model_names(lists, allowed))
    return f"There is no model `{argument}`. {offer(near)}" if near else refusal


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


async def _about_yourself(
    name: str, argument: str, inbound: Said, records: ChatRecords
) -> CommandOutcome:
    """`/export`, `/forget me` and `/consent on|off`."""
    if not inbound.direct:
        return say(
            f"Write `/{name}` to me in a direct message: it is about you alone."
        )

    words = argument.lower().split()
    match name, words:
        case "export", _:
            return say(await records.export(inbound))
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
