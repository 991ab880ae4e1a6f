"""The stores' ports in memory: what they promise, in the shortest form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID, uuid4

from msgspec import structs
from msgspec.structs import replace

from agent.core.channel import ChannelSettings
from agent.core.messages import (
    Edited,
    Message,
    Placed,
    Revision,
    Said,
    Window,
    delivered,
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
    Waiting,
)

NO_SETTINGS = ChannelSettings()


@dataclass
class Turn:
    """A message of a person, and how far its answer is."""

    inbound: Said
    user: UUID
    seq: int
    created: float
    touched: float
    state: str = "open"
    attempts: int = 0
    placed: Placed | None = None
    deliverer: UUID | None = None


@dataclass
class Conversation:
    """The row that decides: one slot, one order."""

    id: UUID
    key: tuple[str, str, str]
    version: int = 0
    asked: int = 0
    answered: int = 0
    edited: int = 0
    fence: UUID | None = None
    lease_until: float = 0.0
    owned: bool = False
    last_turn: UUID | None = None
    messages: list[Message] = field(default_factory=list)
    turns: list[UUID] = field(default_factory=list)
    answers: dict[UUID, tuple[Answer, int, float]] = field(default_factory=dict)
    """By message id: the answer, its seq, and when it was stored."""

    def claim(self) -> Claim:
        assert self.fence is not None

        return Claim(self.id, self.fence, self.key)

    def store(self, message: Message) -> None:
        self.version = message.seq
        self.messages.append(message)


@dataclass
class Memory:
    """The state that all instances share."""

    now: float = 1_000_000.0
    conversations: dict[UUID, Conversation] = field(default_factory=dict)
    active: dict[tuple[str, str, str], Conversation] = field(default_factory=dict)
    turns: dict[UUID, Turn] = field(default_factory=dict)
    users: dict[tuple[str, str], UUID] = field(default_factory=dict)
    seen: dict[UUID, float] = field(default_factory=dict)  # instances
    channels: dict[str, ChannelSettings] = field(default_factory=dict)
    epoch: int = 1

    def held(self, claim: Claim) -> Conversation | None:
        conversation = self.conversations.get(claim.conversation)
        return (
            conversation
            if conversation and conversation.fence == claim.fence
            else None
        )

    def previous(self, conversation: Conversation) -> UUID | None:
        """First turn of the answer stored last there, while it is open."""
        turn = conversation.last_turn
        return turn if turn and self.turns[turn].state == "open" else None


class MemoryTurns:
    """Implements agent.ports.Turns."""

    def __init__(
        self, memory: Memory, *, window_messages: int = 20, lease: float = 5.0
    ) -> None:
        self._memory = memory
        self._limit = window_messages
        self._lease = lease

    async def accept(self, turn: NewTurn) -> Accepted | None:
        memory = self._memory
        inbound = turn.inbound
        name = turn.inbound.turn_id
        if name in memory.turns:
            return None

        key = inbound.address.key
        user = memory.users.setdefault((key[0], inbound.user_id), turn.user)
        conversation = memory.active.setdefault(
            key, Conversation(turn.conversation, key)
        )
        memory.conversations[conversation.id] = conversation
        seq = conversation.asked = conversation.version + 1
        author = None if inbound.direct else inbound.username
        conversation.store(Message(seq, "user", inbound.text, author=author))
        conversation.turns.append(name)
        memory.turns[name] = Turn(inbound, user, seq, memory.now, memory.now)
        if mine := conversation.fence is None:
            conversation.fence = name
            conversation.owned = True
            conversation.lease_until = memory.now + self._lease

        return Accepted(
            name,
            conversation.id,
            user,
            seq,
            conversation.claim() if mine else None,
            None,
            user,
            memory.previous(conversation) if mine else None,
        )

    async def load(self, conversation: UUID) -> Loaded:
        row = self._memory.conversations.get(conversation)
        if row is None:
            return Loaded(Window(0, ()), ())

        waiting = [
            m for m in row.messages if m.role == "user" and m.seq > row.answered
        ]
        history = [m for m in row.messages if m not in waiting][-self._limit :]
        messages = sorted(
            [*history, *waiting], key=lambda message: message.reading_order
        )
        turns = [(name, self._memory.turns[name]) for name in row.turns]

        return Loaded(
            Window(row.version, tuple(messages)),
            tuple(
                _waiting(name, turn)
                for name, turn in turns
                if turn.seq > row.answered
            ),
            self._memory.previous(row),
        )

    async def answer(self, answer: Answer) -> StoredAnswer | Outdated | None:
        row = self._memory.held(answer.claim)
        if row is None:
            return self._find(answer)
        if answer.seen is not None and row.edited > answer.seen:
            return Outdated()

        row.answered = answer.answers
        row.last_turn = answer.first_turn or row.last_turn
        said = Message(
            row.version + 1,
            "assistant",
            answer.content,
            answer.answers,
            notice=bool(answer.metadata.get("notice")),
        )
        row.store(said)
        row.answers[answer.message_id] = (answer, said.seq, self._memory.now)
        row.fence = answer.next_fence if row.asked > row.answered else None
        row.lease_until = self._memory.now + self._lease

        return self._find(answer)

    def _find(self, answer: Answer) -> StoredAnswer | None:
        row = self._memory.conversations[answer.claim.conversation]
        if answer.message_id not in row.answers:
            return None

        goes_on = row.fence == answer.next_fence

        return StoredAnswer(
            row.answers[answer.message_id][1], row.claim() if goes_on else None
        )


def _waiting(name: UUID, turn: Turn) -> Waiting:
    inbound = turn.inbound
    return Waiting(
        turn.seq,
        name,
        inbound.address,
        turn.user,
        inbound.user_id,
        turn.attempts,
        turn.placed,
        inbound.direct,
        turn.user,
    )


class MemoryEdits:
    """Implements agent.ports.Edits."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def edit(self, revision: Revision) -> UUID | None:
        turn = self._memory.turns.get(revision.turn_id)
        row = next(
            (
                row
                for row in self._memory.conversations.values()
                if revision.turn_id in row.turns
            ),
            None,
        )
        if turn is None or row is None or turn.seq <= row.answered:
            return None

        text = revision.text if isinstance(revision, Edited) else ""
        replaces = revision.replaces if isinstance(revision, Edited) else None
        stored = next(m.content for m in row.messages if m.seq == turn.seq)
        if replaces not in (None, stored):
            return None

        row.messages = [
            structs.replace(m, content=text) if m.seq == turn.seq else m
            for m in row.messages
        ]
        row.version = row.edited = row.version + 1

        return row.id

    async def set_aside(self, turns: Sequence[UUID]) -> None:
        for row in self._memory.conversations.values():
            seqs = {self._memory.turns[t].seq for t in turns if t in row.turns}
            row.version += bool(seqs)
            row.messages = [
                structs.replace(m, notice=True) if m.seq in seqs else m
                for m in row.messages
            ]


