"""Remote calls we are about to make. One that is still here after a crash may have happened."""

import json
from collections.abc import Iterable
from datetime import datetime

import msgspec

from isthmus.store.face import Tx
from isthmus.store.instants import from_text


class Intent(msgspec.Struct, frozen=True):
    """One remote call whose outcome nobody wrote down."""

    call: int
    lane: str
    seqs: list[int]
    """The events it was to deliver."""
    started_at: datetime
    generation: int
    """The start of the daemon that made the call; an older one than ours is a crash."""


def open_call(tx: Tx, lane: str, seqs: Iterable[int], now: datetime, generation: int) -> int:
    """Say that a call is about to be made; the number to close it by."""
    row = tx.one(
        "intent_open",
        lane=lane,
        seqs=msgspec.json.encode(list(seqs)).decode(),
        now=now,
        generation=generation,
    )
    assert row is not None
    return int(row[0])


def close_call(tx: Tx, call: int) -> None:
    """The outcome is known, and written in this same transaction."""
    tx.run("intent_close", call=call)


def unfinished(tx: Tx, lane: str) -> list[Intent]:
    """Oldest first."""
    return [
        Intent(call, name, json.loads(seqs), from_text(started_at), generation)
        for call, name, seqs, started_at, generation in tx.all("intents_unfinished", lane=lane)
    ]
