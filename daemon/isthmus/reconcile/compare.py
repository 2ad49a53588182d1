"""One side of a pair, read back, against what the log says must stand there. Pure.

Each record is compared under the key it bears. So a difference is on the left (its master moved on, or has
what we never heard of) or on the right (what was written there is gone, changed, doubled, or never was ours).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Literal

import msgspec

from isthmus.sdk.connector import CensusRow

__all__ = ["Bounds", "Difference", "Expected", "Figures", "Kind", "Result", "Side", "Standing", "compare"]

Side = Literal["left", "right"]
Kind = Literal["missing", "extra", "amount", "status", "stale", "double"]
Standing = Literal["there", "in_flight", "dead_letter", "in_doubt", "not_sent", "withdrawn"]
State = Literal["drift", "timing"]
NOT_THERE = ("not_sent", "withdrawn")
NO_MORE_OR_NOT_YET = ("voided", "pending", "rejected")
"""A record that says so is no difference where nobody expects it."""
ZERO = Decimal(0)


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What one side says of a record; None where it does not say."""

    quantity: Decimal | None = None
    amount: Decimal | None = None
    currency: str | None = None
    status: str | None = None
    remote_id: str | None = None


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What the log says must stand on one side under ``key``."""

    key: str
    figures: Figures
    """A status of None is not compared."""
    changed_at: datetime
    """When we learnt the newest of it."""
    standing: Standing = "there"
    words: str = ""
    """What stands in the way, or how it got there."""
    origin: str = ""
    """What it comes from: the time entry of a charge."""
    other: Figures | None = None
    """What that says on the other side of the pair."""
    seq: int = 0
    """The event that made it so; 0 where none did."""
    lane: str = ""
    """The lane that wrote it there; empty for what the system told us itself."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """One thing on which the sides do not agree.

    ``missing``: one side has it and the other does not. ``extra``: it stands where it should not.
    ``amount``: hours, amount or currency were changed where we wrote them. ``stale``: the master moved on,
    and what we wrote is of before. ``status``: they agree on figures only. ``double``: it stands there more
    than once.
    """

    key: str
    kind: Kind
    side: Side
    """Where it shows."""
    left: Figures | None
    ours: Figures | None
    """What the log says of the side where it shows."""
    right: Figures | None
    amount: Decimal | None
    """How much is at stake, without a sign; None where nobody says."""
    currency: str | None
    quantity: Decimal | None
    """Hours at stake, likewise."""
    cause: str
    """One word: unknown_to_us, gone, changed, dead_letter, in_flight ..."""
    words: str
    """What is suspected, in a sentence."""
    state: State
    origin: str = ""
    seq: int = 0
    lane: str = ""


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """How exact a comparison is."""

    settled_before: datetime
    """What changed later is a matter of timing."""
    tolerance: Decimal = ZERO
    """Amounts that differ by no more agree."""
    hours_tolerance: Decimal = Decimal("0.01")
    """Hours likewise; some ledgers count minutes."""


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """What came of comparing one side."""

    compared: int
    """Keys that were looked at."""
    matched: int
    """Keys that agree to the cent."""
    differences: list[Difference]


def compare(
    side: Side, expected: Mapping[str, Expected], found: Iterable[CensusRow], bounds: Bounds
) -> Result:
    """Compare one side; the order of ``found`` does not matter.

    Args:
        expected: By key. What is not sent on purpose is in it, as ``not_sent``.
        found: What the side holds in the window; rows without a key of ours are twins of others, or extra.
    """
    keyed: dict[str, list[CensusRow]] = defaultdict(list)
    nameless: list[CensusRow] = []
    for row in found:
        if row.status in NO_MORE_OR_NOT_YET and row.key not in expected:
            continue
        if row.key:
            keyed[row.key].append(row)
        else:
            nameless.append(row)
    judge = _Judge(side, bounds)
    matched = 0
    keys = keyed.keys() | {key for key, each in expected.items() if each.standing not in NOT_THERE}
    for key in sorted(keys):
        before = len(judge.differences)
        judge.key(key, expected.get(key), sorted(keyed.get(key, ()), key=lambda row: row.remote_id))
        matched += len(judge.differences) == before
    judge.nameless(nameless, keyed)
    return Result(compared=len(keys) + len(nameless), matched=matched, differences=judge.differences)


class _Judge:
    """Collects the differences of one side."""

    def __init__(self, side: Side, bounds: Bounds) -> None:
        self._side = side
        self._bounds = bounds
        self.differences: list[Difference] = []

    def key(self, key: str, expected: Expected | None, rows: Sequence[CensusRow]) -> None:
        """What the log says of a key, and the records that bear it."""
        if expected is None or expected.standing in NOT_THERE:
            for row in rows:
                if row.status not in NO_MORE_OR_NOT_YET:
                    self._uncalled_for(key, expected, row)
        elif rows:
            self._there(expected, rows)
        else:
            self._absent(expected)

    def nameless(self, rows: Sequence[CensusRow], keyed: Mapping[str, Sequence[CensusRow]]) -> None:
        """Records without a key: the twin of one that has one, or somebody else's hand."""
        known = {_likeness(row): key for key, found in keyed.items() for row in found}
        for row in sorted(rows, key=lambda row: row.remote_id):
            twin = known.get(_likeness(row)) if row.on is not None else None
            if twin is not None:
                words = f"{row.remote_id} says the same as the record of {twin}, without its key"
                self._add(twin, "double", "twin", words, row=row)
            else:
                words = f"{row.remote_id} bears no key of ours: made by hand, or by another integration"
                self._add(row.remote_id, "extra", "not_ours", words, row=row)

    def _uncalled_for(self, key: str, expected: Expected | None, row: CensusRow) -> None:
        if self._side == "left":
            words = "it was never told to us: it was not read, or it changed without a new stamp"
            if expected is not None:
                words = f"we were told that it was withdrawn, and it is there ({expected.words})"
            self._add(key, "missing", "unknown_to_us", words, expected=expected, row=row)
        elif expected is not None:
            words = f"it was not to be sent ({expected.words}), and it is there as {row.remote_id}"
            self._add(key, "extra", "not_sent", words, expected=expected, row=row)
        else:
            words = f"{row.remote_id} bears a key that we never gave"
            self._add(key, "extra", "unknown_to_us", words, row=row)

    def _absent(self, expected: Expected) -> None:
        stake = expected.figures
        if stake.status == "voided":
            return  # some ledgers show what was taken back, some do not
        if self._side == "left":
            words = "we were told of it, and it is not there any more: deleted, or no longer approved"
            if stake.amount is None and expected.other is not None:
                stake = expected.other
            self._add(expected.key, "extra", "gone", words, expected=expected, stake=stake)
        elif expected.standing == "there":
            words = f"it was written there as {stake.remote_id} and is gone"
            self._add(expected.key, "missing", "gone", words, expected=expected, stake=stake)
        else:
            self._add(
                expected.key, "missing", expected.standing, expected.words, expected=expected, stake=stake
            )

    def _there(self, expected: Expected, rows: Sequence[CensusRow]) -> None:
        wanted = expected.figures
        ours = next((row for row in rows if row.remote_id == wanted.remote_id), rows[0])
        for row in rows:
            if row is not ours:
                words = f"{row.remote_id} bears the same key as {ours.remote_id}"
                self._add(expected.key, "double", "twin", words, expected=expected, row=row)
        if ours.status == "unreadable":
            words = f"{ours.remote_id} cannot be read"
            self._add(expected.key, "status", "unreadable", words, expected=expected, row=ours)
        elif what := _changed(wanted, ours, self._bounds):
            left = self._side == "left"
            self._add(
                expected.key,
                "stale" if left else "amount",
                "moved_on" if left else "changed",
                f"{ours.remote_id} says {what}, and we {'were told' if left else 'wrote'} {_said(wanted)}",
                expected=expected,
                row=ours,
                stake=_apart(wanted, figures_of(ours)),
            )
        elif ours.status not in ("", wanted.status) and (wanted.status or ours.status == "voided"):
            words = f"{ours.remote_id} is {ours.status}, and we know it as {wanted.status or 'posted'}"
            self._add(expected.key, "status", "status", words, expected=expected, row=ours)
        elif expected.standing in ("dead_letter", "in_doubt"):
            words = f"it is there as {ours.remote_id}, and we took it for undelivered; resolve the exception"
            self._add(expected.key, "status", expected.standing, words, expected=expected, row=ours)

    def _add(
        self,
        key: str,
        kind: Kind,
        cause: str,
        words: str,
        *,
        expected: Expected | None = None,
        row: CensusRow | None = None,
        stake: Figures | None = None,
    ) -> None:
        """
        Args:
            stake: What the difference is about; the whole record when not given.
        """
        here = None if row is None else figures_of(row)
        there = None if expected is None else expected.other
        about = stake or here or Figures()
        changed = (row.changed_at if row else None, expected.changed_at if expected else None)
        young = any(at is not None and at > self._bounds.settled_before for at in changed)
        self.differences.append(
            Difference(
                key=key,
                kind=kind,
                side=self._side,
                left=here if self._side == "left" else there,
                ours=None if expected is None else expected.figures,
                right=there if self._side == "left" else here,
                amount=None if about.amount is None else abs(about.amount),
                currency=None if about.amount is None else about.currency,
                quantity=None if about.quantity is None else abs(about.quantity),
                cause=cause,
                words=words,
                state="timing" if young or cause == "in_flight" else "drift",
                origin=expected.origin if expected is not None else "",
                seq=expected.seq if expected is not None else 0,
                lane=expected.lane if expected is not None else "",
            )
        )


