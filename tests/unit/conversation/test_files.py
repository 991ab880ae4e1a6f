"""A reply that hands a file over first, whatever goes wrong meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from agent.conversation.delivery import files
from agent.conversation.delivery.files import (
    NOT_TAKEN,
    TOO_LARGE,
    TRIES,
    ReplyWithFile,
)
from agent.core.channel import OutgoingFile
from agent.core.errors import (
    AnswerRefused,
    DeliveryError,
    NotHere,
    Refused,
    StoreUnavailable,
    Undeliverable,
)
from agent.core.messages import Address, Notice, Placed

FILE = OutgoingFile("export.zip", b"12345")
CHAT = Address("test", "ada")


class Place:
    """A channel and its reply, which note in one list what arrives."""

    drafts_stand = False
    max_file_bytes = 5

    def __init__(self, *troubles: Exception | None) -> None:
        self._troubles = list(troubles)
        self.seen: list[object] = []

    async def send_file(self, address: Address, file: OutgoingFile) -> None:
        if self._troubles and (trouble := self._troubles.pop(0)):
            raise trouble

        self.seen.append(file)

    async def show(self, text: str) -> Placed | None:
        raise AssertionError("nothing grows here")

    async def finish(self, text: str) -> Placed:
        if self._troubles and (trouble := self._troubles.pop(0)):
            raise trouble

        self.seen.append(text)

        return Placed(("1",))


class Maker:
    """Makes the file; counts how often, and fails first."""

    def __init__(self, *made: OutgoingFile | Exception) -> None:
        self._made = list(made)
        self.calls = 0

    @asynccontextmanager
    async def __call__(self, max_bytes: int) -> AsyncIterator[OutgoingFile]:
        assert 5 == max_bytes
        self.calls += 1
        made = self._made.pop(0)
        if isinstance(made, Exception):
            raise made

        yield made


async def insist(reply: ReplyWithFile) -> Sequence[str]:
    """Tries until the text arrives, as deliveries do. What failed."""
    failed: list[str] = []
    for _ in range(2 * TRIES):
        try:
            await reply.finish("here it is")
        except Exception as error:
            failed.append(str(error))
        else:
            break

    return failed


async def test_what_passes_is_tried_again() -> None:
    """The store, the file and the text each fail once; all arrives once, in order.

    The file is made for each try: none waits in memory.
    """
    away = StoreUnavailable("The store is away.")
    place = Place(DeliveryError("Busy."), None, DeliveryError("Busy again."))
    make = Maker(away, FILE, FILE)
    failed = await insist(ReplyWithFile(place, place, CHAT, make))

    assert ["The store is away.", "Busy.", "Busy again."] == failed
    assert [FILE, "here it is"] == place.seen
    assert 3 == make.calls


@pytest.mark.parametrize("kind", [AnswerRefused, Undeliverable])
async def test_a_refused_file_is_said_instead_of_it(
    kind: type[DeliveryError],
) -> None:
    place = Place(kind("No files here."))

    assert [] == await insist(ReplyWithFile(place, place, CHAT, Maker(FILE)))
    assert [NOT_TAKEN] == place.seen
    assert isinstance(place.seen[0], Notice)


async def test_what_is_too_large_is_never_sent() -> None:
    place, made = Place(), OutgoingFile("export.zip", b"123456")

    assert [] == await insist(ReplyWithFile(place, place, CHAT, Maker(made)))
    assert [TOO_LARGE] == place.seen


@pytest.mark.parametrize(
    "trouble", [DeliveryError("Away."), ValueError("A mistake.")]
)
async def test_a_file_that_always_fails_holds_up_the_text_for_some_tries_alone(
    trouble: Exception,
) -> None:
    place = Place(*[trouble] * TRIES)
    make = Maker(*[FILE] * TRIES)
    failed = await insist(ReplyWithFile(place, place, CHAT, make))

    assert [str(trouble)] * (TRIES - 1) == failed
    assert [NOT_TAKEN] == place.seen


async def test_a_file_that_can_never_be_made_is_asked_for_a_few_times() -> None:
    """Each may be a heavy statement that ends at its limit."""
    place, make = Place(), Maker(*[StoreUnavailable("Too slow.")] * TRIES)

    assert TRIES - 1 == len(await insist(ReplyWithFile(place, place, CHAT, make)))
    assert [NOT_TAKEN] == place.seen


async def test_a_file_that_hangs_holds_up_the_text_for_its_time_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(files, "FILE_SECONDS", 0.02)
    place = Place()
    monkeypatch.setattr(place, "send_file", lambda *_: asyncio.sleep(60))

    async with asyncio.timeout(5):
        assert [] == await insist(ReplyWithFile(place, place, CHAT, Maker(FILE)))
    assert [NOT_TAKEN] == place.seen


async def test_tries_end_with_the_time_of_all_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also when a platform says each time at once that it is away."""
    monkeypatch.setattr(files, "FILE_SECONDS", 0.0)
    place = Place(DeliveryError("Away."))

    assert [] == await insist(ReplyWithFile(place, place, CHAT, Maker(FILE)))
    assert [NOT_TAKEN] == place.seen


async def test_another_instance_that_must_deliver_is_no_try_of_the_file() -> None:
    place = Place(NotHere("Elsewhere."))
    with pytest.raises(NotHere):
        await ReplyWithFile(place, place, CHAT, Maker(FILE)).finish("here it is")

    assert [] == place.seen


async def test_why_no_file_is_made_now_is_said_instead_of_it() -> None:
    place = Place()

    busy = Maker(Refused("It is being made."))
    assert [] == await insist(ReplyWithFile(place, place, CHAT, busy))
    assert ["It is being made."] == place.seen


async def test_what_a_file_lacks_is_said_instead_of_the_text() -> None:
    part = OutgoingFile("export.zip", b"1", "It is not all.")
    place = Place()

    assert [] == await insist(ReplyWithFile(place, place, CHAT, Maker(part)))
    assert [part, "It is not all."] == place.seen


async def test_nothing_is_shown_before() -> None:
    place = Place()

    assert None is await ReplyWithFile(place, place, CHAT, Maker(FILE)).show("…")
