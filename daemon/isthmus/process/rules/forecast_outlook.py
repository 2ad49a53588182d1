"""What a project's months are expected to bring, and what is still to be earned. Pure.

Nothing here decides how an hour is billed: the line models of billing plan remaining hours as they plan
approved ones, `schedules` and `schedule_entries` know what the calendar bills and when.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import ROUND_FLOOR, Decimal

from isthmus.events.contract import (
    ContractLine,
    FixedFee,
    Milestones,
    Retainer,
    Subscription,
    TimeAndMaterials,
)
from isthmus.events.finance import ScheduledInstallment
from isthmus.events.master import Stage
from isthmus.events.planning import ForecastMonth
from isthmus.events.values import quantum, round_money
from isthmus.process.rules import schedule_entries, schedules
from isthmus.process.rules.amounts import SoFar, fitting, next_amount
from isthmus.process.rules.assigned import Booking, working_days
from isthmus.process.rules.forecast_rows import ZERO, Month, Net, Version
from isthmus.process.rules.models import MODELS, choose_line
from isthmus.process.rules.plan import Plan
from isthmus.process.rules.rows import Terms, Work
from isthmus.process.rules.time_and_materials import HOUR_STEP
from isthmus.process.rules.values import line_value

__all__ = ["Agreed", "Outlook", "Remaining", "Worked", "outlook"]

DAY = timedelta(days=1)
AHEAD_MONTHS = 120
"""Of an assignment so many months count: an end in the year 9999 must not fill the disk."""


@dataclass(frozen=True, kw_only=True)
class Agreed:
    """One contract: its revisions that govern, ascending, and what was billed on it."""

    key: str
    versions: Sequence[Version]
    ended_on: date | None = None
    net: Mapping[str, Net]
    billed: Mapping[str, Decimal]

    @property
    def newest(self) -> Terms:
        return self.versions[-1].terms

    @property
    def ends_on(self) -> date | None:
        """The last day it covers, as agreed or as it was ended."""
        return min((end for end in (self.newest.ends_on, self.ended_on) if end is not None), default=None)

    def covers(self, day: date) -> bool:
        return self.newest.starts_on <= day and (self.ends_on is None or day <= self.ends_on)

    def on(self, day: date) -> Terms:
        """The newest revision in force on ``day``; the first one before that."""
        held = [version for version in self.versions if version.effective_on <= day]
        return (held[-1] if held else self.versions[0]).terms

    def line(self, name: str) -> ContractLine | None:
        """The line in the newest revision that has it: its included hours and caps hold."""
        found = (version.terms.line(name) for version in reversed(self.versions))
        return next((line for line in found if line is not None), None)


@dataclass(frozen=True, kw_only=True)
class Remaining:
    """A booking and the days of it that may still be worked."""

    booking: Booking
    first: date
    last: date


Worked = tuple[date, str, Decimal]
"""Day, service, billable hours approved."""


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """The statement's content."""

    months: list[ForecastMonth]
    backlog: Decimal


@dataclass
class _Tally:
    """One month while it is added up."""

    revenue: Decimal = ZERO
    hours: Decimal = ZERO
    tentative_revenue: Decimal = ZERO
    tentative_hours: Decimal = ZERO
    unpaid_hours: Decimal = ZERO


def outlook(
    contracts: Sequence[Agreed],
    *,
    currency: str,
    stage: Stage,
    charged: Mapping[str, Month],
    remaining: Sequence[Remaining],
    worked: Iterable[Worked],
    achieved: Mapping[str, date],
) -> Outlook:
    """Charges determined, what the schedule will bill, and remaining hours within what caps leave.

    Args:
        contracts: Those in ``currency``, in the order in which they take work.
        worked: Asked for only where a line has hours that are paid already.
        achieved: The day of each achieved milestone.
    """
    months: dict[str, _Tally] = {}
    for name, month in charged.items():
        months[name] = _Tally(revenue=month.revenue, hours=month.hours)
    schedule = {agreed.key: list(_unbilled(agreed, stage, achieved)) for agreed in contracts}
    if stage not in ("on_hold", "cancelled"):
        for entries in schedule.values():
            for entry in entries:
                months.setdefault(_month(entry.due_on), _Tally()).revenue += entry.amount
    if stage in ("planned", "active"):
        room = _Room(contracts, worked)
        slices = _slices(contracts, remaining)
        for tentative in (False, True):
            for day, service, hours in slices[tentative]:
                paid, revenue = room.price(day, service, hours)
                tally = months.setdefault(_month(day), _Tally())
                if tentative:
                    tally.tentative_hours += paid
                    tally.tentative_revenue += revenue
                else:
                    tally.hours += paid
                    tally.revenue += revenue
                    tally.unpaid_hours += hours - paid
    unit = quantum(currency)
    return Outlook(
        months=[
            ForecastMonth(
                month=name,
                revenue=tally.revenue.quantize(unit),
                hours=_hours(tally.hours),
                tentative_revenue=tally.tentative_revenue.quantize(unit),
                tentative_hours=_hours(tally.tentative_hours),
                unpaid_hours=_hours(tally.unpaid_hours),
            )
            for name, tally in sorted(months.items())
        ],
        backlog=sum((_backlog(agreed, stage, schedule[agreed.key]) for agreed in contracts), ZERO).quantize(
            unit
        ),
    )


