"""utilization: how each week of a resource was, or is to be, spent, against its capacity.

Any order of the same facts ends in the same statement. Everything is a total of one week: a statement can be
written twice.
"""

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal

import msgspec
from msgspec.structs import replace

from isthmus.events.base import BusinessEvent
from isthmus.events.master import AssignmentChanged, AssignmentEnded, ResourceChanged
from isthmus.events.planning import UtilizationRevised
from isthmus.events.values import Amount, Hours, Key
from isthmus.events.work import TimeApproved, TimeUnapproved
from isthmus.process.face import States
from isthmus.process.rules.assigned import Assignment, booked, heard, working_days
from isthmus.process.rules.derive import statement
from isthmus.process.rules.forecast_rows import Rank
from isthmus.process.rules.schedules import add_months
from isthmus.process.rules.time_and_materials import HOUR_STEP

__all__ = ["UtilizationProcess", "week_of"]

ZERO = Decimal("0.00")
DAY = timedelta(days=1)
AHEAD_MONTHS = 60
"""Of an assignment so many months count: an end in the year 9999 must not fill the disk."""


class Capacity(msgspec.Struct, frozen=True, kw_only=True):
    """A word about a resource, and the week from which it holds."""

    rank: Rank
    week: str
    hours: Hours
    """0 for one that is inactive."""
    entity: str


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """What was said of a resource, oldest first, and the weeks that are spoken of."""

    words: list[Capacity] = []
    weeks: list[str] = []


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """The newest word about one time entry; without ``hours`` its approval was withdrawn."""

    revision: int
    resource: str = ""
    week: str = ""
    hours: Hours = ZERO
    billable: bool = False


class Sums(msgspec.Struct, frozen=True, kw_only=True):
    """The sums of a week."""

    approved: Amount = ZERO
    billable: Amount = ZERO
    assigned: Amount = ZERO
    tentative: Amount = ZERO


class Week(msgspec.Struct, frozen=True, kw_only=True):
    """One week of one resource; ``said`` is what was said last, capacity and entity with it."""

    resource: Key
    week: str
    entity: str
    """The first in the alphabet of those that told something of it; the resource's own goes before it."""
    sums: Sums = Sums()
    said: tuple[Sums, Amount, str] | None = None


class UtilizationProcess:
    """Analytical: one ``utilization.revised`` per resource and ISO week in the lag window."""

    name = "utilization"
    consumes = frozenset(
        {
            "assignment.changed",
            "assignment.ended",
            "resource.changed",
            "time.approved",
            "time.unapproved",
        }
    )

    def apply(self, event: BusinessEvent, states: States) -> set[str]:
        match event:
            case TimeApproved() | TimeUnapproved():
                return _time(event, states)
            case AssignmentChanged() | AssignmentEnded():
                return _assignment(event, states)
            case ResourceChanged():
                return _resource(event, states)
        return set()

    def publish(self, key: str, states: States, as_of: datetime, basis: list[str]) -> list[BusinessEvent]:
        row = states.get(f"week:{key}", Week)
        if row is None:
            return []
        person = states.get(f"resource:{row.resource}", Person) or Person()
        word = _word_on(person, row.week)
        capacity, entity = (word.hours, word.entity) if word is not None else (ZERO, row.entity)
        says = (row.sums, capacity.quantize(HOUR_STEP), entity)
        if says == row.said or (row.said is None and row.sums == Sums()):
            return []
        states.put(f"week:{key}", replace(row, said=says))
        return [
            statement(
                UtilizationRevised,
                process=self.name,
                key=key,
                said_at=as_of,
                basis=basis,
                entity=entity,
                resource=row.resource,
                week=row.week,
                capacity_hours=says[1],
                approved_hours=row.sums.approved.quantize(HOUR_STEP),
                billable_hours=row.sums.billable.quantize(HOUR_STEP),
                assigned_hours=row.sums.assigned.quantize(HOUR_STEP),
                tentative_hours=row.sums.tentative.quantize(HOUR_STEP),
            )
        ]


def week_of(day: date) -> str:
    """The ISO week a day lies in: ``2026-W41``. Weeks sort as their names do."""
    year, week, _ = day.isocalendar()
    return f"{year}-W{week:02}"


