"""What the demo sells, and, in whole cents, what must be billed for it.

`expected_cents` shares no code with the billing rules: the closing table compares the ERPs with it.
"""

from calendar import monthrange
from collections.abc import Iterable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Literal

import msgspec

__all__ = [
    "CONTRACTS",
    "ChangeOrder",
    "Contract",
    "Expense",
    "Hours",
    "Retainer",
    "Subscription",
    "expected_cents",
    "next_planned_week",
    "planned_cents",
]

FIRST, LAST = date(2026, 10, 1), date(2026, 10, 31)
"""The month the demo plays in; whatever the calendar bills in it is due by the time anybody plays."""


class Hours(msgspec.Struct, frozen=True, kw_only=True):
    """Approved billable work of one entry, in hundredths of an hour."""

    service: str
    hundredths: int


class Expense(msgspec.Struct, frozen=True, kw_only=True):
    """An approved billable expense."""

    cents: int


class Retainer(msgspec.Struct, frozen=True, kw_only=True):
    """An amount for the month with hours in it; in whole units of the currency."""

    amount: int
    hours: int
    overage_rate: int


class Subscription(msgspec.Struct, frozen=True, kw_only=True):
    """An amount for a whole month, from a day of it."""

    amount: int
    starts_on: date


class ChangeOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What a change order changes: the cap, and instalments that are new."""

    cap: int
    fees: dict[str, int]


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """One deal of the demo. Rates and caps in whole units of the currency."""

    account: str
    deal: str
    entity: str
    currency: str
    time_zone: str
    rates: dict[str, int] = {}
    included_hours: int = 0
    cap: int | None = None
    change: ChangeOrder | None = None
    milestones: dict[str, int] = {}
    fees: dict[str, int] = {}
    """Instalments of a fixed fee, by the day they are due."""
    retainer: Retainer | None = None
    subscription: Subscription | None = None
    period_policy: Literal["hold", "next_open"] = "hold"
    expenses: bool = False
    entries: int = 0
    """Time entries logged for it."""
    people: dict[str, str] = {}
    """Who works on it: a name to the role that names the service."""

    @property
    def changed(self) -> "Contract":
        """The contract after its change order."""
        if self.change is None:
            return self
        return msgspec.structs.replace(self, cap=self.change.cap, fees={**self.fees, **self.change.fees})

    def lines(self) -> list[dict[str, Any]]:
        """The contract's rows as the CRM keeps them."""
        terms: dict[str, Any] = {"Overage__c": "hold"}
        if self.included_hours:
            terms["Included_Hours__c"] = f"{self.included_hours}"
        if self.cap:
            terms["Cap_Amount__c"] = f"{self.cap}.00"
        if self.expenses:
            terms["Expenses__c"] = True
        rows = [
            {
                "Line__c": "T",
                "Model__c": "time_and_materials",
                "Service__c": service,
                "Rate__c": f"{rate}.00",
                **terms,
            }
            for service, rate in self.rates.items()
        ]
        rows += [
            {"Line__c": "M", "Model__c": "milestone", "Title__c": title, "Amount__c": f"{amount}.00"}
            for title, amount in self.milestones.items()
        ]
        rows += [
            {"Line__c": "F", "Model__c": "fixed_fee", "Due_On__c": due_on, "Amount__c": f"{amount}.00"}
            for due_on, amount in self.fees.items()
        ]
        month = {"Every__c": "month", "Ends_On__c": f"{LAST}"}
        if self.retainer is not None:
            rows.append(
                {
                    "Line__c": "R",
                    "Model__c": "retainer",
                    "Amount__c": f"{self.retainer.amount}.00",
                    "Included_Hours__c": f"{self.retainer.hours}",
                    "Overage_Rate__c": f"{self.retainer.overage_rate}.00",
                    "Starts_On__c": f"{FIRST}",
                    **month,
                }
            )
        if self.subscription is not None:
            rows.append(
                {
                    "Line__c": "S",
                    "Model__c": "subscription",
                    "Amount__c": f"{self.subscription.amount}.00",
                    "Starts_On__c": f"{self.subscription.starts_on}",
                    "In_Advance__c": True,
                    **month,
                }
            )
        return rows

    @property
    def value(self) -> int:
        """What the deal is worth to sales."""
        scheduled = sum(self.fees.values()) + (self.retainer.amount if self.retainer else 0)
        scheduled += self.subscription.amount if self.subscription else 0
        return sum(self.milestones.values()) + scheduled + (self.cap or 25_000)


