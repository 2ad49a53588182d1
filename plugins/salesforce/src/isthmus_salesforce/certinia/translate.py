"""Certinia's records to events. Pure: no clock, no calls.

A timecard split covers the days of one week within one accounting period. Contracts change, and rates with
them, by the day, so each day with hours is a time entry of its own: ``<instance>:<split>/2026-11-02``.
"""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec

from isthmus.events import (
    AssignmentChanged,
    AssignmentEnded,
    ExpenseValidated,
    ExpenseWithdrawn,
    MilestoneAchieved,
    MilestoneReopened,
    ProjectStageChanged,
    ResourceChanged,
    TimeApproved,
    TimeUnapproved,
)
from isthmus_salesforce.certinia.settings import CertiniaSettings, Stage
from isthmus_salesforce.fields import DAYS, KEY
from isthmus_salesforce.rows import Row
from isthmus_salesforce.translate import checked, made

WORKDAYS = 5

STAGES: dict[str, Stage] = {
    "draft": "planned",
    "planned": "planned",
    "in progress": "active",
    "active": "active",
    "on hold": "on_hold",
    "completed": "completed",
    "closed": "completed",
    "canceled": "cancelled",
    "cancelled": "cancelled",
}
"""Certinia's stages by ours; they are a picklist that each administrator changes."""


class Teller(msgspec.Struct, frozen=True, kw_only=True):
    """Who tells the facts of one Certinia org."""

    instance: str
    entity: str
    settings: CertiniaSettings

    def key(self, id: object) -> str:
        return f"{self.instance}:{id}"

    def envelope(self, row: Row) -> dict[str, Any]:
        return {"source": self.instance, "occurred_at": row.stamp, "entity": self.entity}

    def day(self, moment: datetime) -> date:
        return moment.astimezone(ZoneInfo(self.settings.time_zone)).date()

    def project(self, row: Row, relation: str = "pse__Project__r", id: str = "pse__Project__c") -> str:
        """The project of a row: our key in it, or its deal, or the id it has here.

        Raises:
            Untranslatable: the row has no project.
        """
        here = row.need(id, "say which project it is for")
        deal = row.text(f"{relation}.pse__Opportunity__c")
        if (key := row.text(f"{relation}.{KEY}")) is not None:
            return key
        if self.settings.projects_by == "opportunity" and deal is not None:
            return f"{self.settings.crm}:{deal}"
        return self.key(here)

    def service(self, row: Row, field: str) -> str:
        """
        Raises:
            Untranslatable: the row names none, and there is no default.
        """
        named = row.text(field)
        if named is None:
            if self.settings.default_service:
                return self.settings.default_service
            raise row.wrong(field, "names no service; fill it in, or set certinia.default_service")
        return self.settings.services.get(named, named.lower().replace(" ", "_"))


class Worked(NamedTuple):
    """One day of a split."""

    day: date
    hours: Decimal | None
    note: str | None


def worked(row: Row) -> Iterator[Worked]:
    """The days a split covers, those without hours included.

    Raises:
        Untranslatable: its dates are missing, or span more than a week.
    """
    starts_on, ends_on = row.need_day("pse__Start_Date__c"), row.need_day("pse__End_Date__c")
    if not 0 <= (ends_on - starts_on).days < len(DAYS):
        raise row.wrong("pse__End_Date__c", f"is {ends_on}, but it starts on {starts_on}: a split is a week")
    for offset in range((ends_on - starts_on).days + 1):
        day = starts_on + timedelta(days=offset)
        name = DAYS[day.weekday()]
        yield Worked(day, row.hours(f"pse__{name}_Hours__c"), row.text(f"pse__{name}_Notes__c"))


def entry_of(row: Row, day: date) -> str:
    """What names one day of a split here."""
    return f"{row.id}/{day}"


def time_approved(row: Row, one: Worked, teller: Teller) -> TimeApproved:
    """
    Raises:
        Untranslatable: a field is missing, or the hours have more than two digits.
    """
    assert one.hours, "only days with hours are told"
    settings = teller.settings
    told = row.text(settings.approved_on_field) if settings.approved_on_field else None
    return checked(
        made(
            TimeApproved,
            **teller.envelope(row),
            entry=teller.key(entry_of(row, one.day)),
            revision=row.revision,
            project=teller.project(row),
            resource=teller.key(row.need("pse__Resource__c")),
            service=teller.service(row, settings.service_field),
            worked_on=one.day,
            hours=one.hours,
            billable=row.flag("pse__Billable__c"),
            approved_on=_day_of(row, settings.approved_on_field, told, teller),
            note=one.note,
        )
    )


def time_unapproved(row: Row, day: date, teller: Teller) -> TimeUnapproved:
    """A day that was told and does not stand any more: the approval is gone, or its hours are."""
    return checked(
        TimeUnapproved(
            **teller.envelope(row),
            entry=teller.key(entry_of(row, day)),
            revision=row.revision,
            project=teller.project(row),
            reason=_reason(row, "its hours were taken off"),
        )
    )


def expense_validated(row: Row, teller: Teller) -> ExpenseValidated:
    """
    Raises:
        Untranslatable: a field is missing, or an amount has more digits than its currency.
    """
    settings = teller.settings
    billing = settings.expense_amount == "billing"
    currency = row.need("pse__Billing_Currency__c" if billing else "CurrencyIsoCode")
    amount = "pse__Billing_Amount_Pre_Fee_Subtotal__c" if billing else "pse__Amount__c"
    category = row.need("pse__Type__c", "choose the type of the expense")
    return checked(
        made(
            ExpenseValidated,
            **teller.envelope(row),
            expense=teller.key(row.id),
            revision=row.revision,
            project=teller.project(row),
            resource=teller.key(row.need("pse__Resource__c")),
            category=settings.categories.get(category, category),
            spent_on=row.need_day("pse__Expense_Date__c"),
            amount=row.need_money(amount, currency),
            currency=currency,
            billable=row.flag("pse__Billable__c"),
            markup_pct=row.decimal("pse__Billable_Fee_Percentage__c") or None,
        )
    )


