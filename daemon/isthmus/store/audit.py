"""Who did what by hand. A chain: each row's hash covers the one before it, so a change or a gap shows."""

import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from isthmus.store.face import Tx
from isthmus.store.instants import from_text, to_text

_BEGINNING = bytes(32)


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
    last = tx.one("audit_last")
    seq, prev = (1, _BEGINNING) if last is None else (int(last[0]) + 1, bytes(last[1]))
    at, said = to_text(now), json.dumps(detail, sort_keys=True, separators=(",", ":"))
    digest = _link(prev, seq, at, actor, act, said)
    tx.run("audit_add", seq=seq, at=at, actor=actor, act=act, detail=said, prev=prev, hash=digest)
    return seq


def verify(tx: Tx, *, after: int = 0, limit: int | None = None) -> int | None:
    """Walk the chain; the first seq that does not fit, or None.

    Args:
        after: Begin behind this seq, which was verified before.
        limit: Rows to look at; None for all. A long trail is verified in several reads.
    """
    prev = _BEGINNING
    if after:
        known = tx.one("audit_at", seq=after)
        if known is None:
            return after
        prev = bytes(known[0])
    for seq, at, actor, act, detail, before, digest in tx.all(
        "audit_page", after=after, limit=-1 if limit is None else limit
    ):
        after += 1
        if seq != after or before != prev or digest != _link(prev, seq, at, actor, act, detail):
            return after
        prev = digest
    return None


def page(tx: Tx, *, after: int = 0, limit: int = 100) -> list[AuditRow]:
    """Oldest first, from behind ``after``."""
    return [
        AuditRow(seq, from_text(at), actor, act, detail, bytes(digest))
        for seq, at, actor, act, detail, _, digest in tx.all("audit_page", after=after, limit=limit)
    ]


def _link(prev: bytes, seq: int, at: str, actor: str, act: str, detail: str) -> bytes:
    # A JSON list, so that no two different rows read the same when their fields are put side by side.
    return hashlib.sha256(prev + json.dumps([seq, at, actor, act, detail]).encode()).digest()
