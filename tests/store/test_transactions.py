"""Units of work: what they share, how they fail, and what a cancelled caller leaves behind."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
import trio.testing

from isthmus.store import _bridge, cursors, log
from isthmus.store._bridge import MAX_GROUP
from isthmus.store.errors import ReadOnly, ReadTooLong, StoreClosed
from isthmus.store.face import Store, Tx
from isthmus.store.open import open_memory_store, open_store
from tests.store.given import NOW, approved


class Broken(Exception):
    pass


def add(number: int) -> Callable[[Tx], log.Appended]:
    return lambda tx: log.append(tx, [approved(number)], NOW)


def add_then_break(number: int) -> Callable[[Tx], None]:
    def unit(tx: Tx) -> None:
        log.append(tx, [approved(number)], NOW)
        raise Broken

    return unit


async def test_a_unit_that_raises_leaves_nothing(store: Store) -> None:
    with pytest.raises(Broken):
        await store.write(add_then_break(1))
    assert await store.read(log.count) == 0
    assert (await store.write(add(1))).new == [1]


async def test_a_failing_unit_takes_no_other_down_with_it(store: Store) -> None:
    """Eleven units wait at once; the sixth fails."""
    raised = []

    async def fails() -> None:
        try:
            await store.write(add_then_break(99))
        except Broken as error:
            raised.append(error)

    async with trio.open_nursery() as nursery:
        for number in range(5):
            nursery.start_soon(store.write, add(number))
        nursery.start_soon(fails)
        for number in range(5, 10):
            nursery.start_soon(store.write, add(number))
    assert len(raised) == 1
    rows = await store.read(lambda tx: log.search(tx))
    assert {row.subject for row in rows} == {f"psa:{number}" for number in range(10)}


async def test_units_that_wait_share_a_commit(disk: Store) -> None:
    """While one unit runs, the others gather; what a transaction is, a temporary row says."""
    gate, entered = threading.Event(), trio.Event()
    token = trio.lowlevel.current_trio_token()
    together: list[int] = []

    def hold(tx: Tx) -> None:
        token.run_sync_soon(entered.set)
        gate.wait(5)

    def count(tx: Tx) -> int:
        # Uncommitted rows of the same transaction are visible: the head grows within a group.
        log.append(tx, [approved(len(together))], NOW)
        together.append(log.head(tx))
        return log.head(tx)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(disk.write, hold)
        await entered.wait()
        for _ in range(5):
            nursery.start_soon(disk.write, count)
        await trio.testing.wait_all_tasks_blocked()
        wal_before = disk.wal_bytes()
        gate.set()
    grown = disk.wal_bytes() - wal_before
    assert together == [1, 2, 3, 4, 5]
    # Five commits would each write the log's last page again.
    async with open_store(disk.path.parent.parent / "alone") as alone:
        alone_before = alone.wal_bytes()
        for number in range(5):
            await alone.write(add(number))
        assert grown < (alone.wal_bytes() - alone_before) / 2


async def test_more_units_than_one_group_takes_all_arrive(disk: Store) -> None:
    async with trio.open_nursery() as nursery:
        for number in range(2 * MAX_GROUP + 3):
            nursery.start_soon(disk.write, add(number))
    assert await disk.read(log.count) == 2 * MAX_GROUP + 3


async def test_a_unit_that_has_not_started_is_cancelled_without_a_trace(disk: Store) -> None:
    gate, entered = threading.Event(), trio.Event()
    token = trio.lowlevel.current_trio_token()

    def hold(tx: Tx) -> None:
        token.run_sync_soon(entered.set)
        gate.wait(5)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(disk.write, hold)
        await entered.wait()
        with trio.move_on_after(0.02) as scope:
            await disk.write(add(1))
        assert scope.cancelled_caught
        gate.set()
    assert await disk.read(log.count) == 0


async def test_a_unit_that_has_started_is_finished_although_its_caller_is_cancelled(disk: Store) -> None:
    gate, entered = threading.Event(), trio.Event()
    token = trio.lowlevel.current_trio_token()
    outcome = []

    def slow(tx: Tx) -> None:
        token.run_sync_soon(entered.set)
        gate.wait(5)
        log.append(tx, [approved(1)], NOW)

    async def caller(scope: trio.CancelScope) -> None:
        with scope:
            await disk.write(slow)
            outcome.append("returned")
            await trio.lowlevel.checkpoint()
            outcome.append("went on")

    scope = trio.CancelScope()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(caller, scope)
        await entered.wait()
        scope.cancel()
        await trio.sleep(0.02)
        assert outcome == []  # the caller still waits for the unit in hand
        gate.set()
    assert outcome == ["returned"]
    assert await disk.read(log.count) == 1


async def test_a_caller_cancelled_beforehand_starts_nothing(store: Store) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        await store.write(add(1))
    assert scope.cancelled_caught
    assert await store.read(log.count) == 0


def endless(tx: Tx) -> None:
    """A read that would take minutes: the log joined with itself over and over."""
    while True:
        tx.all("log_by_thread", thread="psa:p1", after=0, limit=1000)


async def wait_log_emptied(store: Store) -> None:
    with trio.fail_after(3):
        while store.wal_bytes():  # noqa: ASYNC110 - a file has no event to wait for
            await trio.sleep(0.02)


async def test_a_cancelled_reader_does_not_pin_the_log(disk: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_bridge, "IDLE_S", 0.05)
    await disk.write(lambda tx: log.append(tx, [approved(number) for number in range(500)], NOW))
    with trio.move_on_after(0.2) as scope:
        await disk.read(endless)
    assert scope.cancelled_caught
    await disk.write(add(999))
    await wait_log_emptied(disk)


async def test_a_reader_at_work_puts_the_emptying_off_and_no_write_waits(
    disk: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check above sees a pinned log: while somebody reads, it is not emptied."""
    monkeypatch.setattr(_bridge, "IDLE_S", 0.05)
    gate, entered = threading.Event(), trio.Event()
    token = trio.lowlevel.current_trio_token()

    def linger(tx: Tx) -> None:
        log.head(tx)
        token.run_sync_soon(entered.set)
        gate.wait(5)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(disk.read, linger)
        await entered.wait()
        await disk.write(add(1))
        await trio.sleep(0.2)
        assert disk.wal_bytes() > 0
        with trio.fail_after(1):
            await disk.write(add(2))
        gate.set()
    await disk.write(add(3))
    await wait_log_emptied(disk)


