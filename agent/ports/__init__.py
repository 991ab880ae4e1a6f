"""What the core needs from outside. All can be cancelled; errors are `agent.core.errors`."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from typing import Protocol, TypeVar
from uuid import UUID

from msgspec import Struct

from agent.control.flags import Flag
from agent.control.rules import Audience
from agent.core.channel import ChannelSettings
from agent.core.completion import Prompt, Spent, Usage
from agent.core.limits import Limited, Rule
from agent.core.messages import (
    Address,
    Inbound,
    Placed,
    Said,
    Window,
)
from agent.core.turns import (
    Accepted,
    Answer,
    Arrival,
    Beat,
    Claim,
    Ending,
    Loaded,
    NewTurn,
    Outdated,
    Session,
    StoredAnswer,
    Undelivered,
)
from agent.ports.chat import (
    ChatCommands,
    ChatRecords,
    Edits,
    Votes,
)
from agent.ports.tracing import TurnTracing

T = TypeVar("T")
Accept = Callable[[Inbound], Awaitable[bool]]
"""Takes in what a person did; returns once that is durable and may be acknowledged.
- True: accepted, even if the message is faulty: the person gets an answer that says so.
- False: ignored without a word (a limit, the deny list).
- raises StoreUnavailable: not stored, so do not acknowledge it."""


class Reply(Protocol):
    """One answer on its way to one place on a platform."""

    @property
    def drafts_stand(self) -> bool:
        """Whether what show() shows now would stay there if this process died."""

    async def show(self, text: str) -> Placed | None:
        """Shows the answer so far; "" means thinking. Idempotent; may be skipped when paced."""

    async def finish(self, text: str) -> Placed:
        """Shows the whole answer. Idempotent. Raises DeliveryError or Undeliverable (final)."""


class Channel(Protocol):
    """A way people talk to the agent."""

    name: str

    async def run(self, accept: Accept) -> None:
        """Takes messages in until cancelled. Raises ConfigurationError if it cannot sign in."""

    def reply(
        self,
        address: Address,
        placed: Placed | None,
        turns: Sequence[UUID],
        *,
        repeat: bool = False,
    ) -> Reply:
        """The reply at this address. Any instance can continue one.

        `placed`: what already stands there; while it is pending, more may, and is looked for.
        `turns`: what it answers, oldest first. The first is the idempotency key: written again,
        an answer may cover more turns, never fewer. `repeat`: an earlier send may have arrived.
        What cannot be looked up is labelled.
        """


LastAccepted = Callable[[str], Awaitable[Mapping[str, str]]]
"""By chat seen lately, the last accepted message's platform id. Raises StoreUnavailable."""


class LanguageModels(Protocol):
    """Every model the agent can ask, by name (`provider:model`)."""

    def check(self, model: str) -> None:
        """Raises UnknownModel with a sentence that names what is possible."""

    def budget(self, model: str) -> int:
        """How many tokens a prompt for this model may have."""

    def stream(
        self, model: str, prompt: Prompt
    ) -> AsyncGenerator[str | Usage | Spent]:
        """Yields text as it comes, and last its Usage. Raises ModelError; every wait ends.

        Retries and fallback models are tried only before the first text. A call that ended
        without text but may cost money yields Spent. Text yielded before an error stays valid.
        """


class Turns(Protocol):
    """The life of a turn in Postgres. Concurrent calls share a statement and its commit."""

    def accept(self, turn: NewTurn) -> Awaitable[Accepted | None]:
        """Stores a message and claims its conversation.

        - Accepted with a claim: this instance answers now.
        - Accepted without one: another answer is in progress.
        - None: the message was stored before.
        """

    def load(self, conversation: UUID) -> Awaitable[Loaded]:
        """The window and what waits. Concurrent calls for one conversation share one read."""

    def answer(self, answer: Answer) -> Awaitable[StoredAnswer | Outdated | None]:
        """Stores an answer; releases the conversation, or claims it for the next message.

        - StoredAnswer: stored.
        - Outdated: a waiting message changed after version `seen`. Not stored, claim kept.
        - None: the claim was lost. Nothing is stored.
        """


class OpenTurns(Protocol):
    """Whether answers that other instances deliver have arrived."""

    async def is_open(self, turn: UUID) -> bool:
        """Whether this turn's answer is still on its way. False: it arrived, or was given up."""


