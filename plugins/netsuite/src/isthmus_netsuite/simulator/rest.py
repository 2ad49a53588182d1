"""The record service: ``/services/rest/record/v1``."""

import re
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec
from starlette.responses import Response

from isthmus.sdk.simulator import Record
from isthmus_netsuite.simulator.books import Books, Fields, line_amount, sum_lines
from isthmus_netsuite.simulator.problems import (
    Problem,
    bad_value,
    no_such_record,
    no_such_reference,
    unknown_property,
)
from isthmus_netsuite.simulator.schema import BY_LOWER, TYPES, RecordType

MEDIA = "application/vnd.oracle.resource+json"
PAGE_MAX = 1000
PAYMENT_TERMS = timedelta(days=30)
NUMBERS = {"invoice": "INV", "creditMemo": "CM", "customerPayment": "PYMT"}
ENUMS = {
    "approvalStatus": {"1": "Pending Approval", "2": "Approved", "3": "Rejected"},
    "price": {"-1": "Custom"},
    "stage": {"HOLD": "Hold", "READY": "Ready for Billing", "PROCESSED": "Processed"},
    "use": {"ACTUAL": "Actual", "FORECAST": "Forecast"},
}
_decode = msgspec.json.Decoder(float_hook=Decimal)
_encode = msgspec.json.Encoder(decimal_format="number")
_FILTER = re.compile(
    r'(\w+)\s+(IS|EQUAL|CONTAIN|START_WITH|AFTER|BEFORE)\s+(?:"([^"]*)"|(\S+))', re.IGNORECASE
)


def read_body(raw: bytes) -> Fields:
    """A request's JSON object, numbers exact."""
    try:
        body = _decode.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem(400, "INVALID_CONTENT", f"Invalid content in the request body: {error}") from error
    if not isinstance(body, dict):
        raise Problem(400, "INVALID_CONTENT", "Invalid content in the request body: an object is expected.")
    return body


def json_answer(value: object) -> Response:
    return Response(_encode.encode(value), media_type=MEDIA)


