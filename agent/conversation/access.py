"""Who may talk to the agent on a channel, and which models answer there. Pure: what an
operator set decides.
"""

from __future__ import annotations

from agent.core.channel import ChannelSettings
from agent.core.limits import Limit, Rule
from agent.core.messages import Inbound

TOLD_EVERY = Limit(1, 3600)
"""How often a stranger hears that they are one."""

VOTES = Limit(60, 60)
"""How many reactions of one person are looked at. Each is a search, so they have a limit of
their own: they use up no messages, and messages use up none of them."""


def is_blocked(settings: ChannelSettings, inbound: Inbound) -> bool:
    """Whether this message is not even taken. The deny list wins over the allow list."""
    account = inbound.user_id
    return account in settings.deny or (
        bool(settings.allow) and account not in settings.allow
    )


def is_unlisted(settings: ChannelSettings, inbound: Inbound) -> bool:
    """Whether a barred person is worth a sentence: not yet on the list, and talking to the
    agent alone.

    Who is on the deny list hears nothing: an answer would tell them that they are heard. In
    a group nobody is told, so that a list does not become noise for all others.
    """
    return inbound.direct and inbound.user_id not in settings.deny


def unlisted_rule(inbound: Inbound) -> Rule:
    """Lets a stranger be told now and then."""
    account = f"{inbound.address.channel}:{inbound.user_id}"
    return Rule("stranger", account, TOLD_EVERY, account)


def unlisted_sentence(inbound: Inbound) -> str:
    """What a stranger hears."""
    return (
        "I may only talk to people on a list here, and you are not on it yet. "
        f"Please ask whoever runs me to add your id, {inbound.user_id}."
    )


def vote_rule(inbound: Inbound) -> Rule:
    """Keeps somebody who taps a thumb on and off from keeping the database busy."""
    account = f"{inbound.address.channel}:{inbound.user_id}"
    return Rule("vote", account, VOTES, account)


def default_model(settings: ChannelSettings, fallback: str) -> str:
    """What answers where nobody chose; `fallback` is DEFAULT_MODEL."""
    if settings.default_model:
        return settings.default_model
    return fallback if permits(settings, fallback) else settings.allowed_models[0]


def permits(settings: ChannelSettings, model: str) -> bool:
    """Whether this model may answer here."""
    return not settings.allowed_models or model in settings.allowed_models


def model_refusal(settings: ChannelSettings, model: str) -> str:
    """What a person hears whose model may not answer here."""
    return (
        f"{model} may not be used here; allowed: {', '.join(settings.allowed_models)}. "
        "Choose one with /model, or /model default."
    )
