"""Every few seconds: how the store stands, for gauges, quotas and `status`, so that a scrape needs no SQL."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import trio

from isthmus.ops.metrics import Lag, LaneSnapshot, Snapshot, Unbilled
from isthmus.ops.unbilled import open_work_items

if TYPE_CHECKING:
    from isthmus.app.daemon import Daemon
    from isthmus.ops.books import Books

EVERY_S = 5.0


async def take_snapshots(daemon: Daemon) -> NoReturn:
    """Look at the store every `EVERY_S` seconds and tell the metrics and the quotas."""
    throttled = dict.fromkeys(daemon.peers, 0.0)
    while True:
        books = await daemon.desk.books()
        unbilled = await unbilled_rows(daemon)
        now = daemon.now()
        daemon.books = books
        daemon.full_lanes = {
            name
            for name, config in daemon.config.lanes.items()
            if name in daemon.lane_actors and owed(daemon, name, books) > config.max_open
        }
        daemon.metrics.snapshot(
            Snapshot(
                taken_at=now,
                lanes={name: lane_snapshot(daemon, name, books) for name in daemon.lane_actors},
                db_main_bytes=_size(daemon.store.path),
                db_wal_bytes=daemon.store.wal_bytes(),
                unbilled=unbilled,
                planner_lag=planner_lag_rows(daemon),
            )
        )
        for instance, peer in daemon.peers.items():
            daemon.metrics.state(instance, daemon.peer_state(instance))
            daemon.metrics.throttled(instance, peer.throttled_s - throttled[instance])
            throttled[instance] = peer.throttled_s
        await trio.sleep(EVERY_S)


async def unbilled_rows(daemon: Daemon) -> tuple[Unbilled, ...] | None:
    """Unbilled approved time as it stands now, for gauges and `status` alike; None while it is counted."""
    if not daemon.unbilled.whole:
        return None
    return daemon.unbilled.rows(daemon.now(), await daemon.store.read(open_work_items))


def planner_lag_rows(daemon: Daemon) -> tuple[Lag, ...] | None:
    """What the planner does not have yet, for gauges and `status` alike; None while it is counted."""
    return daemon.planner_lag.rows() if daemon.planner_lag.whole else None


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:  # the store in memory has none
        return 0


def owed(daemon: Daemon, lane: str, books: Books) -> int:
    """Facts a lane still has to deliver."""
    rows = books.deliveries.get(lane, {})
    waiting = sum(number for state, number in rows.items() if state != "dead")
    return waiting + _backlog(daemon, lane, books)


def _backlog(daemon: Daemon, lane: str, books: Books) -> int:
    return daemon.lane_actors[lane].backlog(books.head, books.positions.get(lane, 0))


def lane_snapshot(daemon: Daemon, lane: str, books: Books) -> LaneSnapshot:
    rows = books.deliveries.get(lane, {})
    return LaneSnapshot(
        open=_backlog(daemon, lane, books),
        scheduled=rows.get("waiting", 0) + rows.get("in_doubt", 0),
        blocked=rows.get("blocked", 0),
        blocked_subjects=books.blocked_subjects.get(lane, 0),
        dead_letters=books.dead_letters.get(lane, 0),
        oldest_due_at=books.oldest_due.get(lane),
    )
