"""How a simulated Kantata lists: filters, order, pages, side loads, envelope.

Quirks that clients must live with are kept: ``approved`` and ``invoiced``/``uninvoiced`` of time entries
count as true whatever their value, archived projects and what belongs to them are hidden unless asked
for, unknown parameters are ignored, and side loads share the maps of the answer.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from isthmus.sdk.simulator import Record
from isthmus_kantata.simulator.books import Books, instant
from isthmus_kantata.simulator.shelf import Invalid

Params = Mapping[str, str]
Filter = Callable[[Books, Record, str], bool]
PER_PAGE, PER_PAGE_MAX, REFS_MAX = 20, 200, 200


class Collection(NamedTuple):
    """One endpoint that lists."""

    kind: str
    orders: frozenset[str] = frozenset({"created_at", "updated_at"})
    order: str = "updated_at:desc"
    belongs: Mapping[str, tuple[str, str]] = {}
    """Association: field with the id, collection it is found in."""
    filters: Mapping[str, Filter] = {}


def _ids(value: str) -> set[str]:
    return {part.strip() for part in value.split(",") if part.strip()}


def _true(value: str) -> bool:
    return value.lower() in ("true", "1")


def _is(field: str) -> Filter:
    return lambda books, row, value: str(row.fields.get(field)) == value


def _in(field: str) -> Filter:
    return lambda books, row, value: str(row.fields.get(field)) in _ids(value)


def _flag(field: str) -> Filter:
    return lambda books, row, value: bool(row.fields.get(field)) == _true(value)


def _between(field: str) -> Filter:
    def fits(books: Books, row: Record, value: str) -> bool:
        first, _, last = value.partition(":")
        day = str(row.fields[field])
        return (not first or first <= day) and (not last or day <= last)

    return fits


def _overlaps(books: Books, row: Record, value: str) -> bool:
    first, _, last = value.partition(":")
    return (not last or str(row.fields["start_date"]) <= last) and str(row.fields["end_date"]) >= first


def _expense_approved(books: Books, row: Record, value: str) -> bool:
    submission = books.get("ExpenseReportSubmission", row.fields["recent_submission_id"])
    if submission is not None:
        return bool(submission.fields["status"] == "approved")
    workspace = books.get("Workspace", row.fields["workspace_id"])
    return workspace is not None and not workspace.fields["require_expense_approvals"]


def _active(field: str) -> Filter:
    return lambda books, row, value: str(row.fields["active_submission_id"]) == value


def _search(books: Books, row: Record, value: str) -> bool:
    low = value.lower()
    return any(low in str(row.fields.get(field) or "").lower() for field in ("title", "description", "id"))


_SUBMISSION = {
    "statuses": _in("status"),
    "workspace_id": _is("workspace_id"),
    "workspace_ids": _in("workspace_id"),
    "user_ids": _in("user_id"),
    "start_date": _is("start_date"),
    "end_date": _is("end_date"),
    "active": lambda books, row, value: row.fields["status"] in ("new", "approved"),
    "not_cancelled": lambda books, row, value: row.fields["status"] != "cancelled",
}
_LINE = {
    "workspace_id": _is("workspace_id"),
    "workspace_ids": _in("workspace_id"),
    "with_user_ids": _in("user_id"),
    "in_active_submission": lambda books, row, value: (
        bool(row.fields["active_submission_id"]) == _true(value)
    ),
}

COLLECTIONS: dict[str, Collection] = {
    "workspaces": Collection(
        "Workspace",
        orders=frozenset({"created_at", "updated_at", "title", "start_date", "due_date"}),
        belongs={"creator": ("creator_id", "users"), "primary_maven": ("primary_maven_id", "users")},
        filters={"search": _search, "matching": _search, "budgeted": _flag("budgeted")},
    ),
    "stories": Collection(
        "Story",
        orders=frozenset({"created_at", "updated_at", "due_date", "start_date"}),
        belongs={"workspace": ("workspace_id", "workspaces"), "creator": ("creator_id", "users")},
        filters={
            "workspace_id": _is("workspace_id"),
            "with_projects": _in("workspace_id"),
            "story_type": _is("story_type"),
            "story_types": _in("story_type"),
            "search": _search,
            "completed": lambda books, row, value: not _true(value) or row.fields["state"] == "completed",
            "uncompleted": lambda books, row, value: not _true(value) or row.fields["state"] != "completed",
        },
    ),
    "users": Collection(
        "User",
        orders=frozenset({"alphabetical"}),
        order="alphabetical:asc",
        belongs={"role": ("role_id", "roles")},
        filters={
            "account_role_ids": _in("role_id"),
            "by_email_address": _is("email_address"),
            "by_email_addresses": _in("email_address"),
        },
    ),
    "roles": Collection("Role", order="created_at:asc"),
    "time_entries": Collection(
        "TimeEntry",
        orders=frozenset({"created_at", "updated_at", "date_performed"}),
        order="date_performed:desc",
        belongs={
            "user": ("user_id", "users"),
            "workspace": ("workspace_id", "workspaces"),
            "story": ("story_id", "stories"),
            "role": ("role_id", "roles"),
            "active_submission": ("active_submission_id", "timesheet_submissions"),
            "recent_submission": ("recent_submission_id", "timesheet_submissions"),
        },
        filters={
            **_LINE,
            "approved": lambda books, row, value: bool(row.fields["approved"]),
            "invoiced": lambda books, row, value: bool(row.fields["is_invoiced"]),
            "uninvoiced": lambda books, row, value: not row.fields["is_invoiced"],
            "billable": _flag("billable"),
            "date_performed_between": _between("date_performed"),
            "with_timesheet_id": _active("active_submission_id"),
            "with_recent_timesheet_ids": _in("recent_submission_id"),
        },
    ),
    "expenses": Collection(
        "Expense",
        orders=frozenset({"created_at", "date", "amount", "category"}),
        order="date:desc",
        belongs={
            "user": ("user_id", "users"),
            "workspace": ("workspace_id", "workspaces"),
            "role": ("role_id", "roles"),
            "active_submission": ("active_submission_id", "expense_report_submissions"),
            "recent_submission": ("recent_submission_id", "expense_report_submissions"),
        },
        filters={
            **_LINE,
            "approved": _expense_approved,
            "invoiced": lambda books, row, value: bool(row.fields["is_invoiced"]),
            "uninvoiced": lambda books, row, value: not row.fields["is_invoiced"],
            "reimbursable": _flag("reimbursable"),
            "date_expensed_between": _between("date"),
            "with_expense_report_id": _active("active_submission_id"),
            "with_recent_expense_report_ids": _in("recent_submission_id"),
        },
    ),
    "timesheet_submissions": Collection(
        "TimesheetSubmission",
        orders=frozenset({"date"}),
        order="date:desc",
        belongs={"user": ("user_id", "users"), "workspace": ("workspace_id", "workspaces")},
        filters=_SUBMISSION,
    ),
    "expense_report_submissions": Collection(
        "ExpenseReportSubmission",
        orders=frozenset({"date"}),
        order="date:desc",
        belongs={"user": ("user_id", "users"), "workspace": ("workspace_id", "workspaces")},
        filters=_SUBMISSION,
    ),
    "external_references": Collection(
        "ExternalReference",
        orders=frozenset({"created_at", "last_synced_at"}),
        order="last_synced_at:desc",
        filters={
            name: _is(name)
            for name in (
                "subject_type",
                "subject_id",
                "service_name",
                "service_model",
                "service_model_ref",
                "status",
                "external_status",
                "external_message",
            )
        },
    ),
    "story_state_changes": Collection(
        "StoryStateChange",
        orders=frozenset({"created_at"}),
        order="created_at:asc",
        belongs={"story": ("story_id", "stories"), "user": ("user_id", "users")},
        filters={"story_id": _is("story_id")},
    ),
    "workspace_status_changes": Collection(
        "WorkspaceStatusChange",
        orders=frozenset({"created_at"}),
        order="created_at:desc",
        belongs={"workspace": ("workspace_id", "workspaces"), "user": ("user_id", "users")},
        filters={"workspace_id": _is("workspace_id")},
    ),
    "billing_milestones": Collection(
        "BillingMilestone",
        orders=frozenset({"created_at"}),
        order="created_at:desc",
        belongs={"workspace": ("workspace_id", "workspaces"), "story": ("story_id", "stories")},
        filters={
            "workspace_ids": _in("workspace_id"),
            "story_ids": _in("story_id"),
            "date_between": _between("date_to_invoice"),
        },
    ),
    "workspace_resources": Collection(
        "WorkspaceResource",
        orders=frozenset({"created_at", "updated_at"}),
        order="created_at:asc",
        belongs={"user": ("user_id", "users"), "role": ("role_id", "roles")},
        filters={"workspace_id": _is("workspace_id"), "user_ids": _in("user_id")},
    ),
    "workspace_allocations": Collection(
        "WorkspaceAllocation",
        orders=frozenset({"updated_at"}),
        belongs={
            "workspace": ("workspace_id", "workspaces"),
            "workspace_resource": ("workspace_resource_id", "workspace_resources"),
            "creator": ("creator_id", "users"),
            "updater": ("updater_id", "users"),
        },
        filters={
            "workspace_ids": _in("workspace_id"),
            "workspace_resource_ids": _in("workspace_resource_id"),
            "overlaps_with_date_range": _overlaps,
            "type": lambda books, row, value: row.fields["hard"] is (value == "hard"),
        },
    ),
    "subscribed_events": Collection(
        "SubscribedEvent",
        orders=frozenset({"created_at"}),
        order="created_at:desc",
        filters={
            "event_types": _in("event_type"),
            "subject_type": _is("subject_type"),
            "subject_id": _in("subject_id"),
        },
    ),
    "account_memberships": Collection("AccountMembership", belongs={"user": ("user_id", "users")}),
    "assignments": Collection("Assignment", filters={"workspace_id": _is("workspace_id")}),
    "custom_fields": Collection("CustomField", filters={"subject_type": _is("subject_type")}),
    "custom_field_values": Collection("CustomFieldValue", filters={"subject_type": _is("subject_type")}),
    "estimates": Collection("Estimate"),
    "estimate_scenarios": Collection("EstimateScenario"),
    "estimate_scenario_resources": Collection(
        "EstimateScenarioResource", filters={"estimate_scenario_id": _is("estimate_scenario_id")}
    ),
    "expense_categories": Collection("ExpenseCategory", order="created_at:asc"),
    "posts": Collection("Post", filters={"workspace_id": _is("workspace_id")}),
    "workspace_groups": Collection("WorkspaceGroup"),
    "invoices": Collection(
        "Invoice", filters={"workspace_id": lambda b, row, v: v in row.fields["workspace_ids"]}
    ),
}

NEEDED = {
    "custom_field_values": "subject_type",
    "external_references": "subject_type",
    "workspace_status_changes": "workspace_id",
}
"""Filters without which an endpoint refuses to list."""

_NAMES = {item.kind: name for name, item in COLLECTIONS.items()}


def listed(books: Books, name: str, params: Params) -> dict[str, Any]:
    """A page of a collection, in Kantata's envelope.

    Raises:
        Invalid: a filter names more than Kantata takes.
    """
    collection = COLLECTIONS[name]
    if len(_ids(params.get("external_reference_service_model_refs", ""))) > REFS_MAX:
        raise Invalid(f"is limited to {REFS_MAX}", "external_reference_service_model_refs")
    kept = books.feed() if collection.kind == "SubscribedEvent" else books.all(collection.kind)
    rows = [row for row in kept if _visible(books, row, params)]
    for filter_name, fits in _filters(collection, params):
        rows = [row for row in rows if fits(books, row, params[filter_name])]
    rows = _sorted(collection, rows, params.get("order", ""))
    # Only together do limit and offset replace page and per_page.
    by_offset = "limit" in params and "offset" in params
    asked = _int(params, "limit" if by_offset else "per_page", PER_PAGE)
    per_page = min(PER_PAGE_MAX, max(1, asked))
    page = 1 if by_offset else max(1, _int(params, "page", 1))
    start = max(0, _int(params, "offset", 0)) if by_offset else (page - 1) * per_page
    body = envelope(name, rows[start : start + per_page], count=len(rows), page=page, per_page=per_page)
    _side_load(books, name, rows[start : start + per_page], params, body)
    return body


def single(books: Books, name: str, row: Record, params: Params) -> dict[str, Any]:
    """One record in the same envelope, as after a write."""
    body = envelope(name, [row], count=1, page=1, per_page=PER_PAGE)
    _side_load(books, name, [row], {**params, "only": row.id}, body)
    return body


def several(books: Books, name: str, rows: list[Record], params: Params) -> dict[str, Any]:
    """Records a bulk write made."""
    body = envelope(name, rows, count=len(rows), page=1, per_page=max(1, len(rows)))
    _side_load(books, name, rows, params, body)
    return body


def visible(books: Books, row: Record, params: Params) -> bool:
    """Whether the default filters show a record; what they hide answers 404."""
    return _visible(books, row, {**params, "only": row.id})


def envelope(name: str, rows: list[Record], *, count: int, page: int, per_page: int) -> dict[str, Any]:
    return {
        "count": count,
        "meta": {
            "count": count,
            "page_count": math.ceil(count / max(1, per_page)),
            "page_number": page,
            "page_size": per_page,
        },
        "results": [{"key": name, "id": row.id} for row in rows],
        name: {row.id: present(row) for row in rows},
    }


def present(row: Record) -> dict[str, Any]:
    """A record as the API shows it; ids of optional associations only come with their include."""
    hidden = {"recent_submission_id", "participant_ids", "participation_ids"}
    if row.kind == "WorkspaceResource":
        hidden |= {"user_id", "role_id"}
    if row.kind == "WorkspaceAllocation":
        hidden |= {"workspace_id", "creator_id", "updater_id"}
    return {name: value for name, value in row.fields.items() if name not in hidden}


def _visible(books: Books, row: Record, params: Params) -> bool:
    if row.kind == "Workspace":
        asked = params.get("archived", "include" if _true(params.get("include_archived", "")) else "exclude")
        archived = bool(row.fields["archived"])
        return {"only": archived, "include": True}.get(asked, not archived)
    if row.kind == "SubscribedEvent":
        return True
    if row.kind == "Story":
        if row.fields["archived"] and not _true(params.get("show_archived", "")):
            return False
        if row.fields["deleted_at"] and not _true(params.get("show_deleted", "")):
            return False
        return _true(params.get("show_from_archived_workspaces", "")) or _of_open(books, row)
    if row.kind in ("TimeEntry", "Expense"):
        return _true(params.get("from_archived_workspaces", "")) or _of_open(books, row)
    return True


def _of_open(books: Books, row: Record) -> bool:
    workspace = books.get("Workspace", row.fields["workspace_id"])
    return workspace is not None and not workspace.fields["archived"]


def _filters(collection: Collection, params: Params) -> Iterable[tuple[str, Filter]]:
    for name in params:
        if name in collection.filters:
            yield name, collection.filters[name]
        elif name in _COMMON and not (name.startswith("updated") and collection.kind == "User"):
            yield name, _COMMON[name]


def _stamped(field: str, *, after: bool) -> Filter:
    def fits(books: Books, row: Record, value: str) -> bool:
        bound, stamp = instant(value), instant(row.fields[field])
        if bound is None or stamp is None:
            return True
        return stamp > bound if after else stamp < bound

    return fits


def _referenced(field: str, *, several: bool = False) -> Filter:
    def fits(books: Books, row: Record, value: str) -> bool:
        wanted = _ids(value) if several else {value}
        return any(str(ref.fields.get(field)) in wanted for ref in books.references(row.kind, row.id))

    return fits


_COMMON: dict[str, Filter] = {
    "only": lambda books, row, value: row.id in _ids(value),
    "except": lambda books, row, value: row.id not in _ids(value),
    "created_after": _stamped("created_at", after=True),
    "created_before": _stamped("created_at", after=False),
    "updated_after": _stamped("updated_at", after=True),
    "updated_before": _stamped("updated_at", after=False),
    "has_external_references": lambda books, row, value: (
        bool(books.references(row.kind, row.id)) == _true(value)
    ),
    "without_external_reference_service_name": lambda books, row, value: all(
        ref.fields["service_name"] != value for ref in books.references(row.kind, row.id)
    ),
    "external_reference_service_name": _referenced("service_name"),
    "external_reference_service_model": _referenced("service_model"),
    "external_reference_service_model_ref": _referenced("service_model_ref"),
    "external_reference_service_model_refs": _referenced("service_model_ref", several=True),
    "external_reference_status": _referenced("status"),
    "external_reference_external_status": _referenced("external_status"),
    "external_reference_external_message": _referenced("external_message"),
}

_FIELDS = {"alphabetical": "full_name", "date": "start_date", "amount": "amount_in_cents"}


def _sorted(collection: Collection, rows: list[Record], order: str) -> list[Record]:
    """By a field the endpoint offers, ties by id; another field is ignored, as Kantata does."""
    field, _, direction = order.partition(":")
    if field not in collection.orders or direction not in ("asc", "desc"):
        field, _, direction = collection.order.partition(":")
    name = "date" if (field, collection.kind) == ("date", "Expense") else _FIELDS.get(field, field)

    def place(row: Record) -> tuple[bool, Any, int]:
        value = row.fields.get(name)
        if name.endswith("_at"):
            value = instant(value)  # stamps may have different offsets
        return value is None, value if value is not None else 0, int(row.id)

    return sorted(rows, key=place, reverse=direction == "desc")


def _side_load(books: Books, name: str, rows: list[Record], params: Params, body: dict[str, Any]) -> None:
    """Add what ``include`` names to the answer, and its ids to the records; unknown names are ignored."""
    for association in _ids(params.get("include", "")):
        belongs = COLLECTIONS[name].belongs.get(association)
        if belongs is not None:
            field, target = belongs
            for row in rows:
                id = row.fields.get(field)
                body[name][row.id][field] = id
                other = books.get(COLLECTIONS[target].kind, id)
                if other is not None:
                    body.setdefault(target, {}).setdefault(other.id, present(other))
            continue
        many = _many(books, name, association, rows, params)
        if many is None:
            continue
        target, field, found = many
        body.setdefault(target, {})
        for row in rows:
            body[name][row.id][field] = [other.id for other in found.get(row.id, [])]
            for other in found.get(row.id, []):
                body[target].setdefault(other.id, present(other))


def _many(
    books: Books, name: str, association: str, rows: list[Record], params: Params
) -> tuple[str, str, dict[str, list[Record]]] | None:
    """Target collection, id field and the found records by owner, for an association to many."""
    if association == "external_references" and name != "external_references":
        found = {row.id: list(books.references(row.kind, row.id)) for row in rows}
        return "external_references", "external_reference_ids", found
    if association == "story_state_changes" and name == "stories" and "only" in params:
        by_story = _grouped(books.all("StoryStateChange"), "story_id")
        return "story_state_changes", "story_state_change_ids", by_story
    if association == "time_entries" and name == "timesheet_submissions":
        return "time_entries", "time_entry_ids", _grouped(books.all("TimeEntry"), "recent_submission_id")
    if association == "expenses" and name == "expense_report_submissions":
        return "expenses", "expense_ids", _grouped(books.all("Expense"), "recent_submission_id")
    if association == "participants" and name == "workspaces":
        people = {
            row.id: [user for id in row.fields["participant_ids"] if (user := books.get("User", id))]
            for row in rows
        }
        return "users", "participant_ids", people
    return None


def _grouped(rows: Iterable[Record], field: str) -> dict[str, list[Record]]:
    groups: dict[str, list[Record]] = {}
    for row in rows:
        groups.setdefault(str(row.fields[field]), []).append(row)
    return groups


def _int(params: Params, name: str, default: int) -> int:
    try:
        return int(params.get(name, default))
    except ValueError:
        return default


def collection_of(kind: str) -> str:
    """The endpoint a kind of record is listed at."""
    return _NAMES[kind]
