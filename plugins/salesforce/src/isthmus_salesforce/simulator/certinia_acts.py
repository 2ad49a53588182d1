"""What consultants, approvers and project managers do in Certinia."""

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Any

from isthmus.sdk.simulator import ActRefused, Record
from isthmus_salesforce.simulator.certinia_schema import DAYS
from isthmus_salesforce.simulator.certinia_triggers import splits_of
from isthmus_salesforce.simulator.org import Org

WORKDAYS = 5


class Certinia:
    """The vocabulary of ``/_sim/do`` for Certinia; records are named by id, a project also by our key."""

    def __init__(self, org: Org) -> None:
        self._org = org

    def vocabulary(self) -> Sequence[Callable[..., Any]]:
        return (
            self.add_resource,
            self.edit_resource,
            self.add_project,
            self.move_project,
            self.assign,
            self.reschedule,
            self.close_assignment,
            self.log_week,
            self.correct_week,
            self.submit_week,
            self.approve_week,
            self.reject_week,
            self.delete_week,
            self.add_expense,
            self.approve_expense,
            self.withdraw_expense,
            self.add_milestone,
            self.approve_milestone,
            self.reopen_milestone,
        )

    def add_resource(self, name: str, email: str | None = None, role: str | None = None) -> dict[str, Any]:
        """Add a contact who can be assigned and books time."""
        first, _, last = name.rpartition(" ")
        body = {"FirstName": first or None, "LastName": last, "Email": email, "pse__Resource_Role__c": role}
        flags = {"pse__Is_Resource__c": True, "pse__Is_Resource_Active__c": True}
        return {"resource": self._make("Contact", {**body, **flags}).id}

    def edit_resource(self, resource: str, **fields: Any) -> dict[str, Any]:
        """Change fields of a resource, by their API names."""
        return self._change("Contact", resource, "resource", **fields)

    def add_project(self, name: str, stage: str = "In Progress", **fields: Any) -> dict[str, Any]:
        """Add a project by hand; other fields by their API names."""
        flags = {"pse__Is_Active__c": True, "pse__Is_Billable__c": True}
        body = {"Name": name, "pse__Stage__c": stage, **flags, **fields}
        return {"project": self._make("pse__Proj__c", body).id}

    def move_project(self, project: str, stage: str) -> dict[str, Any]:
        """Move a project to another stage, by Certinia's name of it."""
        held = self._project(project)
        self._org.update(self._org.object("pse__Proj__c"), held, {"pse__Stage__c": stage})
        return {"project": held.id}

    def assign(
        self,
        project: str,
        resource: str,
        role: str,
        starts_on: str,
        ends_on: str,
        hours_per_day: float = 8.0,
        status: str = "Scheduled",
    ) -> dict[str, Any]:
        """Plan a resource on a project, Monday to Friday."""
        held = self._project(project)
        schedule = self._make("pse__Schedule__c", _pattern(starts_on, ends_on, hours_per_day))
        body = {
            "Name": f"{held.fields['Name'][:60]} - {role}"[:80],
            "pse__Project__c": held.id,
            "pse__Resource__c": resource,
            "pse__Role__c": role,
            "pse__Status__c": status,
            "pse__Schedule__c": schedule.id,
            "pse__Is_Billable__c": True,
        }
        return {"assignment": self._make("pse__Assignment__c", body).id, "schedule": schedule.id}

    def reschedule(
        self, assignment: str, starts_on: str, ends_on: str, hours_per_day: float = 8.0
    ) -> dict[str, Any]:
        """Change the dates and hours of an assignment, as the planner's calendar does."""
        held = self._org.require(self._org.object("pse__Assignment__c"), assignment)
        schedule = self._org.require(self._org.object("pse__Schedule__c"), held.fields["pse__Schedule__c"])
        body = _pattern(starts_on, ends_on, hours_per_day)
        self._org.update(self._org.object("pse__Schedule__c"), schedule, body)
        return self._change("pse__Assignment__c", assignment, "assignment", pse__Is_Billable__c=True)

    def close_assignment(self, assignment: str) -> dict[str, Any]:
        """Close an assignment before its end."""
        return self._change("pse__Assignment__c", assignment, "assignment", pse__Status__c="Closed")

    def log_week(
        self,
        project: str,
        resource: str,
        monday: str,
        hours: list[float],
        assignment: str | None = None,
        notes: str | None = None,
        billable: bool = True,
    ) -> dict[str, Any]:
        """Save a timecard: hours from Monday on. Returns its id and those of its splits."""
        first = date.fromisoformat(monday)
        if first.weekday() != 0:
            raise ActRefused(f"{monday} is no Monday")
        body: dict[str, Any] = {
            "pse__Project__c": self._project(project).id,
            "pse__Resource__c": resource,
            "pse__Assignment__c": assignment,
            "pse__Start_Date__c": monday,
            "pse__End_Date__c": (first + timedelta(days=6)).isoformat(),
            "pse__Billable__c": billable,
            **_hours(hours, notes),
        }
        return self._timecard(self._make("pse__Timecard_Header__c", body))

    def correct_week(self, timecard: str, hours: list[float]) -> dict[str, Any]:
        """Change the hours of a timecard, also of an approved one, as an administrator can."""
        return self._move_week(timecard, **_hours(hours, None))

    def submit_week(self, timecard: str) -> dict[str, Any]:
        """Submit a timecard for approval."""
        return self._move_week(timecard, pse__Status__c="Submitted")

    def approve_week(self, timecard: str) -> dict[str, Any]:
        """Approve a timecard and with it its splits."""
        return self._move_week(timecard, pse__Status__c="Approved")

    def reject_week(self, timecard: str) -> dict[str, Any]:
        """Reject a timecard, also one that was approved: the approval is revoked."""
        return self._move_week(timecard, pse__Status__c="Rejected")

    def delete_week(self, timecard: str) -> dict[str, Any]:
        """Delete a timecard; its splits go with it."""
        held = self._org.require(self._org.object("pse__Timecard_Header__c"), timecard)
        gone = [split.id for split in splits_of(self._org, held)]
        self._org.delete(held)
        for split in splits_of(self._org, held):
            self._org.delete(split)
        return {"timecard": held.id, "splits": gone}

    def add_expense(
        self,
        project: str,
        resource: str,
        type: str,
        spent_on: str,
        amount: str,
        currency: str = "EUR",
        billable: bool = True,
        **fields: Any,
    ) -> dict[str, Any]:
        """Enter an expense; other fields by their API names."""
        body = {
            "pse__Project__c": self._project(project).id,
            "pse__Resource__c": resource,
            "pse__Type__c": type,
            "pse__Expense_Date__c": spent_on,
            "pse__Amount__c": amount,
            "CurrencyIsoCode": currency,
            "pse__Billable__c": billable,
            **fields,
        }
        return {"expense": self._make("pse__Expense__c", body).id}

    def approve_expense(self, expense: str) -> dict[str, Any]:
        """Approve an expense."""
        return self._change("pse__Expense__c", expense, "expense", pse__Status__c="Approved")

    def withdraw_expense(self, expense: str) -> dict[str, Any]:
        """Reject an expense, also one that was approved."""
        return self._change("pse__Expense__c", expense, "expense", pse__Status__c="Rejected")

    def add_milestone(self, project: str, title: str, target: str, **fields: Any) -> dict[str, Any]:
        """Add a milestone by hand; other fields by their API names."""
        body = {
            "Name": title,
            "pse__Project__c": self._project(project).id,
            "pse__Target_Date__c": target,
            "pse__Status__c": "Planned",
            **fields,
        }
        return {"milestone": self._make("pse__Milestone__c", body).id}

    def approve_milestone(self, milestone: str, actual: str) -> dict[str, Any]:
        """Say that a milestone was reached on a day."""
        done = {"pse__Status__c": "Approved", "pse__Approved__c": True, "pse__Actual_Date__c": actual}
        return self._change("pse__Milestone__c", milestone, "milestone", **done)

    def reopen_milestone(self, milestone: str) -> dict[str, Any]:
        """Take the approval of a milestone back."""
        again = {"pse__Status__c": "Open", "pse__Approved__c": False, "pse__Actual_Date__c": None}
        return self._change("pse__Milestone__c", milestone, "milestone", **again)

    def _make(self, name: str, body: dict[str, Any]) -> Record:
        return self._org.create(self._org.object(name), body)

    def _change(self, name: str, id: str, word: str, **fields: Any) -> dict[str, Any]:
        item = self._org.object(name)
        held = self._org.require(item, id)
        self._org.update(item, held, fields)
        return {word: held.id}

    def _move_week(self, timecard: str, **fields: Any) -> dict[str, Any]:
        item = self._org.object("pse__Timecard_Header__c")
        held = self._org.require(item, timecard)
        self._org.update(item, held, fields)
        return self._timecard(held)

    def _timecard(self, held: Record) -> dict[str, Any]:
        return {"timecard": held.id, "splits": [split.id for split in splits_of(self._org, held)]}

    def _project(self, name: str) -> Record:
        item = self._org.object("pse__Proj__c")
        found = self._org.get(item, name) or self._org.by_external_id(item, "Isthmus_Key__c", name)
        if found is None:
            raise ActRefused(f"no project {name!r}")
        return found


def _pattern(starts_on: str, ends_on: str, hours_per_day: float) -> dict[str, Any]:
    pattern = {f"pse__{day}_Hours__c": hours_per_day for day in DAYS[:WORKDAYS]}
    return {"pse__Start_Date__c": starts_on, "pse__End_Date__c": ends_on, **pattern}


def _hours(hours: list[float], notes: str | None) -> dict[str, Any]:
    """Hours from Monday on; a day that is not named has none."""
    if len(hours) > len(DAYS):
        raise ActRefused(f"a week has {len(DAYS)} days")
    whole = [*hours, *[0.0] * (len(DAYS) - len(hours))]
    body: dict[str, Any] = {f"pse__{day}_Hours__c": n for day, n in zip(DAYS, whole, strict=True)}
    if notes is not None:
        body |= {f"pse__{day}_Notes__c": notes for day, n in zip(DAYS, whole, strict=True) if n}
    return body
