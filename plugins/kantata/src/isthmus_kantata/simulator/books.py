"""The account a simulated Kantata keeps: its rules, and what a submission does.

Both the API and the acts of users go through here, so that a rule holds whoever asks.
"""

from datetime import UTC, date, datetime, timedelta

from isthmus.events import minor_digits
from isthmus.sdk.simulator import Record
from isthmus_kantata.simulator.shelf import ACCOUNT_ID, CURRENCY, SUBMITTED, Fields, Invalid, Shelf

STATUSES: dict[str, tuple[str, str]] = {
    "100": ("grey", "Backlog"),
    "210": ("light_green", "In Setup"),
    "300": ("green", "Active"),
    "310": ("green", "In Progress"),
    "400": ("yellow", "On Hold"),
    "500": ("red", "Blocked"),
    "501": ("red", "Cancelled"),
    "600": ("blue", "Completed"),
    "601": ("blue", "Done"),
}
"""Status keys an account offers, with colour and message."""

CATEGORIES = ("Travel", "Mileage", "Lodging", "Food", "Entertainment", "Other")
"""The expense categories every account has."""

STATES = frozenset({"not started", "started", "needs info", "completed"})
STORY_TYPES = frozenset({"task", "milestone", "deliverable", "issue"})


class Books(Shelf):
    """The rules of the account."""

    # -- people and bookings ----------------------------------------------------------------------------

    def role(self, name: str) -> Record:
        """The account's role of this name, made when it is new."""
        for role in self.all("Role"):
            if role.fields["name"] == name:
                return role
        return self.add("Role", {"name": name, "deleted_at": None})

    def me(self) -> Record:
        """The service user whose token the API takes."""
        id = self._sim.memory.get("service_user")
        user = self.get("User", id) if id is not None else None
        if user is None:
            user = self.user("Integration", None, "integration@example.com")
            self._sim.memory["service_user"] = user.id
        return user

    def user(self, name: str, role: str | None, email: str | None, headline: str | None = None) -> Record:
        fields: Fields = {
            "full_name": name,
            "email_address": email,
            "headline": headline or role,
            "photo_path": "https://example.com/default_user.png",
            "generic": False,
            "disabled": False,
            "account_id": str(ACCOUNT_ID),
            "role_id": self.role(role).id if role else None,
        }
        record = self.add("User", fields)
        self.add(
            "AccountMembership",
            {
                "user_id": record.id,
                "account_id": str(ACCOUNT_ID),
                "permission": "collaborator",
                "is_administrator": False,
                "default_role_id": record.fields["role_id"],
                "disabled_at": None,
            },
        )
        return record

    def resource(self, workspace: Record, user: Record | None, role: Record | None) -> Record:
        """The resource of a person, or of a role nobody fills yet, on a project; made when it is new."""
        user_id, role_id = user and user.id, role and role.id
        for known in self.all("WorkspaceResource"):
            held = (known.fields["workspace_id"], known.fields["user_id"], known.fields["role_id"])
            if held == (int(workspace.id), user_id, role_id):
                return known
        label = user.fields["full_name"] if user else f"Unnamed {role.fields['name'] if role else 'resource'}"
        fields: Fields = {
            "workspace_id": int(workspace.id),
            "workspace_title": workspace.fields["title"],
            "user_id": user_id,
            "full_name": user and user.fields["full_name"],
            "role_id": role_id,
            "role_name": role and role.fields["name"],
            "label": label,
            "display_label": label,
        }
        return self.add("WorkspaceResource", fields)

    def allocation(self, sent: Fields) -> Record:
        """Book a resource: minutes over a range of days, hard or soft.

        Raises:
            Invalid: no such resource, no dates in order, no minutes.
        """
        resource = self.get("WorkspaceResource", sent.get("resource_id"))
        if resource is None:
            raise Invalid("does not exist", "resource_id")
        starts, ends = _date(sent, "start_date"), _date(sent, "end_date")
        if ends < starts:
            raise Invalid("must be on or after the start date", "end_date")
        if not isinstance(sent.get("minutes"), int) or sent["minutes"] < 0:
            raise Invalid("is not a number", "minutes")
        fields: Fields = {
            "start_date": starts,
            "end_date": ends,
            "minutes": sent["minutes"],
            "hard": bool(sent.get("hard", False)),
            "notes": sent.get("notes"),
            "percentage": None,
            "workspace_id": str(resource.fields["workspace_id"]),
            "workspace_resource_id": resource.id,
            "creator_id": self.me().id,
            "updater_id": self.me().id,
        }
        return self.add("WorkspaceAllocation", fields, body=sent)

    # -- projects and stories ---------------------------------------------------------------------------

    def workspace(self, sent: Fields) -> Record:
        """Create a project.

        Raises:
            Invalid: no title, an unknown status, a bad reference.
        """
        reference = sent.get("external_reference")
        if not str(sent.get("title") or "").strip():
            raise Invalid("can't be blank", "title")
        if sent.get("budgeted") and sent.get("price") is None:
            raise Invalid("is required for budgeted projects", "price")
        currency = str(sent.get("currency") or CURRENCY)
        price = int(sent.get("price") or 0)
        fields: Fields = {
            "title": str(sent["title"]),
            "account_id": ACCOUNT_ID,
            "archived": False,
            "description": sent.get("description"),
            "start_date": sent.get("start_date"),
            "due_date": sent.get("due_date"),
            "effective_due_date": sent.get("due_date"),
            "budgeted": bool(sent.get("budgeted", False)),
            "change_orders_enabled": False,
            "access_level": sent.get("access_level", "invitation"),
            "consultant_role_name": sent.get("consultant_role_name", "Consultants"),
            "client_role_name": sent.get("client_role_name", "Clients"),
            "percentage_complete": 0,
            "currency": currency,
            "currency_symbol": currency,
            "currency_base_unit": 10 ** minor_digits(currency),
            "price": f"{currency} {price:.2f}",
            "price_in_cents": price * 10 ** minor_digits(currency),
            "require_time_approvals": bool(sent.get("require_time_approvals", True)),
            "require_expense_approvals": bool(sent.get("require_expense_approvals", True)),
            "status": status(sent.get("status_key", 100)),
            "creator_id": self.me().id,
            "primary_maven_id": self.me().id,
            "participant_ids": [self.me().id],
            "participation_ids": [],
            "workspace_group_ids": [],
            "custom_field_value_ids": [],
        }
        if reference is not None:
            _require_reference(reference)
        key = str(reference["service_model_ref"]) if reference else None
        record = self.add("Workspace", fields, external_key=key, body=sent)
        if reference is not None:
            self.refer("Workspace", record.id, reference)
        return record

    def move(self, workspace: Record, key: object, *, user: str) -> None:
        """Give a project another status; its own status again changes nothing.

        Raises:
            Invalid: no such status.
        """
        before, after = workspace.fields["status"], status(key)
        if before["key"] == after["key"]:
            return
        self.change(workspace, {"status": after}, op="status")
        self.add(
            "WorkspaceStatusChange",
            {
                "from_status_key": before["key"],
                "from_message": before["message"],
                "from_color": before["color"],
                "to_status_key": after["key"],
                "to_message": after["message"],
                "to_color": after["color"],
                "workspace_id": workspace.id,
                "user_id": user,
            },
        )

    def story(self, sent: Fields, *, user: str) -> Record:
        """Create a task, milestone, deliverable or issue.

        Raises:
            Invalid: no title, no such project, an unknown type or state.
        """
        workspace = self._parent(sent)
        if not str(sent.get("title") or "").strip():
            raise Invalid("can't be blank", "title")
        story_type = sent.get("story_type", "task")
        if story_type not in STORY_TYPES:
            raise Invalid("is not included in the list", "story_type")
        state = sent.get("state", "not started")
        if state not in STATES:
            raise Invalid("is not included in the list", "state")
        reference = sent.get("external_reference")
        if reference is not None:
            _require_reference(reference)
        fields: Fields = {
            "title": str(sent["title"]),
            "description": sent.get("description"),
            "due_date": sent.get("due_date"),
            "start_date": sent.get("start_date"),
            "story_type": story_type,
            "state": state,
            "status": state,
            "position": sum(1 for _ in self.all("Story")) + 1,
            "archived": False,
            "deleted_at": None,
            "percentage_complete": 100 if state == "completed" else 0,
            "priority": "normal",
            "billable": bool(sent.get("billable", True)),
            "fixed_fee": bool(sent.get("fixed_fee", False)),
            "time_trackable": True,
            "sub_story_count": 0,
            "subtree_depth": 0,
            "ancestor_ids": [],
            "workspace_id": workspace.id,
            "creator_id": user,
            "parent_id": None,
            "root_id": None,
            "budget_estimate_in_cents": sent.get("budget_estimate_in_cents"),
        }
        key = str(reference["service_model_ref"]) if reference else None
        record = self.add("Story", fields, external_key=key, body=sent)
        self._trail(record, state, user)
        if reference is not None:
            self.refer("Story", record.id, reference)
        return record

    def billing_milestone(self, sent: Fields) -> Record:
        """Add a line to the billing schedule of a project.

        Raises:
            Invalid: no title, project, amount or date; a story is needed where it is billed on completion.
        """
        workspace = self._parent(sent)
        if not str(sent.get("title") or "").strip():
            raise Invalid("can't be blank", "title")
        if not isinstance(sent.get("amount_in_cents"), int):
            raise Invalid("is not a number", "amount_in_cents")
        billing_type = sent.get("billing_type", "fixed_date")
        if billing_type not in ("fixed_date", "upon_completion"):
            raise Invalid("is not included in the list", "billing_type")
        story = self.get("Story", sent["story_id"]) if sent.get("story_id") else None
        if sent.get("story_id") and story is None:
            raise Invalid("does not exist", "story_id")
        if billing_type == "upon_completion" and story is None:
            raise Invalid("can't be blank", "story_id")
        reference = sent.get("external_reference")
        if reference is not None:
            _require_reference(reference)
        fields: Fields = {
            "title": str(sent["title"]),
            "amount_in_cents": sent["amount_in_cents"],
            "date_to_invoice": _date(sent, "date_to_invoice"),
            "billing_type": billing_type,
            "workspace_id": workspace.id,
            "story_id": story.id if story else None,
            "invoice_ids": [],
        }
        key = str(reference["service_model_ref"]) if reference else None
        record = self.add("BillingMilestone", fields, external_key=key, body=sent)
        if reference is not None:
            self.refer("BillingMilestone", record.id, reference)
        return record

    def set_state(self, story: Record, state: str, *, user: str) -> None:
        """Move a story to another state; its own state again changes nothing.

        Raises:
            Invalid: no such state.
        """
        if state not in STATES:
            raise Invalid("is not included in the list", "state")
        if story.fields["state"] == state:
            return
        done = 100 if state == "completed" else 0
        self.change(story, {"state": state, "status": state, "percentage_complete": done}, op="state")
        self._trail(story, state, user)

    def _trail(self, story: Record, state: str, user: str) -> None:
        fields = {"state": state, "formatted_state": state.title(), "story_id": story.id, "user_id": user}
        self.add("StoryStateChange", fields)

    def trail(self, story_id: str) -> list[Record]:
        return [row for row in self.all("StoryStateChange") if row.fields["story_id"] == story_id]

    # -- time, expenses, submissions --------------------------------------------------------------------

    def time_entry(self, sent: Fields, *, role_id: str | None) -> Record:
        """Log time.

        Raises:
            Invalid: no such project or person, no whole positive minutes, no date.
        """
        workspace, user = self._parent(sent), self._person(sent)
        minutes = sent.get("time_in_minutes")
        if not isinstance(minutes, int) or minutes <= 0:
            raise Invalid("must be greater than 0", "time_in_minutes")
        currency = workspace.fields["currency"]
        fields: Fields = {
            "date_performed": _date(sent, "date_performed"),
            "time_in_minutes": minutes,
            "billable": bool(sent.get("billable", True)),
            "notes": sent.get("notes"),
            "rate_in_cents": int(sent.get("rate_in_cents") or 0),
            "cost_rate_in_cents": 0,
            "currency": currency,
            "currency_symbol": currency,
            "currency_base_unit": workspace.fields["currency_base_unit"],
            "user_can_edit": True,
            "approved": not workspace.fields["require_time_approvals"],
            "taxable": False,
            "is_invoiced": False,
            "story_id": str(sent["story_id"]) if sent.get("story_id") else None,
            "workspace_id": workspace.id,
            "user_id": user.id,
            "role_id": role_id,
            "active_submission_id": None,
            "recent_submission_id": None,
        }
        return self.add("TimeEntry", fields, body=sent)

    def expense(self, sent: Fields) -> Record:
        """Log an expense.

        Raises:
            Invalid: no such project or person, no amount, category or date.
        """
        workspace, user = self._parent(sent), self._person(sent)
        cents = sent.get("amount_in_cents")
        if not isinstance(cents, int):
            raise Invalid("is not a number", "amount_in_cents")
        if not sent.get("category"):
            raise Invalid("can't be blank", "category")
        currency = str(sent.get("currency") or workspace.fields["currency"])
        fields: Fields = {
            "date": _date(sent, "date"),
            "amount_in_cents": cents,
            "category": str(sent["category"]),
            "currency": currency,
            "currency_symbol": currency,
            "currency_base_unit": 10 ** minor_digits(currency),
            "is_billable": bool(sent.get("is_billable", sent.get("billable", True))),
            "is_invoiced": False,
            "notes": sent.get("notes"),
            "reimbursable": bool(sent.get("reimbursable", False)),
            "taxable": False,
            "user_can_edit": True,
            "story_id": None,
            "role_id": user.fields["role_id"],
            "vendor_id": None,
            "receipt_id": None,
            "expense_category_id": None,
            "workspace_id": workspace.id,
            "user_id": user.id,
            "active_submission_id": None,
            "recent_submission_id": None,
        }
        return self.add("Expense", fields, body=sent)

    def submit(self, kind: str, ids: list[str], sent: Fields) -> Record:
        """Hand in lines for approval; always a new submission, for one project and person.

        Raises:
            Invalid: no lines, lines of several projects or people, a line that is handed in already.
        """
        lines = [self.get(SUBMITTED[kind], id) for id in ids]
        found = [line for line in lines if line is not None]
        if not found or len(found) != len(ids):
            raise Invalid("does not exist", "line_item_ids")
        if len({(line.fields["workspace_id"], line.fields["user_id"]) for line in found}) > 1:
            raise Invalid("must belong to one project and one person", "line_item_ids")
        if any(line.fields["active_submission_id"] for line in found):
            raise Invalid("are part of an active submission", "line_item_ids")
        first = found[0].fields
        day = "date_performed" if kind == "TimesheetSubmission" else "date"
        worked = [date.fromisoformat(line.fields[day]) for line in found]
        monday = min(worked) - timedelta(days=min(worked).weekday())
        submission = self.add(
            kind,
            {
                "type": kind,
                "title": sent.get("title") or f"Week of {monday}",
                "comment": sent.get("comment"),
                "status": "new",
                "start_date": monday.isoformat(),
                "end_date": max(monday + timedelta(days=6), max(worked)).isoformat(),
                "currency": first["currency"],
                "currency_base_unit": first["currency_base_unit"],
                "currency_symbol": first["currency"],
                "current_resolution_created_at_date": None,
                "current_resolution_creator_id": None,
                "current_resolution_description": None,
                "workspace_id": first["workspace_id"],
                "user_id": first["user_id"],
            },
            body={**sent, "line_item_ids": ids},
        )
        for line in found:
            ids_of = {"active_submission_id": submission.id, "recent_submission_id": submission.id}
            self.change(line, ids_of, op="submit", touch=False)
        return submission

    def resolve(self, submission: Record, verdict: str, description: str | None, *, user: str) -> None:
        """Approve, reject or cancel a submission; its lines change, their stamps do not.

        Raises:
            Invalid: a decided submission can only be rejected or cancelled, and only once.
        """
        before = submission.fields["status"]
        if before in ("rejected", "cancelled") or before == verdict:
            raise Invalid(f"cannot be {verdict}, it is {before}", "status")
        self.change(
            submission,
            {
                "status": verdict,
                "current_resolution_created_at_date": self.stamp(),
                "current_resolution_creator_id": int(user),
                "current_resolution_description": description,
                "resolution_description": description,
            },
            op=verdict,
            body={"resolution": {"description": description}},
        )
        for line in self.lines(submission):
            changes: Fields = {}
            if line.kind == "TimeEntry":
                changes["approved"] = verdict == "approved"
            if verdict != "approved":
                changes["active_submission_id"] = None
            self.change(line, changes, op=verdict, touch=False)

    def lines(self, submission: Record) -> list[Record]:
        kind = SUBMITTED[submission.kind]
        return [row for row in self.all(kind) if row.fields["recent_submission_id"] == submission.id]

    def editable(self, line: Record) -> None:
        """Refuse a change of a line that is handed in.

        Raises:
            Invalid: the line is part of an active submission.
        """
        if line.fields["active_submission_id"]:
            raise Invalid("cannot be changed while it is part of an active submission")

    def _parent(self, sent: Fields) -> Record:
        workspace = self.get("Workspace", sent.get("workspace_id"))
        if workspace is None:
            raise Invalid("does not exist", "workspace_id")
        return workspace

    def _person(self, sent: Fields) -> Record:
        user = self.get("User", sent.get("user_id") or self.me().id)
        if user is None:
            raise Invalid("does not exist", "user_id")
        return user


def status(key: object) -> Fields:
    """A status as a project shows it.

    Raises:
        Invalid: the account has no such status.
    """
    if str(key) not in STATUSES:
        raise Invalid("is not included in the list", "status_key")
    colour, message = STATUSES[str(key)]
    return {"color": colour, "key": str(key), "message": message}


def instant(text: object) -> datetime | None:
    """An instant of a filter; a date counts from midnight UTC, nonsense is None."""
    try:
        stamp = datetime.fromisoformat(str(text).replace(" ", "+"))
    except ValueError:
        return None
    return stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)


def _date(sent: Fields, field: str) -> str:
    try:
        return date.fromisoformat(str(sent.get(field))).isoformat()
    except ValueError as error:
        raise Invalid("is not a valid date", field) from error


def _require_reference(reference: Fields) -> None:
    for field in ("service_name", "service_model", "service_model_ref"):
        if not reference.get(field):
            raise Invalid("can't be blank", f"external_reference.{field}")
