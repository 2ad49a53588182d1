"""From rows of SuiteQL to our facts. Pure: keys were looked up before.

Rows are strings throughout: ``T``/``F``, numbers, stamps of the account's zone; a null column is absent.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec

from isthmus.events import (
    BusinessEvent,
    CreditIssued,
    InvoiceReleased,
    InvoiceVoided,
    PaymentReceived,
    PeriodClosed,
    PeriodReopened,
    parse_decimal,
)
from isthmus_netsuite.stamps import Moment
from isthmus_netsuite.translate import APPROVED

Row = Mapping[str, str]
Ledger = Literal["ar", "ap", "all"]


class Party(msgspec.Struct, frozen=True, kw_only=True):
    """Whom a document is for, in our keys."""

    customer: str
    project: str | None = None


class Lines(msgspec.Struct, frozen=True, kw_only=True):
    """What the lines of a document say of it."""

    charges: list[str] = []
    contracts: list[str] = []
    amount: Decimal = Decimal(0)
    """The exact amounts of our lines together; stands in for the total of a voided document, which is 0."""
    subsidiary: str | None = None


class Frame(msgspec.Struct, frozen=True, kw_only=True):
    """The envelope fields all facts of a row share."""

    source: str
    entity: str
    currency: str
    saved: Moment


def lines_of(rows: Sequence[Row]) -> Lines:
    """Fold the lines of one document, main line included.

    Raises:
        KeyError, ValueError: a line of ours lacks its exact amount, or bears something else there.
    """
    charges: list[str] = []
    contracts: list[str] = []
    amount = Decimal(0)
    subsidiary = None
    for row in rows:
        subsidiary = row.get("subsidiary", subsidiary)
        if (charge := row.get("custcol_isth_charge")) is not None:
            charges.append(charge)
            amount += parse_decimal(row["custcol_isth_amount"])
            if (contract := row.get("custcol_isth_contract")) and contract not in contracts:
                contracts.append(contract)
    return Lines(charges=charges, contracts=contracts, amount=amount, subsidiary=subsidiary)


def invoice(row: Row, lines: Lines, party: Party, frame: Frame, key: str) -> BusinessEvent | None:
    """A released or voided invoice; None while it waits for approval or was rejected.

    Raises:
        KeyError, ValueError: a column is missing or not in its form.
    """
    revision, occurred_at = frame.saved.revision, frame.saved.at
    if row.get("voided") == "T" or row["status"] == "V":
        total = abs(parse_decimal(row.get("total", "0")))
        return InvoiceVoided(
            source=frame.source,
            entity=frame.entity,
            occurred_at=occurred_at,
            revision=revision,
            invoice=key,
            number=row["tranid"],
            on=date.fromisoformat(row["modified"][:10]),
            amount=total or abs(lines.amount),
            currency=frame.currency,
            project=party.project,
        )
    if row["status"] in ("D", "E") or row.get("approvalstatus", APPROVED) != APPROVED:
        return None
    issued_on = date.fromisoformat(row["trandate"])
    return InvoiceReleased(
        source=frame.source,
        entity=frame.entity,
        occurred_at=occurred_at,
        revision=revision,
        invoice=key,
        number=row["tranid"],
        customer=party.customer,
        issued_on=issued_on,
        due_on=date.fromisoformat(row["duedate"]) if "duedate" in row else issued_on,
        total=parse_decimal(row["total"]),
        currency=frame.currency,
        charges=lines.charges,
        contract=lines.contracts[0] if len(lines.contracts) == 1 else None,
        project=party.project,
    )


def credit(
    row: Row, applied: Row, frame: Frame, *, key: str, invoice: str, project: str | None
) -> CreditIssued:
    """What a credit memo takes off one invoice."""
    revision = frame.saved.revision
    return CreditIssued(
        # Two credits of one invoice may bear the same second, so the memo is part of the id.
        id=f"{frame.source}/credit.issued/{key}/{revision}",
        source=frame.source,
        entity=frame.entity,
        occurred_at=frame.saved.at,
        revision=revision,
        invoice=invoice,
        number=row["tranid"],
        on=date.fromisoformat(row["trandate"]),
        amount=abs(parse_decimal(applied["foreignamount"])),
        currency=frame.currency,
        reason=row.get("memo"),
        project=project,
    )


def payment(
    row: Row, applied: Row, frame: Frame, *, key: str, invoice: str, project: str | None
) -> PaymentReceived:
    """What a payment pays of one invoice, and what the invoice still asks for."""
    return PaymentReceived(
        source=frame.source,
        entity=frame.entity,
        occurred_at=frame.saved.at,
        revision=frame.saved.revision,
        payment=key,
        invoice=invoice,
        received_on=date.fromisoformat(row["trandate"]),
        amount=abs(parse_decimal(applied["foreignamount"])),
        currency=frame.currency,
        open_amount=parse_decimal(applied.get("unpaid", "0")),
        project=project,
    )


class PeriodState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was last told of a period: which ledgers are closed, and in which revision."""

    closed: tuple[Ledger, ...] = ()
    closed_on: str = ""
    revision: int = 0