async def test_a_read_that_takes_too_long_is_ended(disk: Store) -> None:
    await disk.write(lambda tx: log.append(tx, [approved(number) for number in range(500)], NOW))
    with pytest.raises(ReadTooLong):
        await disk.read(endless, limit_s=0.1)
    assert await disk.read(log.count) == 500


async def test_a_reader_cannot_write(store: Store) -> None:
    with pytest.raises(ReadOnly):
        await store.read(add(1))
    assert await store.read(log.count) == 0
    assert (await store.write(add(1))).new == [1]


async def test_a_read_sees_one_moment(disk: Store) -> None:
    gate, entered = threading.Event(), trio.Event()
    token = trio.lowlevel.current_trio_token()
    seen = []

    def twice(tx: Tx) -> None:
        seen.append(log.head(tx))
        token.run_sync_soon(entered.set)
        gate.wait(5)
        seen.append(log.head(tx))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(disk.read, twice)
        await entered.wait()
        await disk.write(add(1))  # a writer never waits for a reader
        gate.set()
    assert seen == [0, 0]
    assert await disk.read(log.head) == 1


async def test_what_was_written_is_there_after_the_next_start(tmp_path: Path) -> None:
    async with open_store(tmp_path) as store:
        await store.write(lambda tx: cursors.move(tx, "psa", "time", b"7", NOW))
        assert store.generation == 1
    async with open_store(tmp_path) as store:
        assert await store.read(lambda tx: cursors.get(tx, "psa", "time")) == b"7"
        assert store.generation == 2


async def test_a_closed_store_says_so(tmp_path: Path) -> None:
    async with open_store(tmp_path) as on_disk, open_memory_store() as in_memory:
        pass
    for store in (on_disk, in_memory):
        with pytest.raises(StoreClosed):
            await store.write(add(1))
        with pytest.raises(StoreClosed):
            await store.read(log.count)


async def test_no_thread_stays_behind(tmp_path: Path) -> None:
    async with open_store(tmp_path / "warm"):
        pass
    before = {thread for thread in threading.enumerate() if "rio" not in thread.name}
    with pytest.raises(Broken):  # noqa: PT012
        async with open_store(tmp_path / "state") as store:
            await store.write(add(1))
            raise Broken
    after = {thread for thread in threading.enumerate() if "rio" not in thread.name}
    assert after <= before


async def test_virtual_time_runs_with_the_store_in_memory(autojump_clock: trio.testing.MockClock) -> None:
    async with open_memory_store() as store:
        for number in range(3):
            await trio.sleep(86_400)
            await store.write(add(number))
        assert await store.read(log.count) == 3
    assert trio.current_time() >= 3 * 86_400


async def test_a_backup_is_whole_and_taken_beside_the_writer(store: Store, tmp_path: Path) -> None:
    await store.write(add(1))
    target = tmp_path / "copy" / "isthmus.db"
    target.parent.mkdir()
    await store.backup(target)
    with pytest.raises(FileExistsError):
        await store.backup(target)
    assert sorted(path.name for path in target.parent.iterdir()) == ["isthmus.db"]
    async with open_store(target.parent) as copy:
        assert await copy.read(log.count) == 1
