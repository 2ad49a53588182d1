"""What the log says must stand on both sides: charges and reversals, holds, invoices, hours, contracts."""

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from isthmus.events import (
    BurnRevised,
    BusinessEvent,
    ChargeDetermined,
    ChargeHeld,
    ChargeReleased,
    ChargeWaived,
    DealWon,
    InvoiceReleased,
    InvoiceVoided,
    PaymentReceived,
    ProjectCreated,
    TimeApproved,
    TimeUnapproved,
)
from isthmus.reconcile.compare import Bounds, Expected, compare
from isthmus.reconcile.facts import Known, Landed, PairKind, Told
from isthmus.reconcile.known import scan_of
from isthmus.reconcile.work import Work
from isthmus.sdk.connector import CensusRow

AT = datetime(2026, 10, 6, 9, tzinfo=UTC)
FIRST, LAST = date(2026, 10, 1), date(2026, 10, 31)
HEAD: dict[str, Any] = {"occurred_at": AT, "entity": "us"}


def approved(**changes: Any) -> TimeApproved:
    fields: dict[str, Any] = {
        "source": "psa",
        "entry": "psa:1",
        "revision": 1,
        "project": "crm:p",
        "resource": "psa:r",
        "service": "consulting",
        "worked_on": date(2026, 10, 5),
        "approved_on": date(2026, 10, 6),
        "hours": Decimal("2.50"),
        "billable": True,
    }
    return TimeApproved(**{**HEAD, **fields, **changes})


def charge(key: str = "billing:ch1", amount: str = "375.00", **changes: Any) -> ChargeDetermined:
    fields: dict[str, Any] = {
        "source": "billing",
        "id": f"billing/{key}",
        "contract": "crm:c",
        "line": "T",
        "project": "crm:p",
        "origin": "time",
        "origin_key": "psa:1",
        "origin_revision": 1,
        "quantity": Decimal("2.50"),
        "unit_price": Decimal("150.00"),
        "currency": "EUR",
        "earned_on": date(2026, 10, 5),
        "posting_on": date(2026, 10, 5),
        "dimensions": {},
        "explanation": [],
    }
    return ChargeDetermined(charge=key, amount=Decimal(amount), **{**HEAD, **fields, **changes})


def held(kind: type[ChargeHeld] | type[ChargeReleased] = ChargeHeld, **changes: Any) -> BusinessEvent:
    fields: dict[str, Any] = {
        "source": "billing",
        "id": f"billing/{kind.__name__}",
        "origin": "time",
        "origin_key": "psa:1",
        "origin_revision": 1,
        "reason": "no_rate",
        "detail": "",
    }
    return kind(**{**HEAD, **fields, **changes})


def there(told: Told) -> Landed:
    """A road on which everything has arrived."""
    return Landed(lane="erp", standing="there", words=f"r{told.seq}", remote_id=f"r{told.seq}")


def known(
    kind: PairKind, *events: BusinessEvent, entity: str | None = None, shown: frozenset[str] = frozenset()
) -> Known:
    scan = scan_of(kind, FIRST, LAST, left="netsuite" if kind == "invoice" else "psa", entity=entity)
    for seq, event in enumerate(events, 1):
        assert event.kind in scan.kinds
        scan.take(Told(seq=seq, recorded_at=AT + timedelta(minutes=seq), event=event))
    return scan.known(there, shown)


def test_an_hour_is_one_record_on_the_left_and_each_charge_and_reversal_one_on_the_right() -> None:
    taken_back = charge("billing:ch2", "-375.00", reverses="billing:ch1")
    again = charge("billing:ch3", "450.00", quantity=Decimal("3.00"), origin_revision=2)
    found = known(
        "time", approved(), charge(), approved(revision=2, hours=Decimal("3.00")), taken_back, again
    )
    (entry,) = found.left.values()
    assert (entry.figures.quantity, entry.standing) == (Decimal("3.00"), "there")
    assert entry.other is not None and entry.other.amount == Decimal("450.00")
    said = {key: (each.figures.quantity, each.figures.amount) for key, each in found.right.items()}
    assert said == {
        "billing:ch1": (Decimal("2.50"), Decimal("375.00")),
        "billing:ch2": (Decimal("-2.50"), Decimal("-375.00")),
        "billing:ch3": (Decimal("3.00"), Decimal("450.00")),
    }
    assert {each.origin for each in found.right.values()} == {"psa:1"}


@pytest.mark.parametrize(
    ("decision", "undecided", "waiting"),
    [
        pytest.param([], 1, 0, id="no rule has looked at it"),
        pytest.param([charge()], 0, 0, id="charged"),
        pytest.param([held()], 0, 1, id="held"),
        pytest.param([held(), held(ChargeReleased), charge()], 0, 0, id="held, released, charged"),
        pytest.param([held(), held(ChargeReleased)], 1, 0, id="released and forgotten"),
        pytest.param(
            [
                ChargeWaived(
                    **HEAD,
                    source="billing",
                    origin="time",
                    origin_key="psa:1",
                    origin_revision=1,
                    reason="included",
                    quantity=Decimal("2.50"),
                )
            ],
            0,
            0,
            id="waived",
        ),
    ],
)
def test_what_is_approved_is_charged_waived_or_held(
    decision: list[BusinessEvent], undecided: int, waiting: int
) -> None:
    found = known("time", approved(), *decision)
    assert (len(found.undecided), found.held) == (undecided, waiting)


def test_a_withdrawn_entry_must_not_be_there_and_its_reversal_must() -> None:
    gone = TimeUnapproved(**HEAD, source="psa", entry="psa:1", revision=2, project="crm:p")
    found = known(
        "time", approved(), charge(), gone, charge("billing:ch2", "-375.00", reverses="billing:ch1")
    )
    assert found.left["psa:1"].standing == "withdrawn"
    assert set(found.right) == {"billing:ch1", "billing:ch2"}


