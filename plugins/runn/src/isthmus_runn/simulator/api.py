"""The HTTP face of the account: token, version, rate limit, pages, and one function per path."""

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from isthmus.sdk.simulator import Record
from isthmus_runn.simulator import shapes
from isthmus_runn.simulator.account import Account, Fields
from isthmus_runn.simulator.shapes import Invalid

if TYPE_CHECKING:
    from isthmus_runn.simulator.simulator import RunnSimulator

API_ACTOR = {"type": "api", "tokenId": 1, "tokenName": "isthmus", "apiVersion": "1.0.0"}
WINDOW_S = 60
PHRASES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    409: "Conflict",
    422: "Unprocessable Entity",
    429: "Too Many Requests",
}
UNUSED = (
    "budget-roles custom-fields/checkbox custom-fields/date custom-fields/select holiday-groups invitations "
    "milestones other-expenses people-tags person-requests phases project-members project-rates project-tags "
    "project-workstreams rate-cards skills teams time-offs/holidays time-offs/rostered-off users workstreams"
).split()
"""Collections this account never used; they are there, and empty."""


class Call(msgspec.Struct):
    """One request, taken apart."""

    ids: list[str]
    query: dict[str, str]
    data: object


Handler = Callable[[Call], tuple[int, Any]]


class Api:
    """Answers every path of the API that this fake knows."""

    def __init__(self, sim: "RunnSimulator", account: Account) -> None:
        self._sim = sim
        self._account = account
        self._routes: list[tuple[str, re.Pattern[str], Handler]] = []
        self._lay_routes()

    async def answer(self, request: Request) -> Response:
        """Token first, then version, rate limit, route and body, as Runn does."""
        headers: dict[str, str] = {}
        try:
            scopes = self._scopes(request)
            self._check_version(request)
            headers = self._count()
            status, body = self._dispatch(
                request.method, request.url.path, scopes, request, await request.body()
            )
        except Invalid as refusal:
            status = refusal.status
            body = {"statusCode": status, "error": PHRASES[status], "message": str(refusal)}
            if status == 429:
                pause_s = refusal.retry_after_s
                headers = self._rate_headers(0, pause_s) | {"retry-after": str(pause_s)}
        if status == 204:
            return Response(status_code=204, headers=headers)
        return JSONResponse(body, status_code=status, headers=headers)

    def _scopes(self, request: Request) -> list[str]:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        scopes: list[str] | None = (
            self._sim.memory["tokens"].get(token) if scheme.lower() == "bearer" else None
        )
        if scopes is None:
            raise Invalid("Unauthorized", 401)
        return scopes

    def _check_version(self, request: Request) -> None:
        version = request.headers.get("accept-version")
        if version is None:
            raise Invalid("headers must have required property 'accept-version'")
        if version != "1.0.0":
            raise Invalid("headers/accept-version must be equal to one of the allowed values")

    def _count(self) -> dict[str, str]:
        """Take one call from the budget of this minute.

        Raises:
            Invalid: 429; there is none left.
        """
        rate = self._sim.memory["rate"]
        if rate["refuse"] > 0:
            rate["refuse"] -= 1
            raise Invalid("Rate limit exceeded, retry in 1 second", 429)
        second = int(self._sim.now().timestamp())
        window = second - second % WINDOW_S
        if rate["window"] != window:
            rate.update(window=window, used=0)
        rate["used"] += 1
        left = self._sim.memory["rate_limit"] - rate["used"]
        rest_s = window + WINDOW_S - second
        if left < 0:
            raise Invalid(f"Rate limit exceeded, retry in {rest_s} seconds", 429, retry_after_s=rest_s)
        return self._rate_headers(left, rest_s)

    def _rate_headers(self, remaining: int, reset_s: int) -> dict[str, str]:
        return {
            "x-ratelimit-limit": str(self._sim.memory["rate_limit"]),
            "x-ratelimit-remaining": str(remaining),
            "x-ratelimit-reset": str(reset_s),
        }

    def _dispatch(
        self, method: str, path: str, scopes: list[str], request: Request, raw: bytes
    ) -> tuple[int, Any]:
        place = "/".join(part for part in path.split("/") if part)
        for wanted, pattern, handler in self._routes:
            match = pattern.fullmatch(place) if wanted == method else None
            if match is None:
                continue
            scope = "read" if method == "GET" else "write"
            if scope not in scopes:
                raise Invalid(f"The token does not have the {scope} scope", 403)
            data: object = None
            if method in ("POST", "PATCH"):
                try:
                    data = json.loads(raw or b"null")
                except ValueError as error:
                    raise Invalid(
                        "Body is not valid JSON but content-type is set to 'application/json'"
                    ) from error
            return handler(Call(list(match.groups()), dict(request.query_params), data))
        raise Invalid(f"Route {method}:{path} not found", 404)

    def _lay_routes(self) -> None:
        def on(method: str, path: str, handler: Handler) -> None:
            pattern = re.compile(path.replace("{}", r"(\d+)"))
            self._routes.append((method, pattern, handler))

        on("GET", "me", lambda call: (200, {"name": "isthmus"}))
        for kind, path in (
            ("client", "clients"),
            ("project", "projects"),
            ("person", "people"),
            ("role", "roles"),
        ):
            on("GET", path, self._lister(kind))
            on("GET", path + "/{}", self._getter(kind))
        on("POST", "clients", self._create_client)
        on("POST", "roles", self._create_role)
        on(
            "POST",
            "projects",
            lambda call: self._made(self._account.project(self._body(call, shapes.PROJECT))),
        )
        on("POST", "people", lambda call: self._made(self._account.person(self._body(call, shapes.PERSON))))
        on("PATCH", "clients/{}", self._patcher("client", shapes.CLIENT))
        on("PATCH", "projects/{}", self._patcher("project", shapes.PROJECT))
        on("PATCH", "people/{}", self._patcher("person", _without_contract(shapes.PERSON)))
        on("PATCH", "roles/{}", self._patcher("role", shapes.ROLE))
        on("GET", "people/{}/contracts/current", self._contract)
        on("GET", "people/{}/contracts", self._lister("contract", "personId"))
        on("GET", "contracts", self._lister("contract"))
        on("GET", "placeholders", self._lister("placeholder"))
        on("GET", "clients/{}/projects", self._lister("project", "clientId"))
        for kind in ("assignment", "actual"):
            on("GET", f"{kind}s", self._lister(kind))
            on("GET", f"people/{{}}/{kind}s", self._lister(kind, "personId"))
            on("GET", f"projects/{{}}/{kind}s", self._lister(kind, "projectId"))
            on("DELETE", f"{kind}s/{{}}", self._deleter(kind))
        on("POST", "assignments", self._assign)
        on("POST", "actuals", self._actual)
        on("POST", "actuals/bulk", self._actuals)
        on("GET", "time-offs/leave", self._lister("leave"))
        on("POST", "time-offs/leave", self._leave)
        on("GET", "projects/{}/notes", self._lister("note", "projectId"))
        on("POST", "projects/{}/notes", self._note)
        on("GET", "projects/{}/timesheet-lock", self._lock)
        on("GET", "custom-fields/text", self._lister("text_field"))
        on("POST", "custom-fields/text", self._text_field)
        on("PATCH", "projects/{}/custom-fields/text", self._text_value)
        on("GET", "activity-log", self._activity)
        for path in UNUSED:
            on("GET", path, lambda call: (200, {"values": [], "nextCursor": None}))

    def _body(self, call: Call, shape: shapes.Shape, *, partial: bool = False) -> Fields:
        return shapes.body_of(call.data, shape, partial=partial)

    def _made(self, record: Record) -> tuple[int, Any]:
        return 201, _shown(record)

    def _found(self, kind: str, remote_id: str) -> Record:
        record = self._account.get(kind, remote_id)
        if record is None:
            raise Invalid(f"{kind.capitalize()} not found", 404)
        return record

    def _getter(self, kind: str) -> Handler:
        return lambda call: (200, _shown(self._found(kind, call.ids[0])))

    def _patcher(self, kind: str, shape: shapes.Shape) -> Handler:
        def patch(call: Call) -> tuple[int, Any]:
            record = self._found(kind, call.ids[0])
            body = self._body(call, shape, partial=True)
            if "clientId" in body:
                self._account.need("client", body["clientId"])
            return 200, _shown(self._account.change(record, body))

        return patch

    def _deleter(self, kind: str) -> Handler:
        def delete(call: Call) -> tuple[int, Any]:
            record = self._found(kind, call.ids[0])
            if kind == "assignment":
                self._account.unassign(record, API_ACTOR)
            else:
                self._sim.ledger.remove(record, at=self._sim.now())
            return 204, None

        return delete

    def _lister(self, kind: str, parent: str | None = None) -> Handler:
        def listed(call: Call) -> tuple[int, Any]:
            rows: Iterable[Record] = self._account.of_kind("person" if kind == "placeholder" else kind)
            if parent is not None:
                rows = [row for row in rows if row.fields[parent] == int(call.ids[0])]
            return 200, self._page(
                call, [row.fields for row in rows if _wanted(kind, row.fields, call.query)], kind
            )

        return listed

    def _page(self, call: Call, rows: list[Fields], kind: str) -> dict[str, Any]:
        """One page, by a cursor that names the last row given rather than a place in the list."""
        most = 500 if kind in ("assignment", "actual") else 200
        limit = shapes.whole(call.query, "limit", 100 if most == 500 else 50) or 0
        if not 1 <= limit <= most:
            raise Invalid(f"querystring/limit must be {'>= 1' if limit < 1 else f'<= {most}'}")
        sort = shapes.choice(call.query, "sortBy", ("id", "createdAt", "updatedAt"), "id")
        falling = shapes.choice(call.query, "order", ("asc", "desc"), "asc") == "desc"
        after = shapes.stamp(call.query, "modifiedAfter")
        if after is not None:
            rows = [row for row in rows if row["updatedAt"] > after]
        rows.sort(key=lambda row: (row[sort], row["id"]), reverse=falling)
        if (cursor := call.query.get("cursor")) is not None:
            last = _open_cursor(cursor)
            rows = [
                row
                for row in rows
                if ((row[sort], row["id"]) < last if falling else (row[sort], row["id"]) > last)
            ]
        page = rows[:limit]
        following = _cursor(page[-1][sort], page[-1]["id"]) if len(rows) > limit else None
        return {"values": [_listed(kind, row) for row in page], "nextCursor": following}

    def _create_client(self, call: Call) -> tuple[int, Any]:
        body = self._body(call, shapes.CLIENT)
        fields = {
            "name": body["name"],
            "website": body.get("website"),
            "isArchived": False,
            "references": body.get("references", []),
        }
        return self._made(self._account.add("client", fields, body=body))

    def _create_role(self, call: Call) -> tuple[int, Any]:
        body = self._body(call, shapes.ROLE)
        fields = {"isArchived": False, "defaultHourCost": 0, "standardRate": 0, "references": [], **body}
        return self._made(self._account.add("role", fields, body=body))

    def _contract(self, call: Call) -> tuple[int, Any]:
        self._found("person", call.ids[0])
        contract = self._account.contract_of(int(call.ids[0]))
        if contract is None:
            raise Invalid("Contract not found", 404)
        return 200, contract.fields

    def _assign(self, call: Call) -> tuple[int, Any]:
        return 201, [record.fields for record in self._account.assign(self._body(call, shapes.ASSIGNMENT))]

    def _actual(self, call: Call) -> tuple[int, Any]:
        body = self._body(call, shapes.ACTUAL)
        self._account.check_actual(body)
        return 201, self._account.record_actual(body).fields

    def _actuals(self, call: Call) -> tuple[int, Any]:
        """Up to 100 actuals; if one cannot be written, none is."""
        rows = call.data.get("actuals") if isinstance(call.data, dict) else None
        if not isinstance(rows, list):
            raise Invalid("body must have required property 'actuals'")
        if len(rows) > 100:
            raise Invalid("body/actuals must NOT have more than 100 items")
        bodies = [
            shapes.body_of(row, shapes.ACTUAL, place=f"body/actuals/{at}") for at, row in enumerate(rows)
        ]
        for body in bodies:
            self._account.check_actual(body)
            if body.get("billableMinutes", 0) + body.get("nonbillableMinutes", 0) == 0:
                raise Invalid("Either billableMinutes or nonbillableMinutes must be greater than 0")
        return 200, [self._account.record_actual(body).fields for body in bodies]

    def _leave(self, call: Call) -> tuple[int, Any]:
        leave, _ = self._account.take_leave(self._body(call, shapes.LEAVE))
        return self._made(leave)

    def _note(self, call: Call) -> tuple[int, Any]:
        project = self._found("project", call.ids[0])
        body = self._body(call, shapes.NOTE)
        fields = {"createdBy": "API", "createdByEmail": None, "projectId": project.fields["id"], **body}
        return self._made(self._account.add("note", fields, body=body))

    def _lock(self, call: Call) -> tuple[int, Any]:
        self._found("project", call.ids[0])
        until = self._sim.memory["locks"].get(call.ids[0])
        status = "UNLOCKED" if until is None else "LOCKED"
        return 200, {"status": status, "lockedUntil": until, "lastUpdatedBy": None, "updatedAt": None}

    def _text_field(self, call: Call) -> tuple[int, Any]:
        body = self._body(call, shapes.TEXT_FIELD)
        switches = dict.fromkeys(("required", "showInPlanner", "filterableInPlanner"), False)
        return self._made(
            self._account.add("text_field", {"description": None, **switches, **body}, body=body)
        )

    def _text_value(self, call: Call) -> tuple[int, Any]:
        """Set a text field of a project. The project's own stamp stays: it does not count as modified."""
        project = self._found("project", call.ids[0])
        body = self._body(call, shapes.TEXT_VALUE)
        field = self._account.need("text_field", body["id"])
        texts = [text for text in project.fields["customFields"]["text"] if text["id"] != body["id"]]
        if body["value"]:
            texts.append({"id": body["id"], "name": field.fields["name"], "value": body["value"]})
        changed = {"customFields": {**project.fields["customFields"], "text": texts}}
        self._sim.ledger.update(project, changed, at=self._sim.now(), op="custom_field", body=body)
        return 200, body

    def _activity(self, call: Call) -> tuple[int, Any]:
        if self._sim.memory["test_account"]:
            raise Invalid("Activity log events are not available for test accounts.", 422)
        limit = shapes.whole(call.query, "limit", 50) or 0
        if not 1 <= limit <= 200:
            raise Invalid("querystring/limit must be <= 200")
        wanted = call.query.get("eventType")
        after = shapes.stamp(call.query, "occurredAfter")
        rows = [
            dict(row)
            for row in self._sim.memory["activity"]
            if wanted in (None, row["type"]) and (after is None or row["timestamp"] > after)
        ]
        if shapes.choice(call.query, "orderBy", ("asc", "desc"), "desc") == "desc":
            rows.reverse()
        if (cursor := call.query.get("cursor")) is not None:
            last = _open_cursor(cursor)
            at = next(
                (n for n, row in enumerate(rows) if [row["timestamp"], row["eventId"]] == list(last)), -1
            )
            rows = rows[at + 1 :]
        page = rows[:limit]
        following = _cursor(page[-1]["timestamp"], page[-1]["eventId"]) if len(rows) > limit else None
        return 200, {"values": page, "nextCursor": following}


