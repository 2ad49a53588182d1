"""Runn's words into ours and back."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Literal

import pytest
from msgspec.structs import replace

from isthmus.events import (
    DemandRevised,
    ForecastMonth,
    ForecastRevised,
    ProjectStageChanged,
    ResourceChanged,
)
from isthmus_runn import translate

NOW = datetime(2026, 10, 5, 9, 30, tzinfo=UTC)
ROW: dict[str, Any] = {
    "id": 71,
    "personId": 3,
    "projectId": 4,
    "roleId": 5,
    "startDate": "2026-10-05",
    "endDate": "2026-10-30",
    "minutesPerDay": 450,
    "isPlaceholder": False,
    "updatedAt": "2026-10-05T09:30:00.123Z",
}


def changed(row: dict[str, Any], *, confirmed: bool = True, confirmed_at: datetime | None = None) -> Any:
    return translate.assignment_changed(
        row,
        source="planner",
        entity="acme-de",
        key="planner:71",
        resource="psa:3",
        project="crm:4",
        service="Consultant",
        confirmed=confirmed,
        confirmed_at=confirmed_at,
    )


def test_an_assignment_keeps_its_dates_hours_and_stamp() -> None:
    event = changed(ROW)
    assert (event.starts_on, event.ends_on) == (date(2026, 10, 5), date(2026, 10, 30))
    assert event.hours_per_day == Decimal("7.50")
    assert event.occurred_at == datetime(2026, 10, 5, 9, 30, 0, 123_000, tzinfo=UTC)
    assert event.revision == 1_791_192_600_123
    assert event.id == "planner/assignment.changed/planner:71/1791192600123"


@pytest.mark.parametrize(
    ("confirmed", "placeholder", "tentative"),
    [
        pytest.param(True, False, False, id="a person on a confirmed project is firmly planned"),
        pytest.param(False, False, True, id="a tentative project makes it tentative"),
        pytest.param(True, True, True, id="a placeholder makes it tentative"),
    ],
)
def test_tentative(confirmed: bool, placeholder: bool, tentative: bool) -> None:
    assert changed({**ROW, "isPlaceholder": placeholder}, confirmed=confirmed).tentative is tentative


def test_confirming_a_project_later_gives_its_assignments_a_higher_revision() -> None:
    assert changed(ROW, confirmed_at=NOW.replace(hour=11)).revision > changed(ROW).revision
    assert changed(ROW, confirmed_at=NOW.replace(hour=8)).revision == changed(ROW).revision


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param({"updatedAt": None}, "updatedAt is missing", id="no stamp"),
        pytest.param({"updatedAt": "2026-10-05T09:30:00"}, "no time zone", id="a stamp without zone"),
        pytest.param({"startDate": "5.10.2026"}, "startDate '5.10.2026'", id="a day in another form"),
        pytest.param({"minutesPerDay": "450"}, "minutesPerDay '450'", id="minutes as text"),
        pytest.param({"minutesPerDay": -1}, "minutesPerDay -1", id="minutes below zero"),
        pytest.param({"endDate": "2026-10-01"}, "ends_on 2026-10-01", id="an end before the start"),
    ],
)
def test_a_row_that_cannot_be_read_is_refused_with_its_field(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        changed({**ROW, **change})


@pytest.mark.parametrize(
    ("hours", "minutes"),
    [
        pytest.param("7.5", 450, id="half hours"),
        pytest.param("0", 0, id="nothing"),
        pytest.param("1.67", 100, id="a third of an hour comes back as it was"),
        pytest.param("0.01", 1, id="half a minute and more rounds up"),
        pytest.param("24", 1440, id="a whole day"),
    ],
)
def test_hours_are_whole_minutes(hours: str, minutes: int) -> None:
    assert translate.minutes_of(Decimal(hours)) == minutes


def test_minutes_are_hours_with_two_digits() -> None:
    assert [str(translate.hours_of(minutes)) for minutes in (450, 100, 20)] == ["7.50", "1.67", "0.33"]


def test_our_reference_replaces_only_our_own() -> None:
    kept = [
        {"referenceName": "harvest", "externalId": "9"},
        {"referenceName": "isthmus", "externalId": "old"},
    ]
    assert translate.with_reference(kept, "isthmus", "crm:1") == [
        {"referenceName": "harvest", "externalId": "9"},
        {"referenceName": "isthmus", "externalId": "crm:1"},
    ]
    assert translate.reference_key(kept, "isthmus") == "old"
    assert translate.reference_key(None, "isthmus") is None


def asked(budget: str | None, **hours: str) -> DemandRevised:
    return DemandRevised(
        source="change-order",
        occurred_at=NOW,
        entity="acme-de",
        contract="crm:c",
        project="crm:p",
        revision=3,
        currency="EUR",
        budget=None if budget is None else Decimal(budget),
        hours={service: Decimal(value) for service, value in hours.items()},
    )


@pytest.mark.parametrize(
    ("event", "text"),
    [
        pytest.param(asked("800.00"), "crm:c revision 3: 800.00 EUR", id="a fee alone names no hours"),
        pytest.param(asked(None), "crm:c revision 3: no budget", id="open time names neither"),
        pytest.param(
            asked("800.00", consulting="8.00", design="2.50"),
            "crm:c revision 3: 800.00 EUR; consulting 8.00 h; design 2.50 h",
            id="hours stand by service",
        ),
    ],
)
def test_what_a_change_order_asks_for_in_words(event: DemandRevised, text: str) -> None:
    assert translate.demand_text(event) == text


@pytest.mark.parametrize(
    ("stage", "confirmed", "archived"),
    [
        pytest.param("planned", True, False, id="planned after a won deal is confirmed"),
        pytest.param("active", True, False, id="active is confirmed"),
        pytest.param("on_hold", False, False, id="on hold frees the people: tentative"),
        pytest.param("completed", True, False, id="completed stays open for late time"),
        pytest.param("cancelled", False, True, id="cancelled leaves the planner"),
    ],
)
def test_state_of_a_stage(
    stage: Literal["planned", "active", "on_hold", "completed", "cancelled"], confirmed: bool, archived: bool
) -> None:
    event = ProjectStageChanged(
        source="crm",
        occurred_at=NOW,
        entity="acme-de",
        project="crm:p",
        stage=stage,
        previous="planned",
        changed_on=date(2026, 10, 5),
    )
    assert translate.state_of(event) == {"isConfirmed": confirmed, "isArchived": archived}


def outlook(months: list[tuple[str, str]], backlog: str) -> ForecastRevised:
    return ForecastRevised(
        source="forecast",
        occurred_at=NOW,
        entity="acme-de",
        project="crm:p",
        currency="EUR",
        as_of=NOW,
        months=[ForecastMonth(month=m, revenue=Decimal(r), hours=Decimal("8.00")) for m, r in months],
        backlog=Decimal(backlog),
        basis=[],
    )


def test_the_budget_of_an_outlook_is_what_came_and_what_is_still_to_come() -> None:
    event = outlook([("2026-10", "937.50"), ("2026-11", "-37.50")], "9100.00")
    assert translate.outlook_budget(event) == Decimal("10000.00")
    assert translate.outlook_text(event) == (
        "2026-10 937.50 EUR 8.00 h; 2026-11 -37.50 EUR 8.00 h; backlog 9100.00 EUR"
    )


def test_months_that_look_ahead_are_not_added_to_the_backlog_they_are_part_of() -> None:
    event = replace(
        outlook([("2026-10", "937.50"), ("2026-11", "9000.00")], "9100.00"), earned=Decimal("900.00")
    )
    assert translate.outlook_budget(event) == Decimal("10000.00")


def test_tentative_and_unpaid_hours_stand_beside_their_month() -> None:
    month = ForecastMonth(
        month="2026-10",
        revenue=Decimal("937.50"),
        hours=Decimal("8.00"),
        tentative_revenue=Decimal("800.00"),
        tentative_hours=Decimal("7.00"),
        unpaid_hours=Decimal("3.50"),
    )
    assert translate.outlook_text(replace(outlook([], "0.00"), months=[month])) == (
        "2026-10 937.50 EUR 8.00 h (+ 800.00 EUR 7.00 h tentative) (3.50 h unpaid); backlog 0.00 EUR"
    )


def test_a_plan_of_many_years_is_cut_to_what_people_read() -> None:
    months = [(f"{2024 + number // 12}-{number % 12 + 1:02}", "100.00") for number in range(120)]
    words = translate.outlook_text(outlook(months, "0.00")).split("; ")
    at = NOW.year * 12 + NOW.month - 1 - 2024 * 12
    assert words[0].startswith("until ") and words[0].endswith(
        f" {(at - 12) * 100}.00 EUR {(at - 12) * 8}.00 h"
    )
    assert words[-2].startswith("from ") and words[-2].endswith(
        f" {(120 - at - 24) * 100}.00 EUR {(120 - at - 24) * 8}.00 h"
    )
    assert (words[13][:7], len(words)) == (f"{NOW:%Y-%m}", 12 + 24 + 3)


def test_an_outlook_without_amounts_leaves_the_budget_alone() -> None:
    assert translate.outlook_budget(outlook([], "0.00")) is None


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        pytest.param("Rosa Meier", "Rosa", "Meier", id="two words"),
        pytest.param("Rosa Maria Meier", "Rosa Maria", "Meier", id="the last word is the last name"),
        pytest.param("Rosa", "Rosa", "-", id="one word gets a dash"),
    ],
)
def test_first_and_last_name(name: str, first: str, last: str) -> None:
    event = ResourceChanged(
        source="psa",
        occurred_at=NOW,
        entity="acme-de",
        resource="psa:1",
        name=name,
        capacity_hours_week=Decimal("37.5"),
        status="active",
    )
    person = translate.new_person(event, role_id=5, reference_name="isthmus")
    assert (person["firstName"], person["lastName"], person["minutesPerDay"]) == (first, last, 450)
