"""The closing table finds what a ledger misses or has twice; each case tampers with ledgers that agree."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest

from isthmus.demo.books import Comparison, Ledgers, compare
from isthmus.demo.contracts import Contract, next_planned_week, planned_cents
from isthmus.sdk.simulator import Record

ROAD = Contract(
    account="Kestrel Shipping",
    deal="Road",
    entity="acme-us",
    currency="USD",
    time_zone="America/New_York",
    rates={"consulting": 150},
)
BASEMENT = Contract(
    account="Basalt Werke",
    deal="Basement",
    entity="acme-de",
    currency="EUR",
    time_zone="Europe/Berlin",
    rates={"consulting": 100},
)
WEEK = {"startDate": "2026-11-06", "endDate": "2026-11-09"}
"""A Friday and a Monday: 16 hours."""
OUTLOOK = "2026-10 300.00 USD 2.00 h; 2026-11 2400.00 USD 16.00 h; backlog 0.00 USD"
Books = dict[str, list[Record]]


def record(kind: str, id: str, key: str | None = None, **fields: Any) -> Record:
    return Record(kind=kind, id=id, external_key=key, fields=fields, writes=[])


def agreeing() -> Books:
    """Two deals; two hours of work on each, billed, invoiced and shown: 300 USD and 200 EUR."""
    return {
        "crm": [
            record("Opportunity", "006A", Name="Road"),
            record("Opportunity", "006B", Name="Basement"),
            record("Invoice__c", "a01", "netsuite:1", Total__c="300.00", Open_Amount__c="100.00"),
            record("Invoice__c", "a02", "ledger:INV1", Total__c="200.00", Open_Amount__c="0.00"),
        ],
        "psa": [
            record("Role", "r1", name="Consulting"),
            record("Workspace", "w1", "crm:006A"),
            record("Workspace", "w2", "crm:006B"),
            *(
                record(
                    "TimeEntry",
                    f"t{n}",
                    workspace_id=f"w{n}",
                    role_id="r1",
                    time_in_minutes=120,
                    approved=True,
                    billable=True,
                )
                for n in (1, 2)
            ),
            record("ExternalReference", "x1", service_model="Invoice", service_model_ref="netsuite:1"),
            record("ExternalReference", "x2", service_model="Invoice", service_model_ref="ledger:INV1"),
        ],
        "netsuite": [
            record("job", "4", "isth:crm:006A"),
            record("timeBill", "1", "isth:billing:a", customer={"id": "4"}, custcol_isth_amount="300.00"),
            record("invoice", "1", None, total="300.00", amountRemaining="100.00"),
        ],
        "ledger": [
            record("project", "P1", "crm:006B"),
            record("charge", "D1", "billing:b", project="P1", amount="200.00"),
            record("invoice", "INV1", None, total="200.00", open="0.00"),
        ],
        "planner": [
            record("project", "1001", "crm:006A", customFields={"text": [{"value": OUTLOOK}]}),
            record("assignment", "1", None, projectId=1001, minutesPerDay=480, **WEEK),
            record("project", "1002", "crm:006B"),
            record("actual", "1", None, billableMinutes=120, nonbillableMinutes=0),
            record("actual", "2", None, billableMinutes=120, nonbillableMinutes=0),
        ],
    }


def table(books: Books) -> list[Comparison]:
    return compare(Ledgers(records=books), contracts=(ROAD, BASEMENT))


def drop(instance: str, kind: str) -> Callable[[Books], None]:
    """Lose the first record of a kind."""

    def tamper(books: Books) -> None:
        first = next(each for each in books[instance] if each.kind == kind)
        books[instance].remove(first)

    return tamper


def double(instance: str, kind: str, *, key: str | None = None) -> Callable[[Books], None]:
    """Write the first record of a kind once more, under ``key`` if it is given."""

    def tamper(books: Books) -> None:
        first = next(each for each in books[instance] if each.kind == kind)
        twin = Record(
            kind=kind,
            id=f"{first.id}-2",
            external_key=key or first.external_key,
            fields=first.fields,
            writes=[],
        )
        books[instance].append(twin)

    return tamper


def say_outlook(text: str) -> Callable[[Books], None]:
    """Show other months in the planner."""

    def tamper(books: Books) -> None:
        project = next(each for each in books["planner"] if each.kind == "project")
        project.fields["customFields"]["text"][0]["value"] = text

    return tamper


@pytest.mark.parametrize(
    ("today", "monday"),
    [
        pytest.param(date(2026, 10, 5), date(2026, 11, 2), id="after the month the demo plays in"),
        pytest.param(date(2027, 1, 31), date(2027, 2, 1), id="and after today"),
        pytest.param(date(2027, 12, 1), date(2028, 1, 3), id="over the end of a year"),
    ],
)
def test_the_week_that_is_planned_is_one_to_come(today: date, monday: date) -> None:
    assert next_planned_week(today) == monday
    assert planned_cents(ROAD, monday, monday + timedelta(days=6), 480) == 600_000


def test_ledgers_that_agree_have_nothing_lost_and_nothing_doubled() -> None:
    rows = table(agreeing())
    assert [(row.what, row.expected, row.found) for row in rows if not row.agrees] == []
    assert {row.what: row.expected for row in rows}["billed on Road"] == "300.00 USD"


@pytest.mark.parametrize(
    ("tamper", "lost", "doubled"),
    [
        pytest.param(drop("planner", "project"), {"project Road": 1}, {}, id="a project the planner misses"),
        pytest.param(
            double("planner", "project", key="x:crm:006A"),
            {},
            {"project Road": 1},
            id="a project the planner has twice",
        ),
        pytest.param(drop("netsuite", "timeBill"), {"billed on Road": 1}, {}, id="a charge NetSuite misses"),
        pytest.param(
            double("netsuite", "timeBill", key="isth:billing:other"),
            {},
            {"billed on Road": 1},
            id="work NetSuite bills twice, under two keys",
        ),
        pytest.param(
            double("netsuite", "timeBill"),
            {},
            {"billed on Road": 1, "two records under one key": 1},
            id="a charge NetSuite has twice, under one key",
        ),
        pytest.param(
            drop("ledger", "charge"), {"billed on Basement": 1}, {}, id="a charge the legacy ERP misses"
        ),
        pytest.param(
            double("ledger", "charge", key="billing:other"),
            {},
            {"billed on Basement": 1},
            id="a charge the legacy ERP has twice",
        ),
        pytest.param(drop("planner", "actual"), {"approved hours": 1}, {}, id="hours the planner misses"),
        pytest.param(
            double("planner", "actual"), {}, {"approved hours": 1}, id="hours the planner has twice"
        ),
        pytest.param(
            say_outlook("2026-10 300.00 USD 2.00 h; backlog 0.00 USD"),
            {"planned work on Road": 1},
            {},
            id="a week the outlook misses",
        ),
        pytest.param(
            say_outlook(OUTLOOK.replace("2400", "4800")),
            {},
            {"planned work on Road": 1},
            id="a week the outlook has twice",
        ),
        pytest.param(
            drop("crm", "Invoice__c"),
            {"invoices of NetSuite, total and open": 1},
            {},
            id="an invoice the CRM misses",
        ),
        pytest.param(
            double("crm", "Invoice__c", key="netsuite:9"),
            {},
            {"invoices of NetSuite, total and open": 1},
            id="an invoice the CRM has twice",
        ),
        pytest.param(
            drop("psa", "ExternalReference"), {"invoice states": 1}, {}, id="an invoice the PSA misses"
        ),
    ],
)
def test_a_ledger_that_was_tampered_with_is_found(
    tamper: Callable[[Books], None], lost: dict[str, int], doubled: dict[str, int]
) -> None:
    books = agreeing()
    tamper(books)
    rows = table(books)
    assert {row.what: row.lost for row in rows if row.lost} == lost
    assert {row.what: row.doubled for row in rows if row.doubled} == doubled


def test_an_invoice_shown_with_another_open_amount_is_one_lost_and_one_too_many() -> None:
    books = agreeing()
    shown = next(each for each in books["crm"] if each.kind == "Invoice__c")
    shown.fields["Open_Amount__c"] = "300.00"
    row = next(row for row in table(books) if row.what.startswith("invoices of NetSuite"))
    assert (row.lost, row.doubled) == (1, 1)
