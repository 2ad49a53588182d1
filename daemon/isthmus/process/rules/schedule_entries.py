"""A contract's billing schedule as its terms, its charges and its project's stage make it. Pure."""

from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal

import msgspec

from isthmus.events.contract import ContractLine, FixedFee, Milestones, MilestoneTerm, Retainer, Subscription
from isthmus.events.finance import ScheduledInstallment
from isthmus.events.master import Stage
from isthmus.events.values import Amount, Currency, Key
from isthmus.process.rules import schedules

__all__ = ["SCHEDULED_ORIGINS", "Mark", "Terms", "entries"]

ZERO = Decimal(0)
SCHEDULED_ORIGINS = frozenset({"milestone", "installment", "retainer", "subscription"})
AHEAD = 12
"""Periods shown behind the last one billing knows of, where a line has no end."""
AHEAD_MAX = 120
"""The same where it has one: an end in the year 9999 must not fill the disk."""


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """What billing said of one scheduled amount."""

    line: str | None = None
    due_on: date | None = None
    """The day its charge was earned on; None while nothing was charged."""
    net: Amount = ZERO
    held: bool = False


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """As much of one contract revision as its schedule needs."""

    revision: int
    project: Key
    currency: Currency
    starts_on: date
    ends_on: date | None
    lines: list[ContractLine]


def entries(
    contract: str,
    terms: Terms,
    marks: Mapping[str, Mark],
    *,
    ended_on: date | None = None,
    achieved: Mapping[str, date] | None = None,
    stage: Stage = "planned",
    held: bool = False,
) -> list[ScheduledInstallment]:
    """Every amount the contract bills on a day that is known, in the order of these days.

    What was billed stays, also where later terms dropped it. A milestone without a day is left out until it
    is achieved.

    Args:
        marks: What billing said, by the charge's ``origin_key``.
        ended_on: When the contract was ended, if it was.
        achieved: The day of each achieved milestone.
        held: The terms themselves are held, so nothing of them is billed.
    """
    found: dict[str, ScheduledInstallment] = {}
    for line, key, due_on, amount in _planned(contract, terms, marks, ended_on, achieved or {}):
        mark = marks.get(key, Mark())
        billed = mark.net > 0
        found[key] = ScheduledInstallment(
            key=key,
            line=line,
            due_on=due_on,
            amount=mark.net if billed else amount,
            state="billed" if billed else _state(stage, held or mark.held),
        )
    for key, mark in marks.items():
        if key not in found and mark.net > 0 and mark.due_on is not None:
            found[key] = ScheduledInstallment(
                key=key, line=mark.line, due_on=mark.due_on, amount=mark.net, state="billed"
            )
    return sorted(found.values(), key=lambda entry: (entry.due_on, entry.line or "", entry.key))


def _state(stage: Stage, held: bool) -> str:
    """The state of what is not billed yet."""
    if stage == "on_hold":
        return "paused"
    if stage == "cancelled":
        return "cancelled"
    return "held" if held else "planned"


_Planned = tuple[str, str, date, Decimal]
"""Line, key, day, amount."""


def _planned(
    contract: str,
    terms: Terms,
    marks: Mapping[str, Mark],
    ended_on: date | None,
    achieved: Mapping[str, date],
) -> Iterator[_Planned]:
    for line in terms.lines:
        match line:
            case Milestones():
                for term in line.milestones:
                    due_on = _milestone_day(term, terms, achieved.get(term.milestone), marks)
                    if due_on is not None:
                        yield line.line, term.milestone, due_on, term.amount
            case FixedFee() | Retainer() | Subscription():
                yield from _by_calendar(contract, line, terms, marks, ended_on)


def _milestone_day(
    term: MilestoneTerm, terms: Terms, achieved_on: date | None, marks: Mapping[str, Mark]
) -> date | None:
    done_on = achieved_on or marks.get(term.milestone, Mark()).due_on
    if term.advance:
        return min(terms.starts_on, done_on or terms.starts_on)
    return done_on or term.planned_on


def _by_calendar(
    contract: str,
    line: FixedFee | Retainer | Subscription,
    terms: Terms,
    marks: Mapping[str, Mark],
    ended_on: date | None,
) -> Iterator[_Planned]:
    """Instalments, and periods up to their end; without an end, the next ones."""
    ends = [end for end in (terms.ends_on, ended_on) if end is not None]
    open_ended = not ends and not isinstance(line, FixedFee) and line.ends_on is None
    most, ahead = AHEAD if open_ended else AHEAD_MAX, 0
    for item in schedules.items(
        contract,
        line,
        currency=terms.currency,
        starts_on=terms.starts_on,
        ends_on=min(ends, default=None),
        until=date.max,
    ):
        ahead = 0 if item.key in marks else ahead + 1
        if ahead > most and not isinstance(line, FixedFee):
            return
        yield line.line, item.key, item.due_on, item.amount
