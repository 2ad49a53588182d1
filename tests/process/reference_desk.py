"""The desk of the slow reference: one piece of work after the other, by sums over everything there is."""

from dataclasses import dataclass, field
from datetime import date, timedelta
from fractions import Fraction
from typing import Any, NamedTuple

from tests.process import reference_calendar as days_of

Json = dict[str, Any]
MINOR = {"JPY": 0, "EUR": 2, "KWD": 3}
CALENDAR = ("installment", "retainer", "subscription")
TIMED = ("time_and_materials", "retainer")


def half_up(number: Fraction) -> int:
    whole = int(abs(number) + Fraction(1, 2))
    return whole if number >= 0 else -whole


def minor(text: str, currency: str) -> Fraction:
    return Fraction(text) * Fraction(10 ** MINOR[currency])


class Work(NamedTuple):
    """What is to be billed. ``size``: hundredths of an hour, an expense before mark-up, minor units, or 1."""

    project: str
    day: date
    size: Fraction
    billable: bool = True
    service: str = ""
    money: tuple[str, str] = ("", "0")
    also: tuple[str, ...] = ()
    contract: str = ""
    line: str = ""
    advance: bool = False
    first: date | None = None
    last: date | None = None


@dataclass
class Part:
    """A piece of an item that is charged."""

    contract: str
    line: str
    size: int
    price: Fraction
    rate: Fraction
    amount: int
    posted: date
    pot: str | None
    stands: bool = True


@dataclass
class Item:
    """A time entry, an expense, a milestone, or what the calendar made due."""

    origin: str
    key: str
    revision: int = 0
    work: Work | None = None
    parts: list[Part] = field(default_factory=list)
    included: list[tuple[str, str, int]] = field(default_factory=list)
    written_off: int = 0
    settled: bool = False
    change: tuple[Work | None] | None = None
    """A correction that waits, and for which period and contract."""
    waits_for: tuple[str, str] = ("", "")
    hold: str | None = None
    """The reason it waits; which, and since when, does not matter to money."""
    seen: set[str] = field(default_factory=set)
    """Every reason it had since it was determined last."""
    achieved: date | None = None
    spread: list[Any] | None = None
    """Of what is billed in advance: contract, amount, released, first, last."""
    story: list[tuple[Part, int, date, int | None]] = field(default_factory=list)
    """Every charge and reversal in order: the part, its sign, its day, and the place of what it cancels."""

    def standing(self) -> list[Part]:
        return [part for part in self.parts if part.stands]

    def touches(self) -> bool:
        return bool(self.standing() or self.included)


