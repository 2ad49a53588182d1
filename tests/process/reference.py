"""The contract engine a second time, as slow and plain as it can be: what the rules are measured against.

It shares no code with the daemon. A fact is the JSON object of the log; hours are whole hundredths, money is
whole minor units, prices are fractions. There are no queues and no running totals: every total is summed
over all parts whenever it is asked for, and after every fact every hold is looked at, oldest first, again
and again until nothing moves. What the calendar makes due is counted day by day (`reference_calendar.py`).
"""

from copy import deepcopy
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


class Reference:
    """Takes facts; `net`, `held` and `balances` say what follows."""

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

    # What is asked

    def held(self) -> dict[str, tuple[set[str], int | None]]:
        """By key: the reasons it may name, and the hours that wait."""
        found: dict[str, tuple[set[str], int | None]] = {}
        for key, item in self.items.items():
            if item.hold is not None:
                hours = self.rest(item) if item.change is None else None
                if item.change is not None and item.change[0] is not None:
                    hours = int(item.change[0].size)
                found[key] = (item.seen, hours if item.origin == "time" else None)
        for key, contract in self.contracts.items():
            if contract["waits"] is not None:
                found[key] = ({contract["why"]}, None)
        return found

    def balances(self) -> dict[str, int]:
        return {
            key: item.spread[1] - item.spread[2]
            for key, item in self.items.items()
            if item.spread is not None
        }

    def pots(self) -> list[tuple[str, int, Fraction]]:
        """Every capped total: its name, what stands in it, and its cap."""
        found = []
        for name, contract in self.contracts.items():
            for line in {line["line"] for terms in contract["terms"] for line in terms["lines"]}:
                cap = self.newest(name, line) or {}
                currency = contract["terms"][-1]["currency"] if contract["terms"] else "EUR"
                for pot, bound in (("hours", "cap_amount"), ("expenses", "expense_cap")):
                    if cap.get(bound) is not None:
                        amount = self.total(name, line, pot)
                        found.append((f"{line} {bound}", amount, minor(cap[bound], currency)))
                if cap.get("cap_hours") is not None:
                    size = sum(part.size for part in self.inside(name, line, "hours"))
                    found.append((f"{line} cap_hours", size, Fraction(cap["cap_hours"]) * 100))
        return found

    # What is told

    def take(self, fact: Json) -> None:
        self.waived = []
        kind = fact["type"].partition("/")[0].replace(".", "_")
        getattr(self, f"on_{kind}")(fact)
        self.look_again()
        for name in list(self.contracts):
            self.try_waiting_terms(name)
        self.earn()

    def is_news(self, key: str, revision: int) -> bool:
        if revision <= self.seen.get(key, 0):
            return False
        self.seen[key] = revision
        return True

    def on_project_created(self, fact: Json) -> None:
        project = self.project(fact["project"])
        project["known"] = True
        if fact.get("contract"):
            self.contract(fact["contract"])
            self.tie(fact["project"], fact["contract"])

    def on_project_stage_changed(self, fact: Json) -> None:
        if self.is_news("stage " + fact["project"], fact["revision"]):
            self.project(fact["project"])["stage"] = fact["stage"]

    def on_dimensions_revised(self, fact: Json) -> None:
        if self.is_news("mapping", fact["revision"]):
            self.mapping = fact

    def on_period_closed(self, fact: Json) -> None:
        if fact["ledger"] != "ap" and fact["revision"] >= self.seen.get("period " + fact["period"], 0):
            self.seen["period " + fact["period"]] = fact["revision"]
            self.closed[fact["period"]] = (day(fact["starts_on"]), day(fact["ends_on"]))

    def on_period_reopened(self, fact: Json) -> None:
        if fact["ledger"] == "ap" or fact["revision"] < self.seen.get("period " + fact["period"], 0):
            return
        self.seen["period " + fact["period"]] = fact["revision"]
        if self.closed.pop(fact["period"], None) is not None:
            self.carry_out({}, period=fact["period"])

    def on_calendar_ticked(self, fact: Json) -> None:
        zone = fact.get("time_zone") or ""
        self.ticks[zone] = max(day(fact["day"]), self.ticks.get(zone, date.min))
        for name, contract in self.contracts.items():
            if contract["terms"]:
                self.make_due(name)

    def on_time_approved(self, fact: Json) -> None:
        work = Work(
            fact["project"],
            day(fact["worked_on"]),
            Fraction(fact["hours"]) * 100,
            fact["billable"],
            fact["service"],
            also=(fact["resource"],),
        )
        self.revise("time", fact["entry"], fact["revision"], work)

    def on_time_unapproved(self, fact: Json) -> None:
        self.revise("time", fact["entry"], fact["revision"], None)

    def on_expense_validated(self, fact: Json) -> None:
        work = Work(
            fact["project"],
            day(fact["spent_on"]),
            Fraction(fact["amount"]),
            fact["billable"],
            money=(fact["currency"], fact.get("markup_pct") or "0"),
            also=(fact["resource"], fact["category"]),
        )
        self.revise("expense", fact["expense"], fact["revision"], work)

    def on_expense_withdrawn(self, fact: Json) -> None:
        self.revise("expense", fact["expense"], fact["revision"], None)

    def on_milestone_achieved(self, fact: Json) -> None:
        work = Work(fact["project"], day(fact["achieved_on"]), Fraction(1))
        self.revise("milestone", fact["milestone"], fact["revision"], work)

    def on_milestone_reopened(self, fact: Json) -> None:
        self.revise("milestone", fact["milestone"], fact["revision"], None)

    def revise(self, origin: str, key: str, revision: int, work: Work | None) -> None:
        item = self.items.setdefault(key, Item(origin, key))
        if revision <= item.revision:
            return
        item.revision = revision
        if origin == "milestone":
            item.achieved = work.day if work is not None else None
            if item.work is not None and item.work.advance:
                if work is None and item.spread is not None:
                    item.spread[2] = 0
                return
        if work is not None and work == item.work:
            # Equal content moves nothing; a correction that waited is taken back, a re-rating is not.
            if item.change is not None:
                if self.differs(item):
                    self.carry_out({key: work})
                else:
                    self.drop_change(item)
        else:
            self.carry_out({key: work})

    def on_charge_overtaken(self, fact: Json) -> None:
        """``nth`` of the item's charges and reversals was not sent."""
        item = self.items.get(fact["origin_key"])
        if item is None:
            return
        part, sign, posted, cancels = item.story[fact["nth"]]
        if sign < 0 and all(place != fact["nth"] for *_, place in item.story):
            self.say_again(item, part, fact["nth"], posted)
        elif sign > 0 and cancels is None and part.stands:
            self.reverse(item, part)
            item.settled = False
            if item.change is not None and not item.touches():
                self.carry_out({item.key: item.change[0]})
            elif item.change is None and item.work is not None:
                self.determine(item)

    # Contracts

    def on_contract_signed(self, fact: Json) -> None:
        contract = self.contract(fact["contract"])
        newest = max(
            [terms["revision"] for terms in [*contract["terms"], contract["waits"] or {"revision": 0}]]
        )
        if fact["revision"] <= newest:
            return
        why = self.contradiction(contract, fact) or self.govern(fact)
        contract = self.contracts[fact["contract"]]
        contract["waits"], contract["why"] = (fact, why) if why else (None, "")

    on_contract_amended = on_contract_signed

    def contradiction(self, contract: Json, fact: Json) -> str:
        named = [
            service
            for line in fact["lines"]
            if line["model"] in TIMED
            for service in set(line.get("services") or [])
        ]
        if len(named) != len(set(named)):
            return "bad_terms"
        changed = contract["terms"] and contract["terms"][-1]["currency"] != fact["currency"]
        return "bad_terms" if changed else ""

    def govern(self, fact: Json) -> str:
        """Let terms govern, and take all of it back when a cap of theirs lies under what is determined."""
        before = deepcopy(self.__dict__)
        name = fact["contract"]
        contract = self.contract(name)
        old = contract["terms"][-1].get("period_policy") if contract["terms"] else None
        since = day(
            fact["effective_on"] if contract["terms"] and "effective_on" in fact else fact["starts_on"]
        )
        contract["terms"].append({**fact, "since": since})
        self.tie(fact["project"], name)
        changed = self.policy(name) != (old or "hold") and len(contract["terms"]) > 1
        self.recheck(name, policy=changed)
        self.make_due(name)
        self.look_again()
        if any(amount > cap for _, amount, cap in self.pots()):
            self.__dict__.clear()
            self.__dict__.update(before)
            return "cap_below_billed"
        return ""

    def try_waiting_terms(self, name: str) -> None:
        contract = self.contracts[name]
        if contract["why"] == "cap_below_billed" and not self.govern(contract["waits"]):
            self.contracts[name]["waits"], self.contracts[name]["why"] = None, ""

    def on_contract_ended(self, fact: Json) -> None:
        contract = self.contract(fact["contract"])
        if self.is_news("end " + fact["contract"], fact["revision"]):
            contract["ended"] = day(fact["ended_on"])
            if contract["terms"]:
                self.recheck(fact["contract"], policy=False)
                self.make_due(fact["contract"])

    def recheck(self, name: str, *, policy: bool) -> None:
        """What newer terms change of what stands: amounts by the calendar, milestones, rates of hours."""
        due = self.due(name)
        changes: dict[str, Work | None] = {}
        for key, item in self.items.items():
            if item.work is not None and item.work.contract == name:
                wanted = item.change[0] if item.change is not None else item.work
                change = self.due_change(name, item, wanted, due.get(key))
                if change is not None and item.change is not None and change[0] == item.work:
                    self.drop_change(item)
                elif change is not None:
                    changes[key] = change[0]
            elif item.change is None and self.differs(item, name):
                changes[key] = item.work
            elif item.change is not None and item.change[0] == item.work and not self.differs(item):
                self.drop_change(item)
        self.carry_out(changes, policy=name if policy else "")

    def due_change(
        self, name: str, item: Item, wanted: Work | None, due: Work | None
    ) -> tuple[Work | None] | None:
        """What takes the place of something due: another amount, nothing, or (None) no change."""
        billed, terms = bool(item.standing()), self.contracts[name]["terms"][-1]
        if due is not None:
            agreed = billed and item.origin in ("installment", "milestone")
            backwards = terms["since"] <= due.day
            if due == wanted or (agreed and (not backwards or (wanted and wanted.size == due.size))):
                return None
            return (due,)
        end = self.end(name)
        if wanted is None:
            return None
        after_the_end = end is not None and (wanted.first or wanted.day) > end
        if billed and not (after_the_end and item.origin in ("retainer", "subscription")):
            return None
        if item.origin == "milestone" and item.achieved is not None:
            return (Work(wanted.project, item.achieved, Fraction(1)),)
        return (None,)

    def differs(self, item: Item, name: str = "") -> bool:
        """Whether the terms in force on the day name another price than what stands was charged at."""
        work = item.work
        if work is None or work.contract:
            return False
        for part in item.standing():
            if name and part.contract != name:
                continue
            terms = self.in_force(part.contract, work.day)
            if item.origin == "milestone":
                line = next((line for line in terms["lines"] if lists(line, item.key)), None)
                amount = sum(other.amount for other in item.standing())
                if line is not None and self.term(part.contract, terms, line, item.key) != amount:
                    return True
            if item.origin == "time" and terms is self.contracts[part.contract]["terms"][-1]:
                line = next((line for line in terms["lines"] if line["line"] == part.line), None)
                rate = line and self.rate(line, work, terms["currency"])
                if rate is not None and rate != part.rate:
                    return True
        return False

    def term(self, name: str, terms: Json, line: Json, key: str) -> Fraction:
        found = next(term for term in line["milestones"] if term["milestone"] == key)
        return minor(found["amount"], terms["currency"])

    # The calendar

    def today(self, name: str) -> date | None:
        zone = self.contracts[name]["terms"][-1]["time_zone"]
        known = [self.ticks[each] for each in ("", zone) if each in self.ticks]
        return max(known, default=None)

    def due(self, name: str) -> dict[str, Work]:
        """Everything due up to the newest tick: for each day the revision in force then speaks."""
        today, found = self.today(name), dict[str, Work]()
        contract = self.contracts[name]
        if today is None:
            return found
        for terms in reversed(contract["terms"]):
            for line in terms["lines"]:
                parts = days_of.due(name, line, day(terms["starts_on"]), self.end(name), today)
                for key, due_on, first, last, text, share in parts:
                    agreed = line["model"] in ("fixed_fee", "milestone") and terms is contract["terms"][-1]
                    if key in found or not (agreed or self.in_force(name, due_on) is terms):
                        continue
                    advance = line["model"] in ("milestone", "retainer") or line.get("in_advance", False)
                    spans = advance and line["model"] != "milestone"
                    found[key] = Work(
                        contract["terms"][-1]["project"],
                        due_on,
                        Fraction(half_up(minor(text, terms["currency"]) * share)),
                        contract=name,
                        line=line["line"],
                        advance=advance,
                        first=first if spans else None,
                        last=last if spans else None,
                        also=(f"{first} {last} {text}",) if line["model"] == "subscription" else (),
                    )
        return found

    def make_due(self, name: str) -> None:
        origins = {"fixed_fee": "installment", "milestone": "milestone"}
        models = {
            line["line"]: line["model"] for terms in self.contracts[name]["terms"] for line in terms["lines"]
        }
        for key, work in self.due(name).items():
            origin = origins.get(models[work.line], models[work.line])
            item = self.items.get(key)
            if item is None or (item.work is None and origin != "milestone"):
                item = self.items.setdefault(key, Item(origin, key))
                item.work = work
                self.determine(item)

    # Moving

    def carry_out(self, changes: dict[str, Work | None], *, period: str = "", policy: str = "") -> None:
        """Reversals first, then what replaces them, oldest first; what a closed period forbids waits."""
        placed = []
        for key, item in self.items.items():
            if key in changes:
                work = changes[key]
            elif (
                item.change is not None
                and (period, policy) != ("", "")
                and (item.waits_for[0] == period or item.waits_for[1] == policy)
            ):
                work = item.change[0]
            else:
                continue
            stopped = self.stopped(item, work) if item.touches() else None
            if stopped is not None:
                item.seen = {stopped[0]} | (item.seen if item.change == (work,) else set())
                item.change, item.waits_for, item.hold = (work,), stopped[1:], stopped[0]
                continue
            for part in reversed(item.standing()):
                self.reverse(item, part)
            item.included, item.written_off, item.settled = [], 0, False
            item.work, item.change, item.hold, item.seen = work, None, None, set()
            if work is not None:
                placed.append(item)
        for item in placed:
            self.determine(item)

    def drop_change(self, item: Item) -> None:
        item.change, item.hold = None, None
        if not item.settled:
            self.determine(item)

    def stopped(self, item: Item, work: Work | None) -> tuple[str, str, str] | None:
        """Why a change must wait whole: the reason, the period, the contract."""
        assert item.work is not None
        places = [(part.contract, part.posted) for part in item.standing()]
        places += [(contract, item.work.day) for contract, _, _ in item.included]
        for contract, where in places:
            period = self.period(where)
            if period and self.policy(contract) == "hold":
                return "period_closed", period, contract
        if work is not None:
            verdict = self.judge(item, work)
            if verdict[0] == "period_closed":
                return "period_closed", self.period(work.day), str(verdict[1])
        return self.used_by_others(item, work)

    def used_by_others(self, item: Item, work: Work | None) -> tuple[str, str, str] | None:
        """Taking back a credit must not lift a line's expenses above their cap."""
        for part in item.standing():
            cap = (self.newest(part.contract, part.line) or {}).get("expense_cap")
            if part.amount >= 0 or cap is None:
                continue
            after = self.total(part.contract, part.line, "expenses") - part.amount
            verdict = self.judge(item, work) if work is not None else ("none",)
            if verdict[0] == "ready" and (verdict[1], verdict[3]["line"]) == (part.contract, part.line):
                after += min(0, self.whole(item, work))
            if after > minor(cap, self.contracts[part.contract]["terms"][-1]["currency"]):
                return "cap_reached", "", ""
        return None

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

    def look_again(self) -> None:
        """Look at every hold, oldest first; when one moved, begin again with the oldest."""
        while any(self.moves(item) for item in self.items.values() if item.hold is not None):
            pass

    def moves(self, item: Item) -> bool:
        if item.change is not None:
            if item.hold == "cap_reached":
                self.carry_out({item.key: item.change[0]})
            return item.change is None
        before = self.rest(item), item.settled
        self.determine(item)
        return before != (self.rest(item), item.settled)

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
