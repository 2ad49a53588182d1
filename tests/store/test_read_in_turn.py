"""Reads of many rows take their turn among the writes: they see what was asked for before them."""

from collections.abc import Awaitable, Callable

import pytest
import trio

from isthmus.store import deliveries, log
from isthmus.store.face import Store, Tx
from tests.store.given import NOW, approved


async def test_a_read_in_turn_sees_the_write_asked_for_before_it(disk: Store) -> None:
    seen: list[int] = []

    async def write(number: int) -> None:
        await disk.write(lambda tx: log.append(tx, [approved(number)], NOW))

    async def look(expected: int) -> None:
        seen.append(await disk.read_in_turn(log.head) - expected)

    async with trio.open_nursery() as nursery:
        for number in range(1, 51):
            await nursery.start(_begun, write, number)
            await nursery.start(_begun, look, number)
    assert len(seen) == 50
    assert min(seen) >= 0


async def _begun(
    work: Callable[[int], Awaitable[None]], number: int, *, task_status: trio.TaskStatus[None]
) -> None:
    """Whoever waits for the start goes on when the work has been asked for."""
    task_status.started()
    await work(number)


async def test_a_read_in_turn_beside_a_failing_write_gives_what_is_true_afterwards(store: Store) -> None:
    def fails(tx: Tx) -> None:
        log.append(tx, [approved(1)], NOW)
        raise LookupError("no")

    heads: list[int] = []

    async def look() -> None:
        heads.append(await store.read_in_turn(log.head))

    async def write() -> None:
        with pytest.raises(LookupError):
            await store.write(fails)

    async with trio.open_nursery() as nursery:
        for _ in range(10):
            nursery.start_soon(write)
            nursery.start_soon(look)
    assert heads == [0] * 10


async def test_a_lane_without_trouble_holds_no_subject(store: Store) -> None:
    held = await store.read(lambda tx: deliveries.held_subjects(tx, "erp", ["a", "b", "a"]))
    assert held == set()
