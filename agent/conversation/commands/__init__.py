"""What people can say with a slash: what it does and what it answers."""

from __future__ import annotations

from agent.conversation.commands.instruction import instruction_outcome
from agent.conversation.commands.models import model_outcome
from agent.conversation.commands.personal import (
    export_outcome,
    link_outcome,
    personal_outcome,
)
from agent.conversation.commands.records import record_outcome
from agent.conversation.commands.rules import ChatRules
from agent.core.commands import START, Command, greeting, help_text
from agent.core.effects import CommandOutcome, StopAnswer, say
from agent.core.messages import Said
from agent.ports import LanguageModels
from agent.ports.chat import ChatCommands, ChatRecords


async def command_outcome(
    command: Command,
    argument: str,
    inbound: Said,
    *,
    commands: ChatCommands,
    records: ChatRecords,
    models: LanguageModels,
    rules: ChatRules,
) -> CommandOutcome:
    """Reads what the command needs to know; changes nothing yet."""
    match command.name:
        case "stop":
            return CommandOutcome(
                lambda found: "Stopped." if found else "There is nothing to stop.",
                StopAnswer(),
            )
        case "model":
            return await model_outcome(argument, inbound, commands, models, rules)
        case "new" | "conversations" | "history" | "search" | "usage" as name:
            return await record_outcome(name, argument, inbound, records)
        case "system":
            return await instruction_outcome(
                argument, inbound, commands, rules.instructions
            )
        case "link":
            return link_outcome(argument, inbound)
        case "export":
            return await export_outcome(
                inbound, commands, records, as_file=rules.files
            )
        case "forget" | "consent" as name:
            return personal_outcome(name, argument, inbound)
        case _:
            context = await commands.chat_context(inbound)
            off = rules.switched_off(context.person)
            if command is START:
                return say(greeting(off, has_menu=rules.menu))

            return say(help_text(off))