def _wanted(kind: str, fields: Fields, query: dict[str, str]) -> bool:
    """Whether a record passes the filters of its collection."""
    if kind in ("person", "placeholder"):
        shown = fields["isPlaceholder"] or kind == "person"
        hidden = kind == "person" and fields["isPlaceholder"]
        if not shown or (hidden and not shapes.flag(query, "includePlaceholders", default=False)):
            return False
    if kind == "project" and fields["isArchived"] and not shapes.flag(query, "includeArchived", default=True):
        return False
    if "externalId" in query and kind in ("person", "project"):
        return any(reference["externalId"] == query["externalId"] for reference in fields["references"])
    for name in ("name", "email", "firstName", "lastName"):
        if name in query and name in fields and query[name].lower() not in str(fields[name] or "").lower():
            return False
    if kind in ("assignment", "actual"):
        for name in ("personId", "projectId", "roleId", "workstreamId"):
            number = shapes.whole(query, name)
            if number is not None and fields[name] != number:
                return False
        first, last = ("startDate", "endDate") if kind == "assignment" else ("date", "date")
        since, until = ("startDate", "endDate") if kind == "assignment" else ("minDate", "maxDate")
        lower, upper = shapes.day(query, since), shapes.day(query, until)
        return (lower is None or fields[last] >= lower) and (upper is None or fields[first] <= upper)
    return kind != "text_field" or query.get("model") in (None, fields["model"])


