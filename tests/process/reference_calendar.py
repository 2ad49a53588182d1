"""What a contract line makes due, found by walking through the days one after the other."""

from calendar import isleap
from collections.abc import Iterator
from datetime import date, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Any

DAY = timedelta(days=1)
MONTHS = {"month": 1, "quarter": 3, "year": 12}
Due = tuple[str, date, date, date, str, Fraction]
"""Key, due day, first and last day of what it pays for, amount as agreed, and the share of it."""


def due(contract: str, line: dict[str, Any], starts_on: date, ends_on: date | None, today: date) -> list[Due]:
    """All that is due up to ``today``."""
    name = line["line"]
    if line["model"] == "fixed_fee":
        found = [
            (f"{contract}/{name}/{part['key']}", day(part["due_on"]), part["amount"])
            for part in line["installments"]
        ]
        return [(key, on, on, on, text, Fraction(1)) for key, on, text in found if on <= today]
    if line["model"] == "milestone":
        advance = [term for term in line["milestones"] if term.get("advance")]
        found = [(term["milestone"], starts_on, term["amount"]) for term in advance]
        return [(key, on, on, on, text, Fraction(1)) for key, on, text in found if on <= today]
    if line["model"] not in ("retainer", "subscription"):
        return []
    ends = [each for each in (line.get("ends_on") and day(line["ends_on"]), ends_on) if each]
    end = min(ends, default=None)
    spans = retained(line, today) if line["model"] == "retainer" else subscribed(line, today)
    parts = []
    for first, last, whole in spans:
        through = last if end is None else min(end, last)
        if first > through:
            continue
        share = Fraction(1)
        if line["model"] == "subscription":
            share = Fraction((through - first).days + 1, whole)
        arrears = line["model"] == "subscription" and not line.get("in_advance", True)
        on = through if arrears else first
        if on <= today:
            parts.append((f"{contract}/{name}/{first}", on, first, through, line["amount"], share))
    return parts


def retained(line: dict[str, Any], today: date) -> Iterator[tuple[date, date, int]]:
    """Periods from the anchor, on its day of the month or the last of a shorter one."""
    firsts: list[date] = []
    when = anchor = day(line["starts_on"])
    while len(firsts) < 2 or firsts[-2] <= today:
        if begins(anchor, when, MONTHS[line["every"]]):
            firsts.append(when)
        when += DAY
    for first, after in pairwise(firsts):
        yield first, after - DAY, 0


def begins(anchor: date, when: date, step: int) -> bool:
    months = (when.year - anchor.year) * 12 + when.month - anchor.month
    return months % step == 0 and when.day == min(anchor.day, length(when))


def subscribed(line: dict[str, Any], today: date) -> Iterator[tuple[date, date, int]]:
    """Calendar months, quarters or years; the first one from the day it starts."""
    when, first = day(line["starts_on"]), day(line["starts_on"])
    step = MONTHS[line["every"]]
    while first <= today:
        if part_of(when + DAY, step) != part_of(when, step):
            whole, back = 1, when
            while part_of(back - DAY, step) == part_of(when, step):
                whole, back = whole + 1, back - DAY
            yield first, when, whole
            first = when + DAY
        when += DAY


def part_of(when: date, step: int) -> tuple[int, int]:
    return when.year, (when.month - 1) // step


def length(when: date) -> int:
    if when.month == 2:
        return 29 if isleap(when.year) else 28
    return 30 if when.month in (4, 6, 9, 11) else 31


def lots(line: dict[str, Any], when: date) -> list[date]:
    """The periods whose hours work on a day may use, oldest first; none outside the retainer's span."""
    if when < day(line["starts_on"]) or (line.get("ends_on") and when > day(line["ends_on"])):
        return []
    firsts = [first for first, _, _ in retained(line, when) if first <= when]
    return firsts[{"none": -1, "one_period": -2, "all": 0}[line.get("rollover", "none")] :]


def month_ends(since: date, until: date) -> list[date]:
    found, when = [], since
    while when <= until:
        if (when + DAY).day == 1:
            found.append(when)
        when += DAY
    return found


def share(first: date, last: date, until: date) -> Fraction:
    """How much of a span has passed when a day ends."""
    return Fraction((min(until, last) - first).days + 1, (last - first).days + 1)


def day(text: str) -> date:
    return date.fromisoformat(text)
