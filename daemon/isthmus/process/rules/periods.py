"""Closed accounting periods of an entity's receivables, found by day."""

from datetime import date, timedelta

import msgspec

from isthmus.events.finance import PeriodClosed, PeriodReopened
from isthmus.process.face import States


class ClosedPeriod(msgspec.Struct, frozen=True, kw_only=True):
    """One closed period; both days are in it."""

    period: str
    starts_on: date
    ends_on: date


class ClosedMonth(msgspec.Struct, frozen=True, kw_only=True):
    """The closed periods that reach into one calendar month."""

    periods: list[ClosedPeriod] = []


class PeriodStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The newest word about one period."""

    revision: int
    closed: ClosedPeriod | None


def record(event: PeriodClosed | PeriodReopened, states: States) -> bool:
    """Keep what the ledger says; False when it concerns payables only, is stale, or changes nothing."""
    if event.ledger == "ap":
        return False
    key = f"period:{event.entity}:{event.period}"
    status = states.get(key, PeriodStatus) or PeriodStatus(revision=0, closed=None)
    if event.revision < status.revision:
        return False
    closed = None
    if isinstance(event, PeriodClosed):
        closed = ClosedPeriod(period=event.period, starts_on=event.starts_on, ends_on=event.ends_on)
    states.put(key, PeriodStatus(revision=event.revision, closed=closed))
    if closed == status.closed:
        return False
    if status.closed is not None:
        for month in _months(status.closed):
            row = states.get(_month_key(event.entity, month), ClosedMonth) or ClosedMonth()
            kept = [other for other in row.periods if other.period != event.period]
            states.put(_month_key(event.entity, month), ClosedMonth(periods=kept))
    if closed is not None:
        for month in _months(closed):
            row = states.get(_month_key(event.entity, month), ClosedMonth) or ClosedMonth()
            states.put(_month_key(event.entity, month), ClosedMonth(periods=[*row.periods, closed]))
    return True


def closed_on(entity: str, day: date, states: States) -> ClosedPeriod | None:
    """The closed period ``day`` lies in; None where its period is open."""
    row = states.get(_month_key(entity, day), ClosedMonth)
    for closed in row.periods if row else ():
        if closed.starts_on <= day <= closed.ends_on:
            return closed
    return None


def first_open_day(entity: str, day: date, states: States) -> date:
    """``day`` when its period is open, else the first day of the first open period after it."""
    while (closed := closed_on(entity, day, states)) is not None:
        day = closed.ends_on + timedelta(days=1)
    return day


def _months(closed: ClosedPeriod) -> list[date]:
    month, months = closed.starts_on.replace(day=1), []
    while month <= closed.ends_on:
        months.append(month)
        month = (month + timedelta(days=31)).replace(day=1)
    return months


def _month_key(entity: str, day: date) -> str:
    return f"closed:{entity}:{day:%Y-%m}"
