"""Upsert by external id, one record or a collection; a collection answers 200 with an outcome per row."""

from collections.abc import Mapping
from typing import Any

from isthmus_salesforce.simulator import query
from isthmus_salesforce.simulator.org import Org, OrgRefused, Problem, SeveralMatch, not_found, refused
from isthmus_salesforce.simulator.schema import OBJECTS, Object

COLLECTION_MAX = 200


def upsert(org: Org, item: Object, field: str, value: str, body: dict[str, Any]) -> tuple[str, bool]:
    """Create or update the record whose external id is ``value``; returns its id and whether it is new.

    Raises:
        OrgRefused: the field is no external id, or the body is wrong.
        SeveralMatch: several records have that value.
    """
    found = org.by_external_id(item, field, value)
    if any(name.lower() == field.lower() for name in body):
        text = f"The {field} field should not be specified in the sobject data."
        raise refused("INVALID_FIELD", text, field)
    if found is not None:
        org.update(item, found, body, op="upsert")
        return found.id, False
    if field.lower() == "id":
        raise not_found()
    key = item.by_name[field.lower()].name
    return org.create(item, {**body, key: value}, op="upsert").id, True


def answer(
    org: Org, method: str, rest: list[str], params: Mapping[str, str], body: Any, version: str
) -> tuple[int, Any]:
    """Answer ``/composite/sobjects[/Object[/Field]]``.

    Raises:
        OrgRefused: the call as a whole is wrong; what is wrong with one row stands in its outcome.
    """
    match [method, *rest]:
        case ["GET", name]:
            item, ids = org.object(name), params.get("ids", "").split(",")
            wanted = params.get("fields", "Id").lower().split(",")
            found = [org.get(item, id) for id in ids]
            return 200, [query.whole(item, one, version, wanted) if one else None for one in found]
        case ["DELETE"]:
            ids = params.get("ids", "").split(",")
            return 200, _run(org, [{"id": id} for id in ids], _delete, params.get("allOrNone") == "true")
        case ["POST" | "PATCH"]:
            work = _create if method == "POST" else _update
            return 200, _run(org, _records(body), work, bool(body.get("allOrNone")))
        case ["PATCH", name, field]:
            item = org.object(name)

            def one(org: Org, row: dict[str, Any]) -> dict[str, Any]:
                named = {key.lower(): key for key in row}
                value = row.get(named.get(field.lower(), ""))
                if not value:
                    raise refused("MISSING_ARGUMENT", f"{field} not specified", field)
                rest = {key: kept for key, kept in row.items() if key.lower() != field.lower()}
                id, created = upsert(org, item, field, str(value), rest)
                return {"id": id, "success": True, "errors": [], "created": created}

            return 200, _run(org, _records(body), one, bool(body.get("allOrNone")))
    raise not_found()


def _records(body: Any) -> list[dict[str, Any]]:
    rows = body.get("records")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise refused("JSON_PARSER_ERROR", "records must be a list of objects")
    if len(rows) > COLLECTION_MAX:
        text = f"record limit reached. cannot submit more than {COLLECTION_MAX} records into this call"
        raise refused("EXCEEDED_ID_LIMIT", text)
    return rows


def _run(org: Org, rows: list[dict[str, Any]], work: Any, all_or_none: bool) -> list[dict[str, Any]]:
    """The outcome of each row; with ``allOrNone`` one bad row takes the others with it."""
    mark = org.mark() if all_or_none else None
    outcomes: list[dict[str, Any]] = []
    for row in rows:
        try:
            outcomes.append(work(org, row))
        except OrgRefused as error:
            outcomes.append(_failed(*error.problems))
        except SeveralMatch as error:
            outcomes.append(_failed(Problem("DUPLICATE_EXTERNAL_ID", f"{len(error.ids)} records match")))
    if mark is not None and not all(outcome["success"] for outcome in outcomes):
        org.back_to(mark)
        text = (
            "Record rolled back because not all records were valid and the request was using AllOrNone header"
        )
        for n, outcome in enumerate(outcomes):
            if outcome["success"]:
                outcomes[n] = _failed(Problem("ALL_OR_NONE_OPERATION_ROLLED_BACK", text))
    return outcomes


def _failed(*problems: Problem) -> dict[str, Any]:
    errors = [
        {"statusCode": problem.code, "message": problem.message, "fields": list(problem.fields)}
        for problem in problems
    ]
    return {"success": False, "errors": errors}


def _item(org: Org, row: dict[str, Any]) -> Object:
    kind = row.get("attributes", {}).get("type")
    if not kind:
        raise refused("INVALID_TYPE", "attributes.type must be specified")
    return org.object(kind)


def _create(org: Org, row: dict[str, Any]) -> dict[str, Any]:
    record = org.create(_item(org, row), row)
    return {"id": record.id, "success": True, "errors": []}


def _update(org: Org, row: dict[str, Any]) -> dict[str, Any]:
    item = _item(org, row)
    id = row.get("id") or row.get("Id") or ""
    record = org.require(item, id)
    org.update(item, record, {key: value for key, value in row.items() if key.lower() != "id"})
    return {"id": record.id, "success": True, "errors": []}


def _delete(org: Org, row: dict[str, Any]) -> dict[str, Any]:
    item = next((item for item in OBJECTS.values() if row["id"].startswith(item.prefix)), None)
    if item is None:
        raise refused("MALFORMED_ID", f"malformed id {row['id']}")
    record = org.require(item, row["id"])
    org.delete(record)
    return {"id": record.id, "success": True, "errors": []}
