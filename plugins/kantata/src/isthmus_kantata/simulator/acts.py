"""What people do in a simulated Kantata: log and approve work, complete milestones, move projects."""

import calendar
import random
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from isthmus.sdk.simulator import ActRefused, Record
from isthmus_kantata.simulator.books import CATEGORIES, STATUSES, Books
from isthmus_kantata.simulator.listing import present
from isthmus_kantata.simulator.shelf import SUBMITTED, Fields, Invalid

ADMIN = "Account Administrator"
_SERVICES = ("consulting", "development", "project_management")
_SUBMISSION_OF = {line: submission for submission, line in SUBMITTED.items()}


class Acts:
    """The vocabulary of ``/_sim/do``. Records are named by id, or by the key isthmus gave them."""

    def __init__(self, books: Books) -> None:
        self._books = books

    def vocabulary(self) -> dict[str, Callable[..., Any]]:
        acts = (
            self.add_user,
            self.add_workspace,
            self.log_time,
            self.approve_time,
            self.reject_time,
            self.correct_time,
            self.add_expense,
            self.approve_expenses,
            self.withdraw_expense,
            self.add_milestone,
            self.complete_milestone,
            self.reopen_milestone,
            self.move_project,
            self.archive_project,
            self.work_month,
            self.submit_time,
            self.cancel_time,
            self.delete_time,
            self.reject_expenses,
            self.delete_expense,
            self.add_allocation,
            self.change_allocation,
            self.split_allocation,
            self.delete_allocation,
            self.disable_user,
            self.slow_down,
            self.switch_feed,
            self.furnish,
        )
        return {act.__name__: _refusing(act) for act in acts}

    def add_user(self, name: str, role: str, email: str | None = None) -> Fields:
        """Invite a person; role names the service the person's time is booked as."""
        return present(self._books.user(name, role, email))

    def add_workspace(self, title: str, currency: str = "EUR", require_approvals: bool = True) -> Fields:
        """Set up a project by hand, one that isthmus did not create."""
        fields = {
            "title": title,
            "budgeted": True,
            "price": 0,
            "currency": currency,
            "require_time_approvals": require_approvals,
            "require_expense_approvals": require_approvals,
        }
        return present(self._books.workspace(fields))

    def log_time(
        self,
        workspace: str,
        user: str,
        date: str,
        hours: str | float,
        service: str,
        billable: bool = True,
        notes: str | None = None,
    ) -> Fields:
        """Log hours of a user on a day; not approved yet."""
        project = self._find("Workspace", workspace)
        return present(self._log(project, user, date, hours, service, billable, notes))

    def approve_time(self, entries: list[str] | str) -> list[str]:
        """Hand in time entries, one timesheet per project, person and week, and approve them; returns the
        ids of the timesheets."""
        return self._decide("TimeEntry", entries, "approved", None)

    def reject_time(self, entries: list[str] | str, reason: str | None = None) -> list[str]:
        """Reject the timesheets the entries are on, approved or not; hands them in first if need be."""
        return self._decide("TimeEntry", entries, "rejected", reason)

    def correct_time(self, entry: str, hours: str | float) -> Fields:
        """Cancel the approval of an entry, change its hours, hand it in again and approve it; the other
        entries of its timesheet are handed in and approved again unchanged."""
        line = self._find("TimeEntry", entry)
        together = [line]
        submission = self._active(line)
        if submission is not None:
            together = self._books.lines(submission)
            self._books.resolve(submission, "cancelled", "hours corrected", user=self._admin())
        self._books.change(line, {"time_in_minutes": _minutes(hours)}, op="correct")
        self._decide("TimeEntry", [row.id for row in together], "approved", None)
        return present(line)

    def add_expense(
        self,
        workspace: str,
        user: str,
        date: str,
        category: str,
        amount_in_cents: int,
        currency: str,
        billable: bool = True,
    ) -> Fields:
        """Log an expense of a user; not approved yet."""
        fields = {
            "workspace_id": self._find("Workspace", workspace).id,
            "user_id": self._find("User", user).id,
            "date": date,
            "category": category,
            "amount_in_cents": amount_in_cents,
            "currency": currency,
            "is_billable": billable,
        }
        return present(self._books.expense(fields))

    def approve_expenses(self, expenses: list[str] | str) -> list[str]:
        """Hand in expenses and approve them; returns the ids of the expense reports."""
        return self._decide("Expense", expenses, "approved", None)

    def withdraw_expense(self, expense: str) -> Fields:
        """Cancel the approved report of an expense."""
        line = self._find("Expense", expense)
        submission = self._active(line)
        if submission is None:
            raise ActRefused(f"expense {expense} is on no report that could be cancelled")
        self._books.resolve(submission, "cancelled", "withdrawn", user=self._admin())
        return present(line)

    def add_milestone(self, workspace: str, title: str, due_date: str | None = None) -> Fields:
        """Plan a milestone by hand, one that isthmus did not create."""
        fields = {
            "workspace_id": self._find("Workspace", workspace).id,
            "title": title,
            "story_type": "milestone",
            "due_date": due_date,
        }
        return present(self._books.story(fields, user=self._admin()))

    def complete_milestone(self, story: str) -> Fields:
        """Set a milestone to completed."""
        return self._state(story, "completed")

    def reopen_milestone(self, story: str) -> Fields:
        """Set a completed milestone back to started."""
        return self._state(story, "started")

    def move_project(self, workspace: str, status: str) -> Fields:
        """Give a project another status: its key, its message, or a stage (planned, active, on_hold,
        completed, cancelled)."""
        record = self._find("Workspace", workspace)
        self._books.move(record, _status_key(status), user=self._admin())
        return present(record)

    def archive_project(self, workspace: str) -> Fields:
        """Archive a project, which hides it and what belongs to it from default lists."""
        record = self._find("Workspace", workspace)
        self._books.change(record, {"archived": True}, op="archive")
        return present(record)

    def work_month(
        self, workspace: str, users: list[str] | str | int, month: str, entries: int, seed: int = 0
    ) -> Fields:
        """Log and approve that many time entries on the working days of a month like 2026-10, the same
        for the same seed; users are ids, or how many people to invite."""
        dice = random.Random(seed)  # noqa: S311  repeatable, not secret
        people = self._people(users)
        year, number = (int(part) for part in month.split("-"))
        days = [
            date(year, number, day)
            for day in range(1, calendar.monthrange(year, number)[1] + 1)
            if date(year, number, day).weekday() < 5
        ]
        project = self._find("Workspace", workspace)
        made: list[Record] = []
        for _ in range(entries):
            person, day = dice.choice(people), dice.choice(days)
            hours = Decimal(dice.randint(2, 32)) / 4
            role = self._books.get("Role", person.fields["role_id"])
            service = role.fields["name"] if role else dice.choice(_SERVICES)
            made.append(self._log(project, person.id, day.isoformat(), str(hours), service, True, None))
        sheets = self._decide("TimeEntry", [row.id for row in made], "approved", None)
        minutes = sum(row.fields["time_in_minutes"] for row in made)
        return {
            "entries": [row.id for row in made],
            "submissions": sheets,
            "hours": str((Decimal(minutes) / 60).normalize().__format__("f")),
        }

    def submit_time(self, entries: list[str] | str) -> list[str]:
        """Hand in time entries and decide nothing yet; returns the ids of the timesheets."""
        return self._decide("TimeEntry", entries, None, None)

    def cancel_time(self, entries: list[str] | str, reason: str | None = None) -> list[str]:
        """Cancel the timesheets the entries are on, also after their approval."""
        return self._decide("TimeEntry", entries, "cancelled", reason)

    def delete_time(self, entry: str) -> Fields:
        """Delete an entry that is on no active timesheet; nothing of it stays."""
        return self._delete("TimeEntry", entry)

    def reject_expenses(self, expenses: list[str] | str, reason: str | None = None) -> list[str]:
        """Reject the reports the expenses are on, approved or not; hands them in first if need be."""
        return self._decide("Expense", expenses, "rejected", reason)

    def delete_expense(self, expense: str) -> Fields:
        """Delete an expense that is on no active report; nothing of it stays."""
        return self._delete("Expense", expense)

    def add_allocation(
        self,
        workspace: str,
        start: str,
        end: str,
        hours: str | float,
        user: str | None = None,
        role: str | None = None,
        hard: bool = True,
    ) -> Fields:
        """Book hours of a user over a range of days, hard or soft; without a user it is a role that somebody
        still has to fill. The role is the user's own where none is named."""
        project = self._find("Workspace", workspace)
        person = self._find("User", user) if user is not None else None
        named = self._books.role(role) if role is not None else None
        if named is None and person is not None and person.fields["role_id"]:
            named = self._books.get("Role", person.fields["role_id"])
        resource = self._books.resource(project, person, named)
        fields = {
            "resource_id": resource.id,
            "start_date": start,
            "end_date": end,
            "minutes": _minutes(hours),
            "hard": hard,
        }
        return present(self._books.allocation(fields))

    def change_allocation(
        self,
        allocation: str,
        start: str | None = None,
        end: str | None = None,
        hours: str | float | None = None,
        hard: bool | None = None,
    ) -> Fields:
        """Change a booking: its days, its hours, or whether it is hard."""
        record = self._find("WorkspaceAllocation", allocation)
        minutes = _minutes(hours) if hours is not None else None
        given = {"start_date": start, "end_date": end, "minutes": minutes, "hard": hard}
        self._books.change(record, {name: value for name, value in given.items() if value is not None})
        return present(record)

    def split_allocation(self, allocation: str, on: str) -> list[Fields]:
        """Split a booking in two; the second begins on that day, its hours by calendar days."""
        record = self._find("WorkspaceAllocation", allocation)
        starts, ends = (date.fromisoformat(record.fields[name]) for name in ("start_date", "end_date"))
        cut = date.fromisoformat(on)
        if not starts < cut <= ends:
            raise ActRefused(f"{on} does not lie inside the allocation")
        whole = record.fields["minutes"]
        first = whole * (cut - starts).days // ((ends - starts).days + 1)
        rest = {
            "resource_id": record.fields["workspace_resource_id"],
            "start_date": on,
            "end_date": ends.isoformat(),
            "minutes": whole - first,
            "hard": record.fields["hard"],
        }
        before = {"end_date": (cut - timedelta(days=1)).isoformat(), "minutes": first}
        self._books.change(record, before, op="split")
        return [present(record), present(self._books.allocation(rest))]

    def delete_allocation(self, allocation: str) -> Fields:
        """Delete a booking; nothing of it stays."""
        return self._delete("WorkspaceAllocation", allocation)

    def disable_user(self, user: str, disabled: bool = True) -> Fields:
        """Take a person off the account, or back."""
        record = self._find("User", user)
        self._books.change(record, {"disabled": disabled})
        return present(record)

    def slow_down(self, behind_s: float, writes: int = 1) -> Fields:
        """Let the next writes show up with a stamp of so many seconds ago, as slow transactions do."""
        self._books.slow_down(behind_s, writes)
        return {"behind_s": behind_s, "writes": writes}

    def switch_feed(self, on: bool) -> Fields:
        """Give the account the add-on with the event feed, or take it away."""
        self._books.switch_feed(on)
        return {"on": on}

    def furnish(self, workspace: str) -> Fields:
        """Fill what isthmus does not use: groups, posts, tasks assigned, custom fields, estimates, expense
        categories; so that a client that reads everything finds something."""
        project = self._find("Workspace", workspace)
        me = self._books.me().id
        own = {"workspace_id": project.id, "creator_id": me}
        story = self._books.story({"workspace_id": project.id, "title": "Build"}, user=me)
        field = self._books.add(
            "CustomField", {"name": "Region", "subject_type": "Workspace", "value_type": "string"}
        )
        value = {
            "subject_type": "Workspace",
            "subject_id": int(project.id),
            "custom_field_id": field.id,
            "custom_field_name": "Region",
            "type": "string",
            "value": "EMEA",
            "display_value": "EMEA",
            "account_id": int(project.fields["account_id"]),
            "can_edit": True,
            "setter_id": me,
        }
        assigned = {"story_id": story.id, "assignee_id": me, "current": True, "estimated_minutes": 600}
        estimate = self._books.add("Estimate", {"name": "Apollo", "creator_id": me, "is_locked": False})
        scenario = self._books.add(
            "EstimateScenario",
            {"estimate_id": estimate.id, "title": "Base", "budget": "0", "start_date": "2026-10-01"},
        )
        made = [
            self._books.add("WorkspaceGroup", {"name": "Strategic", "company": False, "workspace_ids": []}),
            self._books.add("Post", {**own, "message": "Kick-off is on Monday", "user_id": me}),
            self._books.add("Assignment", {**assigned, "workspace_id": project.id}),
            field,
            self._books.add("CustomFieldValue", value),
            estimate,
            scenario,
            self._books.add(
                "EstimateScenarioResource",
                {"estimate_scenario_id": scenario.id, "label": "Consultant", "role_id": None},
            ),
            self._books.add(
                "Invoice",
                {"workspace_ids": [project.id], "title": "Invoice 1", "status": "draft", "currency": "EUR"},
            ),
        ]
        made += [self._books.add("ExpenseCategory", {"name": name}) for name in CATEGORIES]
        return {record.kind: record.id for record in made}

    # -- shared -----------------------------------------------------------------------------------------

    def _log(
        self,
        workspace: Record,
        user: str,
        day: str,
        hours: str | float,
        service: str,
        billable: bool,
        notes: str | None,
    ) -> Record:
        fields = {
            "workspace_id": workspace.id,
            "user_id": self._find("User", user).id,
            "date_performed": day,
            "time_in_minutes": _minutes(hours),
            "billable": billable,
            "notes": notes,
        }
        return self._books.time_entry(fields, role_id=self._books.role(service).id)

    def _delete(self, kind: str, name: str) -> Fields:
        record = self._find(kind, name)
        if kind in ("TimeEntry", "Expense"):
            self._books.editable(record)
        self._books.remove(record)
        return present(record)

    def _decide(
        self, kind: str, lines: list[str] | str, verdict: str | None, reason: str | None
    ) -> list[str]:
        """Hand in what is not handed in, a week at a time, and give the verdict on every submission."""
        found = [self._find(kind, id) for id in ([lines] if isinstance(lines, str) else lines)]
        if not found:
            raise ActRefused("name at least one record")
        loose: dict[tuple[str, str, str], list[str]] = {}
        submissions: dict[str, Record] = {}
        for line in found:
            active = self._active(line)
            if active is not None:
                submissions[active.id] = active
            else:
                loose.setdefault(_week(line), []).append(line.id)
        for ids in loose.values():
            submission = self._books.submit(_SUBMISSION_OF[kind], ids, {})
            submissions[submission.id] = submission
        for submission in submissions.values():
            if verdict is None:
                break
            self._books.resolve(submission, verdict, reason, user=self._admin())
        return list(submissions)

    def _active(self, line: Record) -> Record | None:
        id = line.fields["active_submission_id"]
        return self._books.get(_SUBMISSION_OF[line.kind], id) if id else None

    def _state(self, story: str, state: str) -> Fields:
        record = self._find("Story", story)
        self._books.set_state(record, state, user=self._admin())
        return present(record)

    def _people(self, users: list[str] | str | int) -> list[Record]:
        if isinstance(users, int):
            known = [user for user in self._books.all("User") if user.fields["role_id"]][:users]
            missing = range(len(known), users)
            return known + [
                self._books.user(f"Consultant {n + 1}", _SERVICES[n % len(_SERVICES)], None) for n in missing
            ]
        return [self._find("User", user) for user in ([users] if isinstance(users, str) else users)]

    def _admin(self) -> str:
        """The person who approves and moves, other than the service user isthmus is."""
        for user in self._books.all("User"):
            if user.fields["headline"] == ADMIN:
                return user.id
        return self._books.user(ADMIN, None, None, headline=ADMIN).id

    def _find(self, kind: str, name: str) -> Record:
        """By id, by the key isthmus gave it, or by a key like ``psa:<id>``."""
        text = str(name)
        record = self._books.get(kind, text)
        if record is None:
            record = next((row for row in self._books.all(kind) if row.external_key == text), None)
        if record is None:
            record = self._books.get(kind, text.rpartition(":")[2])
        if record is None:
            raise ActRefused(f"there is no {kind} {text!r} here")
        return record


