"""The paths of a simulated Kantata: reading through `listing`, writing through `books`."""

import json
from collections.abc import Callable
from typing import Any
from uuid import UUID

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from isthmus.sdk.simulator import Record
from isthmus_kantata.simulator import listing
from isthmus_kantata.simulator.books import Books
from isthmus_kantata.simulator.shelf import Fields, Invalid

Write = Callable[[Fields], Record]
VERDICTS = {"approve": "approved", "reject": "rejected", "cancel": "cancelled"}
_BULK_VERDICTS = {
    "timesheet_approvals": ("TimesheetSubmission", "approved"),
    "timesheet_rejections": ("TimesheetSubmission", "rejected"),
    "timesheet_cancellations": ("TimesheetSubmission", "cancelled"),
    "expense_report_approvals": ("ExpenseReportSubmission", "approved"),
    "expense_report_rejections": ("ExpenseReportSubmission", "rejected"),
    "expense_report_cancellations": ("ExpenseReportSubmission", "cancelled"),
}
_SINGULAR = {"time_entries": "time_entry", "stories": "story"}
_EDITABLE = {
    "workspaces": ("title", "description", "start_date", "due_date", "archived"),
    "stories": ("title", "description", "start_date", "due_date", "archived"),
    "time_entries": ("date_performed", "time_in_minutes", "billable", "notes", "story_id"),
    "expenses": ("date", "amount_in_cents", "category", "currency", "is_billable", "notes"),
    "billing_milestones": ("title", "amount_in_cents", "date_to_invoice", "billing_type", "story_id"),
    "workspace_allocations": ("start_date", "end_date", "minutes", "hard", "notes"),
}
_REMOVABLE = (
    "time_entries",
    "expenses",
    "external_references",
    "billing_milestones",
    "workspace_allocations",
)


class NotFoundHere(LookupError):
    """No such path or record: 404."""