CONTRACTS = (
    Contract(
        account="Harbour Logistics",
        deal="Terminal rollout",
        entity="acme-us",
        currency="USD",
        time_zone="America/New_York",
        rates={"consulting": 150},
        included_hours=20,
        milestones={"Design accepted": 20_000, "Go-live": 30_000},
        entries=70,
        people={"Consultant One": "Consulting", "Consultant Two": "Consulting"},
    ),
    Contract(
        account="Meridian Health",
        deal="Data platform",
        entity="acme-us",
        currency="USD",
        time_zone="America/Los_Angeles",
        rates={"consulting": 160, "development": 160},
        cap=20_000,
        change=ChangeOrder(cap=90_000, fees={"2026-10-20": 5_000}),
        entries=70,
        people={"Consultant Three": "Consulting", "Developer One": "Development"},
    ),
    Contract(
        account="Rheinwerk Anlagen",
        deal="Ledger migration",
        entity="acme-de",
        currency="EUR",
        time_zone="Europe/Berlin",
        rates={"consulting": 120, "development": 100},
        milestones={"Data migrated": 12_000},
        expenses=True,
        entries=60,
        people={"Consultant Four": "Consulting", "Developer Two": "Development"},
    ),
    Contract(
        account="Lumen Retail",
        deal="Managed services",
        entity="acme-us",
        currency="USD",
        time_zone="America/Chicago",
        retainer=Retainer(amount=6_000, hours=20, overage_rate=140),
        subscription=Subscription(amount=1_250, starts_on=date(2026, 10, 12)),
        period_policy="next_open",
        entries=20,
        people={"Consultant Five": "Consulting"},
    ),
    Contract(
        account="Alpenbahn Technik",
        deal="Compliance check",
        entity="acme-de",
        currency="EUR",
        time_zone="Europe/Vienna",
        rates={"consulting": 110},
        fees={"2026-10-01": 6_000, "2026-10-15": 9_000},
        entries=10,
        people={"Consultant Six": "Consulting"},
    ),
)


def next_planned_week(today: date) -> date:
    """The first Monday of the first month that lies after ``today`` and after the month the demo plays in."""
    since = max(today, LAST)
    first = (since.replace(day=1) + timedelta(days=31)).replace(day=1)
    return first + timedelta(days=-first.weekday() % 7)


def planned_cents(contract: Contract, starts_on: date, ends_on: date, minutes: int) -> int:
    """What a booking of so many minutes a working day will bring, once included hours are used up."""
    (rate,) = contract.rates.values()
    days = [starts_on + timedelta(days=n) for n in range((ends_on - starts_on).days + 1)]
    return sum(minutes * rate * 100 // 60 for day in days if day.weekday() < 5)


def expected_cents(
    contract: Contract,
    work: Iterable[Hours],
    *,
    expenses: Iterable[Expense] = (),
    achieved: Iterable[str] = (),
) -> int:
    """What must stand in the ERP for a contract, net, in cents.

    Included hours and caps are only used with one rate here, so the order of the entries does not matter,
    and a quarter of an hour at that rate divides the cap.
    """
    total = sum(amount * 100 for amount in contract.fees.values())
    if contract.subscription is not None:
        whole = monthrange(FIRST.year, FIRST.month)[1]
        days = (LAST - contract.subscription.starts_on).days + 1
        total += (2 * contract.subscription.amount * 100 * days + whole) // (2 * whole)
    worked = 0
    included = (contract.retainer.hours if contract.retainer else contract.included_hours) * 100
    for entry in work:
        free = min(included, entry.hundredths)
        included -= free
        rate = contract.retainer.overage_rate if contract.retainer else contract.rates[entry.service]
        worked += (entry.hundredths - free) * rate
    if contract.cap is not None:
        worked = min(worked, contract.cap * 100)
    if contract.retainer is not None:
        total += contract.retainer.amount * 100
    if contract.expenses:
        total += sum(expense.cents for expense in expenses)
    return total + worked + sum(contract.milestones[title] * 100 for title in achieved)


def cents(amount: str | Decimal) -> int:
    """A decimal amount in cents."""
    return int(Decimal(amount) * 100)