class MemoryDeliveries:
    """Implements agent.ports.Deliveries and OpenTurns."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def is_open(self, turn: UUID) -> bool:
        row = self._memory.turns.get(turn)
        return row is not None and row.state == "open"

    async def announce(self, turn: UUID) -> None:
        row = self._memory.turns[turn]
        if row.state == "open":
            row.placed = replace(row.placed or Placed(()), pending=True)

    async def placed(self, turn: UUID, placed: Placed, *, late: bool = False) -> None:
        row = self._memory.turns[turn]
        if row.state == "open" or late or not _knows(row.placed, placed):
            is_mine = row.state == "open" and not late
            if row.state == "failed":
                self._mark(turn, row, lost=False)
            row.placed = placed if is_mine else _united(row.placed, placed)
            row.state = "open"
            row.touched = self._memory.now

    async def done(
        self, endings: Sequence[Ending], *, failed: str | None = None
    ) -> None:
        for turns, placed in endings:
            self._end(turns, placed, failed)

    def _end(
        self, turns: Sequence[UUID], placed: Placed | None, failed: str | None
    ) -> None:
        rows = [self._memory.turns[turn] for turn in turns]
        if placed is None and not failed and any(row.placed for row in rows):
            return

        for turn, row in zip(turns, rows, strict=True):
            self._close(turn, row, placed, failed)
            row.touched = self._memory.now

    def _close(
        self, turn: UUID, row: Turn, placed: Placed | None, failed: str | None
    ) -> None:
        returns = row.state == "failed" and placed is not None and not failed
        stood = bool(row.placed and row.placed.ids)
        knows = placed is None or _knows(row.placed, placed)
        if row.state == "open" or (returns and (knows or not stood)):
            row.state = "failed" if failed else "done"
            row.placed = placed or row.placed
        elif placed is not None and not knows:
            row.state, row.placed = "open", _united(row.placed, placed)

        if returns or (failed and placed is None):
            self._mark(turn, row, lost=not returns)

    def _mark(self, turn: UUID, row: Turn, *, lost: bool) -> None:
        """Its answer never reached the chat, or did after all."""
        for conversation in self._memory.conversations.values():
            for message in (
                conversation.messages if turn in conversation.turns else ()
            ):
                if message.answers is not None and message.answers >= row.seq:
                    marked = structs.replace(message, notice=lost, undelivered=lost)
                    conversation.messages[conversation.messages.index(message)] = (
                        marked
                    )
                    conversation.version += 1
                    return


def _knows(first: Placed | None, second: Placed) -> bool:
    return set(second.ids) <= set(first.ids if first else ())


def _united(first: Placed | None, second: Placed) -> Placed:
    if first is None or set(first.ids) <= set(second.ids):
        return second
    new = tuple(each for each in second.ids if each not in first.ids)
    return replace(second, ids=first.ids + new)


class MemoryLeases:
    """Implements agent.ports.Leases and Recovery."""

    def __init__(
        self,
        memory: Memory,
        instance: UUID,
        channels: Sequence[str],
        *,
        lease: float = 5.0,
    ) -> None:
        self._memory = memory
        self._instance = instance
        self._channels = channels
        self._lease = lease

    async def beat(
        self, claims: Sequence[Claim], turns: Sequence[UUID], epoch: int
    ) -> Beat:
        memory = self._memory
        memory.seen[self._instance] = memory.now
        held = [row for claim in claims if (row := memory.held(claim))]

        for row in held:
            row.lease_until = memory.now + self._lease

        taken = {
            turn
            for turn in turns
            if memory.turns[turn].deliverer not in (None, self._instance)
        }
        for turn in set(turns) - taken:
            memory.turns[turn].touched = memory.now

        return Beat(
            {row.claim().fence: row.asked for row in held},
            {row.claim().fence: row.edited for row in held},
            frozenset(),
            peer_died=any(
                seen < memory.now - self._lease for seen in memory.seen.values()
            ),
            epoch=memory.epoch,
            taken=frozenset(taken),
        )

    async def take_over(self) -> list[Claim]:
        memory = self._memory
        left_over = {turn.inbound.address.key for _, turn in self._open()}
        taken = [
            row
            for row in memory.conversations.values()
            if row.key in left_over
            and row.fence is not None
            and row.lease_until < memory.now
        ]

        died = {row.id: row.owned for row in taken}
        for row in taken:
            row.fence = uuid4()
            row.owned = True
            row.lease_until = memory.now + self._lease

        return [structs.replace(row.claim(), died=died[row.id]) for row in taken]

    async def take_deliveries(self) -> list[Undelivered]:
        due = self._memory.now - self._lease
        found = []

        for name, turn in self._open():
            row = next(
                row
                for row in self._memory.conversations.values()
                if name in row.turns
            )
            previous: UUID | None = None
            for answer, _, when in row.answers.values():
                lead = self._last_open(row, answer)
                if lead == name and when < due and turn.touched < due:
                    turn.touched, turn.attempts = self._memory.now, turn.attempts + 1
                    turn.deliverer = self._instance
                    mine = self._undelivered(row, turn, answer, when)
                    found.append(replace(mine, previous=previous))
                previous = next(iter(self._covered(row, answer)), previous)

        return found

    def _covered(self, row: Conversation, answer: Answer) -> tuple[UUID, ...]:
        """The open turns of this answer."""
        others = (a.answers for a, _, _ in row.answers.values())
        before = max((seq for seq in others if seq < answer.answers), default=0)
        turns = [(name, self._memory.turns[name]) for name in row.turns]
        return tuple(
            name
            for name, turn in turns
            if before < turn.seq <= answer.answers and turn.state == "open"
        )

    def _last_open(self, row: Conversation, answer: Answer) -> UUID | None:
        covered = self._covered(row, answer)
        return covered[-1] if covered else None

    def _undelivered(
        self, row: Conversation, lead: Turn, answer: Answer, when: float
    ) -> Undelivered:
        covered = self._covered(row, answer)
        text = delivered(answer.content, answer.metadata)
        placed = self._memory.turns[covered[0]].placed
        age = self._memory.now - when

        return Undelivered(
            covered, lead.inbound.address, placed, text, lead.attempts, age
        )

    async def attempt(self, turns: Sequence[UUID]) -> None:
        for turn in turns:
            self._memory.turns[turn].attempts += 1

    async def hand_back(
        self,
        claims: Sequence[Claim],
        attempted: Sequence[UUID],
        delivering: Sequence[UUID],
    ) -> None:
        for mine in delivering:
            turn = self._memory.turns[mine]
            if turn.state == "open" and turn.deliverer in (None, self._instance):
                turn.touched -= 60
                turn.attempts -= turn.deliverer is not None
                turn.deliverer = None

        for row in (row for claim in claims if (row := self._memory.held(claim))):
            if row.lease_until > self._memory.now:
                row.lease_until, row.owned = self._memory.now - 1, False
                for tried in (turn for turn in attempted if turn in row.turns):
                    self._memory.turns[tried].attempts -= 1

        self._memory.seen[self._instance] = self._memory.now - 60

    def _open(self) -> Iterator[tuple[UUID, Turn]]:
        for name, turn in self._memory.turns.items():
            if (
                turn.state == "open"
                and turn.inbound.address.channel in self._channels
            ):
                yield name, turn


class MemoryCache:
    """Implements agent.ports.Cache."""

    def __init__(self, window_messages: int = 20) -> None:
        self._limit = window_messages
        self._sessions: dict[tuple[str, tuple[str, str, str]], Session] = {}
        self._windows: dict[UUID, Window] = {}

    async def arrive(self, inbound: Said) -> Arrival:
        session = self._sessions.get((inbound.user_id, inbound.address.key))
        if session is None:
            return Arrival(epoch=0)

        return Arrival(
            session.user,
            session.conversation,
            self._windows.get(session.conversation),
            0,
        )

    async def keep(self, session: Session, window: Window) -> None:
        last = sorted(window.messages, key=lambda message: message.seq)[
            -self._limit :
        ]
        kept = tuple(message for message in window.messages if message in last)
        self._sessions[session.account, session.key] = session
        self._windows[session.conversation] = Window(window.version, kept)


class MemoryControl:
    """Implements agent.ports.Control and ControlUpdates."""

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._applied: tuple[int, Mapping[str, ChannelSettings]] = (
            memory.epoch,
            dict(memory.channels),
        )

    async def observe(self, epoch: int | None) -> None:
        if epoch is not None and epoch != self.epoch:
            self._applied = (self._memory.epoch, dict(self._memory.channels))

    async def miss(self) -> None:
        """It is never away."""

    @property
    def epoch(self) -> int:
        return self._applied[0]

    def channel(self, name: str) -> ChannelSettings:
        return self._applied[1].get(name, NO_SETTINGS)