def test_work_belongs_to_the_legal_entity_of_its_contract_not_to_that_of_the_psa() -> None:
    facts = approved(), charge(entity="de")
    assert set(known("time", *facts, entity="de").left) == {"psa:1"}
    assert known("time", *facts, entity="us").left == {}


def test_work_of_another_window_counts_only_where_the_left_side_shows_it_in_this_one() -> None:
    facts = approved(worked_on=date(2026, 9, 30)), charge()
    assert known("time", *facts).left == {}
    shown = known("time", *facts, shown=frozenset({"psa:1"}))
    assert set(shown.left) == {"psa:1"} and shown.right == {}, "its charges are of the other window"


def test_an_instalment_has_no_record_on_the_left() -> None:
    found = known("milestone", charge("billing:f1", "5000.00", origin="installment", origin_key="crm:c/F/1"))
    assert (found.left, set(found.right)) == ({}, {"billing:f1"})


def released(**changes: Any) -> InvoiceReleased:
    fields: dict[str, Any] = {
        "source": "netsuite",
        "invoice": "netsuite:7",
        "number": "INV7",
        "customer": "crm:a",
        "issued_on": date(2026, 10, 31),
        "due_on": date(2026, 11, 30),
        "total": Decimal("1000.00"),
        "currency": "EUR",
        "charges": [],
    }
    return InvoiceReleased(**{**HEAD, **fields, **changes})


def paid(open_amount: str) -> PaymentReceived:
    return PaymentReceived(
        **HEAD,
        source="netsuite",
        payment=f"netsuite:{open_amount}",
        invoice="netsuite:7",
        received_on=date(2026, 11, 2),
        amount=Decimal("10.00"),
        currency="EUR",
        open_amount=Decimal(open_amount),
    )


VOIDED = InvoiceVoided(
    **HEAD,
    source="netsuite",
    invoice="netsuite:7",
    number="INV7",
    on=date(2026, 11, 3),
    amount=Decimal("1000.00"),
    currency="EUR",
)


@pytest.mark.parametrize(
    ("facts", "status"),
    [
        pytest.param([], "released", id="released"),
        pytest.param([paid("400.00")], "partly_paid", id="paid in part"),
        pytest.param([paid("400.00"), paid("0")], "paid", id="paid"),
        pytest.param([paid("0"), released(revision=2)], "paid", id="told again after the payment"),
        pytest.param([VOIDED], "voided", id="voided"),
    ],
)
def test_an_invoice_is_what_was_told_of_it_last(facts: list[BusinessEvent], status: str) -> None:
    found = known("invoice", released(), *facts)
    assert found.left["netsuite:7"].figures.status == status
    assert found.right["netsuite:7"].figures.status == status


def test_invoices_of_another_ledger_are_of_another_pair() -> None:
    assert known("invoice", released(source="legacy")).left == {}


def test_a_planner_has_the_total_of_a_day() -> None:
    burn = BurnRevised(
        **HEAD,
        source="burn",
        id="burn/1",
        burn="crm:p|psa:r|2026-10-05",
        project="crm:p",
        resource="psa:r",
        worked_on=date(2026, 10, 5),
        billable_hours=Decimal("2.50"),
        nonbillable_hours=Decimal("1.00"),
        basis=[],
    )
    other = approved(entry="psa:2", hours=Decimal("1.00"), billable=False)
    (day,) = known("hours", approved(), other, burn).right.values()
    assert day.figures.quantity == Decimal("3.50")
    assert day.other is not None and day.other.quantity == Decimal("3.50")
    (waiting,) = known("hours", approved()).right.values()
    assert (waiting.standing, waiting.figures.quantity) == ("in_flight", Decimal("2.50"))


def test_a_deal_stands_beside_the_budget_of_its_project() -> None:
    deal = DealWon(
        **HEAD,
        source="crm",
        deal="crm:p",
        customer="crm:a",
        name="Rollout",
        amount=Decimal("20000.00"),
        currency="EUR",
        closed_on=date(2026, 10, 2),
    )
    project = ProjectCreated(
        **HEAD,
        source="project-setup",
        project="crm:p",
        customer="crm:a",
        name="Rollout",
        stage="planned",
        currency="EUR",
        budget=Decimal("18000.00"),
    )
    found = known("contract", deal, project)
    assert found.left["crm:p"].figures.amount == Decimal("20000.00")
    right = found.right["crm:p"]
    assert right.figures.amount == Decimal("18000.00")
    assert right.other is not None and right.other.amount == Decimal("20000.00")


def test_mutant_a_reader_that_forgets_reversals_calls_them_records_nobody_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = Work._posted

    def forgetful(reader: Work, charges: Iterable[Told], *rest: Any) -> dict[str, Expected]:
        made = whole(reader, charges, *rest)
        return {key: each for key, each in made.items() if (each.figures.amount or 0) > 0}

    facts = approved(), charge(), charge("billing:ch2", "-375.00", reverses="billing:ch1")
    rows = [
        CensusRow(key=key, remote_id=key, status="posted", amount=Decimal(amount), currency="EUR")
        for key, amount in (("billing:ch1", "375.00"), ("billing:ch2", "-375.00"))
    ]
    bounds = Bounds(settled_before=AT + timedelta(days=9))
    assert compare("right", known("time", *facts).right, rows, bounds).differences == []
    monkeypatch.setattr(Work, "_posted", forgetful)
    (found,) = compare("right", known("time", *facts).right, rows, bounds).differences
    assert (found.kind, found.key) == ("extra", "billing:ch2")
