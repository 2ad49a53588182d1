"""Kantata's records to canonical facts, without a server."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from isthmus.events import (
    ExpenseValidated,
    ExpenseWithdrawn,
    InvoiceReleased,
    InvoiceVoided,
    PaymentReceived,
    ProjectCreated,
    TimeApproved,
    TimeUnapproved,
)
from isthmus.sdk import Secret
from isthmus_kantata import outward, translate
from isthmus_kantata.settings import KantataSettings
from isthmus_kantata.translate import Teller, Untranslatable

NOON = "2026-10-06T12:00:00-07:00"
LATER = "2026-10-07T23:30:00-07:00"
ENTRY: dict[str, Any] = {
    "id": "71",
    "date_performed": "2026-10-05",
    "time_in_minutes": 450,
    "billable": True,
    "notes": "",
    "approved": True,
    "updated_at": NOON,
}
EXPENSE: dict[str, Any] = {
    "id": "16",
    "date": "2026-10-05",
    "amount_in_cents": 12345,
    "category": "Travel",
    "currency": "EUR",
    "currency_base_unit": 100,
    "is_billable": True,
    "updated_at": NOON,
}


def settings(**changes: Any) -> KantataSettings:
    return KantataSettings(token=Secret("t"), **changes)


def teller(**changes: Any) -> Teller:
    return Teller(source="psa", entity="main", settings=settings(**changes))


def submission(status: str, *, id: str = "55", at: str = LATER, words: str | None = None) -> dict[str, Any]:
    return {
        "id": id,
        "status": status,
        "updated_at": at,
        "current_resolution_created_at_date": None if status == "new" else at,
        "current_resolution_description": words,
    }


def time(row: dict[str, Any], sheet: dict[str, Any] | None, *, requires: bool = True, **changes: Any) -> Any:
    return translate.time_fact(
        teller(**changes),
        row,
        sheet,
        requires_approval=requires,
        entry="psa:71",
        project="crm:006",
        resource="psa:9",
        role={"id": "1", "name": "Senior Consultant"},
        story={"id": "6", "title": "Build", "story_type": "task"},
    )


def test_an_approved_entry_is_told_with_its_hours_day_and_service() -> None:
    fact = time(ENTRY, submission("approved"))
    assert isinstance(fact, TimeApproved)
    assert (fact.hours, fact.worked_on, fact.billable) == (Decimal("7.50"), date(2026, 10, 5), True)
    assert (fact.service, fact.task, fact.note) == ("senior_consultant", "Build", None)
    assert fact.occurred_at == datetime(2026, 10, 8, 6, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("sheet", "approved", "requires", "told"),
    [
        pytest.param("approved", True, True, TimeApproved, id="approved on its timesheet"),
        pytest.param("rejected", False, True, TimeUnapproved, id="rejected after or before an approval"),
        pytest.param("cancelled", False, True, TimeUnapproved, id="an approval that was cancelled"),
        pytest.param("new", False, True, None, id="waiting for a decision tells nothing"),
        pytest.param("pending", False, True, None, id="the other word for waiting tells nothing"),
        pytest.param(None, False, True, None, id="never handed in tells nothing"),
        pytest.param(None, True, True, TimeApproved, id="approved without a timesheet"),
        pytest.param(None, False, False, TimeApproved, id="a project without approvals"),
        pytest.param("rejected", True, True, TimeUnapproved, id="the timesheet outweighs a stale flag"),
    ],
)
def test_what_the_state_of_an_entry_tells(
    sheet: str | None, approved: bool, requires: bool, told: type | None
) -> None:
    found = time({**ENTRY, "approved": approved}, submission(sheet) if sheet else None, requires=requires)
    assert type(found) is (told or type(None))


def test_an_unapproval_carries_the_words_of_the_one_who_decided() -> None:
    assert time(ENTRY, submission("rejected", words="wrong project")).reason == "wrong project"


@pytest.mark.parametrize(
    ("zone", "day"),
    [
        pytest.param("UTC", date(2026, 10, 8), id="the day in the configured zone"),
        pytest.param("America/Los_Angeles", date(2026, 10, 7), id="not the day of another zone"),
    ],
)
def test_an_approval_is_dated_in_the_configured_zone(zone: str, day: date) -> None:
    assert time(ENTRY, submission("approved"), time_zone=zone).approved_on == day


def test_each_step_of_an_approval_has_a_higher_revision_even_within_one_second() -> None:
    steps = [
        submission("new", id="55"),
        submission("approved", id="55"),
        submission("cancelled", id="55"),
        submission("new", id="56"),
        submission("approved", id="56"),
        submission("rejected", id="56"),
        submission("approved", id="57", at="2026-10-07T23:30:01-07:00"),
    ]
    revisions = [translate.revision_of(ENTRY, step) for step in steps]
    assert revisions == sorted(set(revisions))


def test_a_revision_counts_only_whole_seconds_so_that_its_place_within_one_never_spills_over() -> None:
    early = translate.revision_of(ENTRY, submission("rejected", id="249", at="2026-10-07T23:30:00.900-07:00"))
    late = translate.revision_of(ENTRY, submission("new", id="250", at="2026-10-07T23:30:01.000-07:00"))
    assert early < late


def test_an_edit_of_an_approved_entry_has_a_higher_revision() -> None:
    edited = {**ENTRY, "updated_at": "2026-10-09T08:00:00-07:00"}
    assert time(edited, submission("approved")).revision > time(ENTRY, submission("approved")).revision


@pytest.mark.parametrize(
    ("minutes", "hours"),
    [
        pytest.param(60, "1.00", id="an hour"),
        pytest.param(10, "0.17", id="ten minutes round to hundredths"),
        pytest.param(1, "0.02", id="a minute is not lost"),
        pytest.param(3, "0.05", id="three minutes are exact"),
    ],
)
def test_minutes_become_hours_of_two_digits(minutes: int, hours: str) -> None:
    assert translate.hours_of(minutes) == Decimal(hours)


@pytest.mark.parametrize(
    ("cents", "currency", "unit", "amount"),
    [
        pytest.param(12345, "EUR", 100, "123.45", id="euros have two digits"),
        pytest.param(12345, "JPY", 1, "12345", id="yen have none"),
        pytest.param(12345, "KWD", 1000, "12.345", id="dinars have three"),
        pytest.param(-500, "EUR", 100, "-5.00", id="a refund is negative"),
        pytest.param(500, "EUR", None, "5.00", id="a missing base unit is the currency's own"),
    ],
)
def test_subunits_become_money(cents: int, currency: str, unit: int | None, amount: str) -> None:
    assert translate.money_of(cents, currency, unit) == Decimal(amount)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"time_in_minutes": 0}, "time_in_minutes", id="no time"),
        pytest.param({"time_in_minutes": "7.5"}, "time_in_minutes", id="time that is no whole number"),
        pytest.param({"time_in_minutes": True}, "time_in_minutes", id="time that is a truth value"),
        pytest.param({"date_performed": "05.10.2026"}, "date_performed", id="a date in another form"),
        pytest.param({"updated_at": "2026-10-06T12:00:00"}, "updated_at", id="a stamp without offset"),
        pytest.param({"updated_at": None}, "updated_at", id="no stamp"),
    ],
)
def test_an_entry_without_a_canonical_form_says_which_field(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(Untranslatable, match=words):
        time({**ENTRY, **changes}, submission("approved"))


@pytest.mark.parametrize(
    ("changes", "service"),
    [
        pytest.param({}, "senior_consultant", id="a role, in lower case"),
        pytest.param(
            {"services": {"Senior Consultant": "consulting"}}, "consulting", id="a role that is mapped"
        ),
        pytest.param({"service_field": "task"}, "build", id="the title of the task"),
        pytest.param({"service_field": "task_type"}, "task", id="the type of the task"),
        pytest.param({"service_field": "default", "default_service": "x"}, "x", id="always the default"),
    ],
)
def test_the_service_of_an_entry(changes: dict[str, Any], service: str) -> None:
    assert time(ENTRY, submission("approved"), **changes).service == service


def test_an_entry_that_names_no_service_needs_a_default() -> None:
    with pytest.raises(Untranslatable, match="default_service"):
        translate.service_of(settings(), None, None)
    assert translate.service_of(settings(default_service="consulting"), None, None) == "consulting"


def expense(row: dict[str, Any], report: dict[str, Any] | None, **changes: Any) -> Any:
    return translate.expense_fact(
        teller(**changes),
        row,
        report,
        requires_approval=True,
        expense="psa:16",
        project="crm:006",
        resource="psa:9",
    )


def test_an_approved_expense_is_told_in_its_own_currency() -> None:
    fact = expense(EXPENSE, submission("approved"), categories={"Travel": "travel"})
    assert isinstance(fact, ExpenseValidated)
    assert (fact.amount, fact.currency, fact.category) == (Decimal("123.45"), "EUR", "travel")


def test_an_expense_whose_report_is_cancelled_is_withdrawn_with_a_higher_revision() -> None:
    fact = expense(EXPENSE, submission("cancelled"))
    assert isinstance(fact, ExpenseWithdrawn)
    assert fact.revision > expense(EXPENSE, submission("approved")).revision


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        pytest.param({"amount_in_cents": "1.5"}, "amount_in_cents", id="cents that are no whole number"),
        pytest.param({"currency": None}, "currency", id="no currency"),
        pytest.param({"currency_base_unit": 1}, "currency_base_unit", id="a base unit of another currency"),
        pytest.param({"category": ""}, "category", id="no category"),
    ],
)
def test_an_expense_without_a_canonical_form_says_which_field(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(Untranslatable, match=words):
        expense({**EXPENSE, **changes}, submission("approved"))


def trail(*states: str) -> list[dict[str, Any]]:
    return [
        {"id": str(n), "state": state, "created_at": f"2026-10-{n:02}T10:00:00+00:00"}
        for n, state in enumerate(states, start=1)
    ]


@pytest.mark.parametrize(
    ("states", "told"),
    [
        pytest.param(("not started",), [], id="a milestone that is only planned tells nothing"),
        pytest.param(("started", "completed"), [("milestone.achieved", 1)], id="completed"),
        pytest.param(
            ("completed", "started", "completed"),
            [("milestone.achieved", 1), ("milestone.reopened", 2), ("milestone.achieved", 3)],
            id="each turn counts one revision",
        ),
        pytest.param(
            ("completed", "started", "needs info", "completed"),
            [("milestone.achieved", 1), ("milestone.reopened", 2), ("milestone.achieved", 3)],
            id="moves between open states count nothing",
        ),
    ],
)
def test_the_trail_of_a_milestone(states: tuple[str, ...], told: list[tuple[str, int]]) -> None:
    rows = list(reversed(trail(*states)))
    facts = translate.milestone_facts(teller(), rows, milestone="crm:m1", project="crm:006")
    assert [(fact.kind, fact.revision) for fact in facts] == told


@pytest.mark.parametrize(
    ("key", "message", "stage"),
    [
        pytest.param("100", "Backlog", "planned", id="grey is before the start"),
        pytest.param("210", "In Setup", "planned", id="light green too"),
        pytest.param("310", "In Progress", "active", id="green is under way"),
        pytest.param("400", "On Hold", "on_hold", id="a known message goes before its colour"),
        pytest.param("501", "Cancelled", "cancelled", id="red and ended"),
        pytest.param("601", "Done", "completed", id="blue is finished"),
        pytest.param("410", "Invoiced", "completed", id="the settings go before all"),
    ],
)
def test_a_status_stands_for_a_stage(key: str, message: str, stage: str) -> None:
    assert translate.stage_of(settings(stages={"Invoiced": "completed"}), key, message) == stage


def test_a_status_nobody_knows_is_refused_with_the_setting_to_mend() -> None:
    with pytest.raises(Untranslatable, match="stages"):
        translate.stage_of(settings(), "901", "Parked")


def change(id: int, before: str | None, after: str, user: str = "2") -> dict[str, Any]:
    return {
        "id": str(id),
        "from_status_key": before,
        "to_status_key": after,
        "user_id": user,
        "created_at": f"2026-10-{id:02}T10:00:00+00:00",
    }


def test_stage_changes_leave_out_what_isthmus_wrote_and_moves_within_a_stage() -> None:
    changes = [
        change(1, None, "100"),
        change(2, "100", "300", user="1"),
        change(3, "300", "310"),
        change(4, "310", "600"),
    ]
    facts = translate.stage_facts(teller(), changes, project="crm:006", own_user="1")
    assert [(fact.previous, fact.stage, fact.revision) for fact in facts] == [("active", "completed", 4)]


def test_a_new_project_carries_its_key_in_the_call_that_makes_it() -> None:
    event = ProjectCreated(
        source="crm",
        occurred_at=datetime(2026, 10, 1, tzinfo=UTC),
        entity="main",
        project="crm:006",
        customer="crm:001",
        name="Apollo",
        stage="active",
        currency="EUR",
        budget=Decimal("20000.50"),
        starts_on=date(2026, 10, 1),
    )
    sent = outward.workspace_of(event, settings(status_keys={"active": 310}))["workspace"]
    assert sent["external_reference"]["service_model_ref"] == "crm:006"
    assert (sent["status_key"], sent["price"], sent["start_date"]) == (310, 20001, "2026-10-01")


INVOICE: dict[str, Any] = {
    "source": "erp",
    "occurred_at": datetime(2026, 11, 1, tzinfo=UTC),
    "entity": "main",
    "invoice": "erp:9",
    "currency": "EUR",
}
RELEASED = InvoiceReleased(
    **INVOICE,
    number="R-9",
    customer="crm:001",
    issued_on=date(2026, 11, 1),
    due_on=date(2026, 12, 1),
    total=Decimal("100.00"),
    charges=[],
)


def paid(open_amount: str) -> PaymentReceived:
    return PaymentReceived(
        **INVOICE,
        payment="erp:p1",
        received_on=date(2026, 11, 20),
        amount=Decimal("40.00"),
        open_amount=Decimal(open_amount),
    )


@pytest.mark.parametrize(
    ("event", "before", "status", "message"),
    [
        pytest.param(
            RELEASED,
            None,
            "released",
            "Invoice R-9, total 100.00 EUR, open 100.00 EUR",
            id="released: all is open",
        ),
        pytest.param(
            paid("60.00"),
            "Invoice R-9, total 100.00 EUR, open 100.00 EUR",
            "partly_paid",
            "Invoice R-9, total 100.00 EUR, open 60.00 EUR",
            id="partly paid keeps number and total",
        ),
        pytest.param(
            paid("0.00"),
            "Invoice R-9, total 100.00 EUR, open 60.00 EUR",
            "paid",
            "Invoice R-9, total 100.00 EUR, open 0.00 EUR",
            id="paid",
        ),
        pytest.param(
            paid("0.00"), None, "paid", "Invoice erp:9, open 0.00 EUR", id="a payment of an invoice not shown"
        ),
        pytest.param(
            InvoiceVoided(**INVOICE, number="R-9", on=date(2026, 11, 5), amount=Decimal("100.00")),
            None,
            "voided",
            "Invoice R-9, total 100.00 EUR, voided on 2026-11-05",
            id="voided",
        ),
    ],
)
def test_how_an_invoice_shows_on_its_project(
    event: outward.Invoiced, before: str | None, status: str, message: str
) -> None:
    assert outward.invoice_line(event, before) == (status, message)
