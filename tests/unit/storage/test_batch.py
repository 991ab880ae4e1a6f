"""Group commit: items that wait at one moment travel together, and none suffers for another."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from storage.connecting.batch import CROWD, Batch


class GoneError(Exception):
    """The store is away."""


class Recorder:
    """A `run` that records its items, doubles them, and waits for `open` when closed."""

    def __init__(self, *, bad: int | None = None) -> None:
        self.lists: list[list[int]] = []
        self.at_once = 0
        self.max_at_once = 0
        self.gone = False
        self._bad = bad
        self._gate = asyncio.Event()
        self._gate.set()
        self.entered = asyncio.Event()

    def close(self) -> None:
        self._gate.clear()

    def open(self) -> None:
        self._gate.set()

    async def run(self, items: Sequence[int]) -> Sequence[int]:
        self.lists.append(list(items))
        self.at_once += 1
        self.max_at_once = max(self.max_at_once, self.at_once)
        self.entered.set()

        try:
            await self._gate.wait()
            if self.gone:
                raise GoneError
            if self._bad in items:
                raise ValueError(self._bad)
            return [item * 2 for item in items]
        finally:
            self.at_once -= 1


async def first_inside(
    recorder: Recorder,
    batch: Batch[int, int],
    item: int,
) -> asyncio.Future[int]:
    """An item whose list is being run, and held there."""
    recorder.close()
    future = batch.submit(item)
    await recorder.entered.wait()

    return future


async def submitted(batch: Batch[int, int], *items: int) -> list[asyncio.Future[int]]:
    """Items that have begun to wait."""
    futures = [batch.submit(item) for item in items]
    await asyncio.sleep(0)
    return futures


async def test_everyone_gets_the_verdict_on_the_own_item() -> None:
    batch = Batch(Recorder().run)
    assert await asyncio.gather(*map(batch.submit, range(5))) == [0, 2, 4, 6, 8]


async def test_items_of_one_moment_share_a_list() -> None:
    recorder = Recorder()
    await asyncio.gather(*map(Batch(recorder.run).submit, range(5)))

    assert recorder.lists == [[0, 1, 2, 3, 4]]


async def test_one_list_runs_at_a_time_and_the_next_carries_all_that_came_meanwhile() -> (
    None
):
    recorder = Recorder()
    batch = Batch(recorder.run)
    first = await first_inside(recorder, batch, 1)
    others = await submitted(batch, 2, 3, 4)
    recorder.open()
    await asyncio.gather(first, *others)

    assert recorder.lists == [[1], [2, 3, 4]]
    assert recorder.max_at_once == 1


async def test_a_list_is_never_longer_than_the_limit() -> None:
    recorder = Recorder()
    await asyncio.gather(*map(Batch(recorder.run, limit=2).submit, range(5)))

    assert recorder.lists == [[0, 1], [2, 3], [4]]


async def test_of_a_crowd_half_goes_first_and_the_rest_together() -> None:
    recorder = Recorder()
    batch = Batch(recorder.run, halves=True)
    await asyncio.gather(*map(batch.submit, range(2 * CROWD + 1)))
    await asyncio.gather(*map(batch.submit, range(CROWD)))

    assert [CROWD + 1, CROWD, CROWD] == list(map(len, recorder.lists))


async def test_an_item_whose_key_is_in_the_list_waits_for_the_next_and_order_is_kept() -> (
    None
):
    recorder = Recorder()
    batch = Batch(recorder.run, key=lambda item: item % 10)

    assert await asyncio.gather(*map(batch.submit, [1, 11, 2, 21, 12])) == [
        2,
        22,
        4,
        42,
        24,
    ]
    assert recorder.lists == [[1, 2], [11, 12], [21]]


async def test_equal_items_without_a_key_travel_together() -> None:
    recorder = Recorder()
    await asyncio.gather(*map(Batch(recorder.run).submit, [7, 7, 7]))

    assert recorder.lists == [[7, 7, 7]]


async def test_a_bad_item_fails_alone() -> None:
    verdicts = await asyncio.gather(
        *map(Batch(Recorder(bad=2).run).submit, [1, 2, 3]), return_exceptions=True
    )

    assert [str(verdict) for verdict in verdicts] == ["2", "2", "6"]
    assert isinstance(verdicts[1], ValueError)


async def test_a_bad_item_is_tried_alone_only_once() -> None:
    recorder = Recorder(bad=2)
    await asyncio.gather(
        *map(Batch(recorder.run).submit, [1, 2, 3]), return_exceptions=True
    )

    assert recorder.lists == [[1, 2, 3], [1], [2], [3]]


async def test_an_error_of_the_store_fails_all_without_trying_each() -> None:
    recorder = Recorder()
    recorder.gone = True
    batch = Batch(recorder.run, passing=(GoneError,))
    verdicts = await asyncio.gather(
        *map(batch.submit, [1, 2, 3]), return_exceptions=True
    )

    assert [type(verdict) for verdict in verdicts] == [GoneError] * 3
    assert recorder.lists == [[1, 2, 3]]


async def test_a_batch_works_again_after_a_failure() -> None:
    recorder = Recorder()
    recorder.gone = True
    batch = Batch(recorder.run, passing=(GoneError,))

    with pytest.raises(GoneError):
        await batch.submit(1)

    recorder.gone = False

    assert await batch.submit(1) == 2


async def test_who_is_cancelled_while_waiting_is_left_out() -> None:
    recorder = Recorder()
    batch = Batch(recorder.run)
    first = await first_inside(recorder, batch, 1)
    second, third = await submitted(batch, 2, 3)
    second.cancel()
    await asyncio.wait({second})
    recorder.open()

    assert [await first, await third] == [2, 6]
    assert recorder.lists == [[1], [3]]


async def test_who_is_cancelled_under_way_does_not_disturb_companions() -> None:
    recorder = Recorder()
    batch = Batch(recorder.run)
    recorder.close()
    first, second = await submitted(batch, 1, 2)
    await recorder.entered.wait()
    first.cancel()
    await asyncio.wait({first})
    recorder.open()

    assert await second == 4
    assert recorder.lists == [[1, 2]]


async def test_all_may_be_cancelled() -> None:
    recorder = Recorder()
    batch = Batch(recorder.run)
    first = await first_inside(recorder, batch, 1)
    waiting = await submitted(batch, 2, 3)

    for task in waiting:
        task.cancel()

    recorder.open()
    await asyncio.wait({first, *waiting})
    await batch.submit(4)

    assert recorder.lists == [[1], [4]]


async def test_lingering_collects_company() -> None:
    recorder = Recorder()
    batch = Batch(recorder.run, linger=0.02)
    tasks = await submitted(batch, 1)

    for item in (2, 3):  # each comes at a later moment
        tasks += await submitted(batch, item)

    await asyncio.gather(*tasks)

    assert recorder.lists == [[1, 2, 3]]
