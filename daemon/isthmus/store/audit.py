"""Who did what. A chain: each row's hash covers the one before it; `isthmus.store.proof` walks it."""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from isthmus.store.face import Tx
from isthmus.store.instants import from_text, to_text

BEGINNING = bytes(32)
"""What the first row's hash covers instead of a row before it."""


class AuditRow(msgspec.Struct, frozen=True):
    """One act."""

    seq: int
    at: datetime
    actor: str
    act: str
    detail: str
    """JSON."""
    hash: bytes


def append(tx: Tx, actor: str, act: str, detail: Mapping[str, Any], now: datetime) -> int:
    """Write down an act, in the transaction that does it; its seq.

    Args:
        detail: What JSON can say, with text as keys.
    """
    newest, prev = last(tx)
    seq = newest + 1
    at, said = to_text(now), json.dumps(detail, sort_keys=True, separators=(",", ":"))
    digest = link(prev, seq, at, actor, act, said)
    tx.run("audit_add", seq=seq, at=at, actor=actor, act=act, detail=said, prev=prev, hash=digest)
    return seq


def page(tx: Tx, *, after: int = 0, limit: int = 100) -> list[AuditRow]:
    """Oldest first, from behind ``after``."""
    return [
        AuditRow(seq, from_text(at), actor, act, detail, bytes(digest))
        for seq, at, actor, act, detail, _, digest in tx.all("audit_page", after=after, limit=limit)
    ]


def last(tx: Tx) -> tuple[int, bytes]:
    """The end of the chain: its newest seq and hash."""
    row = tx.one("audit_last")
    return (0, BEGINNING) if row is None else (int(row[0]), bytes(row[1]))


def link(prev: bytes, seq: int, at: str, actor: str, act: str, detail: str) -> bytes:
    """The hash of one row, over the row before it."""
    # A JSON list, so that no two different rows read the same when their fields are put side by side.
    return hashlib.sha256(prev + json.dumps([seq, at, actor, act, detail]).encode()).digest()
