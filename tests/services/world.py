"""A project as the log has it: work, what billing made of it, postings, invoices, a payment, an outlook."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal

from isthmus.events import (
    BusinessEvent,
    ChargeDetermined,
    ChargePosted,
    ContractSigned,
    CreditIssued,
    ForecastMonth,
    ForecastRevised,
    InvoiceReleased,
    InvoiceVoided,
    PaymentReceived,
    ProjectCreated,
    TimeAndMaterials,
    TimeApproved,
)
from isthmus.process.preview import preview
from isthmus.store import log as event_log
from isthmus.store.face import Store

__all__ = ["PROJECT", "history", "keep"]

AT = datetime(2026, 10, 20, 9, tzinfo=UTC)
PROJECT = "crm:p1"
ENTITY = "acme-us"


def time(
    entry: str, hours: str, *, revision: int = 1, project: str = PROJECT, day: int = 5, billable: bool = True
) -> TimeApproved:
    return TimeApproved(
        source="psa",
        occurred_at=AT,
        entity=ENTITY,
        entry=f"psa:{entry}",
        revision=revision,
        project=project,
        resource="psa:r1",
        service="consulting",
        worked_on=date(2026, 10, day),
        hours=Decimal(hours),
        billable=billable,
        approved_on=date(2026, 10, 19),
    )


def invoice(
    key: str, charges: Sequence[str], total: str, *, project: str | None = PROJECT
) -> InvoiceReleased:
    return InvoiceReleased(
        source="erp",
        occurred_at=AT,
        entity=ENTITY,
        invoice=f"erp:{key}",
        number=f"INV-{key}",
        customer="crm:a1",
        project=project,
        issued_on=date(2026, 10, 21),
        due_on=date(2026, 11, 20),
        total=Decimal(total),
        currency="USD",
        charges=list(charges),
    )


def history() -> list[BusinessEvent]:
    """Four entries, one corrected, the last over the cap; two invoices, one of which is voided; a payment.

    At 100.00 an hour with a cap of 2,000.00: 8 + 6 (corrected to 5) + 4 hours are charged, 3 of 5.50 fit, no:
    17 hours are 1,700.00, so 3.00 of the last 5.50 fit and 2.50 are held.
    """
    facts: list[BusinessEvent] = [
        ProjectCreated(
            source="project-setup",
            occurred_at=AT,
            entity=ENTITY,
            project=PROJECT,
            customer="crm:a1",
            contract="crm:c1",
            name="Data platform",
            stage="active",
        ),
        ContractSigned(
            source="crm",
            occurred_at=AT,
            entity=ENTITY,
            contract="crm:c1",
            revision=1,
            customer="crm:a1",
            project=PROJECT,
            title="Data platform",
            currency="USD",
            signed_on=date(2026, 9, 20),
            starts_on=date(2026, 10, 1),
            time_zone="America/New_York",
            lines=[TimeAndMaterials(line="T", default_rate=Decimal("100.00"), cap_amount=Decimal("2000.00"))],
        ),
        time("e1", "8.00"),
        time("e2", "6.00", day=6),
        time("e2", "5.00", day=6, revision=2),
        time("e3", "4.00", day=7),
        time("e4", "5.50", day=8),
        time("e5", "1.00", day=9, billable=False),
        time("e6", "2.00", project="crm:elsewhere"),
    ]
    derived = list(preview(facts))
    charges = {each.charge: each for each in derived if isinstance(each, ChargeDetermined)}
    standing = [
        each.charge
        for each in charges.values()
        if each.reverses is None and not any(other.reverses == each.charge for other in charges.values())
    ]
    posted = [
        ChargePosted(
            source="erp",
            occurred_at=AT,
            entity=ENTITY,
            charge=each.charge,
            system="erp",
            remote_id=f"T-{n}",
            posted_on=date(2026, 10, 20),
            amount=each.amount,
            currency=each.currency,
            project=PROJECT if n % 2 else None,
        )
        for n, each in enumerate(charges.values())
        if each.charge != standing[-1]
    ]
    paid = PaymentReceived(
        source="erp",
        occurred_at=AT,
        entity=ENTITY,
        payment="erp:pay1",
        invoice="erp:1",
        received_on=date(2026, 10, 30),
        amount=Decimal("500.00"),
        currency="USD",
        open_amount=Decimal("380.00"),
        project=None,
    )
    credit = CreditIssued(
        source="erp",
        occurred_at=AT,
        entity=ENTITY,
        invoice="erp:1",
        number="CM-1",
        on=date(2026, 10, 31),
        amount=Decimal("80.00"),
        currency="USD",
        revision=3,
    )
    void = InvoiceVoided(
        source="erp",
        occurred_at=AT,
        entity=ENTITY,
        invoice="erp:2",
        number="INV-2",
        on=date(2026, 10, 22),
        amount=Decimal("500.00"),
        currency="USD",
        revision=2,
    )
    outlook = ForecastRevised(
        source="forecast",
        occurred_at=AT,
        entity=ENTITY,
        project=PROJECT,
        currency="USD",
        as_of=AT,
        months=[ForecastMonth(month="2026-10", revenue=Decimal("2000.00"), hours=Decimal("20.00"))],
        backlog=Decimal("0.00"),
        earned=Decimal("2000.00"),
        basis=["psa/time.approved/psa:e4/1"],
    )
    bills = [invoice("1", standing[:1], "880.00"), invoice("2", standing[1:2], "500.00", project=None)]
    return [*facts, *derived, *posted, *bills, void, paid, credit, outlook]


async def keep(store: Store, events: Sequence[BusinessEvent]) -> None:
    await store.write(lambda tx: event_log.append(tx, events, AT))
