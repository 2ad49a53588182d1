"""Work on the left: approved time, expenses and milestones, their charges, and a planner's hours. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Set
from datetime import date
from decimal import Decimal

import msgspec

from isthmus.events.base import BusinessEvent
from isthmus.events.finance import ChargeDetermined, ChargeHeld, ChargeReleased, ChargeWaived
from isthmus.events.planning import BurnRevised
from isthmus.events.work import (
    ExpenseValidated,
    ExpenseWithdrawn,
    MilestoneAchieved,
    MilestoneReopened,
    TimeApproved,
    TimeUnapproved,
)
from isthmus.reconcile.compare import Difference, Expected, Figures
from isthmus.reconcile.facts import Known, Road, Told

__all__ = ["Hours", "Work"]

SCHEDULED = ("installment", "retainer", "subscription")
"""Charges that come from the contract alone; they are looked at with the milestones."""
ZERO = Decimal(0)


class Work:
    """Approved work on the left, its charges on the right."""

    def __init__(self, origin: str, since: date, until: date, *, entity: str | None = None) -> None:
        """
        Args:
            entity: Only what is billed by this legal entity: work has the one of its contract, which billing
                knows, and until then that of the system that told it.
        """
        self._origin = origin
        self._since, self._until = since, until
        self._entity = entity
        self._facts: dict[str, Told] = {}
        self._charges: dict[str, dict[str, Told]] = defaultdict(dict)
        self._waived: dict[str, ChargeWaived] = {}
        self._held: dict[str, ChargeHeld] = {}
        self.kinds = frozenset(
            {
                *("time.approved", "time.unapproved", "expense.validated", "expense.withdrawn"),
                *("milestone.achieved", "milestone.reopened"),
                *("charge.determined", "charge.waived", "charge.held", "charge.released"),
            }
        )

    def take(self, told: Told) -> None:
        match told.event:
            case ChargeDetermined() as event if self._ours(event.origin):
                self._charges[event.origin_key][event.charge] = told
            case ChargeWaived() as event if event.origin == self._origin:
                self._waived[event.origin_key] = event
            case ChargeHeld() as event if event.origin == self._origin:
                self._held[event.origin_key] = event
            case ChargeReleased() as event:
                self._held.pop(event.origin_key, None)
            case TimeApproved() | TimeUnapproved() if self._origin == "time":
                self._facts[told.event.key] = told
            case ExpenseValidated() | ExpenseWithdrawn() if self._origin == "expense":
                self._facts[told.event.key] = told
            case MilestoneAchieved() | MilestoneReopened() if self._origin == "milestone":
                self._facts[told.event.key] = told

    def known(self, road: Road, shown: Set[str] = frozenset()) -> Known:
        left: dict[str, Expected] = {}
        right: dict[str, Expected] = {}
        open_ends: list[Difference] = []
        held = 0
        for key, told in self._facts.items():
            if self._entity not in (None, self._billed_by(key, told.event)):
                continue
            day, figures = _approved(told.event)
            outside = day is not None and not self._since <= day <= self._until
            if outside and key not in shown:
                continue
            charges = self._charges.get(key, {})
            net = _net(charges.values())
            left[key] = Expected(
                key=key,
                figures=figures or Figures(),
                changed_at=told.recorded_at,
                standing="there" if figures is not None else "withdrawn",
                words=told.event.id,
                other=net,
                seq=told.seq,
            )
            if outside:
                continue  # its charges are posted outside the window too
            right |= self._posted(charges.values(), figures, road)
            held += key in self._held
            if figures is not None and not charges and key not in self._waived and key not in self._held:
                open_ends.append(_undecided(left[key]))
        for charges in self._charges.values():
            first = next(iter(charges.values())).event
            assert isinstance(first, ChargeDetermined)
            if (
                self._entity in (None, first.entity)
                and first.origin in SCHEDULED
                and self._since <= first.earned_on <= self._until
            ):
                right |= self._posted(charges.values(), None, road)
        return Known(left=left, right=right, undecided=open_ends, held=held)

    def _billed_by(self, key: str, fact: BusinessEvent) -> str:
        """The legal entity of the contract that pays for it, as far as billing has said so."""
        charges = [told.event for told in self._charges.get(key, {}).values()]
        said = [each for each in (self._held.get(key), self._waived.get(key)) if each is not None]
        return next((each.entity for each in (*charges, *said)), fact.entity)

    def _ours(self, origin: str) -> bool:
        family = {"time": ("time", "retainer_overage"), "milestone": ("milestone", *SCHEDULED)}
        return origin in family.get(self._origin, (self._origin,))

    def _posted(self, charges: Iterable[Told], other: Figures | None, road: Road) -> dict[str, Expected]:
        """Each charge is a record of its own on the right, and so is each reversal."""
        found = {}
        for told in charges:
            landed = road(told)
            if landed is not None:
                event = told.event
                assert isinstance(event, ChargeDetermined)
                found[event.charge] = Expected(
                    key=event.charge,
                    figures=msgspec.structs.replace(_charged(event), remote_id=landed.remote_id),
                    changed_at=told.recorded_at,
                    standing=landed.standing,
                    words=landed.words,
                    origin=event.origin_key,
                    other=other,
                    seq=told.seq,
                    lane=landed.lane,
                )
        return found


def _approved(event: BusinessEvent) -> tuple[date | None, Figures | None]:
    """The day of the work and what was approved; no figures where it was withdrawn."""
    match event:
        case TimeApproved():
            return event.worked_on, Figures(quantity=event.hours, status="approved")
        case ExpenseValidated():
            return event.spent_on, Figures(amount=event.amount, currency=event.currency, status="approved")
        case MilestoneAchieved():
            return event.achieved_on, Figures(status="achieved")
    return None, None


def _charged(event: ChargeDetermined) -> Figures:
    """What the record of a charge must say; a reversal takes its quantity back."""
    size = abs(event.quantity)
    taken_back = event.amount < 0 or event.reverses is not None
    hours = event.origin in ("time", "retainer_overage")
    return Figures(
        quantity=(-size if taken_back else size) if hours else None,
        amount=event.amount,
        currency=event.currency,
    )


def _net(charges: Iterable[Told]) -> Figures | None:
    """What all charges of a piece of work and their reversals come to; None without any."""
    parts = [_charged(told.event) for told in charges if isinstance(told.event, ChargeDetermined)]
    if not parts:
        return None
    hours = [part.quantity for part in parts if part.quantity is not None]
    return Figures(
        quantity=sum(hours, ZERO) if hours else None,
        amount=sum((part.amount or ZERO for part in parts), ZERO),
        currency=parts[0].currency,
    )


def _undecided(entry: Expected) -> Difference:
    """Approved, and no rule has charged, waived or held it: billing has not got there, or lost it."""
    return Difference(
        key=entry.key,
        kind="missing",
        side="right",
        left=entry.figures,
        ours=entry.figures,
        right=None,
        amount=entry.figures.amount,
        currency=entry.figures.currency,
        quantity=entry.figures.quantity,
        cause="undecided",
        words="it is neither charged, nor waived, nor held",
        state="drift",
        origin=entry.key,
        seq=entry.seq,
    )


class Hours:
    """Approved time on the left; hours per project, person and day on the right."""

    kinds = frozenset({"time.approved", "time.unapproved", "burn.revised"})

    def __init__(self, since: date, until: date) -> None:
        self._time = Work("time", since, until)
        self._since, self._until = since, until
        self._burns: dict[str, Told] = {}
        self._days: dict[str, dict[str, TimeApproved]] = defaultdict(dict)
        self._day_of: dict[str, str] = {}

    def take(self, told: Told) -> None:
        event = told.event
        self._time.take(told)
        if isinstance(event, BurnRevised):
            self._burns[event.burn] = told
        if isinstance(event, (TimeApproved, TimeUnapproved)):
            day = self._day_of.pop(event.entry, None)
            if day is not None:
                self._days[day].pop(event.entry, None)
        if isinstance(event, TimeApproved):
            day = f"{event.project}|{event.resource}|{event.worked_on}"
            self._day_of[event.entry] = day
            self._days[day][event.entry] = event

    def known(self, road: Road, shown: Set[str] = frozenset()) -> Known:
        left = self._time.known(lambda told: None, shown).left
        right: dict[str, Expected] = {}
        for key, told in self._burns.items():
            event = told.event
            assert isinstance(event, BurnRevised)
            landed = road(told)
            if landed is None or not self._since <= event.worked_on <= self._until:
                continue
            hours = event.billable_hours + event.nonbillable_hours
            approved = sum((each.hours for each in self._days.get(key, {}).values()), ZERO)
            nothing = hours == 0 and landed.standing == "there"
            right[key] = Expected(
                key=key,
                figures=Figures(quantity=hours),
                changed_at=told.recorded_at,
                standing="withdrawn" if nothing else landed.standing,
                words="no hours are approved any more" if nothing else landed.words,
                origin=key,
                other=Figures(quantity=approved),
                seq=told.seq,
                lane=landed.lane,
            )
        for key, entries in self._days.items():
            first = next(iter(entries.values()), None)
            if first is not None and key not in self._burns and self._since <= first.worked_on <= self._until:
                newest = max(left[entry].changed_at for entry in entries if entry in left)
                total = Figures(quantity=sum((each.hours for each in entries.values()), ZERO))
                right[key] = Expected(
                    key=key,
                    figures=total,
                    changed_at=newest,
                    standing="in_flight",
                    words="burn has not told the planner's total yet",
                    origin=key,
                    other=total,
                )
        return Known(left=left, right=right)
