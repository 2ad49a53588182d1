"""How far each lane is, and whether it may run."""

from datetime import datetime
from typing import Literal

import msgspec

from isthmus.store.face import Row, Tx
from isthmus.store.instants import from_text

State = Literal["running", "paused", "parked"]


class LaneState(msgspec.Struct, frozen=True):
    """What was decided about a lane, by whom and why."""

    lane: str
    state: State
    reason: str
    by: str
    at: datetime


def position(tx: Tx, lane: str) -> int:
    """The last seq the lane has dealt with; 0 for a new one."""
    row = tx.one("position_get", lane=lane)
    return int(row[0]) if row else 0


def advance(tx: Tx, lane: str, seq: int) -> None:
    """Everything up to ``seq`` is delivered, of no concern, or has a row among the deliveries.

    A position never moves back; replay schedules deliveries instead.
    """
    tx.run("position_advance", lane=lane, seq=seq)


def positions(tx: Tx) -> dict[str, int]:
    return dict(tx.all("positions_all"))


def get(tx: Tx, lane: str) -> LaneState | None:
    """None for a lane nobody has decided about: it is running."""
    row = tx.one("lane_get", lane=lane)
    return None if row is None else _state(row)


def listing(tx: Tx) -> list[LaneState]:
    return [_state(row) for row in tx.all("lanes_all")]


def park(tx: Tx, lane: str, reason: str, by: str, now: datetime) -> None:
    """Stop until a person acts: every delivery would fail the same way."""
    tx.run("lane_set_state", lane=lane, state="parked", reason=reason, by=by, now=now)


def pause(tx: Tx, lane: str, reason: str, by: str, now: datetime) -> None:
    """Stop because a person wants so."""
    tx.run("lane_set_state", lane=lane, state="paused", reason=reason, by=by, now=now)


def resume(tx: Tx, lane: str, by: str, now: datetime) -> None:
    """Run again, from where the lane stood."""
    tx.run("lane_set_state", lane=lane, state="running", reason="", by=by, now=now)


def _state(row: Row) -> LaneState:
    lane, state, reason, by, at = row
    return LaneState(lane, state, reason, by, from_text(at))
