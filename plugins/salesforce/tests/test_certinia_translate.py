"""Certinia's records as events, without a call: what is refused, and how; no hour is lost or doubled."""

from collections.abc import Callable
from datetime import UTC, date, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.events import BusinessEvent
from isthmus_salesforce.certinia import translate
from isthmus_salesforce.certinia.settings import CertiniaSettings
from isthmus_salesforce.certinia.translate import Teller, Worked
from isthmus_salesforce.fields import DAYS, OBJECTS
from isthmus_salesforce.rows import Row, Untranslatable
from isthmus_salesforce.simulator import Salesforce

STAMP = "2026-01-05T09:00:00.000+0000"
SETTINGS = CertiniaSettings()
TELLER = Teller(instance="psa", entity="main", settings=SETTINGS)
ROLE = SETTINGS.service_field


def row(item: str, **fields: Any) -> Row:
    """A record with everything else empty, as SOQL gives it."""
    blank = dict.fromkeys((*OBJECTS[item], ROLE))
    return Row(item, {**blank, "Id": "X1", "IsDeleted": False, "SystemModstamp": STAMP, **fields})


def split(**changes: Any) -> Row:
    fields = {
        "pse__Project__c": "P1",
        "pse__Resource__c": "R1",
        "pse__Approved__c": True,
        "pse__Billable__c": True,
        "pse__Start_Date__c": "2026-01-05",
        "pse__End_Date__c": "2026-01-11",
        "pse__Monday_Hours__c": "8.0",
        ROLE: "Consultant",
    }
    return row("pse__Timecard__c", **{**fields, **changes})


def expense(**changes: Any) -> Row:
    fields = {
        "pse__Project__c": "P1",
        "pse__Resource__c": "R1",
        "pse__Approved__c": True,
        "pse__Type__c": "Taxi",
        "pse__Expense_Date__c": "2026-01-06",
        "pse__Amount__c": "10.50",
        "CurrencyIsoCode": "EUR",
    }
    return row("pse__Expense__c", **{**fields, **changes})


def assignment(**changes: Any) -> Row:
    fields = {
        "pse__Project__c": "P1",
        "pse__Resource__c": "R1",
        "pse__Role__c": "Consultant",
        "pse__Start_Date__c": "2026-01-05",
        "pse__End_Date__c": "2026-02-27",
        "pse__Schedule__r.pse__Monday_Hours__c": "8.0",
    }
    return row("pse__Assignment__c", **{**fields, **changes})


def first_day(of: Row) -> BusinessEvent:
    return translate.time_approved(of, next(translate.worked(of)), TELLER)


Make = Callable[[], object]
REFUSED: list[tuple[Make, str, str]] = [
    (lambda: first_day(split(pse__Project__c=None)), "pse__Project__c", "which project"),
    (lambda: first_day(split(pse__Resource__c=None)), "pse__Resource__c", "fill it in"),
    (lambda: first_day(split(**{ROLE: None})), ROLE, "certinia.default_service"),
    (lambda: first_day(split(pse__Start_Date__c=None)), "pse__Start_Date__c", "fill in the day"),
    (lambda: first_day(split(pse__End_Date__c="2026-01-04")), "pse__End_Date__c", "a split is a week"),
    (lambda: first_day(split(pse__End_Date__c="2026-01-20")), "pse__End_Date__c", "a split is a week"),
    (lambda: first_day(split(pse__Monday_Hours__c="7.333")), "hours", "two digits"),
    (lambda: first_day(split(pse__Monday_Hours__c="-1.0")), "hours", "more than 0"),
    (lambda: first_day(split(pse__Monday_Hours__c="1.0E30")), "pse__Monday_Hours__c", "out of range"),
    (lambda: translate.expense_validated(expense(pse__Type__c=None), TELLER), "pse__Type__c", "choose"),
    (lambda: translate.expense_validated(expense(pse__Amount__c=None), TELLER), "pse__Amount__c", "amount"),
    (lambda: translate.expense_validated(expense(CurrencyIsoCode="JPY"), TELLER), "amount", "digits of JPY"),
    (
        lambda: translate.expense_validated(expense(CurrencyIsoCode="EURO"), TELLER),
        "currency",
        "matching",
    ),
    (lambda: translate.assignment_changed(assignment(pse__Role__c=None), TELLER), "pse__Role__c", "service"),
    (
        lambda: translate.assignment_changed(
            assignment(**{"pse__Schedule__r.pse__Monday_Hours__c": None}), TELLER
        ),
        "pse__Schedule__c",
        "give the assignment a schedule",
    ),
    (
        lambda: translate.assignment_changed(assignment(pse__End_Date__c="2026-01-01"), TELLER),
        "ends_on",
        "before starts_on",
    ),
    (lambda: translate.resource_changed(row("Contact"), TELLER), "Name", "fill it in"),
    (
        lambda: translate.stage_changed(
            row("pse__Proj__History", ParentId="P1", OldValue="Planned", NewValue="Hypercare"), TELLER
        ),
        "NewValue",
        "certinia.stages",
    ),
]