def _shown(record: Record) -> Fields:
    """A record as its own page shows it."""
    shown = {
        name: value
        for name, value in record.fields.items()
        if name != "isPlaceholder" or record.kind != "person"
    }
    if record.kind == "person":
        shown |= {
            "notes": [],
            "skills": [],
            "customFields": {"select": [], "text": [], "checkbox": [], "date": []},
        }
    return shown


def _listed(kind: str, fields: Fields) -> Fields:
    """A record as its collection shows it."""
    if kind in ("person", "placeholder"):
        return {name: value for name, value in fields.items() if name != "isPlaceholder"}
    return fields


def _without_contract(shape: shapes.Shape) -> shapes.Shape:
    """A person may be patched; what belongs to the contract may not."""
    kept = ("firstName", "lastName", "email", "references", "isArchived")
    return {name: prop for name, prop in shape.items() if name in kept}


def _cursor(value: object, last_id: object) -> str:
    return base64.urlsafe_b64encode(json.dumps([value, last_id]).encode()).decode()


def _open_cursor(cursor: str) -> tuple[Any, Any]:
    try:
        value, last_id = json.loads(base64.urlsafe_b64decode(cursor))
    except (ValueError, binascii.Error) as error:
        raise Invalid("querystring/cursor is not valid") from error
    return value, last_id
