"""Edited deliveries: what a lane sends in place of a fact, which stays in the log as it was told."""

import json
from collections.abc import Iterable
from datetime import datetime

import msgspec

from isthmus.store.face import Tx
from isthmus.store.instants import from_text

__all__ = ["Edit", "of", "put"]


class Edit(msgspec.Struct, frozen=True):
    """The newest edit of one delivery."""

    payload: msgspec.Raw
    """The whole event, as JSON."""
    at: datetime
    by: str
    reason: str


def put(tx: Tx, lane: str, seq: int, payload: bytes, by: str, reason: str, now: datetime) -> None:
    """Send this from now on; the newest edit counts."""
    tx.run("edit_put", lane=lane, seq=seq, payload=payload.decode(), by=by, reason=reason, now=now)


def of(tx: Tx, lane: str, seqs: Iterable[int]) -> dict[int, Edit]:
    """The edits of these facts, by seq; few have one."""
    return {
        seq: Edit(msgspec.Raw(payload), from_text(at), by, reason)
        for seq, payload, at, by, reason in tx.all("edits_of", lane=lane, seqs=json.dumps(list(seqs)))
    }
