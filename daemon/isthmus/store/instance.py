"""Who holds the store: which start of which process, and how the one before left it."""

from datetime import datetime

import msgspec

from isthmus.store.face import Tx
from isthmus.store.instants import maybe_from_text


class Instance(msgspec.Struct, frozen=True):
    """The one row that says who may write."""

    generation: int
    """How many starts there were."""
    holder: str
    started_at: datetime | None
    """None before the first start."""
    closed_cleanly: bool
    """False while a process has it open, and after one that was killed."""


def current(tx: Tx) -> Instance:
    row = tx.one("instance_get")
    assert row is not None
    generation, holder, started_at, closed_cleanly = row
    return Instance(generation, holder, maybe_from_text(started_at or None), bool(closed_cleanly))
