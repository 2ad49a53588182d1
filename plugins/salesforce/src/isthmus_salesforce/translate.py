"""Salesforce records to events, and invoices to bodies of ``Invoice__c``. Pure: no clock, no calls."""

from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import msgspec

from isthmus.events import (
    BusinessEvent,
    ContractAmended,
    ContractEnded,
    ContractSigned,
    CustomerChanged,
    DealWon,
    EventRefused,
    InvoiceReleased,
    InvoiceVoided,
    PaymentReceived,
    decode,
    encode,
)
from isthmus_salesforce.lines import contract_lines
from isthmus_salesforce.rows import Row, Untranslatable

E = TypeVar("E", bound=BusinessEvent)

ENDED = frozenset({"Terminated", "Expired"})
"""States of a contract that was in force and is not any more."""


class Teller(msgspec.Struct, frozen=True):
    """Who tells the facts: the connector instance, and the legal entity of records that name none."""

    instance: str
    entity: str

    def key(self, id: str) -> str:
        return f"{self.instance}:{id}"

    def envelope(self, row: Row) -> dict[str, Any]:
        return {
            "source": self.instance,
            "occurred_at": row.stamp,
            "entity": row.text("Legal_Entity__c") or self.entity,
        }


def customer_changed(row: Row, teller: Teller) -> CustomerChanged:
    """
    Raises:
        Untranslatable: name or currency is missing.
    """
    town = " ".join(filter(None, (row.text("BillingPostalCode"), row.text("BillingCity"))))
    parts = (row.text("BillingStreet"), town, row.text("BillingCountry"))
    return checked(
        CustomerChanged(
            **teller.envelope(row),
            customer=teller.key(row.id),
            revision=row.revision,
            name=row.need("Name"),
            currency=row.need("CurrencyIsoCode"),
            tax_id=row.text("Tax_Id__c"),
            address="\n".join(filter(None, parts)) or None,
            status="inactive" if row.deleted else "active",
        )
    )


def deal_won(row: Row, teller: Teller) -> DealWon:
    """
    Raises:
        Untranslatable: account, amount or day is missing.
    """
    currency = row.need("CurrencyIsoCode")
    contract = row.text("ContractId")
    return checked(
        made(
            DealWon,
            **teller.envelope(row),
            deal=teller.key(row.id),
            revision=row.revision,
            customer=teller.key(row.need("AccountId", "say whose deal it is")),
            contract=teller.key(contract) if contract else None,
            name=row.need("Name"),
            amount=row.need_money("Amount", currency),
            currency=currency,
            closed_on=row.need_day("CloseDate"),
        )
    )


def contract_fact(
    row: Row, lines: Sequence[Row], teller: Teller
) -> ContractSigned | ContractAmended | ContractEnded | None:
    """What a contract says of itself: revision 1 is signed, a higher one amended; None for a draft.

    Raises:
        Untranslatable: a field of the contract or of a line is missing or wrong.
    """
    status = row.text("StatusCode")
    if row.fields["ActivatedDate"] is None and status != "Activated":
        return None
    if row.deleted or status in ENDED:
        ended_on = row.day("EndDate")
        return checked(
            ContractEnded(
                **teller.envelope(row),
                contract=teller.key(row.id),
                revision=row.revision,
                ended_on=ended_on or row.stamp.date(),
                reason="deleted in the CRM" if row.deleted else f"{str(status).lower()} in the CRM",
            )
        )
    if status != "Activated":
        return None
    revision = row.whole("Revision__c")
    if revision is None or revision < 1:
        raise row.wrong("Revision__c", "is empty; write 1 for the signed contract, one more per amendment")
    terms = _terms(row, lines, teller)
    if revision == 1:
        return checked(made(ContractSigned, **terms, revision=revision))
    return checked(
        made(
            ContractAmended,
            **terms,
            revision=revision,
            effective_on=row.need_day("Effective_On__c"),
            reason=row.text("Amendment_Reason__c") or "not stated",
        )
    )


