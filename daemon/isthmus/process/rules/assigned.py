"""Assignments as planners tell them: the newest word holds, whatever the order in which words come. Pure."""

from datetime import date, timedelta

import msgspec
from msgspec.structs import replace

from isthmus.events.master import AssignmentChanged, AssignmentEnded
from isthmus.events.values import Hours, Key

__all__ = ["Assignment", "Booking", "booked", "heard", "working_days"]

DAY = timedelta(days=1)
_WEEK = 7
_WORKING = 5


class Booking(msgspec.Struct, frozen=True, kw_only=True):
    """A resource on a project from one day to another, both included."""

    entity: str
    resource: Key
    project: Key
    service: str
    starts_on: date
    ends_on: date
    hours_per_day: Hours
    tentative: bool


class Assignment(msgspec.Struct, frozen=True, kw_only=True):
    """What was said of one assignment; its end may be heard before what it ends."""

    revision: int = 0
    booking: Booking | None = None
    ended_on: date | None = None
    ended_revision: int = 0


def heard(row: Assignment, event: AssignmentChanged | AssignmentEnded) -> Assignment:
    """The row with the event in it; the same row when the event is stale or a duplicate."""
    if isinstance(event, AssignmentEnded):
        if (event.revision, event.ended_on) <= (row.ended_revision, row.ended_on or date.min):
            return row
        return replace(row, ended_on=event.ended_on, ended_revision=event.revision)
    if event.revision <= row.revision:
        return row
    booking = Booking(
        entity=event.entity,
        resource=event.resource,
        project=event.project,
        service=event.service,
        starts_on=event.starts_on,
        ends_on=event.ends_on,
        hours_per_day=event.hours_per_day,
        tentative=event.tentative,
    )
    return replace(row, revision=event.revision, booking=booking)


def booked(row: Assignment | None) -> Booking | None:
    """What is planned by all that was said; None when nothing is.

    An end holds against changes of lower or equal revision. One of revision 1 holds against all: its source
    does not count.
    """
    if row is None or row.booking is None or row.booking.hours_per_day <= 0:
        return None
    booking = row.booking
    if row.ended_on is not None and (row.ended_revision == 1 or row.ended_revision >= row.revision):
        booking = replace(booking, ends_on=min(booking.ends_on, row.ended_on - DAY))
    return booking if booking.starts_on <= booking.ends_on else None


def working_days(first: date, last: date) -> int:
    """Mondays to Fridays from ``first`` to ``last``, both included; 0 where there is no day between."""
    days = (last - first).days + 1
    if days <= 0:
        return 0
    weeks, rest = divmod(days, _WEEK)
    return weeks * _WORKING + sum(
        1 for offset in range(rest) if (first.weekday() + offset) % _WEEK < _WORKING
    )