class Api:
    """Answers requests below ``/api/v1``."""

    def __init__(
        self,
        books: Books,
        *,
        token: Callable[[], str],
        number: Callable[[], int],
        refuses: Callable[[str, str], bool],
    ) -> None:
        """
        Args:
            number: counts requests.
            refuses: whether a call, by method and place such as ``workspaces``, is one too many.
        """
        self._books = books
        self._token = token
        self._number = number
        self._refuses = refuses

    async def answer(self, request: Request) -> Response:
        response = await self._answer(request)
        response.headers["x-request-id"] = str(UUID(int=self._number()))
        return response

    async def _answer(self, request: Request) -> Response:
        parts = request.url.path.lstrip("/").removesuffix(".json").split("/")
        if parts[:2] != ["api", "v1"] or len(parts) < 3:
            return _refuse(404, "system", "The page you are looking for does not exist.")
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or token.strip() != self._token():
            return _refuse(401, "oauth", "Invalid OAuth 2 Request")
        if self._refuses(request.method, "/".join(parts[2:])):
            # Neither Retry-After nor any other word about the limit, as with the real one.
            return _refuse(429, "system", "Too many requests. Please try again later.")
        try:
            sent = json.loads(await request.body() or b"{}")
        except ValueError:
            return _refuse(400, "syntax", "The request body is not valid JSON.")
        params = dict(request.query_params)
        try:
            body = self._route(request.method, parts[2:], params, sent)
        except NotFoundHere:
            words = "The object you are requesting does not exist or you do not have access to it."
            return _refuse(404, "system", words)
        except PermissionError as error:
            return _refuse(403, "system", str(error))
        except Invalid as error:
            return _refuse(422, "validation", str(error), error.field)
        return Response(status_code=204) if body is None else JSONResponse(body)

    def _route(
        self, method: str, parts: list[str], params: dict[str, str], sent: Fields
    ) -> dict[str, Any] | None:
        """The body of the answer; None for an answer without one.

        Raises:
            NotFoundHere: no such path or record.
            PermissionError: the account may not use this.
            Invalid: the write is refused.
        """
        match method, parts:
            case "GET", ["subscribed_events"] if not self._books.has_feed:
                raise PermissionError("Subscribed events are not enabled for this account.")
            case "GET", [name] if name in listing.COLLECTIONS:
                needed = listing.NEEDED.get(name)
                if needed is not None and needed not in params:
                    raise Invalid("is required", needed)
                return listing.listed(self._books, name, params)
            case "GET", ["users", "me"]:
                return listing.single(self._books, "users", self._books.me(), params)
            case "GET", [name, id]:
                row = self._row(name, id)
                if not listing.visible(self._books, row, params):
                    raise NotFoundHere
                return listing.single(self._books, name, row, params)
            case "POST", ["external_references", "create_or_update"]:
                return self._refer(_object(sent, "external_reference"), params)
            case "POST", ["workspace_status_changes"]:
                return self._status_change(_object(sent, "workspace_status_change"), params)
            case "POST", [name] if name in _BULK_VERDICTS:
                return self._resolve_many(name, _object(sent, "resolution"))
            case "POST", [name]:
                return self._create(name, params, sent)
            case "PUT", [name, id, verb] if name.endswith("_submissions") and verb in VERDICTS:
                row = self._row(name, id)
                words = (sent.get("resolution") or {}).get("description")
                self._books.resolve(row, VERDICTS[verb], words, user=self._books.me().id)
                return listing.single(self._books, name, row, params)
            case "PUT", [name, id] if name in _EDITABLE:
                row = self._row(name, id)
                self._edit(name, row, _object(sent, _SINGULAR.get(name, name[:-1])))
                return listing.single(self._books, name, row, params)
            case "DELETE", [name, id] if name in _REMOVABLE:
                row = self._row(name, id)
                if row.kind in ("TimeEntry", "Expense"):
                    self._books.editable(row)
                self._books.remove(row)
                return None
            case _:
                raise NotFoundHere

    def _row(self, name: str, id: str) -> Record:
        collection = listing.COLLECTIONS.get(name)
        row = self._books.get(collection.kind, id) if collection else None
        if row is None:
            raise NotFoundHere
        return row

    def _create(self, name: str, params: dict[str, str], sent: Fields) -> dict[str, Any]:
        """One record, or many where the body has the plural; the first refusal refuses all after it."""
        me = self._books.me()
        makers: dict[str, Write] = {
            "workspaces": self._books.workspace,
            "stories": lambda fields: self._books.story(fields, user=me.id),
            "time_entries": self._time_entry,
            "expenses": self._books.expense,
            "billing_milestones": self._books.billing_milestone,
            "workspace_allocations": self._books.allocation,
            "timesheet_submissions": lambda fields: self._submit("TimesheetSubmission", fields),
            "expense_report_submissions": lambda fields: self._submit("ExpenseReportSubmission", fields),
        }
        if name not in makers:
            raise NotFoundHere
        if isinstance(sent.get(name), list) and name != "workspaces":
            rows = [makers[name](dict(fields)) for fields in sent[name]]
            return listing.several(self._books, name, rows, params)
        row = makers[name](_object(sent, _SINGULAR.get(name, name[:-1])))
        return listing.single(self._books, name, row, params)

    def _time_entry(self, fields: Fields) -> Record:
        user = self._books.get("User", fields.get("user_id") or self._books.me().id)
        role = fields.get("role_id") or (user.fields["role_id"] if user else None)
        return self._books.time_entry(fields, role_id=str(role) if role else None)

    def _submit(self, kind: str, fields: Fields) -> Record:
        ids = [str(id) for id in fields.get("line_item_ids") or []]
        return self._books.submit(kind, ids, fields)

    def _edit(self, name: str, row: Record, fields: Fields) -> None:
        if name in ("time_entries", "expenses"):
            self._books.editable(row)
        changes = {field: fields[field] for field in _EDITABLE[name] if field in fields}
        if "amount_in_cents" in changes and not isinstance(changes["amount_in_cents"], int):
            raise Invalid("is not a number", "amount_in_cents")
        if "title" in changes and not str(changes["title"] or "").strip():
            raise Invalid("can't be blank", "title")
        if changes:
            self._books.change(row, changes, body=fields)
        me = self._books.me().id
        if name == "workspaces" and "status_key" in fields:
            self._books.move(row, fields["status_key"], user=me)
        if name == "stories" and "state" in fields:
            self._books.set_state(row, str(fields["state"]), user=me)
        if "external_reference" in fields:
            self._books.refer(row.kind, row.id, fields["external_reference"])

    def _refer(self, fields: Fields, params: dict[str, str]) -> dict[str, Any]:
        for field in ("subject_type", "subject_id"):
            if not fields.get(field):
                raise Invalid("can't be blank", field)
        row = self._books.refer(str(fields["subject_type"]), fields["subject_id"], fields)
        return listing.single(self._books, "external_references", row, params)

    def _status_change(self, fields: Fields, params: dict[str, str]) -> dict[str, Any]:
        """Unlike an update of the project, this refuses the status that the project has already."""
        workspace = self._row("workspaces", str(fields.get("workspace_id")))
        if workspace.fields["status"]["key"] == str(fields.get("to_status_key")):
            raise Invalid("is the current status", "to_status_key")
        self._books.move(workspace, fields.get("to_status_key"), user=self._books.me().id)
        change = list(self._books.all("WorkspaceStatusChange"))[-1]
        return listing.single(self._books, "workspace_status_changes", change, params)

    def _resolve_many(self, name: str, fields: Fields) -> dict[str, Any]:
        kind, verdict = _BULK_VERDICTS[name]
        me = self._books.me().id
        rows = [self._books.get(kind, id) for id in fields.get("submission_ids") or []]
        if not rows or any(row is None for row in rows):
            raise Invalid("does not exist", "submission_ids")
        resolutions = []
        for row in rows:
            assert row is not None
            self._books.resolve(row, verdict, fields.get("description"), user=me)
            resolutions.append(
                {
                    "id": self._number(),
                    "type": verdict,
                    "description": fields.get("description"),
                    "target_type": kind,
                    "target_id": int(row.id),
                    "user_id": int(me),
                    "current": True,
                    "created_at": row.fields["updated_at"],
                    "updated_at": row.fields["updated_at"],
                }
            )
        return {"resolutions": resolutions}


def _object(sent: Fields, name: str) -> Fields:
    """The object under the singular name of what is written.

    Raises:
        Invalid: it is not there.
    """
    fields = sent.get(name) if isinstance(sent, dict) else None
    if not isinstance(fields, dict):
        raise Invalid("is missing", name)
    return fields


def _refuse(status: int, kind: str, message: str, field: str | None = None) -> JSONResponse:
    error = {"type": kind, "message": message}
    if field is not None:
        error["field"] = field
    return JSONResponse({"errors": [error]}, status_code=status)