def _terms(row: Row, lines: Sequence[Row], teller: Teller) -> dict[str, Any]:
    currency = row.need("CurrencyIsoCode")
    zone = row.need("Time_Zone__c", "write an IANA name such as Europe/Berlin")
    try:
        ZoneInfo(zone)
    except (ValueError, OSError, KeyError):
        raise row.wrong("Time_Zone__c", f"is {zone}; write an IANA name such as Europe/Berlin") from None
    policy = row.text("Period_Policy__c")
    if policy not in (None, "hold", "next_open"):
        raise row.wrong("Period_Policy__c", f"is {policy}; it is hold or next_open")
    if not lines:
        raise row.wrong("Contract_Line__c", "has no rows; add the lines, then save the contract")
    opportunity = row.need("Opportunity__c", "say which deal it came from: the project is named by it")
    return {
        **teller.envelope(row),
        "contract": teller.key(row.id),
        "customer": teller.key(row.need("AccountId")),
        "project": teller.key(opportunity),
        "deal": teller.key(opportunity),
        "title": row.text("Name") or row.need("ContractNumber"),
        "currency": currency,
        "signed_on": _signed_on(row),
        "starts_on": row.need_day("StartDate"),
        "ends_on": row.day("EndDate"),
        "time_zone": zone,
        "period_policy": policy,
        "lines": contract_lines(lines, currency, teller.key),
    }


def _signed_on(row: Row) -> date:
    signed = row.day("CustomerSignedDate") or row.day("CompanySignedDate") or row.day("ActivatedDate")
    if signed is None:
        raise row.wrong("CustomerSignedDate", "is empty; fill in the day of the signature")
    return signed


def reopened(row: Row, remedy: str) -> Untranslatable:
    """What a person must look at: a won deal is open again, or deleted."""
    field, state = ("IsDeleted", "is true") if row.deleted else ("IsWon", "is false again")
    return row.wrong(field, f"{state} {remedy}")


def made(kind: type[E], **values: Any) -> E:
    """An event; what its own check refuses is told like any other wrong field."""
    try:
        return kind(**values)
    except ValueError as error:
        key = values.get("contract") or values.get("deal")
        raise Untranslatable(f"{key}: {error}") from error


def checked(event: E) -> E:
    """``event``, when the log could read it back.

    Raises:
        Untranslatable: a value is not in its form.
    """
    try:
        decode(encode(event))
    except EventRefused as error:
        raise Untranslatable(f"{event.key}: {error}") from error
    return event


InvoiceFact = InvoiceReleased | InvoiceVoided | PaymentReceived


class HeldInvoice(msgspec.Struct, frozen=True, kw_only=True):
    """The row of ``Invoice__c`` that has our key already."""

    id: str
    number: str | None
    status: str | None
    total: Decimal | None


def invoice_body(
    event: InvoiceFact, held: HeldInvoice | None, *, account: str | None = None, deal: str | None = None
) -> dict[str, Any]:
    """What to write for ``event``, by our field names, without the key.

    A payment or a void may come before the invoice itself: what they said of status and open amount stays
    when the invoice follows.

    Args:
        account: Id of the Account, for a released invoice.
        deal: Id of the Opportunity, when the project is known.
    """
    status = held.status if held else None
    body: dict[str, Any]
    match event:
        case InvoiceReleased():
            body = {"Name": event.number, "Number__c": event.number, "Total__c": event.total}
            body |= {"Account__c": account} if account else {}
            if status in (None, "Released"):
                body |= {"Open_Amount__c": event.total, "Status__c": "Released"}
        case InvoiceVoided():
            body = {"Name": event.number, "Number__c": event.number}
            body |= {"Open_Amount__c": Decimal(0), "Status__c": "Voided"}
        case PaymentReceived():
            if status == "Voided":
                body = {"Status__c": "Voided"}
            else:
                paid = event.open_amount <= 0
                body = {"Open_Amount__c": event.open_amount, "Status__c": "Paid" if paid else "Partly Paid"}
    return body | ({"Opportunity__c": deal} if deal else {}) | {"CurrencyIsoCode": event.currency}