class RecordService:
    """Reads and writes records as the REST services do."""

    def __init__(self, books: Books, next_number: Callable[[str, int], int]) -> None:
        self.books = books
        self._next_number = next_number

    def handle(
        self,
        method: str,
        parts: list[str],
        query: Mapping[str, str],
        headers: Mapping[str, str],
        raw: bytes,
        base: str,
    ) -> Response:
        """Answer one request; ``parts`` is the path after ``v1``, decoded."""
        type = BY_LOWER.get(parts[0].lower())
        if type is None:
            raise Problem(
                404, "NOT_FOUND", f"Record type '{parts[0]}' does not exist.", errorUrlPath=parts[0]
            )
        root = f"{base}/services/rest/record/v1"
        if len(parts) == 1:
            if method == "GET":
                return json_answer(self._list(type, query, root))
            if method == "POST":
                return self._created(self._post(type, read_body(raw), headers), root)
        elif len(parts) == 2:
            if method == "PUT":
                return self._created(self._put(type, parts[1], read_body(raw), query, headers), root)
            record = self._existing(type, parts[1])
            if method == "GET":
                return json_answer(self._shown(type, record, query, root))
            if method == "PATCH":
                self.write(type, record, read_body(raw), op="update", query=query, headers=headers)
                return self._created(record, root)
            if method == "DELETE":
                self._delete(type, record)
                return Response(status_code=204)
        elif method == "GET" and len(parts) == 3 and parts[2] in type.sublists:
            record = self._existing(type, parts[1])
            shown = self._shown(type, record, {"expandSubResources": "true"}, root)
            return json_answer(shown.get(parts[2], {"items": [], "totalResults": 0}))
        raise Problem(405, "INVALID_METHOD", f"{method} is not allowed here.")

    def _existing(self, type: RecordType, name: str) -> Record:
        record = self.books.find(type.name, name)
        if record is None:
            raise no_such_record(type.name)
        return record

    def _created(self, record: Record, root: str) -> Response:
        return Response(status_code=204, headers={"location": f"{root}/{record.kind}/{record.id}"})

    # Writing

    def _post(self, type: RecordType, body: Fields, headers: Mapping[str, str]) -> Record:
        return self.write(type, None, body, op="create", headers=headers)

    def _put(
        self, type: RecordType, name: str, body: Fields, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> Record:
        """Upsert: only by external id."""
        if not name.startswith("eid:"):
            raise Problem(
                400, "INVALID_PARAMETER", "PUT needs an external ID in the form eid:<id>.", errorUrlPath="id"
            )
        body = {**body, "externalId": name[4:]}
        record = self.books.find(type.name, name)
        return self.write(type, record, body, op="upsert", query=query, headers=headers)

    def write(
        self,
        type: RecordType,
        record: Record | None,
        body: Fields,
        *,
        op: str,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Record:
        """Check and keep a record; nothing is kept when a check fails.

        Raises:
            Problem: what NetSuite would answer.
        """
        if not type.written:
            raise Problem(403, "INSUFFICIENT_PERMISSION", f"You may not write {type.name} records.")
        strict = (headers or {}).get("x-netsuite-propertynamevalidation", "ignore").lower() == "error"
        body = dict(body)
        external_id = body.pop("externalId", None) or (record.external_key if record else None)
        before = dict(record.fields) if record is not None else {}
        sent = self._checked(type.fields, body, type, strict)
        for name, columns in type.sublists.items():
            if name in body:
                lines = [self._checked(columns, line, type, strict) for line in _items(body[name])]
                replaced = name in (query or {}).get("replace", "").split(",")
                sent[name] = {"items": _merged(before.get(name), lines, replaced)}
        fields = {**before, **sent}
        if record is None:
            fields = {**self._defaults(type, fields), **fields}
        self._require(type, fields)
        self._gate(type, before, fields)
        if "apply" in type.sublists:
            self.books.check_applications(type.name, fields, before)
        kept = _plain(body)
        if record is None:
            if type.name in NUMBERS and "tranId" not in fields:
                fields["tranId"] = f"{NUMBERS[type.name]}{self._next_number('number:' + type.name, 1001)}"
            record = self.books.add(type.name, fields, op=op, external_key=external_id, body=kept)
        else:
            if external_id is not None and external_id != record.external_key:
                self.books.rename(record, external_id)
            self.books.change(record, fields, op=op, body=kept)
        self.books.settle(record, before, op=op)
        return record

    def _checked(self, fields: Mapping[str, str], body: Fields, type: RecordType, strict: bool) -> Fields:
        """The known fields of ``body``, each in its form."""
        found: Fields = {}
        for name, value in body.items():
            if name == "line":
                found[name] = int(value)
                continue
            if name not in fields:
                if name in ("links", "id", "refName") or name in type.sublists:
                    continue
                if strict:
                    raise unknown_property(name, type.name)
                continue
            if value is not None:
                found[name] = self._value(name, fields[name], value)
        return found

    def _value(self, name: str, kind: str, value: Any) -> Any:
        match kind.partition(":"):
            case ("text", _, _):
                return value if isinstance(value, str) else str(value)
            case ("bool", _, _):
                if not isinstance(value, bool):
                    raise bad_value(name, value)
                return value
            case ("date", _, _):
                try:
                    return date.fromisoformat(str(value)).isoformat()
                except ValueError as error:
                    raise bad_value(name, value) from error
            case ("decimal", _, _):
                return str(_decimal(name, value))
            case ("duration", _, _):
                return _duration(name, value)
            case ("enum", _, _):
                id = _id_of(name, value)
                if name in ENUMS and id not in ENUMS[name]:
                    raise no_such_reference(name, id)
                return {"id": id}
            case (_, _, targets):
                return {"id": self._referred(name, targets.split("|"), value)}

    def _referred(self, name: str, targets: list[str], value: Any) -> str:
        """The id of a record that is referred to by id or by external id."""
        external_id = value.get("externalId") if isinstance(value, dict) else None
        for target in targets:
            record = self.books.find(target, f"eid:{external_id}" if external_id else _id_of(name, value))
            if record is not None:
                return record.id
        raise no_such_reference(name, external_id or _id_of(name, value))

    def _defaults(self, type: RecordType, fields: Fields) -> Fields:
        """What NetSuite fills in on a new record."""
        today = self.books.today().isoformat()
        if type.transaction is not None:
            found: Fields = {"tranDate": today, "currency": {"id": "1"}, "subsidiary": {"id": "1"}}
            if type.name == "invoice":
                on = date.fromisoformat(fields.get("tranDate", today))
                found.update(dueDate=(on + PAYMENT_TERMS).isoformat(), approvalStatus={"id": "1"})
            return found
        if type.name in ("customer", "job", "employee"):
            number = self._next_number(f"number:{type.name}", 1)
            return {"isInactive": False, "entityId": f"{type.name[0].upper()}{number:05d}"}
        if type.name == "timeBill":
            return {"isBillable": False}
        return {}

    def _require(self, type: RecordType, fields: Fields) -> None:
        missing = [name for name in type.required if fields.get(name) in (None, "")]
        if type.name in ("invoice", "creditMemo") and not _items(fields.get("item")):
            missing.append("item")
        if type.name == "timeBill" and "customer" in fields and "item" not in fields:
            missing.append("item")
        if missing:
            raise Problem(400, "USER_ERROR", f"Please enter value(s) for: {', '.join(missing)}")

    def _gate(self, type: RecordType, before: Fields, fields: Fields) -> None:
        """No record may enter, leave or change in a closed period."""
        if type.dated is None:
            return
        for state in (before, fields):
            if (day := state.get(type.dated)) is not None:
                period = self.books.require_open(date.fromisoformat(day))
                if type.transaction is not None:
                    fields["postingPeriod"] = {"id": period.id}

    def _delete(self, type: RecordType, record: Record) -> None:
        if not type.written:
            raise Problem(403, "INSUFFICIENT_PERMISSION", f"You may not delete {type.name} records.")
        self._gate(type, record.fields, {})
        if record.fields.get("invoice") or Decimal(record.fields.get("amountPaid", "0")) != 0:
            raise Problem(
                400, "USER_ERROR", "This record cannot be deleted because it has dependent records."
            )
        if "apply" in type.sublists:
            self.books.release(record)
        self.books.remove(record)

    # Reading

    def _list(self, type: RecordType, query: Mapping[str, str], root: str) -> Fields:
        limit, offset = paging(query)
        records = [record for record in self.books.of(type.name) if _fits(record, query.get("q", ""))]
        page = records[offset : offset + limit]
        return {
            "links": page_links(f"{root}/{type.name}", query, limit, offset, len(records)),
            "items": [{"links": [_self(root, type.name, record.id)], "id": record.id} for record in page],
            "count": len(page),
            "hasMore": offset + limit < len(records),
            "offset": offset,
            "totalResults": len(records),
        }

    def _shown(self, type: RecordType, record: Record, query: Mapping[str, str], root: str) -> Fields:
        """A record as GET tells it: numbers as numbers, references with names and links."""
        here = f"{root}/{type.name}/{record.id}"
        shown: Fields = {"links": [{"rel": "self", "href": here}], "id": record.id}
        if record.external_key is not None:
            shown["externalId"] = record.external_key
        kinds = {**type.fields, **type.read_only}
        wanted = {name for name in query.get("fields", "").split(",") if name}
        for name, value in record.fields.items():
            if wanted and name not in wanted:
                continue
            if name in type.sublists:
                shown[name] = self._sublist(type, name, value, query, here, root)
            else:
                shown[name] = self._told(name, kinds.get(name, "text"), value, root)
        return shown

    def _sublist(
        self, type: RecordType, name: str, value: Any, query: Mapping[str, str], here: str, root: str
    ) -> Fields:
        links = [{"rel": "self", "href": f"{here}/{name}"}]
        if query.get("expandSubResources", "").lower() != "true":
            return {"links": links}
        columns = type.sublists[name]
        items = []
        for line in _items(value):
            told = {
                column: self._told(column, columns.get(column, "text"), cell, root)
                for column, cell in line.items()
            }
            if name == "item":
                told["amount"] = line_amount(line)
            items.append(told)
        return {"links": links, "items": items, "totalResults": len(items)}

    def _told(self, name: str, kind: str, value: Any, root: str) -> Any:
        if kind == "decimal":
            return Decimal(value)
        if kind == "enum":
            return {"id": value["id"], "refName": ENUMS.get(name, {}).get(value["id"], value["id"])}
        if kind.startswith("ref:"):
            for target in kind[4:].split("|"):
                record = self.books.ledger.get(target, value["id"])
                if record is not None:
                    return {
                        "links": [_self(root, target, record.id)],
                        "id": record.id,
                        "refName": name_of(record),
                    }
        return value


def name_of(record: Record) -> str:
    """What a reference to a record reads."""
    fields = record.fields
    for name in ("companyName", "tranId", "name", "itemId", "periodName", "lastName"):
        if fields.get(name):
            return f"{fields['entityId']} {fields[name]}" if "entityId" in fields else str(fields[name])
    return record.id


def paging(query: Mapping[str, str]) -> tuple[int, int]:
    """Limit and offset of a request.

    Raises:
        Problem: out of bounds, or an offset that is no multiple of the limit.
    """
    numbers = {}
    for name, default in (("limit", PAGE_MAX), ("offset", 0)):
        text = query.get(name, str(default))
        if not text.isdecimal() or (name == "limit" and not 1 <= int(text) <= PAGE_MAX):
            raise Problem(400, "INVALID_PARAMETER", f"Invalid value for {name}.", errorQueryParam=name)
        numbers[name] = int(text)
    if numbers["offset"] % numbers["limit"]:
        raise Problem(
            400, "INVALID_PARAMETER", "The offset must be a multiple of the limit.", errorQueryParam="offset"
        )
    return numbers["limit"], numbers["offset"]


def page_links(
    url: str, query: Mapping[str, str], limit: int, offset: int, total: int
) -> list[dict[str, str]]:
    last = max(0, (total - 1) // limit * limit)
    places = {"self": offset, "first": 0, "last": last}
    if offset > 0:
        places["previous"] = max(0, offset - limit)
    if offset + limit < total:
        places["next"] = offset + limit
    return [{"rel": rel, "href": f"{url}?limit={limit}&offset={at}"} for rel, at in places.items()]


def _self(root: str, type: str, id: str) -> dict[str, str]:
    return {"rel": "self", "href": f"{root}/{type}/{id}"}


def _items(value: Any) -> list[Fields]:
    items = value.get("items", []) if isinstance(value, dict) else value
    return [item for item in items or [] if isinstance(item, dict)]


def _merged(before: Any, lines: list[Fields], replace: bool) -> list[Fields]:
    """Lines after an update: those with a known ``line`` change, the others are appended."""
    merged = [] if replace else [dict(line) for line in _items(before)]
    by_number = {line["line"]: line for line in merged}
    for line in lines:
        if line.get("line") in by_number:
            by_number[line["line"]].update(line)
        else:
            merged.append({**line, "line": len(merged) + 1})
    return merged


def _id_of(name: str, value: Any) -> str:
    id = value.get("id") if isinstance(value, dict) else value
    if isinstance(id, bool) or not isinstance(id, str | int) or id == "":
        raise bad_value(name, value)
    return str(id)


def _decimal(name: str, value: Any) -> Decimal:
    try:
        found = Decimal(str(value))
    except InvalidOperation as error:
        raise bad_value(name, value) from error
    if isinstance(value, bool) or not found.is_finite():
        raise bad_value(name, value)
    return found


def _duration(name: str, value: Any) -> str:
    """``4:00``, or hours as a number, to the minute."""
    text = str(value)
    if re.fullmatch(r"-?\d+:[0-5]\d", text):
        return text
    minutes = round(_decimal(name, value) * 60)
    return f"{'-' if minutes < 0 else ''}{abs(minutes) // 60}:{abs(minutes) % 60:02d}"


def _plain(value: Any) -> Any:
    """JSON values only: decimals as their digits."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


def _fits(record: Record, q: str) -> bool:
    """The ``q`` filter of a collection: conditions joined by AND."""
    if not q:
        return True
    conditions = [_FILTER.fullmatch(part.strip()) for part in re.split(r"\s+AND\s+", q, flags=re.IGNORECASE)]
    for condition in conditions:
        if condition is None:
            raise Problem(400, "INVALID_PARAMETER", f"Invalid filter: {q}", errorQueryParam="q")
        name, operator = condition[1], condition[2].upper()
        wanted = (condition[3] if condition[3] is not None else condition[4]).lower()
        field = record.external_key if name == "externalId" else record.fields.get(name)
        held = str(field.get("id") if isinstance(field, dict) else field if field is not None else "").lower()
        matches = {
            "IS": held == wanted,
            "EQUAL": held == wanted,
            "CONTAIN": wanted in held,
            "START_WITH": held.startswith(wanted),
            "AFTER": held > wanted,
            "BEFORE": bool(held) and held < wanted,
        }
        if not matches[operator]:
            return False
    return True


def catalog(name: str | None) -> Fields:
    """The metadata catalogue: all types, or one as JSON Schema."""
    if name is None:
        return {"items": [{"name": type} for type in TYPES]}
    type = BY_LOWER.get(name.lower())
    if type is None:
        raise Problem(404, "NOT_FOUND", f"Record type '{name}' does not exist.", errorUrlPath=name)
    forms = {"bool": "boolean", "decimal": "number", "enum": "object"}
    kinds = {**type.fields, **type.read_only}
    properties = {
        field: {"type": "object" if kind.startswith("ref:") else forms.get(kind, "string"), "title": field}
        for field, kind in kinds.items()
    }
    sublists = {name: {"type": "object"} for name in type.sublists}
    return {"type": "object", "properties": {"id": {"type": "string"}, **properties, **sublists}}


__all__ = ["MEDIA", "RecordService", "catalog", "json_answer", "name_of", "page_links", "paging", "sum_lines"]
