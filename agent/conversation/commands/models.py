"""`/model`: what may be chosen here, and what is."""

from __future__ import annotations

from collections.abc import Sequence

from agent.conversation.commands.rules import ChatRules
from agent.core.effects import (
    ChatContext,
    ChooseModel,
    CommandOutcome,
    say,
)
from agent.core.errors import UnknownModel
from agent.core.messages import Said
from agent.core.words.buttons import model_buttons, offering
from agent.core.words.model_lists import (
    MAX_MENU,
    KnowsModels,
    ListsModels,
    model_names,
    near_names,
    of_one,
    offer,
    overview,
)
from agent.ports import LanguageModels
from agent.ports.chat import ChatCommands

ENDING = " Its provider is going to take it away: better choose another."

MODEL_LIST_SECONDS = 1.5
"""So long `/model` waits for a provider's list. A platform wants to hear within three."""


async def model_outcome(
    argument: str,
    inbound: Said,
    commands: ChatCommands,
    models: LanguageModels,
    rules: ChatRules,
) -> CommandOutcome:
    """Shows, chooses, or goes back to the default."""
    if argument == "default":
        return await _default_model(inbound, commands, rules)
    if argument:
        return await _choose_model(argument, inbound, models, rules.allowed_models)

    context = await commands.chat_context(inbound)
    current = _current_model(context, rules) + await _facts(models, context, rules)
    if not isinstance(models, ListsModels):
        return say(current)

    lists = await models.listed(MODEL_LIST_SECONDS)
    shown = overview(lists, rules.allowed_models)
    text = f"{current}\n\nThere are:\n\n{shown}" if shown else current
    if rules.buttons(context.person):
        names = model_names(lists, rules.allowed_models)
        text = offering(text, model_buttons(names[:MAX_MENU]))

    return say(text)


async def _default_model(
    inbound: Said, commands: ChatCommands, rules: ChatRules
) -> CommandOutcome:
    """`/model default`."""
    context = await commands.chat_context(inbound)
    default = rules.default_model(context.person)

    return CommandOutcome(
        lambda _: f"From now on the default is used: `{default}`.",
        ChooseModel(None),
    )


def _current_model(context: ChatContext, rules: ChatRules) -> str:
    if context.override:
        return f"This conversation uses `{context.override}`. `/model default` ends that."
    if context.preferred:
        return f"You chose `{context.preferred}`. `/model default` ends that."

    return (
        f"The default is used: `{rules.default_model(context.person)}`. "
        "Choose another with `/model provider:model`."
    )


async def _facts(
    models: LanguageModels, context: ChatContext, rules: ChatRules
) -> str:
    """How much the model reads at once, and if it is going away, where that is known."""
    default = rules.default_model(context.person)
    chosen = context.override or context.preferred or default
    if not isinstance(models, KnowsModels):
        return ""

    known = await models.facts(chosen)
    size = f" It reads {known.context:,} tokens at once." if known.context else ""

    return f"{size}{ENDING}" if known.is_ending else size


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
