"""What Certinia's triggers do when records are saved, as far as isthmus can see it.

A timecard is cut into splits at each month's end, and its splits follow it; an assignment has the dates of
its schedule; a change of a project's stage leaves a row in the field history. Roll-ups are not made.
"""

import calendar
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from isthmus.sdk.simulator import Record
from isthmus_salesforce.simulator.certinia_schema import DAYS

if TYPE_CHECKING:
    from isthmus_salesforce.simulator.org import Org

SAME = ("Project", "Assignment", "Resource", "Milestone", "Approved", "Billable")
"""What a split always has like its timecard."""


def derived(item: str, fields: dict[str, Any]) -> dict[str, Any]:
    """The fields that Certinia fills in by itself while a record is saved."""
    match item:
        case "pse__Timecard_Header__c":
            status = fields["pse__Status__c"] or "Saved"
            return {
                "pse__Status__c": status,
                "pse__Submitted__c": status in ("Submitted", "Approved"),
                "pse__Approved__c": status == "Approved",
                "pse__Total_Hours__c": _total(fields),
            }
        case "pse__Timecard__c":
            return {"pse__Total_Hours__c": _total(fields)}
        case "pse__Expense__c":
            status = fields["pse__Status__c"] or "Draft"
            amount = fields["pse__Amount__c"]
            subtotal = fields["pse__Billing_Amount_Pre_Fee_Subtotal__c"]
            fee = fields["pse__Billable_Fee_Percentage__c"] or 0.0
            billing = amount if subtotal is None else subtotal
            return {
                "pse__Status__c": status,
                "pse__Submitted__c": status in ("Submitted", "Approved"),
                "pse__Approved__c": status == "Approved",
                "pse__Billing_Currency__c": fields["pse__Billing_Currency__c"] or fields["CurrencyIsoCode"],
                "pse__Billing_Amount_Pre_Fee_Subtotal__c": billing,
                "pse__Billing_Amount__c": round(billing * (1 + fee / 100), 2),
            }
    return {}


def after_save(org: "Org", record: Record, before: dict[str, Any] | None) -> None:
    """
    Args:
        before: the fields before an update; None for a new record.
    """
    match record.kind:
        case "pse__Proj__c":
            _keep_stage(org, record, before)
        case "pse__Timecard_Header__c":
            _split(org, record)
        case "pse__Schedule__c":
            for assignment in org.rows(org.object("pse__Assignment__c")):
                if assignment.fields["pse__Schedule__c"] == record.id:
                    _follow_schedule(org, assignment)
        case "pse__Assignment__c" if record.fields["pse__Schedule__c"]:
            _follow_schedule(org, record)


def after_delete(org: "Org", record: Record) -> None:
    """Splits are details of their timecard: they go with it."""
    if record.kind == "pse__Timecard_Header__c":
        for split in splits_of(org, record):
            org.delete(split)


def splits_of(org: "Org", timecard: Record) -> list[Record]:
    found = org.rows(org.object("pse__Timecard__c"))
    return [split for split in found if split.fields["pse__Timecard_Header__c"] == timecard.id]


def _keep_stage(org: "Org", record: Record, before: dict[str, Any] | None) -> None:
    old, new = (before or {}).get("pse__Stage__c"), record.fields["pse__Stage__c"]
    if before is not None and old != new:
        row = {"ParentId": record.id, "Field": "pse__Stage__c", "OldValue": old, "NewValue": new}
        org.put(org.object("pse__Proj__History"), row)


def _follow_schedule(org: "Org", assignment: Record) -> None:
    schedule = org.require(org.object("pse__Schedule__c"), assignment.fields["pse__Schedule__c"])
    edges = ("pse__Start_Date__c", "pse__End_Date__c")
    dates = {name: schedule.fields[name] for name in edges}
    if any(assignment.fields[name] != value for name, value in dates.items()):
        org.put_into(assignment, dates)


def _split(org: "Org", timecard: Record) -> None:
    """One split per month that the week touches."""
    held = {split.fields["pse__Start_Date__c"]: split for split in splits_of(org, timecard)}
    first = date.fromisoformat(timecard.fields["pse__Start_Date__c"])
    last = date.fromisoformat(timecard.fields["pse__End_Date__c"])
    while first <= last:
        month_ends = date(first.year, first.month, calendar.monthrange(first.year, first.month)[1])
        end = min(last, month_ends)
        body = _split_body(timecard, first, end)
        split = held.pop(first.isoformat(), None)
        if split is None:
            org.put(org.object("pse__Timecard__c"), body)
        elif any(split.fields[name] != value for name, value in body.items()):
            org.put_into(split, body)
        first = end + timedelta(days=1)
    for split in held.values():
        org.delete(split)


def _split_body(timecard: Record, first: date, end: date) -> dict[str, Any]:
    body = {f"pse__{name}__c": timecard.fields[f"pse__{name}__c"] for name in SAME}
    inside = {DAYS[(first + timedelta(days=n)).weekday()] for n in range((end - first).days + 1)}
    for day in DAYS:
        for part in ("Hours", "Notes"):
            name = f"pse__{day}_{part}__c"
            body[name] = timecard.fields[name] if day in inside else None
    return {
        **body,
        "pse__Timecard_Header__c": timecard.id,
        "pse__Start_Date__c": first.isoformat(),
        "pse__End_Date__c": end.isoformat(),
        "CurrencyIsoCode": timecard.fields["CurrencyIsoCode"],
    }


def _total(fields: dict[str, Any]) -> float:
    return round(sum(fields[f"pse__{day}_Hours__c"] or 0.0 for day in DAYS), 2)
