"""The forms of the record service: bodies, pages, values, filters, the catalogue."""

import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec
from starlette.responses import Response

from isthmus.sdk.simulator import Record
from isthmus_netsuite.simulator.books import Fields
from isthmus_netsuite.simulator.problems import Problem, bad_value
from isthmus_netsuite.simulator.schema import BY_LOWER, TYPES

MEDIA = "application/vnd.oracle.resource+json"
PAGE_MAX = 1000
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


def self_link(root: str, type: str, id: str) -> dict[str, str]:
    return {"rel": "self", "href": f"{root}/{type}/{id}"}


def items_of(value: Any) -> list[Fields]:
    items = value.get("items", []) if isinstance(value, dict) else value
    return [item for item in items or [] if isinstance(item, dict)]


def merged(before: Any, lines: list[Fields], replace: bool) -> list[Fields]:
    """Lines after an update: those with a known ``line`` change, the others are appended."""
    merged = [] if replace else [dict(line) for line in items_of(before)]
    by_number = {line["line"]: line for line in merged}
    for line in lines:
        if line.get("line") in by_number:
            by_number[line["line"]].update(line)
        else:
            merged.append({**line, "line": len(merged) + 1})
    return merged


def id_of(name: str, value: Any) -> str:
    id = value.get("id") if isinstance(value, dict) else value
    if isinstance(id, bool) or not isinstance(id, str | int) or id == "":
        raise bad_value(name, value)
    return str(id)


def decimal_of(name: str, value: Any) -> Decimal:
    try:
        found = Decimal(str(value))
    except InvalidOperation as error:
        raise bad_value(name, value) from error
    if isinstance(value, bool) or not found.is_finite():
        raise bad_value(name, value)
    return found


def duration_of(name: str, value: Any) -> str:
    """``4:00``, or hours as a number, to the minute."""
    text = str(value)
    if re.fullmatch(r"-?\d+:[0-5]\d", text):
        return text
    minutes = round(decimal_of(name, value) * 60)
    return f"{'-' if minutes < 0 else ''}{abs(minutes) // 60}:{abs(minutes) % 60:02d}"


def plain(value: Any) -> Any:
    """JSON values only: decimals as their digits."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def fits(record: Record, q: str) -> bool:
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


def openapi(select: str) -> Fields:
    """The catalogue as OpenAPI, of the types in ``select`` (names with commas; empty: all)."""
    names = [name for name in select.split(",") if name] or list(TYPES)
    return {
        "openapi": "3.0.1",
        "info": {"title": "NetSuite REST Record Service", "version": "v1"},
        "paths": {f"/{name}": {} for name in names},
        "components": {"schemas": {name: catalog(name) for name in names}},
    }


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
