"""What the core needs from the outside, each port as narrow as it can be.

Everything is async and honours cancellation. Implementations translate their library's
errors to `agent.core.errors`.
"""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Collection,
    Mapping,
    Sequence,
)
from dataclasses import dataclass
from typing import Protocol, TypeVar
from uuid import UUID

from agent.control.flags import Flag
from agent.control.rules import Audience
from agent.core.channel import ChannelSettings, Finding, WebhookReply
from agent.core.completion import Prompt, Spent, Usage
from agent.core.effects import ChatContext, Effect, HistoryEntry, Outcome, UsageTotal
from agent.core.limits import Limited, Rule
from agent.core.messages import (
    Address,
    Deleted,
    Edited,
    Inbound,
    Placed,
    Reacted,
    Said,
    Window,
)
from agent.core.turns import (
    Accepted,
    Answer,
    Arrival,
    Beat,
    Claim,
    Loaded,
    NewTurn,
    Outdated,
    Session,
    StoredAnswer,
    Undelivered,
)

T = TypeVar("T")

# --- channels -----------------------------------------------------------------

Accept = Callable[[Inbound], Awaitable[bool]]
"""Returns once the message is durable: only now may the platform be told so.

False: it was passed over in silence (a limit, the deny list), so that nothing will be said to it.

Raises StoreUnavailable when it could not be stored (do not acknowledge). Never raises for
the message's own faults: those are answered to the person.
"""


class Reply(Protocol):
    """One answer on its way to one place on a platform."""

    async def show(self, text: str) -> Placed | None:
        """The answer so far. Idempotent; may be skipped when paced. "" means: thinking
        (show typing).
        """

    async def finish(self, text: str) -> Placed:
        """The whole answer. Idempotent. Raises DeliveryError, or Undeliverable when it
        never will arrive.
        """


class Channel(Protocol):
    """A way people talk to the agent."""

    name: str

    async def run(self, accept: Accept) -> None:
        """Takes messages in until cancelled. Raises ConfigurationError when it can not sign in."""

    def reply(
        self,
        address: Address,
        placed: Placed | None,
        turn: UUID,
        *,
        repeat: bool = False,
    ) -> Reply:
        """Any instance can pick an answer up: `placed` is what already stands there.

        `turn` is the platform's idempotency key where it has one. `repeat` says that an
        earlier send may have arrived: where it can be neither edited nor recognised, the
        text is labelled.
        """


class Webhook(Protocol):
    """A channel that is reached over HTTP (`/webhooks/<name>`) when `PUBLIC_URL` is set."""

    async def webhook(self, headers: Mapping[str, str], body: bytes) -> WebhookReply:
        """One delivery, its body still raw. Verifies the signature before anything else is read.

        `headers` has lower-case names. Answers 200 only after the message is durable.
        """


class Diagnosable(Protocol):
    """A part that can say why it is silent."""

    async def diagnose(self) -> Sequence[Finding]:
        """Tries this part for real. Empty when all is well. Never raises for what it can
        describe.
        """


LastAccepted = Callable[[str], Awaitable[Mapping[str, str]]]
"""For a channel's name: the platform id of the last accepted message of each chat lately
seen (bounded). Raises StoreUnavailable."""


# --- models -------------------------------------------------------------------


class LanguageModels(Protocol):
    """Every model the agent can ask, by name (`provider:model`)."""

    def check(self, model: str) -> None:
        """Raises UnknownModel with a sentence that names what is possible."""

    def budget(self, model: str) -> int:
        """How many tokens a prompt for this model may have."""

    def stream(self, model: str, prompt: Prompt) -> AsyncGenerator[str | Usage | Spent]:
        """Text as it comes, and last its usage.

        Retries and fallback models are tried only before the first text; each call that
        ended without any and may have to be paid is told as Spent before the next one is
        made. Raises ModelError; text that was yielded before stays valid. Every wait ends:
        first byte, idle, total.
        """


# --- stores -------------------------------------------------------------------


class Turns(Protocol):
    """The life of a turn in Postgres. Calls that wait at the same time share a statement
    and its commit.
    """

    async def accept(self, turn: NewTurn) -> Accepted | None:
        """Stores the message and claims its conversation if that is free. None: it was
        already stored.
        """

    async def load(self, conversation: UUID) -> Loaded:
        """The window and what waits. Concurrent calls for one conversation share one read."""

    async def answer(self, answer: Answer) -> StoredAnswer | Outdated | None:
        """Stores the answer and releases the conversation or goes on. None: the claim was lost.

        Outdated: any waiting message was edited or deleted after version `seen`; nothing
        changed, the claim is held.
        """


class Deliveries(Protocol):
    """What is known of answers on their way to a platform."""

    async def placed(self, turn: UUID, placed: Placed) -> None:
        """Records what stands on the platform, so that another instance can edit it."""

    async def done(
        self, turns: Sequence[UUID], placed: Placed | None, *, failed: str | None = None
    ) -> None:
        """Closes turns whose answer arrived, or never will (`failed`: why, for the audit).

        With neither, nothing was to be said: if something was placed meanwhile, they stay
        open for who sweeps.
        """