def expense_withdrawn(row: Row, teller: Teller) -> ExpenseWithdrawn:
    return checked(
        ExpenseWithdrawn(
            **teller.envelope(row),
            expense=teller.key(row.id),
            revision=row.revision,
            project=teller.project(row),
            reason=_reason(row, "its approval was withdrawn"),
        )
    )


def milestone_key(row: Row, teller: Teller) -> str:
    """Our key where the contract brought it, else its id here."""
    return row.text(KEY) or teller.key(row.id)


def milestone_achieved(row: Row, teller: Teller) -> MilestoneAchieved:
    return checked(
        MilestoneAchieved(
            **teller.envelope(row),
            milestone=milestone_key(row, teller),
            project=teller.project(row),
            achieved_on=row.day("pse__Actual_Date__c") or teller.day(row.stamp),
            revision=row.revision,
        )
    )


def milestone_reopened(row: Row, teller: Teller) -> MilestoneReopened:
    return checked(
        MilestoneReopened(
            **teller.envelope(row),
            milestone=milestone_key(row, teller),
            project=teller.project(row),
            reopened_on=teller.day(row.stamp),
            reason=_reason(row, "its approval was withdrawn"),
            revision=row.revision,
        )
    )


def assignment_changed(row: Row, teller: Teller) -> AssignmentChanged:
    """
    Raises:
        Untranslatable: dates, role or schedule are missing.
    """
    week = [row.decimal(f"pse__Schedule__r.pse__{day}_Hours__c") for day in DAYS]
    if all(hours is None for hours in week):
        raise row.wrong("pse__Schedule__c", "is empty or hidden; give the assignment a schedule")
    per_day = sum((hours or Decimal(0) for hours in week), Decimal(0)) / WORKDAYS
    return checked(
        made(
            AssignmentChanged,
            **teller.envelope(row),
            assignment=teller.key(row.id),
            resource=teller.key(row.need("pse__Resource__c")),
            project=teller.project(row),
            service=teller.service(row, "pse__Role__c"),
            starts_on=row.need_day("pse__Start_Date__c"),
            ends_on=row.need_day("pse__End_Date__c"),
            hours_per_day=per_day.quantize(Decimal("0.01"), rounding=ROUND_HALF_UP),
            tentative=row.text("pse__Status__c") in teller.settings.tentative,
            revision=row.revision,
        )
    )


def assignment_ended(row: Row, teller: Teller) -> AssignmentEnded:
    """An assignment that was deleted or closed; it ends on its last day, at the latest today."""
    today = teller.day(row.stamp)
    ends_on = row.day("pse__End_Date__c")
    return checked(
        AssignmentEnded(
            **teller.envelope(row),
            assignment=teller.key(row.id),
            ended_on=min(ends_on, today) if ends_on else today,
            revision=row.revision,
        )
    )


def resource_changed(row: Row, teller: Teller) -> ResourceChanged:
    """
    Raises:
        Untranslatable: the contact has no name.
    """
    active = not row.deleted and row.flag("pse__Is_Resource_Active__c")
    return checked(
        ResourceChanged(
            **teller.envelope(row),
            resource=teller.key(row.id),
            name=row.need("Name"),
            capacity_hours_week=teller.settings.capacity_hours_week,
            status="active" if active else "inactive",
            role=row.text("pse__Resource_Role__c"),
            email=row.text("Email"),
            revision=row.revision,
        )
    )


def stage_of(row: Row, field: str, settings: CertiniaSettings) -> Stage:
    """
    Raises:
        Untranslatable: nobody says what that stage stands for.
    """
    named = row.need(field)
    found = settings.stages.get(named) or STAGES.get(named.lower())
    if found is None:
        raise row.wrong(field, f"is {named}, which stands for no stage; add it to certinia.stages")
    return found


def stage_changed(row: Row, teller: Teller) -> ProjectStageChanged | None:
    """A row of the project's field history; None where both stages are one of ours, or it was set at first.

    Raises:
        Untranslatable: a stage stands for nothing.
    """
    if row.text("OldValue") is None or row.text("NewValue") is None:
        return None
    before = stage_of(row, "OldValue", teller.settings)
    after = stage_of(row, "NewValue", teller.settings)
    if before == after:
        return None
    return checked(
        ProjectStageChanged(
            **teller.envelope(row),
            project=teller.project(row, "Parent", "ParentId"),
            stage=after,
            previous=before,
            changed_on=teller.day(row.stamp),
            revision=row.revision,
        )
    )


def _day_of(row: Row, field: str | None, told: str | None, teller: Teller) -> date:
    """The day of an approval: what the org keeps, be it a date or a time, else the day of the change."""
    if told is None:
        return teller.day(row.stamp)
    try:
        return date.fromisoformat(told) if len(told) == 10 else teller.day(datetime.fromisoformat(told))
    except ValueError:
        raise row.wrong(str(field), f"is no date: {told}") from None


def _reason(row: Row, otherwise: str) -> str:
    if row.deleted:
        return "deleted in Certinia"
    return otherwise if row.flag("pse__Approved__c") else "its approval was withdrawn"