class Desk:
    """Judges, bills and takes back; it remembers nothing but what stands."""

    def __init__(self) -> None:
        self.items: dict[str, Item] = {}
        self.projects: dict[str, Json] = {}
        self.contracts: dict[str, Json] = {}
        self.closed: dict[str, tuple[date, date]] = {}
        self.seen: dict[str, int] = {}
        self.ticks: dict[str, date] = {}
        self.mapping: Json | None = None
        self.net: dict[tuple[str, str, date], int] = {}
        self.waived: list[tuple[str, str, Fraction]] = []

    def reverse(self, item: Item, part: Part) -> None:
        part.stands = False
        posted = self.open_day(part.posted)
        item.story.append((part, -1, posted, None))
        self.post(item.key, part.line, posted, -part.amount)
        item.spread = None

    def say_again(self, item: Item, part: Part, nth: int, posted: date) -> None:
        """A reversal was not sent: cancelled where it was, said again on an open day."""
        item.story.append((part, 1, posted, nth))
        self.post(item.key, part.line, posted, part.amount)
        again = self.open_day(part.posted)
        item.story.append((part, -1, again, None))
        self.post(item.key, part.line, again, -part.amount)

    def post(self, key: str, line: str, posted: date, amount: int) -> None:
        place = key, line, posted
        self.net[place] = self.net.get(place, 0) + amount

    # Determining

    def rest(self, item: Item) -> int:
        """How much of it is not determined."""
        assert item.work is not None
        done = sum(hours for *_, hours in item.included) + item.written_off
        return self.whole(item) - done - sum(part.size for part in item.standing())

    def whole(self, item: Item, instead: Work | None = None) -> int:
        work = instead or item.work
        assert work is not None
        if item.origin != "expense":
            return int(work.size)
        marked_up = work.size * (1 + Fraction(work.money[1]) / 100)
        return half_up(marked_up * 10 ** MINOR.get(work.money[0], 2))

    def determine(self, item: Item) -> None:
        work = item.work
        assert work is not None
        verdict = self.judge(item, work)
        if verdict[0] == "not_billable":
            whole = work.size if item.origin == "expense" else work.size / 100
            self.waived.append((item.key, "not_billable", whole))
            item.settled, item.hold, item.seen = True, None, set()
            item.written_off = self.whole(item)
            return
        if verdict[0] != "ready":
            item.hold = verdict[0]
            item.seen.add(verdict[0])
            return
        _, name, terms, line, bounds, posted = verdict
        self.bill(item, work, name, terms, line, bounds, posted)

    def bill(
        self, item: Item, work: Work, name: str, terms: Json, line: Json, bounds: Json, posted: date
    ) -> None:
        currency = terms["currency"]
        if item.origin == "milestone" or item.origin in CALENDAR:
            amount, advance = int(work.size), work.advance
            if not work.contract:
                found = next(term for term in line["milestones"] if term["milestone"] == item.key)
                amount, advance = int(minor(found["amount"], currency)), found.get("advance", False)
            part = Part(
                name, line["line"], int(work.size), Fraction(amount), Fraction(0), amount, posted, None
            )
            if amount:
                self.charge(item, part)
            if amount and advance:
                item.spread = [name, amount, 0, work.first, work.last]
            item.settled, item.hold, item.seen = True, None, set()
            return
        rate = Fraction(1) if item.origin == "expense" else self.rate(line, work, currency)
        assert rate is not None
        over, overage = rate, line.get("overage", "hold")
        if line["model"] == "retainer":
            overage = "bill"
        elif item.origin == "time" and line.get("overage_rate"):
            over = minor(line["overage_rate"], currency)
        if item.origin == "time":
            self.include(item, work, name, line, bounds)
        pot = "hours" if item.origin == "time" else "expenses"
        if line["model"] == "time_and_materials" and self.rest(item):
            fits = self.fits(item, name, line["line"], bounds, rate, currency)
            if fits:
                self.charge(item, self.part(item, name, line, fits, rate, rate, posted, pot))
        rest = self.rest(item)
        if rest and overage == "hold":
            item.hold = "cap_reached"
            item.seen.add("cap_reached")
            return
        if rest and overage == "bill":
            self.charge(item, self.part(item, name, line, rest, over, rate, posted, None))
        elif rest:
            item.written_off += rest
            unit = 100 if item.origin == "time" else 10 ** MINOR[currency]
            self.waived.append((item.key, "over_cap", Fraction(rest, unit)))
        item.settled, item.hold, item.seen = True, None, set()

    def include(self, item: Item, work: Work, name: str, line: Json, bounds: Json) -> None:
        if line["model"] == "retainer":
            lots = [f"{line['line']}@{first}" for first in days_of.lots(bounds, work.day)]
        else:
            lots = [line["line"]] if bounds.get("included_hours") else []
        taken = 0
        for lot in lots:
            used = sum(
                hours
                for other in self.items.values()
                for contract, where, hours in other.included
                if (contract, where) == (name, lot)
            )
            part = min(self.rest(item), int(Fraction(bounds["included_hours"]) * 100) - used)
            if part > 0:
                item.included.append((name, lot, part))
                taken += part
        if taken:
            self.waived.append((item.key, "included", Fraction(taken, 100)))

    def fits(self, item: Item, name: str, line: str, bounds: Json, rate: Fraction, currency: str) -> int:
        """The largest piece of the rest that no cap forbids, found by halving."""
        piece = self.rest(item)
        if item.origin == "expense":
            cap = bounds.get("expense_cap")
            if cap is None or piece < 0:
                return piece
            return max(0, min(piece, int(minor(cap, currency)) - self.total(name, line, "expenses")))
        if bounds.get("cap_hours") is not None:
            used = sum(part.size for part in self.inside(name, line, "hours"))
            piece = min(piece, int(Fraction(bounds["cap_hours"]) * 100) - used)
        if bounds.get("cap_amount") is not None:
            left = minor(bounds["cap_amount"], currency) - self.total(name, line, "hours")
            if left <= 0:
                return 0
            same = self.same(item, name, line, rate)
            size, amount = sum(part.size for part in same), sum(part.amount for part in same)
            low, high = 0, max(0, piece)
            while low < high:
                middle = (low + high + 1) // 2
                fits = half_up((size + middle) * rate / 100) - amount <= left
                low, high = (middle, high) if fits else (low, middle - 1)
            return low
        return max(0, piece)

    def part(
        self,
        item: Item,
        name: str,
        line: Json,
        size: int,
        price: Fraction,
        rate: Fraction,
        posted: date,
        pot: str | None,
    ) -> Part:
        amount = size
        if item.origin == "time":
            same = self.same(item, name, line["line"], price)
            hours = sum(part.size for part in same) + size
            amount = half_up(hours * price / 100) - sum(part.amount for part in same)
        return Part(name, line["line"], size, price, rate, amount, posted, pot)

    def same(self, item: Item, name: str, line: str, price: Fraction) -> list[Part]:
        return [
            part for part in item.standing() if (part.contract, part.line, part.price) == (name, line, price)
        ]

    def charge(self, item: Item, part: Part) -> None:
        item.parts.append(part)
        item.story.append((part, 1, part.posted, None))
        self.post(item.key, part.line, part.posted, part.amount)

    # Looking up

    def judge(self, item: Item, work: Work) -> tuple[Any, ...]:
        """Every check in the order of the manual: the reason, or all that billing needs."""
        project = self.projects.get(work.project)
        if project is None or not project["known"]:
            return ("no_project",)
        names = [work.contract] if work.contract else project["contracts"]
        names = [name for name in names if self.contracts[name]["terms"]]
        if not names:
            return ("no_contract",)
        outside = [self.outside(name, item.origin, work.day) for name in names]
        if "" not in outside:
            return (outside[-1],)
        name = names[outside.index("")]
        if not work.billable:
            return ("not_billable",)
        terms = self.in_force(name, work.day)
        line = self.pick(item, work, terms) or self.older(item, work, name)
        if line is None:
            return ("no_line",)
        if item.origin == "time" and self.rate(line, work, terms["currency"]) is None:
            return ("no_rate",)
        if item.origin == "expense" and work.money[0] != terms["currency"]:
            return ("currency_mismatch",)
        if item.origin == "time" and work.size > 2400:
            return ("out_of_range",)
        if self.mapping and (self.mapping["services"] or self.mapping["origins"]):
            table, row = ("services", work.service) if item.origin == "time" else ("origins", item.origin)
            if row not in self.mapping[table]:
                return ("no_mapping",)
        if item.origin not in ("time", "expense") and project["stage"] in ("on_hold", "cancelled"):
            return ("project_" + project["stage"],)
        if self.period(work.day) and self.policy(name) == "hold":
            return ("period_closed", name)
        return "ready", name, terms, line, self.newest(name, line["line"]) or line, self.open_day(work.day)

    def outside(self, name: str, origin: str, when: date) -> str:
        contract = self.contracts[name]
        if origin == "installment":
            return "contract_ended" if contract["ended"] and when > contract["ended"] else ""
        if when < day(contract["terms"][-1]["starts_on"]):
            return "contract_not_started"
        end = self.end(name)
        return "contract_ended" if end and when > end else ""

    def pick(self, item: Item, work: Work, terms: Json) -> Json | None:
        if item.origin in CALENDAR:
            return next((line for line in terms["lines"] if line["line"] == work.line), None)
        if item.origin == "milestone":
            return next((line for line in terms["lines"] if lists(line, item.key)), None)
        if item.origin == "expense":
            return next((line for line in terms["lines"] if line.get("expenses")), None)
        timed = [line for line in terms["lines"] if line["model"] in TIMED]
        open_now = [line for line in timed if line["model"] != "retainer" or days_of.lots(line, work.day)]
        named = [line for line in open_now if work.service in (line.get("services") or [])]
        return next(iter(named + [line for line in open_now if line.get("services") is None]), None)

    def older(self, item: Item, work: Work, name: str) -> Json | None:
        line = self.newest(name, work.line)
        fits = line is not None and (item.origin != "milestone" or lists(line, item.key))
        return line if fits else None

    def rate(self, line: Json, work: Work, currency: str) -> Fraction | None:
        if line["model"] == "retainer":
            return minor(line["overage_rate"], currency)
        if line["model"] != "time_and_materials":
            return None
        text = line.get("rates", {}).get(work.service) or line.get("default_rate")
        return minor(text, currency) if text else None

    def in_force(self, name: str, when: date) -> Json:
        terms: list[Json] = self.contracts[name]["terms"]
        return next((each for each in reversed(terms) if each["since"] <= when), terms[0])

    def newest(self, name: str, line: str) -> Json | None:
        for terms in reversed(self.contracts[name]["terms"]):
            for found in terms["lines"]:
                if found["line"] == line:
                    return dict(found)
        return None

    def inside(self, name: str, line: str, pot: str) -> list[Part]:
        return [
            part
            for item in self.items.values()
            for part in item.parts
            if part.stands and (part.contract, part.line, part.pot) == (name, line, pot)
        ]

    def total(self, name: str, line: str, pot: str) -> int:
        return sum(part.amount for part in self.inside(name, line, pot))

    def end(self, name: str) -> date | None:
        contract = self.contracts[name]
        agreed = contract["terms"][-1].get("ends_on")
        known = [each for each in (agreed and day(agreed), contract["ended"]) if each]
        return min(known, default=None)

    def today(self, name: str) -> date | None:
        zone = self.contracts[name]["terms"][-1]["time_zone"]
        known = [self.ticks[each] for each in ("", zone) if each in self.ticks]
        return max(known, default=None)

    def policy(self, name: str) -> str:
        return self.contracts[name]["terms"][-1].get("period_policy") or "hold"

    def period(self, when: date) -> str:
        return next((name for name, (first, last) in self.closed.items() if first <= when <= last), "")

    def open_day(self, when: date) -> date:
        while self.period(when):
            when += timedelta(days=1)
        return when

    def project(self, key: str) -> Json:
        return self.projects.setdefault(key, {"known": False, "contracts": [], "stage": "planned"})

    def contract(self, key: str) -> Json:
        return self.contracts.setdefault(key, {"terms": [], "waits": None, "why": "", "ended": None})

    def tie(self, project: str, contract: str) -> None:
        if contract not in self.project(project)["contracts"]:
            self.project(project)["contracts"].append(contract)

    # Revenue

    def earn(self) -> None:
        """Release what month ends have earned; a closed one, under ``hold``, goes with a later one."""
        for item in self.items.values():
            if item.spread is None:
                continue
            name, amount, released, first, last = item.spread
            if first is None:
                ends = [item.achieved] if item.achieved else []
            else:
                today = self.today(name)
                ends = days_of.month_ends(first, today) if today else []
            for end in ends:
                if self.period(end) and self.policy(name) == "hold":
                    continue
                share = days_of.share(first, last, end) if first else Fraction(1)
                released = max(released, half_up(amount * share))
            item.spread[2] = released


def day(text: str) -> date:
    return date.fromisoformat(text)


def lists(line: Json, milestone: str) -> bool:
    return any(term["milestone"] == milestone for term in line.get("milestones", []))
