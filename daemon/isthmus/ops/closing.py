"""Whether a period can be closed: what was worked in it and is not in the books, by cause and amount.

`Closing` is pure: the log's events in order, then how their deliveries stand. What is unknown to the log,
such as time nobody has approved yet, is not its business.
"""

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal

import msgspec

from isthmus.events.base import BusinessEvent
from isthmus.events.finance import (
    ChargeDetermined,
    ChargeHeld,
    ChargePosted,
    ChargeReleased,
    PeriodClosed,
    PeriodReopened,
    ScheduleRevised,
)
from isthmus.events.work import (
    ExpenseValidated,
    ExpenseWithdrawn,
    MilestoneAchieved,
    MilestoneReopened,
    TimeApproved,
    TimeUnapproved,
)

__all__ = ["KINDS", "CloseLine", "CloseReport", "Closing", "month_of"]

KINDS = frozenset(
    {
        "charge.determined",
        "charge.held",
        "charge.posted",
        "charge.released",
        "expense.validated",
        "expense.withdrawn",
        "milestone.achieved",
        "milestone.reopened",
        "period.closed",
        "period.reopened",
        "schedule.revised",
        "time.approved",
        "time.unapproved",
    }
)
EXAMPLES = 3
ZERO = Decimal(0)

_Done = TimeApproved | ExpenseValidated | MilestoneAchieved
_Undone = TimeUnapproved | ExpenseWithdrawn | MilestoneReopened


class CloseLine(msgspec.Struct, frozen=True, kw_only=True):
    """One reason why a period is not ready."""

    what: str
    """``undecided`` (billing has not read it), ``held`` (the rules keep it), ``unposted`` (no ERP has it),
    ``drift`` (two systems do not agree)."""
    cause: str
    """Of what is held, the reason; of what is unposted, how its delivery stands; of drift, the pair."""
    count: int
    hours: Decimal
    amounts: dict[str, Decimal]
    """By currency; of what is held it is the contract's, and stands under an empty name."""
    examples: list[str]
    """Some of the keys; `isthmus billing explain` tells about each."""


class CloseReport(msgspec.Struct, frozen=True, kw_only=True):
    """Go, or no-go and why."""

    period: str
    entity: str | None
    ready: bool
    closed: bool
    """Whether the ledger of the entity has closed it; of all entities, whether each has."""
    upto: int
    """The newest event that was looked at."""
    at: datetime
    lines: list[CloseLine]


class _Charge(msgspec.Struct):
    seq: int
    charge: str
    amount: Decimal
    currency: str


class _Held(msgspec.Struct):
    entity: str
    reason: str
    hours: Decimal
    amount: Decimal | None


class _Work(msgspec.Struct):
    seq: int
    revision: int
    entity: str
    hours: Decimal


