"""How much the store costs beside plain SQLite: the same rows, the same durability, 500 events per commit.

Run it with ``python tests/benchmarks/bench_store.py``; the last line is one JSON object.
"""

import json
import sqlite3
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import msgspec
import trio

from isthmus.events import BusinessEvent, TimeApproved, encode
from isthmus.store import log, receipts
from isthmus.store.face import Tx
from isthmus.store.open import open_store

AT = datetime(2026, 10, 30, 12, tzinfo=UTC)
LANE = "erp"
NOTE = "Workshop with the customer's finance team; agreed the chart of accounts and the cut-over plan. " * 2


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """Events per second, each logged and receipted."""

    events: int
    batch: int
    store_events_per_s: float
    plain_events_per_s: float
    payload_bytes: float

    @property
    def ratio(self) -> float:
        """The store's speed as a part of plain SQLite's."""
        return self.store_events_per_s / self.plain_events_per_s


def approvals(count: int) -> list[BusinessEvent]:
    """Time entries of about 500 bytes of JSON, with ids that grow, as a source gives them."""
    return [
        TimeApproved(
            source="psa",
            occurred_at=AT,
            entity="de01",
            entry=f"psa:{number:09d}",
            revision=1,
            project=f"psa:p{number % 400}",
            resource=f"psa:r{number % 150}",
            service="consulting",
            worked_on=date(2026, 10, 29),
            hours=Decimal("7.50"),
            billable=True,
            approved_on=date(2026, 10, 30),
            note=NOTE,
        )
        for number in range(count)
    ]


def plain(path: Path, events: Sequence[BusinessEvent], batch: int) -> float:
    """Seconds that bare ``sqlite3`` takes for the same rows and the same fsyncs, with nothing around it."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript(
        """
        PRAGMA journal_mode = WAL;
        PRAGMA synchronous = FULL;
        CREATE TABLE log (seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, type TEXT, entity TEXT,
          subject TEXT, thread TEXT, revision INTEGER, recorded_at TEXT, payload TEXT) STRICT;
        CREATE INDEX log_by_subject ON log (subject, revision);
        CREATE INDEX log_by_thread ON log (thread);
        CREATE TABLE receipts (lane TEXT, seq INTEGER, remote_id TEXT, detail TEXT, delivered_at TEXT,
          PRIMARY KEY (lane, seq)) STRICT, WITHOUT ROWID;
        """
    )
    rows = [
        (
            event.id, "time.approved/1", event.entity, event.subject, event.thread, event.fact_revision,
            AT.isoformat(), encode(event).decode(),
        )
        for event in events
    ]  # fmt: skip
    started = time.perf_counter()
    for start in range(0, len(rows), batch):
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(
            "INSERT INTO log (id, type, entity, subject, thread, revision, recorded_at, payload)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
            rows[start : start + batch],
        )
        connection.execute("COMMIT")
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(
            "INSERT INTO receipts VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
            [(LANE, seq, f"r{seq}", "", AT.isoformat()) for seq in range(start + 1, start + batch + 1)],
        )
        connection.execute("COMMIT")
    elapsed = time.perf_counter() - started
    connection.close()
    return elapsed


async def stored(state_dir: Path, events: Sequence[BusinessEvent], batch: int) -> float:
    """Seconds that the store takes: encoding, the search for stale ones and both hops included."""
    async with open_store(state_dir) as store:
        started = time.perf_counter()
        for start in range(0, len(events), batch):
            await store.write(_append(events[start : start + batch]))
            await store.write(_receipt(range(start + 1, start + batch + 1)))
        return time.perf_counter() - started


def _append(part: Sequence[BusinessEvent]) -> Callable[[Tx], log.Appended]:
    return lambda tx: log.append(tx, part, AT)


def _receipt(seqs: range) -> Callable[[Tx], int]:
    return lambda tx: receipts.add_many(tx, LANE, ((seq, f"r{seq}", "") for seq in seqs), AT)


def compare(events: int = 20_000, batch: int = 500, rounds: int = 3) -> Result:
    """Log and receipt ``events`` both ways, in turns, and keep the better of each; on the same disk."""
    given = approvals(events)
    best = {"store": float("inf"), "plain": float("inf")}
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            best["plain"] = min(best["plain"], plain(Path(folder) / "plain.db", given, batch))
            best["store"] = min(best["store"], trio.run(stored, Path(folder) / "state", given, batch))
    return Result(
        events=events,
        batch=batch,
        store_events_per_s=round(events / best["store"], 1),
        plain_events_per_s=round(events / best["plain"], 1),
        payload_bytes=sum(len(encode(event)) for event in given[:100]) / 100,
    )


def main() -> None:
    result = compare()
    print(json.dumps({**msgspec.to_builtins(result), "ratio": round(result.ratio, 3)}))


if __name__ == "__main__":
    main()
