"""What the demo sells, and, in whole cents, what must be billed for it.

`expected_cents` shares no code with the billing rules: the closing table compares the ERPs with it.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import msgspec

__all__ = ["CONTRACTS", "Contract", "Expense", "Hours", "expected_cents"]


class Hours(msgspec.Struct, frozen=True, kw_only=True):
    """Approved billable work of one entry, in hundredths of an hour."""

    service: str
    hundredths: int


class Expense(msgspec.Struct, frozen=True, kw_only=True):
    """An approved billable expense."""

    cents: int


class Contract(msgspec.Struct, frozen=True, kw_only=True):
    """One deal of the demo. Rates and caps in whole units of the currency."""

    account: str
    deal: str
    entity: str
    currency: str
    time_zone: str
    rates: dict[str, int]
    included_hours: int = 0
    cap: int | None = None
    raised_cap: int | None = None
    """The cap after the change order."""
    milestones: dict[str, int] = {}
    expenses: bool = False
    entries: int = 0
    """Time entries logged for it."""
    people: dict[str, str] = {}
    """Who works on it: a name to the role that names the service."""

    def lines(self, *, cap: int | None = None) -> list[dict[str, Any]]:
        """The contract's rows as the CRM keeps them."""
        terms: dict[str, Any] = {"Overage__c": "hold"}
        if self.included_hours:
            terms["Included_Hours__c"] = f"{self.included_hours}"
        if limit := cap or self.cap:
            terms["Cap_Amount__c"] = f"{limit}.00"
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
        return rows

    @property
    def value(self) -> int:
        """What the deal is worth to sales."""
        return sum(self.milestones.values()) + (self.cap or 25_000)


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
        raised_cap=90_000,
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
)


def expected_cents(
    contract: Contract,
    work: Iterable[Hours],
    *,
    expenses: Iterable[Expense] = (),
    achieved: Iterable[str] = (),
    cap: int | None = None,
) -> int:
    """What must stand in the ERP for a contract, net, in cents.

    Included hours and caps are only used with one rate here, so the order of the entries does not matter,
    and a quarter of an hour at that rate divides the cap.
    """
    total = 0
    included = contract.included_hours * 100
    for entry in work:
        free = min(included, entry.hundredths)
        included -= free
        total += (entry.hundredths - free) * contract.rates[entry.service]
    limit = cap if cap is not None else contract.cap
    if limit is not None:
        total = min(total, limit * 100)
    if contract.expenses:
        total += sum(expense.cents for expense in expenses)
    return total + sum(contract.milestones[title] * 100 for title in achieved)


def cents(amount: str | Decimal) -> int:
    """A decimal amount in cents."""
    return int(Decimal(amount) * 100)
