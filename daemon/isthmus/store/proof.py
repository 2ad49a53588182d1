"""The proof that nothing was changed, removed, added or swapped: acts, events, receipts against their seals.

It is made in steps, each a short read, so that a daemon can prove its books while it works. What is newer
than the newest seal is not proven yet; the sealer is a few seconds behind.
"""

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from isthmus.store import audit, lanes, log, seals
from isthmus.store.anchors import Anchor
from isthmus.store.face import Row, Tx

__all__ = ["Finding", "Proof", "Verdict"]

ACTS = 500
"""Acts one step reads."""
ROWS = 10_000
"""Sealed rows after which a step ends."""
NAMED_MAX = 1000
"""Findings that are named; a file that is wrong all over needs no longer list."""

What = Literal["changed", "removed", "added"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One row that is not as it was."""

    book: str
    """``acts``, ``events``, ``receipts of LANE``, or ``seals``."""
    row: int
    """The act's or event's seq; of a receipt the seq of the event it is for."""
    what: What
    detail: str


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What was proven."""

    acts: int
    events: int
    receipts: int
    unsealed: int
    """Events at the end of the log that the next seal will cover."""
    anchors: int
    findings: list[Finding]

    @property
    def whole(self) -> bool:
        return not self.findings


class Proof:
    """One proof under way: call `step` in one read after the other until `done`."""

    def __init__(self, anchors: Sequence[Anchor] = ()) -> None:
        self.findings: list[Finding] = []
        self.done = False
        self.at = 0
        """The newest act looked at."""
        self.of: int | None = None
        """The newest act there was when the proof began."""
        self._anchors = {anchor.act: anchor for anchor in anchors}
        self._prev = audit.BEGINNING
        self._sound = True
        """Whether the act before was what its hash was made of; else nothing can follow it."""
        self._unsealed = 0
        self._events = 0
        self._receipts = 0
        self._sealed: dict[str, int] = {}
        """How far each book is sealed, by the seals met so far."""
        self._strays: dict[str, set[int]] = {}
        """Receipts that stand where a seal has none; a later seal or the waiting late ones may know them."""

    def step(self, tx: Tx) -> None:
        """Look at the next acts and at what they cover."""
        if self.of is None:
            self.of = audit.last(tx)[0]
        looked = 0
        rows = tx.all("audit_chain", after=self.at, upto=self.of, limit=ACTS)
        for row in rows:
            self._act(tx, row)
            looked += self._cover(tx, row)
            if looked >= ROWS:
                return
        if len(rows) < ACTS:
            self._end(tx)

    def verdict(self) -> Verdict:
        """What came of it, once `done`."""
        return Verdict(
            acts=self.at,
            events=self._events,
            receipts=self._receipts,
            unsealed=self._unsealed,
            anchors=len(self._anchors),
            findings=self.findings,
        )

    # The chain of acts

    def _act(self, tx: Tx, row: Row) -> None:
        seq, *columns, prev, kept = row
        for missing in _between(self.at, seq):
            self._find("acts", missing, "removed", "the chain has a gap here")
        texts = [_text(column) for column in columns]
        sound = kept == audit.link(prev, seq, *texts)
        if not sound:
            self._find("acts", seq, "changed", "it is not what its hash was made of")
        elif self._sound and seq == self.at + 1 and prev != self._prev:
            self._find("acts", seq, "changed", "it follows another act than the one before it")
        anchor = self._anchors.get(seq)
        if anchor is not None and anchor.hash != kept.hex():
            self._find("acts", seq, "changed", f"the anchor of {anchor.at:%Y-%m-%d %H:%M} has another hash")
        self.at, self._prev, self._sound = seq, kept, sound

    # What the acts cover

    def _cover(self, tx: Tx, row: Row) -> int:
        """Compare the rows an act seals, if it does; how many."""
        if row[3] != seals.ACT.encode():
            return 0
        seal = seals.get(tx, row[0], _text(row[4]))
        if seal is None:
            self._find(
                "seals", row[0], "changed", "the page of digests is gone, or another than its act covers"
            )
            return 0
        name = _book(seal)
        before = self._sealed.get(seal.book, 0)
        if not seal.late and seal.after != before:
            self._find("seals", row[0], "removed", f"{name} {before + 1} to {seal.after} have no seal")
        now = seals.read_digested(tx, seal)
        for seq, digest in seal.rows.items():
            if seq not in now:
                self._find(name, seq, "removed", f"sealed by act {row[0]}")
            elif now[seq] != digest:
                self._find(name, seq, "changed", f"sealed by act {row[0]}")
        added = now.keys() - seal.rows.keys()
        if seal.book == seals.LOG:
            self._events += len(seal.rows)
            for seq in sorted(added):
                self._find(name, seq, "added", f"act {row[0]} sealed none here")
        else:
            self._receipts += len(seal.rows)
            self._strays.setdefault(seal.book, set()).update(added)
            self._strays[seal.book] -= seal.rows.keys()
        self._sealed[seal.book] = max(before, seal.upto)
        return len(seal.rows)

    # The end

    def _end(self, tx: Tx) -> None:
        newest = audit.last(tx)[0]
        if self._take_late(tx) and newest > self.at:
            self.of = newest  # a seal made meanwhile may know the stray ones
            return
        for lane, seqs in self._strays.items():
            for seq in sorted(seqs):
                self._find(f"receipts of {lane}", seq, "added", "no seal has it")
        for anchor in self._anchors.values():
            if anchor.act > self.at:
                self._find(
                    "acts", anchor.act, "removed", f"the anchor of {anchor.at:%Y-%m-%d %H:%M} names it"
                )
        self._tail(tx)
        self.done = True

    def _take_late(self, tx: Tx) -> bool:
        """Whether there are stray receipts besides those that wait to be sealed."""
        for lane, seqs in self._strays.items():
            seqs -= {row[0] for row in tx.all("late_receipts_of", lane=lane)}
        return any(self._strays.values())

    def _tail(self, tx: Tx) -> None:
        """What is not sealed yet must at least be there."""
        head, sealed = log.head(tx), self._sealed.get(seals.LOG, 0)
        self._unsealed = max(0, head - sealed)
        while sealed < head:
            for (seq,) in tx.all("log_seqs_after", after=sealed, limit=1000):
                for missing in _between(sealed, seq):
                    self._find("events", missing, "removed", "the log has a gap here")
                sealed = seq
        for lane, position in lanes.positions(tx).items():
            if position > head:
                self._find("events", head + 1, "removed", f"{lane} has read up to {position}")

    def _find(self, book: str, row: int, what: What, detail: str) -> None:
        if len(self.findings) < NAMED_MAX:
            self.findings.append(Finding(book=book, row=row, what=what, detail=detail))


def _book(seal: seals.Seal) -> str:
    return "events" if seal.book == seals.LOG else f"receipts of {seal.book}"


def _text(column: Any) -> str:
    return column.decode(errors="replace") if isinstance(column, bytes) else str(column)


def _between(seq: int, following: int) -> range:
    """The numbers that are missing between two that should follow each other."""
    return range(seq + 1, min(following, seq + 1 + NAMED_MAX))
