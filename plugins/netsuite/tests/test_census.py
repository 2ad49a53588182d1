"""What the books hold, read by the day of the document; what the poll cannot tell is missed here."""

from collections.abc import Awaitable, Callable
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from isthmus.events import BusinessEvent, ChargeDetermined
from isthmus.sdk import CensusRow, Opened, Receipt
from isthmus_netsuite.simulator import NetSuiteSimulator

Deliver = Callable[[BusinessEvent], Awaitable[Receipt]]
MakeCharge = Callable[..., ChargeDetermined]
OCTOBER = (date(2026, 10, 1), date(2026, 10, 31))
MILESTONE: dict[str, Any] = {"origin": "milestone", "quantity": "1", "unit_price": "500.00"}


async def count(opened: Opened, kind: str, window: tuple[date, date] = OCTOBER) -> dict[str, CensusRow]:
    assert opened.census is not None and kind in opened.census.kinds
    rows = [row async for row in opened.census.rows(kind, *window)]
    assert len({row.remote_id for row in rows}) == len(rows)
    return {row.key: row for row in rows}


async def test_our_charges_are_counted_by_their_day(
    shell: None, simulator: NetSuiteSimulator, opened: Opened, deliver: Deliver, charge: MakeCharge
) -> None:
    await deliver(charge("billing:t", quantity="4.66", amount="699.00"))
    await deliver(charge("billing:t2", posting_on=date(2026, 9, 30)))
    await deliver(charge("billing:e", origin="expense", quantity="1", unit_price="88.10"))
    await deliver(charge("billing:m", **MILESTONE))
    await deliver(charge("billing:r", **MILESTONE, amount="-500.00", reverses="billing:m"))
    found = await count(opened, "charge")
    assert {key: (row.remote_id, row.amount, row.currency) for key, row in found.items()} == {
        "billing:t": ("timeBill/1", Decimal("699.00"), "EUR"),
        "billing:e": ("charge/1", Decimal("88.10"), "EUR"),
        "billing:m": ("invoice/1", Decimal("500.00"), "EUR"),
        "billing:r": ("creditMemo/2", Decimal("-500.00"), "EUR"),
    }
    assert list(await count(opened, "charge", (date(2026, 9, 1), date(2026, 9, 30)))) == ["billing:t2"]
    simulator.acts()["delete_record"]("timeBill", "1")
    assert "billing:t" not in await count(opened, "charge")


async def test_invoices_payments_and_credits_are_counted_as_they_stand(
    shell: None, simulator: NetSuiteSimulator, opened: Opened, deliver: Deliver, charge: MakeCharge
) -> None:
    acts = simulator.acts()
    for n in range(4):
        await deliver(charge(f"billing:m{n}", **MILESTONE))
    first, second, third, _ = [invoice["id"] for invoice in acts["release_invoices"]()]
    await deliver(charge("billing:late", **MILESTONE))
    acts["pay_invoice"](first)
    acts["void_invoice"](second)
    acts["credit_invoice"](third, "20.00")
    found = await count(opened, "invoice")
    assert [(row.status, row.amount, row.currency) for row in found.values()] == [
        ("paid", Decimal(500), "EUR"),
        ("voided", Decimal(0), "EUR"),
        ("partly_paid", Decimal(500), "EUR"),
        ("released", Decimal(500), "EUR"),
        ("pending", Decimal(500), "EUR"),
    ]
    (payment,) = simulator.ledger.of_kind("customerPayment")
    paid = await count(opened, "payment")
    assert [(key, row.amount) for key, row in paid.items()] == [
        (f"netsuite:{payment.id}/{first}", Decimal(500))
    ]
    assert [row.amount for row in (await count(opened, "credit")).values()] == [Decimal(20)]


async def test_a_payment_taken_off_its_invoice_again_is_missed(
    shell: None, simulator: NetSuiteSimulator, opened: Opened, deliver: Deliver, charge: MakeCharge
) -> None:
    """The poll cannot tell it: the payment settles nothing any more, and says nothing."""
    await deliver(charge("billing:m", **MILESTONE))
    (invoice,) = simulator.acts()["release_invoices"]()
    payment = simulator.acts()["pay_invoice"](invoice["id"])["payment"]
    assert len(await count(opened, "payment")) == 1
    simulator.acts()["edit_record"]("customerPayment", payment, {"apply": {"items": []}})
    assert await count(opened, "payment") == {}
    assert [row.status for row in (await count(opened, "invoice")).values()] == ["released"]


