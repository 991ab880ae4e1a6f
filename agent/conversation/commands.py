"""What each command answers. Texts are made here; what they change is done by the desk."""

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
from agent.core.errors import UnknownModel
from agent.core.messages import Inbound
from agent.ports import ChatCommands, ChatRecords, LanguageModels

HISTORY_LINES = 10
HISTORY_MOST = 50
_ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # nothing that is misread


DefaultModel = Callable[[UUID | None], str]
"""What answers a person (None: nobody knows them yet) who chose no model."""


@dataclass(frozen=True, slots=True)
class CommandOutcome:
    """What a command will do, and what it will say once that is known."""

    reply: Callable[[Outcome], str]
    effect: Effect | None = None


def say(text: str) -> CommandOutcome:
    """Only says something."""
    return CommandOutcome(lambda _: text)


async def command_outcome(
    command: Command,
    argument: str,
    inbound: Inbound,
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
        case "model":
            return await _model(argument, inbound, commands, models, default_model)
        case "history":
            return await _history(argument, inbound, records)
        case "usage":
            here, all_of_them = await records.usage(inbound)
            return say(
                f"This conversation: {_usage_line(here)}\nYour last 30 days: "
                f"{_usage_line(all_of_them)}"
            )
        case "link":
            return _link(argument, inbound)
        case _:
            return say(help_text())


async def _model(
    argument: str,
    inbound: Inbound,
    commands: ChatCommands,
    models: LanguageModels,
    default_model: DefaultModel,
) -> CommandOutcome:
    if argument in ("", "default"):
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
    try:
        models.check(argument)
    except UnknownModel as error:
        return say(error.sentence)
    scope = "you" if inbound.direct else "this conversation"
    return CommandOutcome(
        lambda _: f"From now on `{argument}` answers {scope}.", ChooseModel(argument)
    )


async def _history(
    argument: str, inbound: Inbound, records: ChatRecords
) -> CommandOutcome:
    is_short = len(argument) <= len(
        str(HISTORY_MOST)
    )  # Python reads no number of thousands of digits
    if argument and not (
        is_short and argument.isdecimal() and 1 <= int(argument) <= HISTORY_MOST
    ):
        return say(
            f"How many messages? A number from 1 to {HISTORY_MOST}, as in `/history 5`."
        )
    entries = await records.history(
        inbound, int(argument) if argument else HISTORY_LINES
    )
    return say("\n".join(map(_history_line, entries)) or "There are no messages yet.")


def _history_line(entry: HistoryEntry) -> str:
    who = {"user": entry.author or "you", "assistant": "me"}.get(entry.role, entry.role)
    text = " ".join(entry.content.split())
    return (
        f"- {entry.timestamp:%Y-%m-%d %H:%M} **{who}**: "
        f"{text if len(text) <= 200 else text[:199] + '…'}"
    )


def _usage_line(total: UsageTotal) -> str:
    cost = f"${total.cost_usd:.4f}"
    if total.unpriced:
        cost += (
            f" and {total.unpriced} of unknown price"
            if total.unpriced < total.answers
            else ""
        )
        cost = "unknown" if total.unpriced == total.answers else cost
    about = f", {total.estimated} estimated" if total.estimated else ""
    tokens = f"{total.prompt_tokens} tokens read, {total.completion_tokens} written"
    return f"{total.answers} answers, {tokens}{about}, cost {cost if total.answers else '$0'}"


def _link(argument: str, inbound: Inbound) -> CommandOutcome:
    if not inbound.direct:
        return say(
            "Write `/link` to me in a direct message: others would see the code here."
        )
    if argument:
        return CommandOutcome(
            lambda joined: (
                "Your accounts are one now; the conversation goes on here."
                if joined
                else "This code is not valid (any more). Get a new one with "
                "`/link` on the other channel."
            ),
            AcceptLink(argument),
        )
    code = "".join(secrets.choice(_ALPHABET) for _ in range(8))
    return CommandOutcome(
        lambda _: (
            f"On your other channel, write this to me within ten minutes: `/link {code}`"
        ),
        OfferLink(code),
    )