class ClosedTurns(Protocol):
    """Turns whose answer has ended in one way or the other."""

    async def done(
        self, endings: Sequence[Ending], *, failed: str | None = None
    ) -> None:
        """Closes turns whose answers arrived, or never will (`failed`: why): all or none of them.

        Without a place, nothing was to be said: a draft that stands is left to the next
        sweep. What was given up and arrives after all is part of later prompts again."""


class Deliveries(OpenTurns, ClosedTurns, Protocol):
    """What is known of answers on their way to a platform."""

    async def announce(self, turn: UUID) -> None:
        """A draft of the answer that begins with this turn will stand on the platform."""

    async def placed(self, turn: UUID, placed: Placed, *, late: bool = False) -> None:
        """Records what stands there. `late`: the claim may be lost, so it adds to what is known.

        A closed turn is opened again then, or for a new place: the next sweep mends the chat.
        """


class Leases(Protocol):
    """What keeps an instance's work its own."""

    async def beat(
        self, claims: Sequence[Claim], turns: Sequence[UUID], epoch: int
    ) -> Beat:
        """Renews all claims and deliveries of this instance in one statement."""

    async def hand_back(
        self,
        claims: Sequence[Claim],
        attempted: Sequence[UUID],
        delivering: Sequence[UUID],
    ) -> None:
        """Gives up claims and deliveries, and takes back counted attempts. The last call."""


class Recovery(Protocol):
    """Finds the work that dead instances left behind."""

    async def take_over(self) -> Sequence[Claim]:
        """Claims conversations of dead instances."""

    async def take_deliveries(self) -> Sequence[Undelivered]:
        """Takes answers that nobody is delivering."""

    async def attempt(self, turns: Sequence[UUID]) -> None:
        """Counts an attempt before it runs: a message that kills its instance is found out."""


class Cache(Protocol):
    """Redis: it makes things fast and may lose everything. Never raises."""

    async def arrive(self, inbound: Said) -> Arrival:
        """All that is known of an arriving message, in one round trip."""

    async def keep(self, session: Session, window: Window) -> None:
        """Remembers the person's session and the conversation's window, in one round trip."""


class Limiter(Protocol):
    """Rate limits. Never raises: without Redis, this process's own counts decide."""

    async def judge(self, inbound: Said) -> Limited | None:
        """Counts what is no turn (a command, a refused text). `Cache.arrive` counts turns."""

    async def judge_rules(self, rules: Sequence[Rule]) -> Limited | None:
        """Counts something other than a message (a call, a vote) under these rules."""


class Budgets(Protocol):
    """What people and channels may spend in a day. Costs nothing while no budget is set."""

    async def reserve(
        self, channel: str, author: UUID, model: str, prompt: Prompt
    ) -> UUID | None:
        """Reserves a call's worst case for a user's row. Refused: does not fit. None: no budget."""

    async def settle(self, reservation: UUID, usage: Usage) -> None:
        """Returns what the call did not use. Unsettled reservations count in full."""


class Control(Protocol):
    """Channel settings as they are now: evaluated in the process, without I/O."""

    @property
    def epoch(self) -> int:
        """The epoch of flags and settings that is applied."""

    def channel(self, name: str) -> ChannelSettings:
        """What an operator set for this channel."""


class ControlUpdates(Protocol):
    """Keeps flags and settings up to date."""

    async def observe(self, epoch: int | None) -> None:
        """Reads the values again if this epoch is not applied. None: unknown, 0: lost."""

    async def miss(self) -> None:
        """Postgres did not tell the epoch: values are stale, unless Redis still has them."""


class Flags(Protocol):
    """Flags for an audience: evaluated in the process, without I/O. Never raises."""

    @property
    def version(self) -> object | None:
        """The same object while no flag or setting changes. None: each evaluation counts."""

    def value(self, flag: Flag[T], audience: Audience, default: T | None = None) -> T:
        """The flag's value. `default`: for a flag that has none of its own and is not set."""

    def variants(
        self, audience: Audience, ignored_flags: Sequence[str] = ()
    ) -> Mapping[str, str]:
        """Their variants by experiment, without experiments on one of the `ignored_flags`."""


class Ports(Struct, frozen=True):
    """All that the engine stands on."""

    turns: Turns
    deliveries: Deliveries
    leases: Leases
    recovery: Recovery
    cache: Cache
    commands: ChatCommands
    records: ChatRecords
    edits: Edits
    votes: Votes
    control: Control
    control_updates: ControlUpdates
    flags: Flags
    limiter: Limiter
    budgets: Budgets
    models: LanguageModels
    channels: Mapping[str, Channel]
    tracing: TurnTracing | None = None
    """None: nobody watches, and a turn pays nothing for it."""
