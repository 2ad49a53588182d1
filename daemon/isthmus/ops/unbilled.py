"""Approved time that is not billed yet, by age and cause: counted from the log, kept only while unbilled.

An entry is unbilled from its approval until an ERP has posted what our rules determined for it. What was
posted and is not on a released invoice is the ERP's turn, and its own report's: it is not counted here.
Hours that the rules waive (not billable, included, above a cap) are decided, so they are not unbilled.

All unbilled hours of an entry stand under one cause, the gravest, so that sums over the labels are true:

===========  =====================================================================================
dead_letter  its charge, or its approval in a process, is an open work item of a person
blocked      our rules hold it: a cap, a closed period, no contract
in_flight    it is not decided yet, or its charge is on its way
===========  =====================================================================================

Expenses and milestones are no hours and are not counted.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

import msgspec
import trio

from isthmus.events.base import BusinessEvent
from isthmus.events.finance import (
    ChargeDetermined,
    ChargeHeld,
    ChargePosted,
    ChargeReleased,
    ChargeWaived,
)
from isthmus.events.work import TimeApproved, TimeUnapproved
from isthmus.ops.metrics import Unbilled
from isthmus.runtime.doorbell import Doorbell
from isthmus.store import dead_letters
from isthmus.store import log as event_log
from isthmus.store.face import Store, Tx

__all__ = ["UnbilledLedger", "follow", "open_work_items", "read_page"]

KINDS = frozenset(
    {
        "charge.determined",
        "charge.held",
        "charge.posted",
        "charge.released",
        "charge.waived",
        "time.approved",
        "time.unapproved",
    }
)
PAGE = 500
PAUSE_S = 1.0
"""How long facts are collected before they are counted: figures for people need not be younger."""

ZERO = Decimal(0)
AGES = (("lt_1d", timedelta(days=1)), ("lt_3d", timedelta(days=3)), ("lt_7d", timedelta(days=7)))

Told = tuple[int, BusinessEvent]
"""An event and its seq."""


class _Charge(msgspec.Struct):
    """A charge that stands for part of an entry."""

    seq: int
    hours: Decimal
    posted: bool = False


class _Entry(msgspec.Struct):
    """One time entry as far as it matters here."""

    seq: int = 0
    """Of its newest approval."""
    revision: int = -1
    hours: Decimal = ZERO
    """Approved and billable; 0 when the approval was withdrawn."""
    decided: int = -1
    """The newest revision the rules decided on."""
    waived: Decimal = ZERO
    taken_back_by: str = ""
    """The cause of the newest reversal; what it waives again takes the place of what was waived."""
    held: bool = False
    charges: dict[str, _Charge] = {}
    rest: Decimal = ZERO
    """Hours that are neither waived nor posted, as of the newest event."""
    since: datetime | None = None
    """When it became unbilled; None while it is not."""

    def settle(self, at: datetime) -> None:
        """Work out what is left, after an event that occurred at ``at``."""
        posted = sum((charge.hours for charge in self.charges.values() if charge.posted), ZERO)
        charged = sum((charge.hours for charge in self.charges.values()), ZERO)
        # What is charged now is waived no more, though nobody says so.
        waived = min(self.waived, max(ZERO, self.hours - charged))
        self.rest = max(ZERO, self.hours - waived - posted)
        if self.rest == 0:
            self.since = None
        elif self.since is None:
            self.since = at

    def waits_on(self, work_items: "WorkItems") -> bool:
        """Whether one of them keeps it from being billed."""
        if any(not charge.posted and charge.seq in work_items.deliveries for charge in self.charges.values()):
            return True
        return self.decided < self.revision and self.seq in work_items.processes


class WorkItems(msgspec.Struct, frozen=True, kw_only=True):
    """The seqs of events that became dead letters and wait for a person: of lanes, and of our rules."""

    deliveries: Collection[int] = ()
    processes: Collection[int] = ()


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """What follows in the log, with the histories of entries that were forgotten, or are new."""

    told: Sequence[Told]
    histories: Mapping[str, Sequence[Told]]
    upto: int


class UnbilledLedger:
    """Entries that are unbilled, and no others. `apply` takes the log's events in order."""

    def __init__(self) -> None:
        self.upto = 0
        """How far the log was counted."""
        self.whole = False
        """Whether the end of the log was reached once; before that the figures mean nothing."""
        self._entries: dict[str, _Entry] = {}
        self._entry_of: dict[str, str] = {}

    def knows(self, entry: str) -> bool:
        return entry in self._entries

    def apply(self, page: Page) -> None:
        """Take a page; entries that are billed after it are forgotten."""
        touched = set()
        for seq, event in page.told:
            key = self._key(event)
            if key is None:
                continue
            if key not in self._entries:
                for earlier in page.histories.get(key, ()):
                    self._tell(key, *earlier)
            self._tell(key, seq, event)
            touched.add(key)
        for key in touched:
            entry = self._entries.get(key)
            if entry is not None and entry.since is None:
                self._forget(key, entry)
        self.upto = page.upto

    def rows(self, now: datetime, work_items: WorkItems | None = None) -> tuple[Unbilled, ...]:
        """Entries and hours by age and cause; what is left out is none.

        Args:
            work_items: See `open_work_items`; None for none.
        """
        sums: dict[tuple[str, str], tuple[int, Decimal]] = {}
        for entry in self._entries.values():
            if entry.since is None:
                continue
            cause = "blocked" if entry.held else "in_flight"
            if work_items is not None and entry.waits_on(work_items):
                cause = "dead_letter"
            place = _age(now - entry.since), cause
            entries, hours = sums.get(place, (0, ZERO))
            sums[place] = entries + 1, hours + entry.rest
        return tuple(
            Unbilled(age=age, cause=cause, entries=entries, hours=hours)
            for (age, cause), (entries, hours) in sorted(sums.items())
        )

    def __len__(self) -> int:
        """How many entries are held in memory."""
        return len(self._entries)

    def _key(self, event: BusinessEvent) -> str | None:
        if isinstance(event, ChargePosted):
            return self._entry_of.get(event.charge)
        return entry_of(event)

    def _tell(self, key: str, seq: int, event: BusinessEvent) -> None:
        entry = self._entries.setdefault(key, _Entry())
        self._change(key, entry, seq, event)
        entry.settle(event.occurred_at)

    def _change(self, key: str, entry: _Entry, seq: int, event: BusinessEvent) -> None:
        match event:
            case TimeApproved() if event.revision > entry.revision:
                entry.seq, entry.revision = seq, event.revision
                entry.hours = event.hours if event.billable else ZERO
            case TimeUnapproved() if event.revision > entry.revision:
                entry.seq, entry.revision, entry.hours = seq, event.revision, ZERO
            case ChargeDetermined(reverses=str(charge)):
                # Taken back whole, the fact is waived anew by the same cause; of a charge that a close
                # overtook only its own part is, and what was waived stays.
                entry.charges.pop(charge, None)
                self._entry_of.pop(charge, None)
                entry.taken_back_by = event.causation or event.id
            case ChargeDetermined():
                _decide(entry, event.origin_revision)
                entry.charges[event.charge] = _Charge(seq=seq, hours=event.quantity)
                self._entry_of[event.charge] = key
            case ChargeWaived():
                _decide(entry, event.origin_revision)
                if event.causation == entry.taken_back_by:
                    entry.waived, entry.taken_back_by = ZERO, ""
                entry.waived += event.quantity
            case ChargeHeld():
                entry.held = True
            case ChargeReleased():
                entry.held = False
            case ChargePosted(charge=charge) if charge in entry.charges:
                entry.charges[charge].posted = True

    def _forget(self, key: str, entry: _Entry) -> None:
        for charge in entry.charges:
            self._entry_of.pop(charge, None)
        del self._entries[key]