def _month(day: date) -> str:
    return f"{day:%Y-%m}"


def _hours(hours: Decimal) -> Decimal:
    return hours.quantize(HOUR_STEP)


# What the schedule will bill


def _unbilled(agreed: Agreed, stage: Stage, achieved: Mapping[str, date]) -> Iterator[ScheduledInstallment]:
    """What the newest terms bill on a day that is known and have not billed; nothing after an early end."""
    newest, project = agreed.newest, agreed.versions[-1].project
    terms = schedule_entries.Terms(
        revision=newest.revision,
        project=project,
        currency=newest.currency,
        starts_on=newest.starts_on,
        ends_on=newest.ends_on,
        lines=newest.lines,
    )
    marks = {key: schedule_entries.Mark(net=net) for key, net in agreed.billed.items()}
    found = schedule_entries.entries(
        agreed.key, terms, marks, ended_on=agreed.ended_on, achieved=achieved, stage=stage
    )
    for entry in found:
        if entry.state != "billed" and (agreed.ended_on is None or entry.due_on <= agreed.ended_on):
            yield entry


def _backlog(agreed: Agreed, stage: Stage, unbilled: Sequence[ScheduledInstallment]) -> Decimal:
    """Contract value still to be earned; see "Forecast" in the README."""
    if stage == "cancelled":
        return ZERO
    if agreed.ended_on is not None:
        return sum((entry.amount for entry in unbilled), ZERO)
    total = ZERO
    for line in agreed.newest.lines:
        match line:
            case Retainer() | Subscription():
                if agreed.ends_on is not None or line.ends_on is not None:
                    total += sum((entry.amount for entry in unbilled if entry.line == line.line), ZERO)
            case TimeAndMaterials() if stage == "completed":
                pass
            case TimeAndMaterials() | Milestones() | FixedFee():
                value = line_value(line)
                if value is not None:
                    total += max(value - agreed.net.get(line.line, Net()).amount, ZERO)
    return round_money(total, agreed.newest.currency)


# Remaining hours

_Slice = tuple[date, str, Decimal]
"""First day of a span in which nothing changes, service, hours."""


def _slices(contracts: Sequence[Agreed], remaining: Sequence[Remaining]) -> dict[bool, list[_Slice]]:
    """Remaining hours by span and service, oldest first; tentative ones apart."""
    found: dict[bool, list[_Slice]] = {False: [], True: []}
    bounded = [
        (each.booking, each.first, min(each.last, schedules.add_months(each.first, AHEAD_MONTHS) - DAY))
        for each in remaining
    ]
    if not bounded:
        return found
    first = min(each[1] for each in bounded)
    last = max(each[2] for each in bounded)
    cuts = _spans(contracts, first, last)
    sums: dict[tuple[bool, date, str], Decimal] = {}
    for booking, since, until in bounded:
        for place in range(bisect_right(cuts, since) - 1, len(cuts)):
            begins = cuts[place]
            if begins > until:
                break
            ends = cuts[place + 1] - DAY if place + 1 < len(cuts) else last
            days = working_days(max(since, begins), min(until, ends))
            if days:
                key = (booking.tentative, begins, booking.service)
                sums[key] = sums.get(key, ZERO) + days * booking.hours_per_day
    for (tentative, begins, service), hours in sorted(sums.items()):
        found[tentative].append((begins, service, hours))
    return found


def _spans(contracts: Sequence[Agreed], first: date, last: date) -> list[date]:
    """The first days of the spans in which nothing changes, oldest first."""
    return sorted({first, *(cut for cut in _cuts(contracts, first, last) if first < cut <= last)})