def _refusing(act: Callable[..., Any]) -> Callable[..., Any]:
    """The act, with what the vendor would refuse turned into what ``/_sim/do`` answers."""

    def perform(**arguments: Any) -> Any:
        try:
            return act(**arguments)
        except (Invalid, ValueError) as error:
            field = f"{error.field} " if isinstance(error, Invalid) else ""
            raise ActRefused(f"{field}{error}") from error

    perform.__name__ = act.__name__
    perform.__doc__ = act.__doc__
    return perform


def _minutes(hours: str | float) -> int:
    minutes = Decimal(str(hours)) * 60
    if minutes != minutes.to_integral_value() or minutes <= 0:
        raise ActRefused(f"{hours} hours are not whole minutes above 0")
    return int(minutes)


def _week(line: Record) -> tuple[str, str, str]:
    day = date.fromisoformat(line.fields.get("date_performed") or line.fields["date"])
    year, week, _ = day.isocalendar()
    return line.fields["workspace_id"], line.fields["user_id"], f"{year}-{week}"


def _status_key(status: str) -> str:
    stages = {"planned": "100", "active": "300", "on_hold": "400", "completed": "600", "cancelled": "501"}
    text = str(status)
    by_message: Iterable[str] = (key for key, (_, words) in STATUSES.items() if words.lower() == text.lower())
    return stages.get(text, next(iter(by_message), text))
