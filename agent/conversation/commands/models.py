"""`/model`: what may be chosen here, and what is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import UUID

from agent.core.effects import (
    ChooseModel,
    CommandOutcome,
    say,
)
from agent.core.errors import UnknownModel
from agent.core.messages import Said
from agent.core.words.model_lists import (
    ListsModels,
    model_names,
    near_names,
    of_one,
    offer,
    overview,
)
from agent.ports import LanguageModels
from agent.ports.chat import ChatCommands

MODEL_LIST_SECONDS = 1.5
"""So long `/model` waits for a provider's list. A platform wants to hear within three."""

DefaultModel = Callable[[UUID | None], str]
"""What answers a person (None: not known yet) who chose no model."""


async def model_outcome(
    argument: str,
    inbound: Said,
    commands: ChatCommands,
    models: LanguageModels,
    default_model: DefaultModel,
    allowed_models: Sequence[str],
) -> CommandOutcome:
    """Shows, chooses, or goes back to the default."""
    if argument == "default":
        return await _default_model(inbound, commands, default_model)
    if argument:
        return await _choose_model(argument, inbound, models, allowed_models)

    current = await _current_model(inbound, commands, default_model)

    return say(current + await _choices(models, allowed_models))


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
