"""Charges as NetSuite's records, and what a record must be to count as the charge."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.events import ChargeDetermined, CustomerChanged, ProjectCreated, round_money
from isthmus_netsuite import translate
from isthmus_netsuite.translate import Refs

MakeCharge = Callable[..., ChargeDetermined]
REFS = Refs(job="11", item="1", currency="2", subsidiary="3", employee="7")


@pytest.mark.parametrize(
    ("origin", "reverses", "type"),
    [
        pytest.param("time", None, "timeBill", id="time becomes a time bill"),
        pytest.param("time", "billing:ch0", "timeBill", id="time taken back is a negative time bill"),
        pytest.param("expense", None, "charge", id="an expense becomes a charge"),
        pytest.param("expense", "billing:ch0", "charge", id="an expense taken back is a negative charge"),
        pytest.param("milestone", None, "invoice", id="a milestone becomes an invoice"),
        pytest.param("milestone", "billing:ch0", "creditMemo", id="a milestone taken back is a credit memo"),
        pytest.param("installment", None, "invoice", id="an instalment becomes an invoice"),
        pytest.param("retainer", None, "invoice", id="a retainer becomes an invoice"),
        pytest.param("subscription", None, "invoice", id="a subscription becomes an invoice"),
    ],
)
def test_where_a_charge_goes(origin: str, reverses: str | None, type: str, charge: MakeCharge) -> None:
    assert translate.record_type(charge(origin=origin, reverses=reverses)) == type


@pytest.mark.parametrize(
    ("hours", "text"),
    [
        pytest.param("8.00", "8:00", id="whole hours"),
        pytest.param("0.25", "0:15", id="a quarter"),
        pytest.param("4.66", "4:40", id="to the next minute"),
        pytest.param("0.01", "0:01", id="36 seconds round up"),
        pytest.param("-1.50", "-1:30", id="hours taken back"),
        pytest.param("10.999", "11:00", id="sixty minutes are an hour"),
    ],
)
def test_hours_are_durations_to_the_minute(hours: str, text: str) -> None:
    assert translate.duration(Decimal(hours)) == text


@pytest.mark.parametrize(
    ("value", "minutes"),
    [
        pytest.param("4:30", 270, id="as text"),
        pytest.param("-4:30", -270, id="negative"),
        pytest.param("4.5", 270, id="as a number"),
        pytest.param("-0.5", -30, id="as a negative number"),
        pytest.param("x", None, id="neither"),
        pytest.param(None, None, id="nothing"),
    ],
)
def test_durations_are_read_in_both_forms(value: object, minutes: int | None) -> None:
    assert translate.minutes_of(value) == minutes


@given(
    hours=st.decimals("0.01", "24", places=2),
    price=st.decimals("0.01", "999.99", places=2),
    carried=st.sampled_from([Decimal("-0.01"), Decimal(0), Decimal("0.01")]),
)
def test_minutes_times_the_rate_we_send_give_the_exact_amount(
    hours: Decimal, price: Decimal, carried: Decimal
) -> None:
    """A cent may be carried over from another part of the entry; NetSuite must still arrive at it."""
    amount = max(Decimal("0.01"), round_money(hours * price, "EUR") + carried)
    event = _time(quantity=hours, unit_price=price, amount=amount)
    minutes = translate.minutes_of(translate.duration(hours)) or 0
    if minutes:
        billed = (Decimal(minutes) / 60 * translate.billing_rate(event)).quantize(
            Decimal("0.01"), rounding=ROUND_HALF_UP
        )
        assert billed == amount


def test_the_rate_is_the_unit_price_where_that_gives_the_amount(charge: MakeCharge) -> None:
    assert translate.billing_rate(charge(quantity="2.50", unit_price="150.00")) == Decimal("150.00")


def test_time_names_its_charge_and_carries_the_exact_amount(charge: MakeCharge) -> None:
    body = translate.charge(charge(quantity="4.66", amount="699.00"), REFS)
    assert body["customer"] == {"id": "11"}
    assert body["tranDate"] == "2026-10-05"
    assert body["hours"] == "4:40"
    assert body["rate"] == Decimal("149.78571429")
    assert body["custcol_isth_charge"] == "billing:ch1"
    assert body["custcol_isth_amount"] == "699.00"
    assert body["custcol_isth_dimensions"] == '{"department": "delivery"}'
    assert "externalId" not in body  # it is in the path of the upsert


def test_a_reversal_of_time_takes_the_hours_back(charge: MakeCharge) -> None:
    body = translate.charge(
        charge("billing:ch2", quantity="2.00", amount="-300.00", reverses="billing:ch1"), REFS
    )
    assert (body["hours"], body["rate"]) == ("-2:00", Decimal("150.00"))
    assert (body["custcol_isth_amount"], body["custcol_isth_reverses"]) == ("-300.00", "billing:ch1")


def test_a_credit_memo_is_positive_in_netsuite_and_negative_in_our_field(charge: MakeCharge) -> None:
    event = charge(origin="milestone", quantity="1", unit_price="500.00", amount="-500.00", reverses="b:1")
    body = translate.charge(event, Refs(job="11", item="1", currency="2", apply_to="90"))
    (line,) = body["item"]["items"]
    assert (line["amount"], line["custcol_isth_amount"]) == (Decimal("500.00"), "-500.00")
    assert body["apply"]["items"] == [{"doc": {"id": "90"}, "apply": True, "amount": Decimal("500.00")}]
    assert "approvalStatus" not in body
    assert "subsidiary" not in body


def test_an_invoice_waits_for_approval(charge: MakeCharge) -> None:
    body = translate.charge(charge(origin="milestone", quantity="1", unit_price="500.00"), REFS)
    assert body["approvalStatus"] == {"id": translate.PENDING_APPROVAL}


TIME = {
    "custcol_isth_charge": "billing:ch1",
    "custcol_isth_amount": "1200.00",
    "hours": "8:00",
}
INVOICE_LINE = {"custcol_isth_charge": "billing:ch1", "custcol_isth_amount": "1200.00", "amount": "1200"}
CREDIT_LINE = {"custcol_isth_charge": "billing:ch1", "custcol_isth_amount": "-1200.00", "amount": "1200"}


@pytest.mark.parametrize(
    ("changes", "record", "why"),
    [
        pytest.param({}, TIME, None, id="the time as it was sent"),
        pytest.param({}, TIME | {"hours": "8.0"}, None, id="hours told as a number"),
        pytest.param({}, TIME | {"custcol_isth_amount": "1200"}, None, id="the same amount, fewer digits"),
        pytest.param(
            {},
            TIME | {"custcol_isth_amount": "1199.99"},
            "custcol_isth_amount is 1199.99, not 1200.00",
            id="a cent less is another charge",
        ),
        pytest.param(
            {}, TIME | {"hours": "7:59"}, "hours are 7:59, not 8:00", id="someone changed the hours"
        ),
        pytest.param(
            {},
            TIME | {"custcol_isth_charge": "billing:ch9"},
            "it carries the charge 'billing:ch9'",
            id="another charge's record",
        ),
        pytest.param({}, {}, "it carries the charge None", id="an empty record"),
        pytest.param(
            {"origin": "expense"}, TIME | {"amount": "1200.00"}, None, id="the expense as it was sent"
        ),
        pytest.param(
            {"origin": "expense"},
            TIME | {"amount": "1000"},
            "amount is 1000, not 1200.00",
            id="an expense whose own amount was changed",
        ),
        pytest.param(
            {"origin": "milestone"}, {"item": {"items": [INVOICE_LINE]}}, None, id="the invoice as sent"
        ),
        pytest.param(
            {"origin": "milestone"},
            {"item": {"items": [INVOICE_LINE, {"amount": "1"}]}},
            "the sum of its lines is 1201, not 1200.00",
            id="an invoice with a line more",
        ),
        pytest.param(
            {"origin": "milestone", "amount": "-1200.00", "reverses": "billing:ch0"},
            {"item": {"items": [CREDIT_LINE]}},
            None,
            id="the credit memo as sent",
        ),
    ],
)
def test_what_keeps_a_record_from_being_the_charge(
    changes: dict[str, Any], record: dict[str, Any], why: str | None, charge: MakeCharge
) -> None:
    assert translate.difference(charge(**changes), record) == why


def test_master_data(customer: CustomerChanged, project: ProjectCreated) -> None:
    assert translate.customer(customer, currency="2", subsidiary=None) == {
        "companyName": "Northwind",
        "isPerson": False,
        "currency": {"id": "2"},
        "isInactive": False,
        "vatRegNumber": "DE123",
    }
    assert translate.job(project, customer="5", currency="2", subsidiary="1") == {
        "companyName": "Rollout",
        "parent": {"id": "5"},
        "custentity_isth_contract": "crm:C1",
        "custentity_isth_budget": "20000.00 EUR",
        "currency": {"id": "2"},
        "subsidiary": {"id": "1"},
    }


def _time(*, quantity: Decimal, unit_price: Decimal, amount: Decimal) -> ChargeDetermined:
    return ChargeDetermined(
        source="billing",
        occurred_at=datetime(2026, 10, 5, tzinfo=UTC),
        entity="us",
        charge="billing:ch1",
        contract="crm:C1",
        line="T",
        project="crm:P1",
        origin="time",
        origin_key="psa:1",
        origin_revision=1,
        currency="EUR",
        earned_on=date(2026, 10, 5),
        posting_on=date(2026, 10, 5),
        dimensions={},
        explanation=[],
        quantity=quantity,
        unit_price=unit_price,
        amount=amount,
    )


@pytest.mark.parametrize(
    ("origin", "reverses", "type"),
    [
        pytest.param("time", None, "timeBill", id="time is billable work"),
        pytest.param("time", "billing:e0", "timeBill", id="and so is its reversal, with negative hours"),
        pytest.param("retainer_overage", None, "timeBill", id="hours beyond a retainer are somebody's work"),
        pytest.param("expense", None, "charge", id="an expense is a charge"),
        pytest.param("milestone", None, "invoice", id="a milestone is an invoice awaiting approval"),
        pytest.param("installment", None, "invoice", id="so is an instalment"),
        pytest.param("retainer", None, "invoice", id="and a retainer's period"),
        pytest.param("subscription", None, "invoice", id="and a subscription's"),
        pytest.param("retainer", "billing:e0", "creditMemo", id="its reversal is a credit memo"),
    ],
)
def test_each_origin_has_its_record(
    charge: Callable[..., ChargeDetermined], origin: str, reverses: str | None, type: str
) -> None:
    event = charge(origin=origin, reverses=reverses)
    assert translate.record_type(event) == type
