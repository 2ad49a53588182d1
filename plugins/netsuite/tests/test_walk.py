"""From charge to cash, once through."""

from collections.abc import Awaitable, Callable
from decimal import Decimal

from isthmus.events import (
    BusinessEvent,
    ChargeDetermined,
    ChargePosted,
    InvoiceReleased,
    InvoiceVoided,
    PaymentReceived,
)
from isthmus.sdk import Opened, Receipt
from isthmus.sdk.testing import read_all
from isthmus_netsuite.simulator import NetSuiteSimulator

Deliver = Callable[[BusinessEvent], Awaitable[Receipt]]
MakeCharge = Callable[..., ChargeDetermined]


async def test_a_charge_becomes_cash(
    shell: None, simulator: NetSuiteSimulator, opened: Opened, deliver: Deliver, charge: MakeCharge
) -> None:
    assert opened.source is not None
    time = charge("billing:ch1", quantity="4.66", amount="699.00")
    expense = charge("billing:ch2", origin="expense", quantity="1", unit_price="88.10")
    milestone = charge("billing:ch3", origin="milestone", quantity="1", unit_price="20000.00")
    receipts = [await deliver(event) for event in (time, expense, milestone)]
    assert [receipt.remote_id.partition("/")[0] for receipt in receipts] == ["timeBill", "charge", "invoice"]
    posted = receipts[0].facts[0]
    assert isinstance(posted, ChargePosted) and posted.id == "netsuite/charge.posted/billing:ch1/1"

    assert (await read_all(opened.source, "invoices"))[0] == []
    released = simulator.acts()["release_invoices"](project="crm:P1", on="2026-10-31")
    assert [invoice["total"] for invoice in released] == ["787.10", "20000.00"]
    simulator.acts()["pay_invoice"](released[1]["id"], "15000.00")
    simulator.acts()["void_invoice"](released[0]["number"])

    events, _ = await read_all(opened.source, "invoices")
    by_kind = {event.kind: event for event in events}
    voided, invoice = by_kind["invoice.voided"], by_kind["invoice.released"]
    assert isinstance(voided, InvoiceVoided) and voided.amount == Decimal("787.10")
    assert isinstance(invoice, InvoiceReleased)
    assert (invoice.customer, invoice.project, invoice.contract) == ("crm:A1", "crm:P1", "crm:C1")
    assert (invoice.total, invoice.charges) == (Decimal(20000), ["billing:ch3"])

    events, _ = await read_all(opened.source, "payments")
    (payment,) = events
    assert isinstance(payment, PaymentReceived)
    assert (payment.invoice, payment.amount, payment.open_amount) == (
        f"netsuite:{released[1]['id']}",
        Decimal(15000),
        Decimal(5000),
    )
