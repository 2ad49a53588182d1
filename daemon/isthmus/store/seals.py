"""Seals: whoever changes, removes, adds or swaps an event or a receipt behind our back is found out, by row.

Every few seconds a page of rows is digested, row by row. The digests are kept, and one act of the audit chain
covers the page, so the chain that proves who did what proves the log and the receipts as well. It costs the
writing of events nothing: a row is sealed after it was written.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from isthmus.store import audit, lanes, log
from isthmus.store.face import Row, Tx

__all__ = ["ACT", "LOG", "PAGE", "Seal", "digest", "get", "pending", "read_digested", "seal_next", "upto"]

LOG = "(log)"
"""The book of the events, a name no lane can have; every other book is the lane its receipts are of."""
ACT = "audit.seal"
"""The act of the audit chain that covers a page."""
PAGE = 2000
"""Rows in one seal, at most."""
_SIZE = 16
"""Bytes of a row's digest: enough that nobody finds another row with the same."""


class Seal(msgspec.Struct, frozen=True, kw_only=True):
    """One page of a book as it was sealed."""

    book: str
    after: int
    upto: int
    """The page is ``after < seq <= upto``; equal: receipts that came late."""
    rows: dict[int, bytes]
    """The digest of each row, by seq."""

    @property
    def late(self) -> bool:
        return self.after == self.upto


def pending(tx: Tx) -> bool:
    """Whether `seal_next` would find anything."""
    if upto(tx, LOG) < log.head(tx):
        return True
    for lane, position in lanes.positions(tx).items():
        place = {"lane": lane, "after": upto(tx, lane), "upto": position}
        if tx.one("seal_receipts_page", **place, limit=1) or tx.one("seal_receipts_late", lane=lane, limit=1):
            return True
    return False


def seal_next(tx: Tx, now: datetime, *, limit: int = PAGE) -> int:
    """Seal the next page of each book; how many rows that were. 0: everything settled is sealed.

    Args:
        limit: Rows of each book.
    """
    done = _seal_log(tx, now, limit)
    for lane, position in lanes.positions(tx).items():
        done += _seal_receipts(tx, lane, position, now, limit)
    return done


def upto(tx: Tx, book: str) -> int:
    """Up to which seq a book is sealed; 0 for not at all."""
    row = tx.one("seals_upto", book=book)
    return int(row[0]) if row and row[0] is not None else 0


def get(tx: Tx, act: int, covers: str) -> Seal | None:
    """The page of an act of the audit chain; None where it is gone or another than the act covers.

    Args:
        covers: The act's detail.
    """
    row = tx.one("seal_get", act=act)
    if row is None:
        return None
    book, after, to, seqs, digests = row[0].decode(errors="replace"), *row[1:]
    if covers != _covers(book, after, to, seqs, digests):
        return None
    numbers: list[int] = msgspec.msgpack.decode(seqs)
    parts = [digests[at : at + _SIZE] for at in range(0, len(digests), _SIZE)]
    return Seal(book=book, after=after, upto=to, rows=dict(zip(numbers, parts, strict=True)))


def read_digested(tx: Tx, seal: Seal) -> dict[int, bytes]:
    """The rows of a seal's page as they are now, by seq."""
    if seal.book == LOG:
        rows = tx.all("seal_log_page", after=seal.after, upto=seal.upto, limit=-1)
    elif seal.late:
        rows = tx.all("seal_receipts_of", lane=seal.book, seqs=json.dumps(sorted(seal.rows)))
    else:
        rows = tx.all("seal_receipts_page", lane=seal.book, after=seal.after, upto=seal.upto, limit=-1)
    return {row[0]: digest(seal.book, row) for row in rows}


def digest(book: str, row: Sequence[object]) -> bytes:
    """The digest of one row with all its columns, its book included."""
    # JSON, so that no two different rows read the same when their columns are put side by side.
    return hashlib.sha256(msgspec.json.encode([book, *row])).digest()[:_SIZE]


def _seal_log(tx: Tx, now: datetime, limit: int) -> int:
    after = upto(tx, LOG)
    rows = tx.all("seal_log_page", after=after, upto=2**62, limit=limit)
    return _add(tx, LOG, after, rows[-1][0], rows, now) if rows else 0


def _seal_receipts(tx: Tx, lane: str, position: int, now: datetime, limit: int) -> int:
    after, done = upto(tx, lane), 0
    rows = tx.all("seal_receipts_page", lane=lane, after=after, upto=position, limit=limit)
    if rows:
        to = rows[-1][0] if len(rows) == limit else position
        done += _add(tx, lane, after, to, rows, now)
    late = tx.all("seal_receipts_late", lane=lane, limit=limit)
    if late:
        to = upto(tx, lane)
        done += _add(tx, lane, to, to, late, now)
        tx.run("late_receipts_sealed", lane=lane, seqs=json.dumps([row[0] for row in late]))
    return done


def _add(tx: Tx, book: str, after: int, to: int, rows: Iterable[Row], now: datetime) -> int:
    digested = {row[0]: digest(book, row) for row in rows}
    seqs = msgspec.msgpack.encode(list(digested))
    digests = b"".join(digested.values())
    covers = json.loads(_covers(book, after, to, seqs, digests))
    act = audit.append(tx, "daemon", ACT, covers, now)
    tx.run("seal_add", act=act, book=book, after=after, upto=to, seqs=seqs, digests=digests)
    return len(digested)


def _covers(book: str, after: int, to: int, seqs: bytes, digests: bytes) -> str:
    """What the act in the audit chain says of a page, as its detail."""
    said = {"after": after, "book": book, "digest": hashlib.sha256(seqs + digests).hexdigest(), "upto": to}
    return json.dumps(said, sort_keys=True, separators=(",", ":"))