def _cuts(contracts: Sequence[Agreed], first: date, last: date) -> Iterator[date]:
    """The days on which a price, a contract, a lot or the month may change."""
    yield from schedules.months_of(first, last)
    for agreed in contracts:
        yield agreed.newest.starts_on
        if agreed.ends_on is not None and agreed.ends_on < last:
            yield agreed.ends_on + DAY
        for version in agreed.versions:
            yield version.effective_on
            for line in version.terms.lines:
                if not isinstance(line, Retainer):
                    continue
                if line.ends_on is not None and line.ends_on < last:
                    yield line.ends_on + DAY
                for item in schedules.items(
                    agreed.key,
                    line,
                    currency=version.terms.currency,
                    starts_on=version.terms.starts_on,
                    ends_on=None,
                    until=last,
                    after=first,
                ):
                    yield item.starts_on


@dataclass
class _Used:
    """What is taken of a line within its cap."""

    hours: Decimal = ZERO
    amount: Decimal = ZERO


@dataclass
class _Room:
    """What lots and caps leave; pricing takes from it."""

    contracts: Sequence[Agreed]
    worked: Iterable[Worked]
    _lots: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    """Hours used, by contract and lot."""
    _pots: dict[tuple[str, str], _Used] = field(default_factory=dict)
    """By contract and line."""

    def __post_init__(self) -> None:
        for agreed in self.contracts:
            for name, net in agreed.net.items():
                self._pots[agreed.key, name] = _Used(net.hours, net.amount)
        if any(
            _has_lots(line) for agreed in self.contracts for v in agreed.versions for line in v.terms.lines
        ):
            self._use_worked()

    def _use_worked(self) -> None:
        """Approved hours use lots in the order of their days; what was charged used none of a line's own."""
        worked = sorted(self.worked)
        if not worked:
            return
        cuts = _spans(self.contracts, worked[0][0], worked[-1][0])
        spans: dict[tuple[date, str], Decimal] = {}
        for day, service, hours in worked:
            span = cuts[bisect_right(cuts, day) - 1], service
            spans[span] = spans.get(span, ZERO) + hours
        approved: dict[tuple[str, str], Decimal] = {}
        for (day, service), hours in spans.items():
            found = self._plan(day, service, hours)
            if found is None:
                continue
            agreed, plan = found
            if plan.origin == "retainer_overage":
                self._draw(agreed.key, plan, hours)
            elif plan.lots:
                place = (agreed.key, plan.line)
                approved[place] = approved.get(place, ZERO) + hours
        for place, hours in approved.items():
            charged = self._pots.get(place, _Used()).hours
            self._lots[place] = max(hours - charged, ZERO)

    def price(self, day: date, service: str, hours: Decimal) -> tuple[Decimal, Decimal]:
        """Take hours on a day.

        Returns:
            The hours that are charged, and the amount.
        """
        found = self._plan(day, service, hours)
        if found is None:
            return ZERO, ZERO
        agreed, plan = found
        currency = agreed.newest.currency
        rest = hours - self._draw(agreed.key, plan, hours)
        used = self._pots.setdefault((agreed.key, plan.pot), _Used())
        part = rest
        if plan.cap_hours is not None:
            part = min(part, max((plan.cap_hours - used.hours).quantize(HOUR_STEP, ROUND_FLOOR), ZERO))
        if plan.cap_amount is not None:
            left = plan.cap_amount - used.amount
            part = min(part, fitting(SoFar(), part, plan.price, currency, HOUR_STEP, left))
        amount = next_amount(SoFar(), part, plan.price, currency)
        used.hours += part
        used.amount += amount
        over = rest - part
        if over and plan.overage == "bill":
            return rest, amount + next_amount(SoFar(), over, plan.overage_price, currency)
        return part, amount

    def _plan(self, day: date, service: str, hours: Decimal) -> tuple[Agreed, Plan] | None:
        """How billing would take the hours; None where it would not."""
        agreed = next((each for each in self.contracts if each.covers(day)), None)
        if agreed is None:
            return None
        project = agreed.versions[-1].project
        work = Work(origin="time", key="", project=project, done_on=day, quantity=hours, service=service)
        terms = agreed.on(day)
        line = choose_line(terms, work)
        if line is None:
            return None
        plan = MODELS[type(line)].plan(line, agreed.line(line.line), work, terms.currency)
        return (agreed, plan) if isinstance(plan, Plan) else None

    def _draw(self, contract: str, plan: Plan, hours: Decimal) -> Decimal:
        """Use up hours that are paid already; how many of ``hours`` these are."""
        drawn = ZERO
        for lot in plan.lots:
            used = self._lots.get((contract, lot.key), ZERO)
            free = max((lot.hours - used).quantize(HOUR_STEP, ROUND_FLOOR), ZERO)
            part = min(hours - drawn, free)
            self._lots[contract, lot.key] = used + part
            drawn += part
        return drawn


def _has_lots(line: ContractLine) -> bool:
    return isinstance(line, Retainer) or (
        isinstance(line, TimeAndMaterials) and line.included_hours is not None
    )