async def told(opened: Opened) -> dict[str, CensusRow]:
    """All charges by the record's own id, since keys may be there twice."""
    assert opened.census is not None
    return {row.remote_id: row async for row in opened.census.rows("charge", *OCTOBER)}


@pytest.mark.parametrize(
    ("changes", "amount", "hours"),
    [
        pytest.param({}, "1200.00", "8.00", id="time"),
        pytest.param(
            {"quantity": "4.66", "unit_price": "95.00"}, "442.70", "4.67", id="minutes, to the cent"
        ),
        pytest.param(
            {"origin": "expense", "quantity": "1", "unit_price": "88.10"}, "88.10", None, id="expense"
        ),
        pytest.param(
            {"origin": "milestone", "quantity": "1", "unit_price": "5000.00"}, "5000.00", None, id="milestone"
        ),
    ],
)
async def test_a_charge_counts_with_what_netsuite_makes_of_it(
    shell: None,
    deliver: Deliver,
    opened: Opened,
    charge: MakeCharge,
    changes: dict[str, Any],
    amount: str,
    hours: str | None,
) -> None:
    receipt = await deliver(charge(**changes))
    (row,) = (await told(opened)).values()
    assert (row.key, row.remote_id, row.status) == ("billing:ch1", receipt.remote_id, "posted")
    assert (row.amount, row.currency) == (Decimal(amount), "EUR")
    assert row.quantity == (None if hours is None else Decimal(hours))
    assert row.on == date(2026, 10, 5)


async def test_hours_edited_by_hand_show_though_the_amount_beside_them_does_not_change(
    shell: None, deliver: Deliver, opened: Opened, charge: MakeCharge, simulator: NetSuiteSimulator
) -> None:
    receipt = await deliver(charge())
    simulator.acts()["edit_record"](
        kind="timeBill",
        id=receipt.remote_id.split("/")[1],
        fields={"hours": "7:00"},
    )
    (row,) = (await told(opened)).values()
    assert (row.amount, row.quantity) == (Decimal("1050.00"), Decimal("7.00"))


async def test_a_copy_bears_the_key_and_a_bill_of_a_stranger_on_our_job_bears_none(
    shell: None, deliver: Deliver, opened: Opened, charge: MakeCharge, simulator: NetSuiteSimulator
) -> None:
    receipt = await deliver(charge())
    original = simulator.ledger.get("timeBill", receipt.remote_id.split("/")[1])
    assert original is not None
    copied = {
        name: value
        for name, value in original.fields.items()
        if not name.endswith("Date") or name == "tranDate"
    }
    copy = simulator.acts()["create_record"](kind="timeBill", fields=copied)
    plain = {name: value for name, value in copied.items() if not name.startswith("custcol_")}
    strange = simulator.acts()["create_record"](kind="timeBill", fields={**plain, "hours": "3:00"})
    rows = await told(opened)
    assert rows[f"timeBill/{copy['id']}"].key == "billing:ch1"
    stranger = rows[f"timeBill/{strange['id']}"]
    assert (stranger.key, stranger.amount, stranger.currency) == ("", Decimal("450.00"), "EUR")


async def test_work_on_a_job_that_is_none_of_ours_is_not_told(
    shell: None, deliver: Deliver, opened: Opened, charge: MakeCharge, simulator: NetSuiteSimulator
) -> None:
    receipt = await deliver(charge())
    original = simulator.ledger.get("timeBill", receipt.remote_id.split("/")[1])
    assert original is not None
    customer = next(iter(simulator.ledger.of_kind("customer")))
    job = simulator.acts()["create_record"](
        kind="job",
        fields={"companyName": "Theirs", "parent": {"id": customer.id}},
    )
    fields = {
        name: original.fields[name] for name in ("employee", "item", "tranDate", "hours", "rate", "price")
    }
    simulator.acts()["create_record"](kind="timeBill", fields={**fields, "customer": {"id": job["id"]}})
    assert set(await told(opened)) == {receipt.remote_id}