class Leases(Protocol):
    """What keeps an instance's work its own, and finds what another left."""

    async def beat(
        self, claims: Sequence[Claim], turns: Sequence[UUID], epoch: int
    ) -> Beat:
        """Renews all claims and deliveries of this instance in one statement."""

    async def take_over(self, *, since_seconds: float) -> Sequence[Claim]:
        """Claims conversations whose answering instance is gone, with turns of the last
        `since_seconds` seconds.
        """

    async def take_deliveries(self, *, since_seconds: float) -> Sequence[Undelivered]:
        """Takes stored answers of the last `since_seconds` seconds that nobody is delivering."""

    async def attempt(self, turns: Sequence[UUID]) -> None:
        """Counts an attempt before it runs, so that a message that kills its instance is
        found out.
        """

    async def hand_back(
        self, claims: Sequence[Claim], attempted: Sequence[UUID]
    ) -> None:
        """Lets another instance take these claims at once, and takes back that these turns
        of theirs were attempted.

        The last thing an instance does.
        """


class Desk(Protocol):
    """What commands do and read."""

    async def once(
        self, inbound: Inbound, effect: Effect | None, reply: Callable[[Outcome], str]
    ) -> str | None:
        """Does the effect and stores the turn with its reply, in one transaction. None: it
        was done before.

        `reply` makes the text from what the effect found.
        """

    async def standing(self, inbound: Inbound) -> ChatContext:
        """What is true of this person here and now."""

    async def history(self, inbound: Inbound, count: int) -> Sequence[HistoryEntry]:
        """The last messages of the active conversation, oldest first."""

    async def usage(self, inbound: Inbound) -> tuple[UsageTotal, UsageTotal]:
        """Totals of the active conversation, and of all conversations this person started,
        in 30 days.
        """

    async def edit(self, change: Edited | Deleted) -> UUID | None:
        """Replaces (or empties) a stored message that is not answered yet. The
        conversation, if it was in time.
        """

    async def vote(self, reaction: Reacted) -> bool:
        """Counts a person's last thumb on an answer, or takes back the one it names; on all
        else does nothing.

        Durable when it returns True. False: this message's answer is not stored, or not
        recorded as delivered, yet.
        """


class Cache(Protocol):
    """Redis: makes it fast, may lose everything. Never raises; what it can not do did not
    happen.
    """

    async def arrive(self, inbound: Said) -> Arrival:
        """All that is known of an arriving message, in one round trip."""

    async def keep(self, session: Session, window: Window) -> None:
        """Remembers the person's session and the conversation's window, in one round trip."""


class Limiter(Protocol):
    """Who speaks too often. Never raises: when Redis is gone, it judges by what this
    process saw.
    """

    async def judge(self, inbound: Said) -> Limited | None:
        """Counts what is no turn (a command, a refused text). `Cache.arrive` has counted a
        turn already.
        """

    async def judge_rules(self, rules: Sequence[Rule]) -> Limited | None:
        """Counts what is no message of a person (a call from an address) under rules of its own."""


class Budgets(Protocol):
    """What people and channels may use up in a day. Costs nothing while no budget is set."""

    async def reserve(
        self, channel: str, author: UUID, model: str, prompt: Prompt
    ) -> UUID | None:
        """Sets the worst case of one model call aside; `author` is the user's row. None: no
        budget binds it.

        Raises Refused when it does not fit, with the sentence for the person.
        """

    async def settle(self, reservation: UUID, usage: Usage) -> None:
        """Gives back what the call did not use. Without it, all that was set aside counts."""


class Control(Protocol):
    """Flags and channel settings as they are now: evaluated in the process, without I/O."""

    async def observe(self, epoch: int | None) -> None:
        """This epoch was seen; if it is not the one applied, the values are read again
        before going on.

        None means that nothing was seen, 0 that Redis has lost it.
        """

    async def miss(self) -> None:
        """Postgres did not say which epoch it is: the last known values are stale, unless
        Redis still has them.
        """

    @property
    def epoch(self) -> int:
        """The epoch applied."""

    def channel(self, name: str) -> ChannelSettings:
        """What an operator set for this channel."""


class Flags(Protocol):
    """What operators want, for an audience: evaluated in the process, without I/O. Never raises."""

    def value(self, flag: Flag[T], who: Audience, otherwise: T | None = None) -> T:
        """The flag's value; `otherwise` where nobody set a flag that has no default of its own."""

    def variants(
        self, who: Audience, unasked: Collection[str] = ()
    ) -> Mapping[str, str]:
        """By the name of each running experiment that has its say for them, their variant.

        `unasked`: flags by name on whose value nothing depends this time.
        """


@dataclass(frozen=True, slots=True)
class Ports:
    """All that the engine stands on."""

    turns: Turns
    deliveries: Deliveries
    leases: Leases
    cache: Cache
    control: Control
    desk: Desk
    models: LanguageModels
    channels: Mapping[str, Channel]
    limiter: Limiter
    budgets: Budgets
    flags: Flags


@dataclass(frozen=True, slots=True)
class Options:
    """What the engine needs of the settings."""

    default_model: str
    system_prompt: str = "You are a helpful assistant."
    max_message_chars: int = 32_000
    beat_seconds: float = 1.0
    lease_seconds: float = 5.0  # how long a claim holds without a heartbeat
    drain_seconds: float = 8.0
