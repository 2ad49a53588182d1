"""What the books hold, read by the day of the document; what the poll cannot tell is missed here."""

from collections.abc import Awaitable, Callable
from datetime import date
from decimal import Decimal
from typing import Any

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
        ("open", Decimal(500), "EUR"),
        ("open", Decimal(500), "EUR"),
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
    assert [row.status for row in (await count(opened, "invoice")).values()] == ["open"]


async def test_a_record_that_somebody_spoilt_is_counted_as_unreadable(
    shell: None, simulator: NetSuiteSimulator, opened: Opened, deliver: Deliver, charge: MakeCharge
) -> None:
    await deliver(charge())
    simulator.acts()["edit_record"]("timeBill", "1", {"custcol_isth_amount": "a lot"})
    assert [row.status for row in (await count(opened, "charge")).values()] == ["unreadable"]
