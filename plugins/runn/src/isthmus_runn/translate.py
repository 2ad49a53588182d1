"""Runn's words into ours and back. Pure: no clock, no I/O."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, Literal

from isthmus.events import (
    AssignmentChanged,
    AssignmentEnded,
    BurnRevised,
    DemandRevised,
    ForecastMonth,
    ForecastRevised,
    ProjectCreated,
    ProjectStageChanged,
    ResourceChanged,
)

PricingModel = Literal["tm", "fp", "nb"]

PRICING_OF_BILLING: Mapping[str, PricingModel] = {
    "time_and_materials": "tm",
    "fixed_price": "fp",
    "non_billable": "nb",
}

STATE_OF_STAGE: Mapping[str, Mapping[str, bool]] = {
    "planned": {"isConfirmed": True, "isArchived": False},
    "active": {"isConfirmed": True, "isArchived": False},
    "on_hold": {"isConfirmed": False, "isArchived": False},
    # Not archived: late time and corrections of completed projects still have to be written.
    "completed": {"isConfirmed": True, "isArchived": False},
    "cancelled": {"isConfirmed": False, "isArchived": True},
}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WORK_DAYS = 5
_MONTHS_BEHIND, _MONTHS_AHEAD = 12, 24


def instant(text: object) -> datetime:
    """A time stamp such as ``2026-10-05T09:30:00.123Z``.

    Raises:
        ValueError: it is none, or has no zone.
    """
    if not isinstance(text, str):
        raise ValueError(f"{text!r} is no time stamp")
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return moment.astimezone(UTC)


def revision_of(moment: datetime) -> int:
    """A time stamp as whole milliseconds since 1970, the finest step Runn tells."""
    return (moment - _EPOCH) // timedelta(milliseconds=1)


def minutes_of(hours: Decimal) -> int:
    """Hours as whole minutes, the unit Runn counts in; half a minute rounds up."""
    return int((hours * 60).quantize(Decimal(1), rounding=ROUND_HALF_UP))


def hours_of(minutes: int) -> Decimal:
    """Minutes as hours with two digits: 100 minutes are 1.67."""
    return (Decimal(minutes) / 60).quantize(Decimal("0.01"), rounding=ROUND_HALF_UP)


def reference_key(references: object, name: str) -> str | None:
    """The external id kept under ``name`` in a record's references."""
    if isinstance(references, list):
        for reference in references:
            if isinstance(reference, dict) and reference.get("referenceName") == name:
                return str(reference["externalId"]) if reference.get("externalId") else None
    return None


def with_reference(references: object, name: str, key: str) -> list[dict[str, str]]:
    """The references of a record with ours among them; Runn replaces the list as a whole."""
    kept = [
        {"referenceName": str(other["referenceName"]), "externalId": str(other["externalId"])}
        for other in (references if isinstance(references, list) else [])
        if isinstance(other, dict) and other.get("referenceName") not in (None, name)
    ]
    return [*kept, {"referenceName": name, "externalId": key}]


def assignment_changed(
    row: Mapping[str, Any],
    *,
    source: str,
    entity: str,
    key: str,
    resource: str,
    project: str,
    service: str,
    confirmed: bool,
    confirmed_at: datetime | None = None,
) -> AssignmentChanged:
    """One assignment, or one segment of it: Runn splits a booking around leave, each part with an id.

    Args:
        confirmed: whether its project is; a tentative project makes all its assignments tentative.
        confirmed_at: when the project was confirmed (or no longer), if that is what changed.

    Raises:
        ValueError: a field is missing or not what it should be; the text names it.
    """
    changed_at = _field(row, "updatedAt", instant)
    if confirmed_at is not None:
        changed_at = max(changed_at, confirmed_at)
    return AssignmentChanged(
        source=source,
        occurred_at=changed_at,
        entity=entity,
        assignment=key,
        resource=resource,
        project=project,
        service=service,
        starts_on=_field(row, "startDate", date.fromisoformat),
        ends_on=_field(row, "endDate", date.fromisoformat),
        hours_per_day=hours_of(_field(row, "minutesPerDay", _whole)),
        tentative=not confirmed or bool(row.get("isPlaceholder")),
        revision=revision_of(changed_at),
    )


def assignment_ended(event: Mapping[str, Any], *, source: str, entity: str, key: str) -> AssignmentEnded:
    """A deleted assignment, from the activity log; nothing of it is planned any more.

    Raises:
        ValueError: a field is missing or not what it should be; the text names it.
    """
    deleted_at = _field(event, "timestamp", instant)
    return AssignmentEnded(
        source=source,
        occurred_at=deleted_at,
        entity=entity,
        assignment=key,
        ended_on=_field(event["assignment"], "startDate", date.fromisoformat),
        revision=revision_of(deleted_at),
    )


def _field(row: Mapping[str, Any], name: str, read: Any) -> Any:
    if row.get(name) is None:
        raise ValueError(f"{name} is missing; correct the record in Runn")
    try:
        return read(row[name])
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name} {row[name]!r} cannot be read ({error}); correct it in Runn") from error


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError("not a whole number of minutes")
    return value