def figures_of(row: CensusRow) -> Figures:
    """What a record says."""
    return Figures(
        quantity=row.quantity,
        amount=row.amount,
        currency=row.currency,
        status=row.status,
        remote_id=row.remote_id,
    )


def _changed(wanted: Figures, row: CensusRow, bounds: Bounds) -> str:
    """Which figures differ, in words; empty when none does. What a side does not say is not compared."""
    found = []
    if wanted.status == row.status == "voided":
        return ""  # some ledgers leave the total, some make it zero
    # Ledgers write the hours of a reversal with or without a sign; its amount has one.
    said, known = row.quantity, wanted.quantity
    if said is not None and known is not None and abs(abs(said) - abs(known)) > bounds.hours_tolerance:
        found.append(f"{row.quantity:f} h")
    if wanted.amount is not None and row.amount is not None:
        other_currency = None not in (wanted.currency, row.currency) and wanted.currency != row.currency
        if other_currency or abs(wanted.amount - row.amount) > bounds.tolerance:
            found.append(f"{row.amount:f} {row.currency or ''}".strip())
    return ", ".join(found)


def _said(figures: Figures) -> str:
    """Figures in words."""
    found = [] if figures.quantity is None else [f"{figures.quantity:f} h"]
    if figures.amount is not None:
        found.append(f"{figures.amount:f} {figures.currency or ''}".strip())
    return ", ".join(found)


def _apart(wanted: Figures, found: Figures) -> Figures:
    """How far two figures are apart; of two currencies the whole of what was found."""
    amount = None
    if found.amount is not None and wanted.amount is not None:
        same = found.currency is None or wanted.currency in (None, found.currency)
        amount = found.amount - wanted.amount if same else found.amount
    quantity = None
    if found.quantity is not None and wanted.quantity is not None:
        quantity = found.quantity - wanted.quantity
    return Figures(quantity=quantity, amount=amount, currency=found.currency or wanted.currency)


def _likeness(row: CensusRow) -> tuple[object, ...]:
    """What makes two records look like copies of each other."""
    return (row.on, row.quantity, row.amount, row.currency)
