"""Every error this project raises.

AgentError
├── ConfigurationError      a setting is wrong: the sentence names it; exit status 2
│   ├── ServerAway          nothing answers there: it may be starting, or the address is wrong
│   ├── SchemaError         the database's schema is not the one this version needs
│   └── Rejected            an operator asked for something impossible; nothing was changed
├── Conflict                somebody else changed it meanwhile; nothing was changed
│   └── VersionConflict     … since the version that was seen
├── StoreUnavailable        Postgres cannot be reached: nothing was stored
├── Refused                 a message cannot be taken: the sentence goes to the person
├── Ignored                 a message is not taken, and its author is told nothing
├── UnknownModel            a model's name names no provider or no model
├── ModelError              the model did not (fully) answer: the sentence goes to the person
└── DeliveryError           a platform could not take the answer; that passes
    ├── AnswerRefused       … refused this very answer: tried a few times more
    ├── NotHere             … and another instance has to deliver it
    └── Undeliverable       … and never will (chat gone, bot removed)

The first argument of each is one sentence for a person: what is wrong and what to do. It
holds no message text, no token and no credential.
"""

from __future__ import annotations

from agent.core.remedies import Remedy


class AgentError(Exception):
    """Anything this project reports by itself."""

    @property
    def sentence(self) -> str:
        """What to show to a person."""
        if self.args:
            return str(self.args[0])

        return type(self).__doc__ or type(self).__name__


class ConfigurationError(AgentError):
    """A setting is wrong.

    `remedies` is what may be done about it, where the sentence alone cannot say it the
    same way on the command line and on a page.
    """

    def __init__(self, sentence: str, *remedies: Remedy) -> None:
        super().__init__(sentence)
        self.remedies = remedies


class ServerAway(ConfigurationError):
    """Nothing answers at this address: the server may be starting, or the setting is wrong."""


class SchemaError(ConfigurationError):
    """The database's schema is not the one this version needs."""


class Rejected(ConfigurationError):
    """This change is not possible; nothing was changed."""


class Conflict(AgentError):
    """Somebody else changed this meanwhile; nothing was changed."""


class VersionConflict(Conflict):
    """Somebody else changed this since the version that was seen; nothing was changed."""


class StoreUnavailable(AgentError):
    """The database cannot be reached. Nothing was stored; please send that again in a moment."""

    UNWELL = (
        "The database does not take this now; its operator must look. "
        "Nothing was stored; please try again later."
    )

    def __init__(
        self,
        sentence: str | None = None,
        *,
        problem: str = "Postgres does not answer.",
    ) -> None:
        """`problem` is for the person who runs the agent: what is the matter with the database."""
        super().__init__(sentence or type(self).__doc__)
        self.problem = problem


class Refused(AgentError):
    """This message cannot be taken."""


class Ignored(AgentError):
    """This message is ignored without a word."""


class UnknownModel(AgentError):
    """There is no such model."""


class ModelError(AgentError):
    """The model did not answer.

    `retry_after` is in seconds, when the server named it.
    """

    def __init__(self, sentence: str, *, retry_after: float | None = None) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


class DeliveryError(AgentError):
    """The platform did not take the answer."""


class AnswerRefused(DeliveryError):
    """The platform refused this very answer. Another try may end alike, so tries are counted."""


class NotHere(DeliveryError):
    """This instance cannot reach the person; another may."""


class Undeliverable(DeliveryError):
    """The platform will never take the answer."""