@pytest.mark.parametrize(
    ("make", "field", "remedy"),
    [pytest.param(make, field, remedy, id=f"{field}: {remedy}") for make, field, remedy in REFUSED],
)
def test_what_cannot_be_told_names_field_and_remedy(make: Make, field: str, remedy: str) -> None:
    with pytest.raises(Untranslatable) as refusal:
        make()
    told = str(refusal.value)
    assert field in told
    assert remedy in told


def test_an_approval_without_a_date_of_its_own_counts_from_its_change_in_the_org_s_zone() -> None:
    late = split(SystemModstamp="2026-01-05T23:30:00.000+0000")
    told = translate.time_approved(late, Worked(date(2026, 1, 5), Decimal("8.00"), None), TELLER)
    assert told.approved_on == date(2026, 1, 5)
    berlin = Teller(instance="psa", entity="main", settings=CertiniaSettings(time_zone="Europe/Berlin"))
    told = translate.time_approved(late, Worked(date(2026, 1, 5), Decimal("8.00"), None), berlin)
    assert told.approved_on == date(2026, 1, 6)
    assert told.occurred_at.tzinfo is UTC


def test_one_stage_of_ours_under_two_names_is_no_move() -> None:
    history = row("pse__Proj__History", ParentId="P1", OldValue="In Progress", NewValue="Active")
    assert translate.stage_changed(history, TELLER) is None
    first = row("pse__Proj__History", ParentId="P1", OldValue=None, NewValue="Planned")
    assert translate.stage_changed(first, TELLER) is None


@given(
    hours=st.lists(st.integers(min_value=0, max_value=96).map(lambda quarters: quarters / 4), max_size=7),
    weeks=st.integers(min_value=0, max_value=60),
)
def test_every_hour_of_a_week_is_told_once_wherever_the_month_ends(hours: list[float], weeks: int) -> None:
    monday = date(2026, 1, 5) + timedelta(weeks=weeks)
    org = Salesforce()
    acts = org.acts()
    project = acts["add_project"]("Rollout")["project"]
    anna = acts["add_resource"]("Anna Weber")["resource"]
    card = acts["log_week"](project, anna, monday.isoformat(), hours)
    told: dict[date, Decimal] = {}
    for id in card["splits"]:
        record = org.ledger.get("pse__Timecard__c", id)
        assert record is not None
        # An answer's doubles are read from their digits.
        shown = {name: str(n) if isinstance(n, float) else n for name, n in record.fields.items()}
        for one in translate.worked(Row("pse__Timecard__c", shown)):
            assert one.day not in told, "no day stands in two splits"
            told[one.day] = one.hours or Decimal(0)
    assert sorted(told) == [monday + timedelta(days=n) for n in range(len(DAYS))]
    assert [told[day] for day in sorted(told)] == [
        Decimal(str(n)) for n in (*hours, *[0] * (len(DAYS) - len(hours)))
    ]