def new_project(event: ProjectCreated, *, client_id: int, reference_name: str) -> dict[str, Any]:
    """The body that creates a project."""
    body: dict[str, Any] = {
        "name": event.name,
        "clientId": client_id,
        "isConfirmed": STATE_OF_STAGE[event.stage]["isConfirmed"],
        "references": with_reference(None, reference_name, event.project),
    }
    if event.billing is not None:
        body["pricingModel"] = PRICING_OF_BILLING[event.billing]
    if event.budget is not None:
        body["budget"] = event.budget
    return body


def changed_project(event: ProjectCreated, *, client_id: int) -> dict[str, Any]:
    """What a later revision of the project says. Its state follows `state_of`, never this."""
    body: dict[str, Any] = {"name": event.name, "clientId": client_id}
    if event.billing is not None:
        body["pricingModel"] = PRICING_OF_BILLING[event.billing]
    if event.budget is not None:
        body["budget"] = event.budget
    return body


def state_of(event: ProjectStageChanged) -> dict[str, Any]:
    """Confirmed or tentative, archived or not."""
    return dict(STATE_OF_STAGE[event.stage])


def demand_text(event: DemandRevised) -> str:
    """What a change order asks for, for people: ``crm:C1 revision 2: 12000.00 EUR; consulting 96.00 h``."""
    worth = "no budget" if event.budget is None else f"{event.budget} {event.currency}"
    hours = [f"{service} {value} h" for service, value in event.hours.items()]
    return "; ".join([f"{event.contract} revision {event.revision}: {worth}", *hours])


def outlook_budget(event: ForecastRevised) -> Decimal | None:
    """What the project brought plus what is still to be earned; None where neither is known.

    The months of a forecast that looks ahead have part of the backlog in them, so they are not added up.
    """
    earned = event.earned
    if earned is None:
        earned = sum((month.revenue for month in event.months), Decimal(0))
    total = earned + event.backlog
    return total if total > 0 else None


def outlook_text(event: ForecastRevised) -> str:
    """The months of an outlook for people: ``2026-10 12000.00 EUR 96.00 h; backlog 3000.00 EUR``.

    What is tentative stands beside its month, and hours that nobody pays for. A text field is for reading: of
    many years, months far behind or ahead of ``as_of`` are one sum.
    """
    names = [month.month for month in event.months]
    today = bisect_left(names, f"{event.as_of:%Y-%m}")
    first, last = max(0, today - _MONTHS_BEHIND), today + _MONTHS_AHEAD
    words = [_month_text(month, event.currency) for month in event.months[first:last]]
    if first:
        words.insert(0, f"until {names[first - 1]} {_sum_text(event.months[:first], event.currency)}")
    if event.months[last:]:
        words.append(f"from {names[last]} {_sum_text(event.months[last:], event.currency)}")
    return "; ".join([*words, f"backlog {event.backlog} {event.currency}"])


def _month_text(month: ForecastMonth, currency: str) -> str:
    text = f"{month.month} {month.revenue} {currency} {month.hours} h"
    if month.tentative_hours or month.tentative_revenue:
        text += f" (+ {month.tentative_revenue} {currency} {month.tentative_hours} h tentative)"
    if month.unpaid_hours:
        text += f" ({month.unpaid_hours} h unpaid)"
    return text


def _sum_text(months: Sequence[ForecastMonth], currency: str) -> str:
    revenue = sum((month.revenue for month in months), Decimal(0))
    hours = sum((month.hours for month in months), Decimal(0))
    return f"{revenue} {currency} {hours} h"


def person_name(event: ResourceChanged) -> dict[str, str]:
    """First and last name; Runn insists on both, so a name of one word gets a dash."""
    first, _, last = event.name.strip().rpartition(" ")
    return {"firstName": first, "lastName": last} if first else {"firstName": last, "lastName": "-"}


def changed_person(event: ResourceChanged) -> dict[str, Any]:
    """What may change about a person."""
    body: dict[str, Any] = {**person_name(event), "isArchived": event.status == "inactive"}
    if event.email is not None:
        body["email"] = event.email
    return body


def new_person(event: ResourceChanged, *, role_id: int, reference_name: str) -> dict[str, Any]:
    """The body that creates a person with their first contract."""
    body: dict[str, Any] = {
        **person_name(event),
        "roleId": role_id,
        "references": with_reference(None, reference_name, event.resource),
    }
    if event.email is not None:
        body["email"] = event.email
    if event.capacity_hours_week > 0:
        body["minutesPerDay"] = minutes_of(event.capacity_hours_week / _WORK_DAYS)
    return body


def actual(event: BurnRevised, *, project_id: int, person_id: int, role_id: int) -> dict[str, Any]:
    """The total of one person, project, role and day. Runn overwrites what it had."""
    return {
        "date": event.worked_on.isoformat(),
        "billableMinutes": minutes_of(event.billable_hours),
        "nonbillableMinutes": minutes_of(event.nonbillable_hours),
        "personId": person_id,
        "projectId": project_id,
        "roleId": role_id,
    }