def _word_on(person: Person, week: str) -> Capacity | None:
    """The newest word that holds in a week; before the first one that one holds."""
    held = [word for word in person.words if word.week <= week]
    if held:
        return max(held, key=lambda word: word.rank)
    return min(person.words, key=lambda word: (word.week, word.rank), default=None)


def _time(event: TimeApproved | TimeUnapproved, states: States) -> set[str]:
    key = f"entry:{event.entry}"
    old = states.get(key, Entry)
    if old is not None and event.revision <= old.revision:
        return set()
    new = Entry(revision=event.revision)
    if isinstance(event, TimeApproved):
        new = Entry(
            revision=event.revision,
            resource=event.resource,
            week=week_of(event.worked_on),
            hours=event.hours,
            billable=event.billable,
        )
    states.put(key, new)
    touched = set()
    for entry, sign in ((old, -1), (new, 1)):
        if entry is not None and entry.hours:
            hours = sign * entry.hours
            more = Sums(approved=hours, billable=hours if entry.billable else ZERO)
            touched.add(_add(entry.resource, entry.week, event.entity, more, states))
    return touched


def _assignment(event: AssignmentChanged | AssignmentEnded, states: States) -> set[str]:
    key = f"assignment:{event.assignment}"
    old = states.get(key, Assignment) or Assignment()
    new = heard(old, event)
    if new is old:
        return set()
    states.put(key, new)
    before, after = _by_week(old), _by_week(new)
    touched = set()
    for place in sorted({*before, *after}):
        resource, week, tentative = place
        hours = after.get(place, ZERO) - before.get(place, ZERO)
        if hours:
            more = Sums(tentative=hours) if tentative else Sums(assigned=hours)
            touched.add(_add(resource, week, event.entity, more, states))
    return touched


def _by_week(row: Assignment) -> Mapping[tuple[str, str, bool], Decimal]:
    """Hours of an assignment by resource, week and whether they are tentative."""
    booking = booked(row)
    found: dict[tuple[str, str, bool], Decimal] = {}
    if booking is None:
        return found
    last = min(booking.ends_on, add_months(booking.starts_on, AHEAD_MONTHS) - DAY)
    day = booking.starts_on
    while day <= last:
        sunday = day + (6 - day.weekday()) * DAY
        days = working_days(day, min(sunday, last))
        if days:
            found[booking.resource, week_of(day), booking.tentative] = days * booking.hours_per_day
        day = sunday + DAY
    return found


def _resource(event: ResourceChanged, states: States) -> set[str]:
    """Capacity holds from the week in which it was told; what was said of earlier weeks stays."""
    key = f"resource:{event.resource}"
    old = states.get(key, Person) or Person()
    rank = Rank(revision=event.revision, at=event.occurred_at)
    if any(word.rank == rank for word in old.words):
        return set()
    word = Capacity(
        rank=rank,
        week=week_of(event.occurred_at.date()),
        hours=event.capacity_hours_week if event.status == "active" else ZERO,
        entity=event.entity,
    )
    new = replace(old, words=sorted([*old.words, word], key=lambda word: word.rank))
    states.put(key, new)
    return {f"{event.resource}|{week}" for week in new.weeks if _word_on(old, week) != _word_on(new, week)}


def _add(resource: str, week: str, entity: str, more: Sums, states: States) -> str:
    """Add to a week's sums; the key of the week."""
    key = f"{resource}|{week}"
    row = states.get(f"week:{key}", Week)
    if row is None:
        row = Week(resource=resource, week=week, entity=entity)
        person = states.get(f"resource:{resource}", Person) or Person()
        states.put(f"resource:{resource}", replace(person, weeks=sorted([*person.weeks, week])))
    sums = Sums(
        approved=row.sums.approved + more.approved,
        billable=row.sums.billable + more.billable,
        assigned=row.sums.assigned + more.assigned,
        tentative=row.sums.tentative + more.tentative,
    )
    states.put(f"week:{key}", replace(row, sums=sums, entity=min(row.entity, entity)))
    return key
