"""The record service: ``/services/rest/record/v1``."""

from collections.abc import Callable, Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from starlette.responses import Response

from isthmus.sdk.simulator import Record
from isthmus_netsuite.simulator.books import Books, Fields, line_amount
from isthmus_netsuite.simulator.forms import (
    decimal_of,
    duration_of,
    fits,
    id_of,
    items_of,
    json_answer,
    merged,
    name_of,
    page_links,
    paging,
    plain,
    self_link,
)
from isthmus_netsuite.simulator.problems import (
    Problem,
    bad_value,
    no_such_record,
    no_such_reference,
    unknown_property,
)
from isthmus_netsuite.simulator.schema import BY_LOWER, RecordType

PAYMENT_TERMS = timedelta(days=30)
NUMBERS = {"invoice": "INV", "creditMemo": "CM", "customerPayment": "PYMT"}
ENUMS = {
    "approvalStatus": {"1": "Pending Approval", "2": "Approved", "3": "Rejected"},
    "price": {"-1": "Custom"},
    "stage": {"HOLD": "Hold", "READY": "Ready for Billing", "PROCESSED": "Processed"},
    "use": {"ACTUAL": "Actual", "FORECAST": "Forecast"},
}


class RecordService:
    """Reads and writes records as the REST services do."""

    def __init__(self, books: Books, next_number: Callable[[str, int], int]) -> None:
        self.books = books
        self._next_number = next_number
        self.closing: Record | None = None
        """The period that finance closes just before the next posting arrives."""

    def handle(
        self,
        method: str,
        parts: list[str],
        query: Mapping[str, str],
        headers: Mapping[str, str],
        body: Callable[[], Fields],
        base: str,
    ) -> Response:
        """Answer one request; ``parts`` is the path after ``v1``, decoded."""
        type = BY_LOWER.get(parts[0].lower())
        if type is None:
            raise Problem(
                404, "NOT_FOUND", f"Record type '{parts[0]}' does not exist.", errorUrlPath=parts[0]
            )
        if type.dated is not None and method in ("POST", "PUT", "PATCH") and self.closing is not None:
            period, self.closing = self.closing, None
            self.books.close(period)
        root = f"{base}/services/rest/record/v1"
        if len(parts) == 1:
            if method == "GET":
                return json_answer(self._list(type, query, root))
            if method == "POST":
                return self._created(self._post(type, body(), headers), root)
        elif len(parts) == 2:
            if method == "PUT":
                return self._created(self._put(type, parts[1], body(), query, headers), root)
            record = self._existing(type, parts[1])
            if method == "GET":
                return json_answer(self._shown(type, record, query, root))
            if method == "PATCH":
                self.write(type, record, body(), op="update", query=query, headers=headers)
                return self._created(record, root)
            if method == "DELETE":
                self.delete(type, record)
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
                lines = [self._checked(columns, line, type, strict) for line in items_of(body[name])]
                replaced = name in (query or {}).get("replace", "").split(",")
                sent[name] = {"items": merged(before.get(name), lines, replaced)}
        fields = {**before, **sent}
        if record is None:
            fields = {**self._defaults(type, fields), **fields}
        self._require(type, fields)
        self._gate(type, before, fields)
        if "apply" in type.sublists:
            self.books.check_applications(type.name, fields, before)
        kept = plain(body)
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
                return str(decimal_of(name, value))
            case ("duration", _, _):
                return duration_of(name, value)
            case ("enum", _, _):
                id = id_of(name, value)
                if name in ENUMS and id not in ENUMS[name]:
                    raise no_such_reference(name, id)
                return {"id": id}
            case (_, _, targets):
                return {"id": self._referred(name, targets.split("|"), value)}

    def _referred(self, name: str, targets: list[str], value: Any) -> str:
        """The id of a record that is referred to by id or by external id."""
        external_id = value.get("externalId") if isinstance(value, dict) else None
        for target in targets:
            record = self.books.find(target, f"eid:{external_id}" if external_id else id_of(name, value))
            if record is not None:
                return record.id
        raise no_such_reference(name, external_id or id_of(name, value))

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
        if type.name in ("invoice", "creditMemo") and not items_of(fields.get("item")):
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

    def delete(self, type: RecordType, record: Record) -> None:
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
        records = [record for record in self.books.of(type.name) if fits(record, query.get("q", ""))]
        page = records[offset : offset + limit]
        return {
            "links": page_links(f"{root}/{type.name}", query, limit, offset, len(records)),
            "items": [{"links": [self_link(root, type.name, record.id)], "id": record.id} for record in page],
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
        for line in items_of(value):
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
                        "links": [self_link(root, target, record.id)],
                        "id": record.id,
                        "refName": name_of(record),
                    }
        return value
