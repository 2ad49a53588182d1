"""The contract engine a second time, as slow and plain as it can be: what the rules are measured against.

It shares no code with the daemon. A fact is the JSON object of the log; hours are whole hundredths, money is
whole minor units, prices are fractions. There are no queues and no running totals: every total is summed
over all parts whenever it is asked for, and after every fact every hold is looked at, oldest first, again
and again until nothing moves. What the calendar makes due is counted day by day (`reference_calendar.py`).
"""

from copy import deepcopy
from datetime import date
from fractions import Fraction

from tests.process import reference_calendar as days_of
from tests.process.reference_desk import TIMED, Desk, Item, Json, Work, day, half_up, lists, minor


class Reference(Desk):
    """Takes facts; `net`, `held` and `balances` say what follows."""

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
                if line is not None and self.term(terms, line, item.key) != amount:
                    return True
            if item.origin == "time" and terms is self.contracts[part.contract]["terms"][-1]:
                line = next((line for line in terms["lines"] if line["line"] == part.line), None)
                rate = line and self.rate(line, work, terms["currency"])
                if rate is not None and rate != part.rate:
                    return True
        return False

    def term(self, terms: Json, line: Json, key: str) -> Fraction:
        found = next(term for term in line["milestones"] if term["milestone"] == key)
        return minor(found["amount"], terms["currency"])

    # The calendar

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
