"""Records of the CRM as events, and invoices as bodies, without any call."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from isthmus.events import (
    ContractAmended,
    ContractEnded,
    ContractLine,
    ContractSigned,
    CustomerChanged,
    FixedFee,
    Installment,
    InvoiceReleased,
    InvoiceVoided,
    Milestones,
    MilestoneTerm,
    PaymentReceived,
    Retainer,
    Subscription,
    TimeAndMaterials,
)
from isthmus_salesforce import translate
from isthmus_salesforce.client import number, quoted
from isthmus_salesforce.fields import OBJECTS
from isthmus_salesforce.lines import contract_lines
from isthmus_salesforce.rows import Row, Untranslatable
from isthmus_salesforce.translate import HeldInvoice, Teller

STAMP = "2026-01-05T09:00:00.000+0000"
AT = datetime(2026, 1, 5, 9, tzinfo=UTC)
TELLER = Teller("crm", "main")


def row(item: str, id: str = "X1", **fields: Any) -> Row:
    """A record with everything else empty, as SOQL gives it."""
    blank = dict.fromkeys(OBJECTS[item])
    return Row(item, {**blank, "Id": id, "IsDeleted": False, "SystemModstamp": STAMP, **fields})


def line(id: str, name: str, model: str | None, **fields: Any) -> Row:
    return row("Contract_Line__c", id, Line__c=name, Model__c=model, **fields)


def hours(id: str, **fields: Any) -> Row:
    return line(id, "T", "time_and_materials", **fields)


def contract(**changes: Any) -> Row:
    fields = {
        "Name": "Rollout",
        "AccountId": "A1",
        "StatusCode": "Activated",
        "StartDate": "2026-02-01",
        "ActivatedDate": STAMP,
        "CustomerSignedDate": "2026-01-04",
        "CurrencyIsoCode": "EUR",
        "Revision__c": "1.0",
        "Opportunity__c": "O1",
        "Legal_Entity__c": "de",
        "Time_Zone__c": "Europe/Berlin",
    }
    return row("Contract", "C1", **{**fields, **changes})


MILESTONE = line("L1", "M", "milestone", Title__c="Go-live", Amount__c="20000.0")


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        pytest.param(
            [
                hours("L1", Service__c="consulting", Rate__c="150.0", Overage__c="bill"),
                hours("L2", Service__c="design", Rate__c="120.5"),
            ],
            TimeAndMaterials(
                line="T",
                services=["consulting", "design"],
                rates={"consulting": Decimal("150.00"), "design": Decimal("120.50")},
                overage="bill",
            ),
            id="rows with one name make one line with a rate per service",
        ),
        pytest.param(
            [
                hours("L1", Default_Rate__c=100, Cap_Amount__c="1.0E7"),
                hours("L2", Service__c="design", Rate__c=90, Included_Hours__c="7.5"),
            ],
            TimeAndMaterials(
                line="T",
                rates={"design": Decimal("90.00")},
                default_rate=Decimal("100.00"),
                cap_amount=Decimal("10000000.00"),
                included_hours=Decimal("7.50"),
            ),
            id="a default rate takes any service, and ten million comes as 1.0E7",
        ),
        pytest.param(
            [MILESTONE, line("L2", "M", "milestone", Title__c="Start", Amount__c=5, Advance__c=True)],
            Milestones(
                line="M",
                milestones=[
                    MilestoneTerm(milestone="crm:L1", title="Go-live", amount=Decimal("20000.00")),
                    MilestoneTerm(milestone="crm:L2", title="Start", amount=Decimal("5.00"), advance=True),
                ],
            ),
            id="a milestone is named by its row",
        ),
        pytest.param(
            [
                line("L1", "F", "fixed_fee", Amount__c="600.0", Due_On__c="2026-02-01"),
                line("L2", "F", "fixed_fee", Amount__c="400.1", Due_On__c="2026-03-01"),
            ],
            FixedFee(
                line="F",
                amount=Decimal("1000.10"),
                installments=[
                    Installment(key="crm:L1", due_on=date(2026, 2, 1), amount=Decimal("600.00")),
                    Installment(key="crm:L2", due_on=date(2026, 3, 1), amount=Decimal("400.10")),
                ],
            ),
            id="a fixed fee is the sum of its instalments",
        ),
        pytest.param(
            [
                line(
                    *("L1", "R", "retainer"),
                    Amount__c=1000,
                    Every__c="month",
                    Starts_On__c="2026-02-01",
                    Included_Hours__c=10,
                    Overage_Rate__c=120,
                    Rollover__c="one_period",
                    Service__c="support",
                ),
                line("L2", "R", "retainer", Service__c="advice"),
            ],
            Retainer(
                line="R",
                services=["support", "advice"],
                amount=Decimal("1000.00"),
                every="month",
                starts_on=date(2026, 2, 1),
                included_hours=Decimal("10.00"),
                overage_rate=Decimal("120.00"),
                rollover="one_period",
            ),
            id="further rows of a retainer only name services",
        ),
        pytest.param(
            [
                line(
                    *("L1", "S", "subscription"),
                    Amount__c="99.5",
                    Every__c="year",
                    Starts_On__c="2026-02-01",
                    In_Advance__c=False,
                )
            ],
            Subscription(
                line="S",
                amount=Decimal("99.50"),
                every="year",
                starts_on=date(2026, 2, 1),
                in_advance=False,
            ),
            id="a subscription says itself whether it is billed in advance",
        ),
    ],
)
def test_rows_become_a_line(rows: list[Row], expected: ContractLine) -> None:
    assert contract_lines(rows, "EUR", TELLER.key) == [expected]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        pytest.param(
            [hours("L1", Service__c="design")], "Rate__c of Contract_Line__c L1", id="a service needs a rate"
        ),
        pytest.param([hours("L1", Rate__c=5)], "Service__c of Contract_Line__c L1", id="a rate, a service"),
        pytest.param(
            [hours("L1", Service__c="x", Rate__c=5), hours("L2", Service__c="x", Rate__c=6)],
            "remove one",
            id="a service has one rate",
        ),
        pytest.param(
            [hours("L1", Default_Rate__c=5, Cap_Amount__c=1), hours("L2", Cap_Amount__c=2)],
            "Cap_Amount__c of Contract_Line__c L1 differs",
            id="the rows of a line agree on its cap",
        ),
        pytest.param([hours("L1", Default_Rate__c=-5)], "more than 0", id="a rate is positive"),
        pytest.param([hours("L1", Default_Rate__c="NaN")], "Default_Rate__c", id="a rate is a number"),
        pytest.param(
            [hours("L1", Default_Rate__c="33.3333333")], "six digits", id="a rate has six digits at most"
        ),
        pytest.param([line("L1", "X", "barter")], "it is one of", id="a model we know"),
        pytest.param([line("L1", "X", None)], "Model__c", id="a model at all"),
        pytest.param(
            [line("L1", "F", "fixed_fee", Amount__c=5)], "Due_On__c", id="an instalment is due some day"
        ),
        pytest.param(
            [line("L1", "M", "milestone", Title__c="Go")], "Amount__c", id="a milestone has a price"
        ),
        pytest.param(
            [line("L1", "S", "subscription", Amount__c=5, Every__c="week", Starts_On__c="2026-01-01")],
            "month, quarter, year",
            id="a period that can be billed",
        ),
    ],
)
def test_a_wrong_row_names_field_and_remedy(rows: list[Row], told: str) -> None:
    with pytest.raises(Untranslatable, match=told):
        contract_lines(rows, "EUR", TELLER.key)


def test_lines_keep_the_order_of_their_first_rows() -> None:
    rows = [
        MILESTONE,
        hours("L2", Default_Rate__c=1),
        line("L3", "M", "milestone", Title__c="B", Amount__c=1),
    ]
    assert [each.line for each in contract_lines(rows, "EUR", TELLER.key)] == ["M", "T"]


def test_a_first_revision_is_signed() -> None:
    fact = translate.contract_fact(contract(), [MILESTONE], TELLER)
    assert isinstance(fact, ContractSigned)
    assert (fact.contract, fact.project, fact.deal, fact.customer) == ("crm:C1", "crm:O1", "crm:O1", "crm:A1")
    assert (fact.revision, fact.entity, fact.occurred_at) == (1, "de", AT)
    assert (fact.signed_on, fact.starts_on) == (date(2026, 1, 4), date(2026, 2, 1))


def test_a_higher_revision_is_an_amendment_with_all_lines() -> None:
    amended = contract(Revision__c="2.0", Effective_On__c="2026-03-01", Amendment_Reason__c="more scope")
    fact = translate.contract_fact(amended, [MILESTONE], TELLER)
    assert isinstance(fact, ContractAmended)
    assert (fact.revision, fact.effective_on, fact.reason) == (2, date(2026, 3, 1), "more scope")
    assert len(fact.lines) == 1


@pytest.mark.parametrize(
    ("changes", "ended_on", "reason"),
    [
        pytest.param(
            {"StatusCode": "Terminated", "EndDate": "2026-04-30"}, date(2026, 4, 30), "terminated in the CRM"
        ),
        pytest.param(
            {"StatusCode": "Expired"}, AT.date(), "expired in the CRM", id="without a day: the stamp's"
        ),
        pytest.param({"IsDeleted": True}, AT.date(), "deleted in the CRM", id="deleted"),
    ],
)
def test_a_contract_that_was_active_ends(changes: dict[str, Any], ended_on: date, reason: str) -> None:
    fact = translate.contract_fact(contract(**changes), [], TELLER)
    assert isinstance(fact, ContractEnded)
    assert (fact.ended_on, fact.reason) == (ended_on, reason)


@pytest.mark.parametrize("status", ["Draft", "InApproval", "Terminated"])
def test_a_contract_that_was_never_active_says_nothing(status: str) -> None:
    draft = contract(StatusCode=status, ActivatedDate=None)
    assert translate.contract_fact(draft, [MILESTONE], TELLER) is None


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        pytest.param({"Revision__c": None}, "write 1 for the signed contract", id="no revision"),
        pytest.param({"Revision__c": "1.5"}, "whole number", id="half a revision"),
        pytest.param({"Revision__c": "2.0"}, "Effective_On__c", id="an amendment without its day"),
        pytest.param({"Opportunity__c": None}, "Opportunity__c", id="no deal"),
        pytest.param({"Time_Zone__c": "Berlin"}, "IANA", id="an unknown time zone"),
        pytest.param({"Time_Zone__c": "../etc"}, "IANA", id="a time zone that is a path"),
        pytest.param({"StartDate": None}, "StartDate", id="no start"),
        pytest.param({"EndDate": "2026-01-31"}, "lies before", id="an end before the start"),
        pytest.param({"CurrencyIsoCode": "euro"}, "crm:C1", id="no currency of ISO 4217"),
        pytest.param({"Period_Policy__c": "maybe"}, "hold or next_open", id="an unknown policy"),
    ],
)
def test_a_wrong_contract_names_field_and_remedy(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(Untranslatable, match=told):
        translate.contract_fact(contract(**changes), [MILESTONE], TELLER)


def test_a_contract_without_rows_says_what_to_do() -> None:
    with pytest.raises(Untranslatable, match="add the lines, then save the contract"):
        translate.contract_fact(contract(), [], TELLER)


def test_an_amount_with_more_digits_than_its_currency_is_refused() -> None:
    yen = contract(CurrencyIsoCode="JPY")
    odd = line("L1", "M", "milestone", Title__c="Go-live", Amount__c="100.5")
    with pytest.raises(Untranslatable, match="digits of JPY"):
        translate.contract_fact(yen, [odd], TELLER)


def test_an_account_becomes_a_customer() -> None:
    account = row(
        *("Account", "A1"),
        Name=" Acme ",
        CurrencyIsoCode="EUR",
        BillingStreet="Main St 1",
        BillingPostalCode="10115",
        BillingCity="Berlin",
        Tax_Id__c="DE1",
    )
    assert translate.customer_changed(account, TELLER) == CustomerChanged(
        source="crm",
        occurred_at=AT,
        entity="main",
        customer="crm:A1",
        revision=int(AT.timestamp()) * 1000,
        name="Acme",
        currency="EUR",
        tax_id="DE1",
        address="Main St 1\n10115 Berlin",
    )


def test_a_deleted_account_is_inactive() -> None:
    gone = row("Account", Name="Acme", CurrencyIsoCode="EUR", IsDeleted=True)
    assert translate.customer_changed(gone, TELLER).status == "inactive"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        pytest.param("1.0E7", "10000000", id="Java writes ten million so"),
        pytest.param("2.00000005E7", "20000000.5", id="with cents"),
        pytest.param(0, "0", id="nothing"),
        pytest.param("0.0", "0.0", id="a double that is nothing"),
        pytest.param("-12.5", "-12.5", id="less than nothing"),
        pytest.param(9007199254740993, "9007199254740993", id="more digits than a double has"),
    ],
)
def test_numbers_keep_their_digits(given: object, expected: str) -> None:
    read = number(given)
    assert read is not None
    assert read == Decimal(expected)
    assert "E" not in str(read)


@pytest.mark.parametrize("given", ["NaN", "Infinity", "1E400", True, [], "x", ""])
def test_what_is_no_number_is_refused(given: object) -> None:
    with pytest.raises(ValueError):
        number(given)


def test_quotes_cannot_leave_a_soql_string() -> None:
    assert quoted("O'Neil\\' OR Id != null\n") == "'O\\'Neil\\\\\\' OR Id != null\\n'"


ENVELOPE: dict[str, Any] = {"source": "erp", "occurred_at": AT, "entity": "de", "invoice": "erp:1"}
RELEASED = InvoiceReleased(
    **ENVELOPE,
    number="INV-1",
    customer="crm:A1",
    issued_on=AT.date(),
    due_on=date(2026, 2, 4),
    total=Decimal("100.10"),
    currency="EUR",
    charges=[],
)
PAID = PaymentReceived(
    **ENVELOPE,
    payment="erp:p1",
    received_on=AT.date(),
    amount=Decimal("100.10"),
    currency="EUR",
    open_amount=Decimal("0.00"),
)
PART = msgspec.structs.replace(PAID, amount=Decimal("40.00"), open_amount=Decimal("60.10"))
VOIDED = InvoiceVoided(**ENVELOPE, number="INV-1", on=AT.date(), amount=Decimal("100.10"), currency="EUR")


@pytest.mark.parametrize(
    ("event", "status", "written"),
    [
        pytest.param(RELEASED, None, ("Released", Decimal("100.10")), id="a new invoice is wholly open"),
        pytest.param(RELEASED, "Released", ("Released", Decimal("100.10")), id="released again: the same"),
        pytest.param(RELEASED, "Partly Paid", (None, None), id="a payment that came first stays"),
        pytest.param(RELEASED, "Voided", (None, None), id="a void that came first stays"),
        pytest.param(PART, "Released", ("Partly Paid", Decimal("60.10")), id="part of it is paid"),
        pytest.param(PAID, None, ("Paid", Decimal("0.00")), id="paid before the invoice is known"),
        pytest.param(PAID, "Voided", ("Voided", None), id="a payment does not revive a voided invoice"),
        pytest.param(VOIDED, "Paid", ("Voided", Decimal(0)), id="a void closes it"),
    ],
)
def test_what_an_invoice_shows(
    event: translate.InvoiceFact, status: str | None, written: tuple[str | None, Decimal | None]
) -> None:
    held = HeldInvoice(id="I1", number="INV-1", status=status, total=None) if status else None
    body = translate.invoice_body(event, held)
    assert (body.get("Status__c"), body.get("Open_Amount__c")) == written
    assert "Isthmus_Key__c" not in body
