"""What the calendar bills: instalments, retainer and subscription periods, milestones in advance. Pure."""

from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from itertools import count
from typing import Literal

from isthmus.events.contract import ContractLine, FixedFee, Milestones, Retainer, Subscription
from isthmus.events.values import round_money

__all__ = ["Item", "add_months", "item_key", "items", "lot_of", "month_end", "months_of", "retainer_lots"]

ScheduledOrigin = Literal["milestone", "installment", "retainer", "subscription"]
DAY = timedelta(days=1)
_STEP = {"month": 1, "quarter": 3, "year": 12}


@dataclass(frozen=True, kw_only=True)
class Item:
    """One amount that a day makes due."""

    origin: ScheduledOrigin
    key: str
    """The charge's ``origin_key``."""
    line: str
    due_on: date
    amount: Decimal
    """In the contract's currency, rounded to its minor digits."""
    starts_on: date
    """First day of what it pays for; with ``ends_on`` the span it is earned in."""
    ends_on: date
    title: str
    """For the explanation: what is billed, and how a part of a period came about."""
    in_advance: bool = False
    """Billed before it is earned, so it is deferred."""


def item_key(contract: str, line: str, part: object) -> str:
    """The key of what a contract line bills by the calendar: its instalment's key, or the first day."""
    return f"{contract}/{line}/{part}"


def items(
    contract: str,
    line: ContractLine,
    *,
    currency: str,
    starts_on: date,
    ends_on: date | None,
    until: date,
    after: date | None = None,
) -> Iterator[Item]:
    """What ``line`` makes due from the day behind ``after`` up to ``until``, in the order of their days.

    Args:
        starts_on: The contract's; a milestone in advance is due then.
        ends_on: The contract's end as it is known now; periods end there. Instalments are agreed amounts
            and stay, whatever their day.
    """
    match line:
        case FixedFee():
            found = _installments(contract, line)
        case Milestones():
            found = _advances(line, starts_on)
        case Retainer():
            found = _retainer(contract, line, ends_on, until, after)
        case Subscription():
            found = _subscription(contract, line, currency, ends_on, until, after)
        case _:
            found = iter(())
    for item in found:
        if item.due_on > until:
            return
        if after is None or item.due_on > after:
            yield item


def add_months(day: date, months: int) -> date:
    """The same day ``months`` later, or the last of that month where it is shorter."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return date(year, month + 1, min(day.day, monthrange(year, month + 1)[1]))


def month_end(day: date) -> date:
    """The last day of the month of ``day``."""
    return day.replace(day=monthrange(day.year, day.month)[1])


def months_of(since: date, until: date) -> Iterator[date]:
    """The first days of the months from that of ``since`` to that of ``until``."""
    month = since.replace(day=1)
    while month <= until:
        yield month
        month = add_months(month, 1)


def retainer_lots(line: Retainer, day: date) -> list[date]:
    """The first days of the periods whose hours work on ``day`` may use, oldest first; none outside."""
    own = lot_of(line, day)
    if own is None:
        return []
    step = _STEP[line.every]
    number = _periods_before(line.starts_on, own, step)
    first = {"none": number, "one_period": max(0, number - 1), "all": 0}[line.rollover]
    return [add_months(line.starts_on, step * n) for n in range(first, number + 1)]


def lot_of(line: Retainer, day: date) -> date | None:
    """The first day of the period ``day`` lies in; None outside the line's span."""
    if day < line.starts_on or (line.ends_on is not None and day > line.ends_on):
        return None
    step = _STEP[line.every]
    return add_months(line.starts_on, step * _periods_before(line.starts_on, day, step))


def _periods_before(anchor: date, day: date, step: int) -> int:
    """How many whole periods lie between ``anchor`` and ``day``, which is not before it."""
    number = ((day.year - anchor.year) * 12 + day.month - anchor.month) // step
    return number - 1 if add_months(anchor, step * number) > day else number


def _installments(contract: str, line: FixedFee) -> Iterator[Item]:
    for part in sorted(line.installments, key=lambda part: part.due_on):
        yield Item(
            origin="installment",
            key=item_key(contract, line.line, part.key),
            line=line.line,
            due_on=part.due_on,
            amount=part.amount,
            starts_on=part.due_on,
            ends_on=part.due_on,
            title=f"instalment {part.key}",
        )


def _advances(line: Milestones, starts_on: date) -> Iterator[Item]:
    for term in line.milestones:
        if term.advance:
            yield Item(
                origin="milestone",
                key=term.milestone,
                line=line.line,
                due_on=starts_on,
                amount=term.amount,
                starts_on=starts_on,
                ends_on=starts_on,
                title=f"milestone {term.title} in advance",
                in_advance=True,
            )


def _retainer(
    contract: str, line: Retainer, ends_on: date | None, until: date, after: date | None
) -> Iterator[Item]:
    step = _STEP[line.every]
    last = _earlier(line.ends_on, ends_on)
    skip = 0 if after is None or after < line.starts_on else _periods_before(line.starts_on, after, step)
    for number in count(skip):
        first = add_months(line.starts_on, step * number)
        if first > until or (last is not None and first > last):
            return
        end = add_months(line.starts_on, step * (number + 1)) - DAY
        end = end if last is None else min(end, last)
        yield Item(
            origin="retainer",
            key=item_key(contract, line.line, first),
            line=line.line,
            due_on=first,
            amount=line.amount,
            starts_on=first,
            ends_on=end,
            title=f"retainer {first} to {end}",
            in_advance=True,
        )


def _subscription(
    contract: str, line: Subscription, currency: str, ends_on: date | None, until: date, after: date | None
) -> Iterator[Item]:
    step = _STEP[line.every]
    last = _earlier(line.ends_on, ends_on)
    period = _aligned(line.starts_on if after is None else max(after, line.starts_on), step)
    while period <= until and (last is None or period <= last):
        end = add_months(period, step) - DAY
        first = max(period, line.starts_on)
        through = end if last is None else min(end, last)
        if first <= through:
            days, whole = (through - first).days + 1, (end - period).days + 1
            title = f"subscription {first} to {through}"
            amount = line.amount
            if days < whole:
                amount = round_money(line.amount * days / whole, currency)
                title += f", {days} of {whole} days of {line.amount} {currency}"
            yield Item(
                origin="subscription",
                key=item_key(contract, line.line, first),
                line=line.line,
                due_on=first if line.in_advance else through,
                amount=amount,
                starts_on=first,
                ends_on=through,
                title=title,
                in_advance=line.in_advance,
            )
        period = add_months(period, step)


def _aligned(day: date, step: int) -> date:
    return date(day.year, (day.month - 1) // step * step + 1, 1)


def _earlier(one: date | None, other: date | None) -> date | None:
    known = [day for day in (one, other) if day is not None]
    return min(known) if known else None