def month_of(period: str) -> tuple[date, date]:
    """First and last day of ``2026-10``.

    Raises:
        ValueError: it is no month.
    """
    first = date.fromisoformat(f"{period}-01")
    following = date(first.year + first.month // 12, first.month % 12 + 1, 1)
    return first, date.fromordinal(following.toordinal() - 1)


class Closing:
    """Follows the log for one period."""

    def __init__(self, period: str, entity: str | None = None) -> None:
        """
        Args:
            entity: Only this legal entity; None: all.

        Raises:
            ValueError: ``period`` is no month.
        """
        self.period = period
        self.entity = entity
        self._first, self._last = month_of(period)
        self._work: dict[str, _Work] = {}
        """What was done in the period, by key."""
        self._due: dict[str, set[str]] = {}
        """What the schedules of contracts have in the period."""
        self._held: dict[str, _Held] = {}
        self._unposted: dict[str, _Charge] = {}
        self._periods: dict[str, bool] = {}
        """By entity: whether the period is closed in the receivables."""

    def apply(self, seq: int, event: BusinessEvent) -> None:
        """Take the next event of the log."""
        if self.entity not in (None, event.entity):
            return
        match event:
            case TimeApproved() | ExpenseValidated() | MilestoneAchieved():
                self._done(seq, event)
            case TimeUnapproved() | ExpenseWithdrawn() | MilestoneReopened():
                known = self._work.get(event.key)
                if known is not None and event.revision > known.revision:
                    del self._work[event.key]
            case ScheduleRevised():
                self._due[event.contract] = {
                    each.key for each in event.installments if self._first <= each.due_on <= self._last
                }
            case ChargeHeld():
                hours = event.quantity if event.origin == "time" and event.quantity else ZERO
                self._held[event.origin_key] = _Held(event.entity, event.reason, hours, event.amount)
            case ChargeReleased():
                self._held.pop(event.origin_key, None)
            case ChargeDetermined() if self._first <= event.posting_on <= self._last:
                self._unposted[event.charge] = _Charge(seq, event.charge, event.amount, event.currency)
            case ChargePosted():
                self._unposted.pop(event.charge, None)
            case PeriodClosed() | PeriodReopened() if event.period == self.period and event.ledger != "ap":
                self._periods[event.entity] = isinstance(event, PeriodClosed)

    def _done(self, seq: int, event: _Done) -> None:
        day = {
            "time.approved": "worked_on",
            "expense.validated": "spent_on",
            "milestone.achieved": "achieved_on",
        }[event.kind]
        inside = self._first <= getattr(event, day) <= self._last
        known = self._work.get(event.key)
        if known is not None and event.revision <= known.revision:
            return
        if inside:
            hours = event.hours if isinstance(event, TimeApproved) else ZERO
            self._work[event.key] = _Work(seq, event.revision, event.entity, hours)
        else:
            self._work.pop(event.key, None)

    def report(self, *, upto: int, billing: int, settled: Mapping[int, str], at: datetime) -> CloseReport:
        """What stands in the way.

        Args:
            upto: The newest event that was applied.
            billing: How far billing has read the log.
            settled: How deliveries stand that are not simply under way, by the seq of their charge:
                ``retrying``, ``blocked``, ``in_doubt``, ``dead``; ``done`` where a lane settled it without a
                posting, such as a charge that was not sent.
        """
        lines: dict[tuple[str, str], CloseLine] = {}
        for key, work in self._work.items():
            if work.seq > billing:
                self._add(lines, "undecided", "billing is behind", key, hours=work.hours)
        due = {key for keys in self._due.values() for key in keys}
        for key, held in self._held.items():
            if key in self._work or key in due:
                amounts = {} if held.amount is None else {"": held.amount}
                self._add(lines, "held", held.reason, key, hours=held.hours, amounts=amounts)
        for charge in self._unposted.values():
            state = settled.get(charge.seq, "in_flight")
            if state != "done":
                amounts = {charge.currency: charge.amount}
                self._add(lines, "unposted", state, charge.charge, amounts=amounts)
        closed = [self._periods.get(self.entity, False)] if self.entity else list(self._periods.values())
        return CloseReport(
            period=self.period,
            entity=self.entity,
            ready=not lines,
            closed=bool(closed) and all(closed),
            upto=upto,
            at=at,
            lines=[lines[key] for key in sorted(lines)],
        )

    @property
    def unposted(self) -> list[int]:
        """The seqs of charges no ERP has posted."""
        return [charge.seq for charge in self._unposted.values()]

    @staticmethod
    def _add(
        lines: dict[tuple[str, str], CloseLine],
        what: str,
        cause: str,
        key: str,
        *,
        hours: Decimal = ZERO,
        amounts: Mapping[str, Decimal] | None = None,
    ) -> None:
        old = lines.get((what, cause)) or CloseLine(
            what=what, cause=cause, count=0, hours=ZERO, amounts={}, examples=[]
        )
        sums = dict(old.amounts)
        for currency, amount in (amounts or {}).items():
            sums[currency] = sums.get(currency, ZERO) + amount
        lines[what, cause] = CloseLine(
            what=what,
            cause=cause,
            count=old.count + 1,
            hours=old.hours + hours,
            amounts=sums,
            examples=[*old.examples, key][:EXAMPLES],
        )
