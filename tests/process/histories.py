"""Random contracts and random histories: JSON facts, as they stand in the log.

A history is drawn as strings of bytes and read like dice: each byte decides one thing. That is quick, and
what shrinks to zero bytes shrinks to the plainest choice.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, TypeVar

from hypothesis import strategies as st

Json = dict[str, Any]
T = TypeVar("T")

SETTING, ROLL = 64, 28
histories = st.tuples(
    st.binary(min_size=SETTING, max_size=SETTING),
    st.lists(st.binary(min_size=ROLL, max_size=ROLL), min_size=6, max_size=26),
)
DIGITS = {"EUR": 2, "JPY": 0, "KWD": 3}
MONTHS = {
    "2027-09": 30,
    "2027-10": 31,
    "2027-11": 30,
    "2027-12": 31,
    "2028-01": 31,
    "2028-02": 29,
    "2028-03": 31,
}
DAYS = [
    "2027-10-05", "2027-10-31", "2027-11-05", "2027-10-20",
    "2027-12-24", "2028-02-29", "2027-09-30", "2028-01-15",
]  # fmt: skip
TICKS = [
    "2027-10-01", "2027-10-12", "2027-10-31", "2027-11-10",
    "2027-11-30", "2027-12-31", "2028-02-29", "2028-03-31",
]  # fmt: skip
SERVICES = ["consulting", "design", "support"]
ORIGINS = ["expense", "milestone", "installment", "retainer", "subscription"]


class Dice:
    """Decisions out of bytes; when they are used up, the plainest choice."""

    def __init__(self, rolls: bytes) -> None:
        self._rolls = iter(rolls)

    def number(self, below: int) -> int:
        wide = next(self._rolls, 0) * 256 + next(self._rolls, 0) if below > 256 else next(self._rolls, 0)
        return wide % below

    def of(self, choices: Sequence[T]) -> T:
        return choices[self.number(len(choices))]

    def odds(self, percent: int) -> bool:
        """True once in so many; zero bytes say no."""
        return self.number(100) >= 100 - percent


class Author:
    """Writes the facts of one history, one after the other."""

    def __init__(self, setting: bytes) -> None:
        dice = Dice(setting)
        self.currency = dice.of(["EUR", "JPY", "KWD"])
        self.starts_on = dice.of(["2027-10-01", "2027-10-01", "2027-09-15", "2027-10-31"])
        self.ends_on = dice.of([None, None, "2028-02-10"])
        self.zone = dice.of(["Europe/Berlin", "Pacific/Kiritimati", "America/Los_Angeles"])
        self.other_project = dice.of(["P1", "P2"])
        self.spans = [
            (dice.of(["2027-10-01", "2027-10-31", "2027-09-15"]), dice.of([None, None, "2027-12-20"]))
            for _ in range(3)
        ]
        self.every = [dice.of(["month", "quarter"]), dice.of(["month", "quarter", "year"])]
        self.in_advance = dice.number(2) == 0
        self.revisions: Counter[str] = Counter()
        self.facts: list[Json] = []
        self.write("project.created", project="P1", customer="A", name="Rollout", stage="planned")
        self.sign("C1", dice)

    def write(self, kind: str, **fields: Any) -> Json:
        fact = {
            "type": f"{kind}/1",
            "id": f"h/{len(self.facts)}",
            "source": "test",
            "occurred_at": "2027-10-01T08:00:00Z",
            "entity": "de",
            **fields,
        }
        self.facts.append(fact)
        return fact

    def next(self, key: str) -> int:
        self.revisions[key] += 1
        return self.revisions[key]

    def money(self, dice: Dice, most: int) -> str:
        """An amount between one minor unit and ``most`` whole units."""
        digits = DIGITS[self.currency]
        units = 1 + dice.number(most) * 10**digits + dice.number(100) % 10**digits
        whole, part = divmod(units, 10**digits)
        return f"{whole}.{part:0{digits}}" if digits else str(whole)

    def hours(self, dice: Dice, most: int) -> str:
        return f"{dice.number(most)}.{1 + dice.number(99):02}"

    def step(self, rolls: bytes) -> None:
        """One more fact."""
        dice = Dice(rolls)
        verb = dice.of(VERBS)
        getattr(self, verb)(dice)

    # Work

    def time(self, dice: Dice) -> None:
        entry = dice.of("abcdef")
        again = dice.of([None, *self.spoken(entry)]) if dice.odds(15) else None
        if again is not None:
            self.write(**{**again, "kind": "time.approved", "revision": self.next(entry), "note": "again"})
            return
        self.write(
            "time.approved",
            entry=entry,
            revision=self.next(entry),
            project="P2" if dice.odds(10) else "P1",
            resource="R1",
            hours="24.01" if dice.odds(2) else self.hours(dice, 20),
            worked_on=dice.of(DAYS),
            service=dice.of(SERVICES),
            billable=not dice.odds(6),
            approved_on="2027-10-31",
        )

    def spoken(self, entry: str) -> list[Json]:
        """What was approved of an entry, newest first."""
        found = [fact for fact in self.facts if fact.get("entry") == entry and "hours" in fact]
        dropped = ("type", "id", "source", "occurred_at", "entity")
        return [{name: each[name] for name in each if name not in dropped} for each in reversed(found)][:2]

    def untime(self, dice: Dice) -> None:
        entry = dice.of("abcdef")
        self.write("time.unapproved", entry=entry, revision=self.next(entry), project="P1")

    def expense(self, dice: Dice) -> None:
        key = dice.of("xyz")
        amount = self.money(dice, 300)
        self.write(
            "expense.validated",
            expense=key,
            revision=self.next(key),
            project="P1",
            resource="R1",
            category="travel",
            spent_on=dice.of(DAYS),
            amount=f"-{amount}" if dice.odds(40) else amount,
            currency="USD" if self.currency == "EUR" and dice.odds(8) else self.currency,
            billable=not dice.odds(6),
            markup_pct=dice.of([None, None, "7.5", "12.345"]),
        )

    def unexpense(self, dice: Dice) -> None:
        key = dice.of("xyz")
        self.write("expense.withdrawn", expense=key, revision=self.next(key), project="P1")

    def milestone(self, dice: Dice) -> None:
        key = dice.of("mn")
        self.write(
            "milestone.achieved",
            milestone=key,
            project="P1",
            achieved_on=dice.of(DAYS),
            revision=self.next(key),
        )

    def reopen(self, dice: Dice) -> None:
        key = dice.of("mn")
        self.write(
            "milestone.reopened",
            milestone=key,
            project="P1",
            reopened_on=dice.of(DAYS),
            revision=self.next(key),
        )

    # Contracts

    def sign(self, name: str, dice: Dice) -> None:
        revision = self.next(name)
        terms = {
            "contract": name,
            "revision": revision,
            "customer": "A",
            "project": "P1" if name == "C1" else self.other_project,
            "title": "Rollout",
            "currency": self.currency,
            "signed_on": "2027-09-01",
            "starts_on": self.starts_on,
            "ends_on": self.ends_on,
            "time_zone": self.zone,
            "period_policy": dice.of(["hold", "next_open"]),
            "lines": self.lines(dice),
        }
        if revision == 1:
            self.write("contract.signed", **terms)
            return
        days = ["2027-10-01", "2027-10-20", "2027-11-05", "2027-12-01"]
        self.write("contract.amended", **terms, effective_on=dice.of(days), reason="change order")

    def amend(self, dice: Dice) -> None:
        self.sign("C2" if dice.odds(12) else "C1", dice)

    def lines(self, dice: Dice) -> list[Json]:
        """Some lines of some models; a line of one name keeps its model and its span."""
        names = ["T", *(name for name in "URSFM" if dice.odds(45))]
        if dice.odds(5):
            names.remove("T")
        made = [getattr(self, f"line_{name}")(dice) for name in names]
        return made[::-1] if dice.odds(30) else made

    def line_T(self, dice: Dice) -> Json:
        return self.timed(dice, "T", [None, None, ["consulting"], ["consulting", "design"]])

    def line_U(self, dice: Dice) -> Json:
        return self.timed(dice, "U", [["support"], ["support"], None, ["consulting"]])

    def timed(self, dice: Dice, name: str, services: list[list[str] | None]) -> Json:
        def maybe(percent: int, amount: str) -> str | None:
            return amount if dice.odds(percent) else None

        return {
            "model": "time_and_materials",
            "line": name,
            "services": dice.of(services),
            "rates": {"consulting": dice.of(self.rates()), "design": dice.of(self.rates())},
            "default_rate": maybe(60, dice.of(self.rates())),
            "included_hours": maybe(35, self.hours(dice, 12)),
            "cap_amount": maybe(60, self.money(dice, 2000)),
            "cap_hours": maybe(30, self.hours(dice, 24)),
            "overage": dice.of(["hold", "hold", "bill", "write_off"]),
            "overage_rate": maybe(40, dice.of(self.rates())),
            "expenses": dice.odds(60),
            "expense_cap": maybe(60, self.money(dice, 250)),
        }

    def rates(self) -> list[str]:
        return (
            ["100", "133.37", "0.49", "99.995", "33.333333"]
            if self.currency != "JPY"
            else ["15000", "49.5", "101"]
        )

    def line_R(self, dice: Dice) -> Json:
        return {
            "model": "retainer",
            "line": "R",
            "services": dice.of([None, ["support"], ["design"]]),
            "amount": self.money(dice, 500),
            "every": self.every[0],
            "starts_on": self.spans[0][0],
            "ends_on": self.spans[0][1],
            "included_hours": self.hours(dice, 12),
            "overage_rate": dice.of(self.rates()),
            "rollover": dice.of(["none", "one_period", "all"]),
        }

    def line_S(self, dice: Dice) -> Json:
        return {
            "model": "subscription",
            "line": "S",
            "amount": self.money(dice, 500),
            "every": self.every[1],
            "starts_on": self.spans[1][0],
            "ends_on": dice.of([self.spans[1][1], self.spans[1][1], "2027-11-10"]),
            "in_advance": self.in_advance,
        }

    def line_F(self, dice: Dice) -> Json:
        days = ["2027-10-10", "2027-11-10", dice.of(["2027-12-15", "2027-10-01"])]
        parts = [
            {"key": str(number), "due_on": on, "amount": self.money(dice, 90)}
            for number, on in enumerate(days[: 2 + dice.number(2)], 1)
        ]
        return {"model": "fixed_fee", "line": "F", "amount": total(parts), "installments": parts}

    def line_M(self, dice: Dice) -> Json:
        terms = [
            {
                "milestone": key,
                "title": key,
                "amount": self.money(dice, 200),
                "advance": key == "n" or dice.odds(15),
            }
            for key in ("m", "n")
        ]
        return {"model": "milestone", "line": "M", "milestones": terms[: 1 + (dice.number(4) > 0)]}

    def end(self, dice: Dice) -> None:
        name = "C2" if dice.odds(12) else "C1"
        ended_on = dice.of(["2027-12-24", "2027-11-10", "2027-10-20"])
        revision = self.next(f"end {name}")
        self.write("contract.ended", contract=name, ended_on=ended_on, reason="done", revision=revision)

    # The firm

    def close(self, dice: Dice, kind: str = "period.closed") -> None:
        month = dice.of(["2027-10", "2027-10", "2027-11", "2027-12", "2028-01", "2027-09"])
        self.write(
            kind,
            period=month,
            starts_on=f"{month}-01",
            ends_on=f"{month}-{MONTHS[month]}",
            ledger="ap" if dice.odds(4) else dice.of(["ar", "all"]),
            revision=self.next(f"period {month}"),
        )

    def open(self, dice: Dice) -> None:
        self.close(dice, "period.reopened")

    def tick(self, dice: Dice) -> None:
        zone = dice.of([None, self.zone])
        self.write("calendar.ticked", day=dice.of(TICKS), time_zone=zone)

    def project(self, dice: Dice) -> None:
        name = dice.of(["P2", "P1"])
        contract = "C1" if dice.odds(30) else None
        self.write(
            "project.created", project=name, customer="A", name="x", stage="planned", contract=contract
        )

    def stage(self, dice: Dice) -> None:
        self.write(
            "project.stage_changed",
            project="P1",
            stage=dice.of(["active", "on_hold", "active", "cancelled"]),
            previous="active",
            changed_on="2027-10-15",
            revision=self.next("stage"),
        )

    def map(self, dice: Dice) -> None:
        count, all_services = dice.of([5, 5, 2]), not dice.odds(30)
        self.write(
            "dimensions.revised",
            revision=self.next("map"),
            services={name: {"item": name} for name in SERVICES[: 3 if all_services else 2]},
            origins={name: {"item": name} for name in ORIGINS[:count]},
        )

    def overtake(self, dice: Dice) -> None:
        """A charge was not sent; which one is said when it is known what was charged."""
        self.write("charge.overtaken", nth=dice.number(40))


VERBS = [
    *["time"] * 9, *["untime"] * 2, *["expense"] * 4, *["unexpense"] * 2, *["milestone"] * 2,
    "reopen", *["amend"] * 4, *["tick"] * 5, *["close"] * 3, *["open"] * 3, "end", "project", "stage",
    "map", "overtake",
]  # fmt: skip


def total(parts: list[Json]) -> str:
    """The sum of amounts of as many digits each, without a decimal in sight."""
    digits = len(parts[0]["amount"].partition(".")[2])
    units = sum(int(part["amount"].replace(".", "")) for part in parts)
    return f"{units // 10**digits}.{units % 10**digits:0{digits}}" if digits else str(units)


def written(history: tuple[bytes, list[bytes]]) -> list[Json]:
    """All facts of a history."""
    setting, steps = history
    author = Author(setting)
    for rolls in steps:
        author.step(rolls)
    return author.facts
