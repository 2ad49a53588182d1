"""What failed, waits, is in doubt or dead. What simply went well is not here: it has a receipt.

Within a lane the facts of one subject go in order. A row is *open* while it waits, is blocked behind an older
one, or is in doubt; a dead one holds its subject back only where the lane says so (``hold_on_dead``).
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Literal

import msgspec

from isthmus.store.face import Row, Tx
from isthmus.store.instants import from_text, maybe_from_text

DeliveryState = Literal["waiting", "blocked", "in_doubt", "dead"]


class Delivery(msgspec.Struct, frozen=True):
    """One fact that a lane could not yet settle."""

    lane: str
    seq: int
    subject: str
    state: DeliveryState
    attempts: int
    """Tries that failed, since it was first owed or last revived."""
    crashes: int
    """How often the daemon stopped with it in hand."""
    due_at: datetime
    first_failed_at: datetime | None
    error_class: str
    error_text: str


def postpone(
    tx: Tx,
    lane: str,
    seq: int,
    subject: str,
    due_at: datetime,
    attempts: int,
    error_class: str,
    text: str,
    now: datetime,
    state: Literal["waiting", "in_doubt"] = "waiting",
) -> None:
    """Try again at ``due_at``; or, ``in_doubt``, not before somebody knows what happened."""
    tx.run(
        "delivery_postpone",
        lane=lane,
        seq=seq,
        subject=subject,
        state=state,
        attempts=attempts,
        due_at=due_at,
        now=now,
        error_class=error_class,
        error_text=text,
    )


def hold_back(
    tx: Tx, lane: str, seq: int, subject: str, due_at: datetime, error_class: str, text: str
) -> None:
    """It waits for our own books, and is looked at again at ``due_at`` or when woken.

    That is nobody's failure: tries are not counted, and what failed before is forgiven.
    """
    tx.run(
        "delivery_hold_back",
        lane=lane,
        seq=seq,
        subject=subject,
        due_at=due_at,
        error_class=error_class,
        error_text=text,
    )


def crashed(tx: Tx, lane: str, seq: int, subject: str, now: datetime) -> int:
    """Count that the daemon stopped with this delivery in hand; how often that was so far."""
    row = tx.one("delivery_crashed", lane=lane, seq=seq, subject=subject, now=now)
    return int(row[0]) if row else 0


def queue_behind(
    tx: Tx, lane: str, seq: int, subject: str, now: datetime, *, hold_on_dead: bool = False
) -> DeliveryState:
    """Line a fact up behind what is open of its subject; due at once when nothing is.

    Returns:
        The state the delivery has now; one that was there already keeps its own.
    """
    row = tx.one(
        "delivery_queue_behind", lane=lane, seq=seq, subject=subject, now=now, hold_on_dead=hold_on_dead
    )
    if row is None:
        row = tx.one("delivery_get", lane=lane, seq=seq)
        assert row is not None
        return _delivery(row).state
    return row[0]  # type: ignore[no-any-return]


def schedule(tx: Tx, lane: str, seq: int, subject: str, now: datetime) -> bool:
    """Put an event before the lane again, for a replay; False when it is there already."""
    return tx.run("delivery_schedule", lane=lane, seq=seq, subject=subject, now=now) == 1


def due(tx: Tx, lane: str, now: datetime, limit: int) -> list[Delivery]:
    """What may be tried now: of each subject only its oldest open one. Oldest seq first.

    Where more are due than ``limit``, those that have waited longest are taken.
    """
    rows = tx.all("deliveries_due", lane=lane, now=now, limit=limit)
    return sorted((_delivery(row) for row in rows), key=lambda each: each.seq)


def next_due_at(tx: Tx, lane: str) -> datetime | None:
    """When the lane must look again; None while nothing waits."""
    row = tx.one("deliveries_next_due_at", lane=lane)
    return maybe_from_text(row[0]) if row else None


def oldest_due(tx: Tx, lane: str) -> datetime | None:
    """Since when the oldest delivery that waits or is blocked has been due; None while there is none."""
    row = tx.one("deliveries_oldest_due", lane=lane)
    return maybe_from_text(row[0]) if row else None


def held_subjects(tx: Tx, lane: str, subjects: Iterable[str], *, hold_on_dead: bool = False) -> set[str]:
    """Which of these subjects have something open that a later fact must wait for."""
    if tx.one("deliveries_any", lane=lane) is None:
        return set()
    wanted = msgspec.json.encode(list(set(subjects))).decode()
    return {
        row[0] for row in tx.all("deliveries_held", lane=lane, subjects=wanted, hold_on_dead=hold_on_dead)
    }


def settle(tx: Tx, lane: str, seq: int, *, hold_on_dead: bool = False) -> bool:
    """The delivery is done or given up: its row goes, and the next of its subject is due at once.

    Returns:
        False when there was no row.
    """
    row = tx.one("delivery_remove", lane=lane, seq=seq)
    if row is None:
        return False
    tx.run("delivery_unblock_next", lane=lane, subject=row[0], hold_on_dead=hold_on_dead)
    return True


def bury(
    tx: Tx,
    lane: str,
    seq: int,
    subject: str,
    error_class: str,
    text: str,
    now: datetime,
    *,
    attempts: int = 0,
    hold_on_dead: bool = False,
) -> None:
    """Waiting cannot help. The next of the subject is due, unless a dead one holds it back."""
    tx.run(
        "delivery_bury",
        lane=lane,
        seq=seq,
        subject=subject,
        attempts=attempts,
        now=now,
        error_class=error_class,
        error_text=text,
    )
    if not hold_on_dead:
        tx.run("delivery_unblock_next", lane=lane, subject=subject, hold_on_dead=False)


def revive(tx: Tx, lane: str, seq: int, now: datetime, *, hold_on_dead: bool = False) -> bool:
    """A person lets a dead or doubtful delivery go again, as if new, in its turn; False for any other."""
    return tx.run("delivery_revive", lane=lane, seq=seq, now=now, hold_on_dead=hold_on_dead) == 1


def get(tx: Tx, lane: str, seq: int) -> Delivery | None:
    row = tx.one("delivery_get", lane=lane, seq=seq)
    return None if row is None else _delivery(row)


def of_event(tx: Tx, seq: int) -> list[Delivery]:
    """Where an event is stuck, over all lanes."""
    return [_delivery(row) for row in tx.all("deliveries_of_event", seq=seq)]


def listing(
    tx: Tx, lane: str, *, state: DeliveryState | None = None, after: int = 0, limit: int = 100
) -> list[Delivery]:
    """A page of a lane's troubles by seq."""
    return [
        _delivery(row) for row in tx.all("deliveries_page", lane=lane, state=state, after=after, limit=limit)
    ]


def counts(tx: Tx) -> dict[tuple[str, DeliveryState], int]:
    """How many rows there are by lane and state."""
    return {(lane, state): number for lane, state, number in tx.all("deliveries_counts")}


def blocked_subjects(tx: Tx) -> dict[str, int]:
    """How many business keys are held back, by lane."""
    return dict(tx.all("deliveries_blocked_subjects"))


def _delivery(row: Row) -> Delivery:
    lane, seq, subject, state, attempts, crashes, due_at, failed_at, error_class, error_text = row
    return Delivery(
        lane,
        seq,
        subject,
        state,
        attempts,
        crashes,
        from_text(due_at),
        maybe_from_text(failed_at),
        error_class,
        error_text,
    )
