"""The measure: nothing but ``sqlite3``, the same tables, the same rows, acknowledged in batches of 500.

No translation, no lanes, no intents: payloads are encoded before the clock starts. Whatever the daemon does
beyond this is what its throughput is compared for.
"""

import argparse
import json
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from isthmus.events import BusinessEvent, encode
from isthmus.store import migrations
from isthmus.store.instants import to_text
from isthmus.store.open import DATABASE_NAME
from isthmus.store.pragmas import WRITER
from tests.benchmarks.given import AT, LANE, approvals, pages

LOG_ADD = (
    "INSERT INTO log (id, type, entity, subject, thread, revision, recorded_at, payload)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"
)
RECEIPT_ADD = (
    "INSERT INTO receipts (lane, seq, remote_id, detail, delivered_at) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT (lane, seq) DO NOTHING"
)
POSITION_SET = (
    "INSERT INTO positions (lane, seq) VALUES (?, ?) ON CONFLICT (lane) DO UPDATE SET seq = excluded.seq"
)


def log_row(event: BusinessEvent) -> tuple[Any, ...]:
    """An event as the log keeps it."""
    return (
        event.id,
        str(type(event).__struct_config__.tag),
        event.entity,
        event.subject,
        event.thread,
        event.fact_revision,
        to_text(AT),
        encode(event).decode(),
    )


def connect(path: Path) -> sqlite3.Connection:
    """A connection set up as the store's writer: WAL, FULL, the same tables, indexes and triggers."""
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in WRITER:
        connection.execute(pragma).fetchall()
    for step in migrations.pending(connection, migrations.load()):
        migrations.apply(connection, step)
    return connection


def insert_and_acknowledge(connection: sqlite3.Connection, batches: Sequence[Sequence[Any]]) -> int:
    """Two durable commits per batch: the rows, then their receipts; how many were new."""
    (head,) = connection.execute("SELECT coalesce(max(seq), 0) FROM log").fetchone()
    first = head
    at = to_text(AT)
    for rows in batches:
        connection.execute("BEGIN IMMEDIATE")
        added = connection.executemany(LOG_ADD, rows).rowcount
        connection.execute("COMMIT")
        seqs = range(head + 1, head + added + 1)
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(RECEIPT_ADD, [(LANE, seq, f"r{seq}", "", at) for seq in seqs])
        connection.execute(POSITION_SET, (LANE, seqs[-1]))
        connection.execute("COMMIT")
        head = seqs[-1]
    return int(head - first)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("state_dir", type=Path)
    path = parser.parse_args().state_dir / DATABASE_NAME
    batches = [[log_row(event) for event in page] for page in pages(approvals())]
    connection = connect(path)
    began = time.perf_counter()
    events = insert_and_acknowledge(connection, batches)
    elapsed = time.perf_counter() - began
    connection.close()
    print(json.dumps({"events": events, "events_per_s": events / elapsed}))


if __name__ == "__main__":
    main()
