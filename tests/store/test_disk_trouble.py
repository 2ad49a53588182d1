"""A full disk refuses units and recovers; a disk that lies ends the process and is left as it is."""

import resource
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trio

from isthmus.store import _bridge, log
from isthmus.store.errors import StoreBusy, StoreFailed, StoreFull
from isthmus.store.face import Store, Tx
from isthmus.store.open import DATABASE_NAME, open_store
from tests.store.given import NOW, approved


def add(*numbers: int, note: str = "") -> Callable[[Tx], log.Appended]:
    return lambda tx: log.append(tx, [approved(number, note=note) for number in numbers], NOW)


async def limit_pages(store: Store, pages: int) -> None:
    """As a full disk: SQLite answers SQLITE_FULL beyond this many pages."""
    engine = store._engine  # type: ignore[attr-defined]
    pragma = f"PRAGMA max_page_count = {pages}"
    await trio.to_thread.run_sync(
        engine._call, lambda: engine._writer.do(lambda connection: connection.execute(pragma).fetchall())
    )


async def test_a_full_disk_refuses_whole_units_and_later_writes_work_again(tmp_path: Path) -> None:
    acknowledged = []
    async with open_store(tmp_path) as store:
        await limit_pages(store, 60)
        refused = 0
        for number in range(40):
            try:
                await store.write(add(2 * number, 2 * number + 1, note="x" * 4000))
                acknowledged += [2 * number, 2 * number + 1]
            except StoreFull:
                refused += 1
        assert refused > 5
        assert not store.failed.is_set()
        rows = await store.read(lambda tx: log.search(tx, limit=1000))
        assert [row.subject for row in rows] == [f"psa:{number}" for number in acknowledged]
        await limit_pages(store, 100_000)
        await store.write(add(1000, note="x" * 4000))
    async with open_store(tmp_path) as store:
        assert await store.read(log.count) == len(acknowledged) + 1


async def test_on_a_full_disk_units_that_wait_together_fail_one_by_one(tmp_path: Path) -> None:
    """Ten units in one group, nine of which fit: only the one that is too big is refused."""
    outcomes: dict[str, str] = {}

    async def put(store: Store, name: str, unit: Callable[[Tx], log.Appended]) -> None:
        try:
            await store.write(unit)
            outcomes[name] = "kept"
        except StoreFull:
            outcomes[name] = "refused"

    async with open_store(tmp_path) as store:
        await limit_pages(store, 100)
        async with trio.open_nursery() as nursery:
            for number in range(9):
                nursery.start_soon(put, store, f"small {number}", add(number))
            nursery.start_soon(put, store, "big", add(99, note="x" * 1_000_000))
    assert outcomes.pop("big") == "refused"
    assert set(outcomes.values()) == {"kept"}
    assert len(outcomes) == 9


async def test_a_unit_that_swallows_a_full_disk_is_refused_all_the_same(tmp_path: Path) -> None:
    """SQLite may have rolled back by then: what follows would be written outside any transaction."""

    def careless(tx: Tx) -> str:
        with suppress(StoreFull):
            log.append(tx, [approved(1, note="x" * 1_000_000)], NOW)
        try:
            log.append(tx, [approved(2)], NOW)
        except StoreFull:
            return "swallowed"
        return "written on"

    async with open_store(tmp_path) as store:
        await limit_pages(store, 60)
        with pytest.raises(StoreFull):
            await store.write(careless)
        assert await store.read(log.count) == 0


@pytest.fixture
def small_files() -> Iterator[Callable[[int], None]]:
    """Files may not grow beyond a size: writes fail with an I/O error, as on a broken disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, handler)


async def test_after_an_input_output_error_nothing_is_acknowledged_and_nothing_is_tidied(
    tmp_path: Path, small_files: Callable[[int], None]
) -> None:
    acknowledged = []
    async with open_store(tmp_path) as store:
        small_files(400_000)
        with pytest.raises(StoreFailed):  # noqa: PT012
            for number in range(1000):
                await store.write(add(number, note="x" * 4000))
                acknowledged.append(number)
        with trio.fail_after(1):
            await store.failed.wait()
        assert isinstance(store.failure, StoreFailed)
        wal = tmp_path / f"{DATABASE_NAME}-wal"
        left = (tmp_path / DATABASE_NAME).read_bytes(), wal.stat().st_size
        small_files(resource.RLIM_INFINITY)
        for attempt in (store.write(add(5000)), store.read(log.count)):
            with pytest.raises(StoreFailed):
                await attempt
    # Closing moved nothing from the log into the file: that is for the next start, with sound buffers.
    assert ((tmp_path / DATABASE_NAME).read_bytes(), wal.stat().st_size) == left
    assert acknowledged
    async with open_store(tmp_path) as store:
        rows = await store.read(lambda tx: log.search(tx, limit=1000))
        kept = [row.subject for row in rows]
        assert kept[: len(acknowledged)] == [f"psa:{number}" for number in acknowledged]


async def test_everybody_who_waits_is_told_when_the_store_fails(
    tmp_path: Path, small_files: Callable[[int], None]
) -> None:
    told = []

    async def put(store: Store, number: int) -> None:
        try:
            await store.write(add(number, note="x" * 40_000))
        except StoreFailed as failure:
            told.append(failure)

    async with open_store(tmp_path) as store:
        small_files(200_000)
        async with trio.open_nursery() as nursery:
            for number in range(50):
                nursery.start_soon(put, store, number)
    assert told
    assert len({id(failure) for failure in told}) == len(told)


async def test_a_foreign_program_that_holds_the_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_bridge, "_BUSY_MS", 50)
    async with open_store(tmp_path) as store:
        shell = sqlite3.connect(tmp_path / DATABASE_NAME, isolation_level=None)
        shell.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreBusy):
            await store.write(add(1))
        shell.execute("ROLLBACK")
        await store.write(add(1))
        shell.close()
        assert await store.read(log.count) == 1
