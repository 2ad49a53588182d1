"""Reading a source again, and owing events to a lane again: safe to ask for, safe to ask for twice."""

from datetime import datetime, timedelta

import pytest

from isthmus.ops import replaying
from isthmus.ops.desk import Desk
from isthmus.ops.errors import NotFound
from isthmus.store import audit, cursors, deliveries, log, receipts
from isthmus.store.face import Store, Tx
from isthmus.store.open import open_memory_store
from tests.store.given import NOW, approved

HOUR = timedelta(hours=1)


class Clock:
    """A clock the test sets."""

    def __init__(self) -> None:
        self.at = NOW

    def __call__(self) -> datetime:
        return self.at


async def read_on(store: Store, clock: Clock, *positions: tuple[int, bytes]) -> None:
    """The source is read: after so many minutes the cursor moves there."""
    for minutes, position in positions:
        at = clock.at = NOW + timedelta(minutes=minutes)
        await store.write(lambda tx, p=position, at=at: cursors.move(tx, "psa", "time", p, at))  # type: ignore[misc]


async def stands(store: Store) -> bytes | None:
    return await store.read(lambda tx: cursors.get(tx, "psa", "time"))


READ = ((0, b"1"), (20, b"2"), (70, b"3"), (100, b"4"), (190, b"5"))


@pytest.mark.parametrize(
    ("to", "position"),
    [
        pytest.param(190, b"4", id="in this hour: where it stood when the hour began to be read"),
        pytest.param(179, b"2", id="in an hour that was not read: the one before"),
        pytest.param(70, b"2", id="in the second hour"),
        pytest.param(60, b"2", id="at its first minute"),
    ],
)
async def test_a_cursor_goes_back_to_where_it_stood(to: int, position: bytes) -> None:
    """NOW is a full hour, so minutes 0, 60, 120 and 180 begin hours."""
    clock = Clock()
    async with open_memory_store() as store:
        await read_on(store, clock, *READ)
        desk = Desk(store, now=clock)
        at = NOW + timedelta(minutes=to)
        shown = await desk.rewind("psa", "time", at, by="ada", why="late import", dry_run=True)
        assert await stands(store) == b"5", "a dry run moves nothing"
        done = await desk.rewind("psa", "time", at, by="ada", why="late import")
        assert (done.stands_at, done.stood_at) == (shown.stands_at, shown.stood_at)
        assert await stands(store) == position
        (act,) = await store.read(audit.page)
    assert (act.actor, act.act) == ("ada", "cursor.rewind")
    assert "late import" in act.detail


async def test_after_going_back_the_marks_are_of_the_new_way() -> None:
    clock = Clock()
    async with open_memory_store() as store:
        await read_on(store, clock, *READ)
        desk = Desk(store, now=clock)
        await desk.rewind("psa", "time", NOW + timedelta(minutes=70), by="ada", why="x")
        await read_on(store, clock, (200, b"2a"), (300, b"2b"))
        await desk.rewind("psa", "time", NOW + timedelta(minutes=210), by="ada", why="x")
        assert await stands(store) == b"2", "not 4, which lies ahead of what was read again"


async def test_from_the_beginning_there_is_no_cursor() -> None:
    clock = Clock()
    async with open_memory_store() as store:
        await read_on(store, clock, *READ)
        desk = Desk(store, now=clock)
        done = await desk.rewind("psa", "time", None, by="ada", why="x")
        assert (done.stands_at, await stands(store)) == (None, None)
        with pytest.raises(NotFound, match=r"has read no stream 'time'; cursors are: none yet"):
            await desk.rewind("psa", "time", None, by="ada", why="x")


async def test_what_nobody_knows_is_told_with_what_is_known() -> None:
    clock = Clock()
    async with open_memory_store() as store:
        desk = Desk(store, now=clock)
        await read_on(store, clock, *READ)
        with pytest.raises(NotFound, match=r"has read no stream 'tome'; cursors are: psa time"):
            await desk.rewind("psa", "tome", NOW, by="ada", why="x")
        with pytest.raises(NotFound, match=r"nobody knows .* known since 2026-10-30 12:00.*--to-beginning"):
            await desk.rewind("psa", "time", NOW - HOUR, by="ada", why="x")


async def test_cursors_are_shown_with_how_far_back_they_go() -> None:
    clock = Clock()
    async with open_memory_store() as store:
        await read_on(store, clock, *READ)
        (line,) = await Desk(store, now=clock).cursors()
    assert (line.connector, line.stream, line.position) == ("psa", "time", "5")
    assert (line.moved_at, line.back_to) == (NOW + timedelta(minutes=190), NOW)


# Replay


async def logged(store: Store) -> None:
    """Ten events, an hour apart."""
    for number in range(10):
        at = NOW + number * HOUR
        await store.write(lambda tx, n=number, at=at: log.append(tx, [approved(n)], at))  # type: ignore[misc]


@pytest.mark.parametrize(
    ("since", "before", "matched"),
    [
        pytest.param(None, None, 10, id="everything"),
        pytest.param(3, None, 7, id="since an instant, itself included"),
        pytest.param(None, 3, 3, id="before an instant, itself not included"),
        pytest.param(3, 5, 2, id="between two"),
        pytest.param(20, None, 0, id="since the future"),
        pytest.param(None, -1, 0, id="before the first"),
    ],
)
async def test_a_replay_of_a_time_takes_what_was_recorded_then(
    since: int | None, before: int | None, matched: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replaying, "PAGE", 3)
    async with open_memory_store() as store:
        await logged(store)
        done = await Desk(store, now=lambda: NOW).replay(
            "erp",
            by="ada",
            why="x",
            since=None if since is None else NOW + since * HOUR,
            before=None if before is None else NOW + before * HOUR,
        )
    assert (done.matched, done.scheduled, done.refused) == (matched, matched, [])


async def test_a_replay_asked_for_twice_schedules_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replaying, "PAGE", 3)
    async with open_memory_store() as store:
        await logged(store)
        desk = Desk(store, now=lambda: NOW)
        shown = await desk.replay("erp", by="ada", why="", dry_run=True)
        assert (shown.matched, shown.scheduled) == (10, 0)
        first = await desk.replay("erp", by="ada", why="planner was reset")
        second = await desk.replay("erp", by="bob", why="me too")
        assert (first.scheduled, second.scheduled) == (10, 0)
        assert len(await store.read(lambda tx: deliveries.listing(tx, "erp"))) == 10


async def test_older_never_goes_over_newer() -> None:
    async with open_memory_store() as store:

        def unit(tx: Tx) -> None:
            log.append(tx, [approved(1), approved(1, 2)], NOW)
            receipts.add(tx, "erp", 2, "INV-1", NOW)

        await store.write(unit)
        done = await Desk(store, now=lambda: NOW).replay("erp", by="ada", why="x")
    assert (done.matched, done.scheduled) == (2, 1)
    assert done.refused == ["psa/time.approved/psa:1/1: revision 2 was delivered"]


async def test_events_are_listed_since_a_time() -> None:
    async with open_memory_store() as store:
        await logged(store)
        lines = await Desk(store, now=lambda: NOW).events(since=NOW + 8 * HOUR)
    assert [line.subject for line in lines] == ["psa:8", "psa:9"]