def entry_of(event: BusinessEvent) -> str | None:
    """The time entry an event is about; None for other work, and for a posting, which names its charge."""
    match event:
        case TimeApproved() | TimeUnapproved():
            return event.entry
        case ChargeDetermined() | ChargeWaived() | ChargeHeld() | ChargeReleased() if event.origin == "time":
            return event.origin_key
    return None


def _decide(entry: _Entry, revision: int) -> None:
    """A newer revision was decided: what was waived of the older one counts no more."""
    if revision > entry.decided:
        entry.decided, entry.waived = revision, ZERO


def _age(age: timedelta) -> str:
    return next((name for name, limit in AGES if age < limit), "gt_7d")


def read_page(tx: Tx, ledger: UnbilledLedger) -> Page:
    """The next events, and what the log has of entries the ledger does not hold.

    A correction, a re-rating or a repeated approval may be about an entry that was billed long ago; what
    stands for it is then read again.
    """
    rows, upto = event_log.read_after(tx, ledger.upto, KINDS, PAGE)
    told = [(row.seq, row.event()) for row in rows]
    histories: dict[str, Sequence[Told]] = {}
    for _, event in told:
        key = entry_of(event)
        if key is not None and key not in histories and not ledger.knows(key):
            histories[key] = _history(tx, key, ledger.upto)
    return Page(told=told, histories=histories, upto=upto)


def _history(tx: Tx, entry: str, upto: int) -> list[Told]:
    """What the log up to a seq has of an entry and its charges, in order."""
    found = _up_to(event_log.by_subject(tx, entry), upto)
    charges = [event.charge for _, event in found if isinstance(event, ChargeDetermined)]
    for charge in charges:
        found += _up_to(event_log.by_subject(tx, charge), upto)
    return sorted(found, key=lambda told: told[0])


def _up_to(rows: Iterable[event_log.LogRow], upto: int) -> list[Told]:
    return [(row.seq, row.event()) for row in rows if row.seq <= upto and not row.stale and row.kind in KINDS]


def open_work_items(tx: Tx) -> WorkItems:
    """What waits for a person now."""
    found: dict[str, set[int]] = {"delivery": set(), "process": set()}
    after = 0
    while letters := dead_letters.listing(tx, dead_letters.Filter(after=after, limit=1000)):
        for letter in letters:
            if letter.seq is not None and letter.origin in found:
                found[letter.origin].add(letter.seq)
        after = letters[-1].id
    return WorkItems(deliveries=found["delivery"], processes=found["process"])


async def follow(ledger: UnbilledLedger, store: Store, bell: Doorbell) -> None:
    """Count the log from where the ledger stands, in pages, and what follows, until cancelled."""
    while True:
        page = await store.read(lambda tx: read_page(tx, ledger))
        moved = page.upto > ledger.upto
        ledger.apply(page)
        if not moved:
            ledger.whole = True
            await bell.wait()
            await trio.sleep(PAUSE_S)