def period_name(starts_on: date, ends_on: date) -> str:
    """``2026-10``: the month the middle of the period lies in, for 4-4-5 calendars too."""
    return (starts_on + (ends_on - starts_on) / 2).strftime("%Y-%m")


def closed_ledgers(row: Row) -> tuple[Ledger, ...]:
    if row.get("closed") == "T" or row.get("alllocked") == "T":
        return ("all",)
    pairs: list[tuple[Ledger, str]] = [("ar", "arlocked"), ("ap", "aplocked")]
    return tuple(ledger for ledger, flag in pairs if row.get(flag) == "T")


def _reopened(before: tuple[Ledger, ...], after: tuple[Ledger, ...]) -> list[Ledger]:
    """Ledgers that take postings again. What stays closed under another word is not reopened in between,
    for each reopening lets held work go."""
    if before == ("all",) and not after:
        return ["all"]
    return [ledger for ledger in _each(before) if ledger not in _each(after)]


def _each(closed: tuple[Ledger, ...]) -> tuple[Ledger, ...]:
    return ("ar", "ap") if "all" in closed else closed


def period(
    row: Row, before: PeriodState, *, source: str, entity: str, zone: ZoneInfo, now: datetime
) -> tuple[list[BusinessEvent], PeriodState]:
    """The transitions of a period since ``before``, and what is to be remembered of it.

    NetSuite keeps no time of change for periods, so the revision is the day it was closed (days since
    1970, times 1000), and always above the one before. A period that was never closed tells nothing.
    """
    closed = closed_ledgers(row)
    closed_on = row.get("closedondate", "") if closed else ""
    if closed == before.closed and closed_on == before.closed_on:
        return [], before
    starts_on, ends_on = date.fromisoformat(row["startdate"]), date.fromisoformat(row["enddate"])
    name = period_name(starts_on, ends_on)
    revision = before.revision + 1
    occurred_at = now
    if closed_on:
        day = date.fromisoformat(closed_on)
        revision = max(revision, (day - date(1970, 1, 1)).days * 1000)
        occurred_at = min(now, datetime.combine(day, time(), tzinfo=zone).astimezone(UTC))
    events: list[BusinessEvent] = [
        made(
            id=f"{source}/{kind}/{name}/{ledger}/{revision}",
            source=source,
            entity=entity,
            occurred_at=occurred_at,
            revision=revision,
            period=name,
            starts_on=starts_on,
            ends_on=ends_on,
            ledger=ledger,
        )
        for made, kind, ledgers in (
            (PeriodReopened, "period.reopened", _reopened(before.closed, closed)),
            (PeriodClosed, "period.closed", list(closed)),
        )
        for ledger in ledgers
    ]
    return events, PeriodState(closed=closed, closed_on=closed_on, revision=revision)
