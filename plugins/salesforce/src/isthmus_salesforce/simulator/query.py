"""Queries against the fake org: choosing rows, showing them, and locators for the next batch."""

from datetime import date
from typing import Any

import msgspec

from isthmus.sdk.simulator import Record
from isthmus_salesforce.simulator.conditions import Getter, Lookup, Row, compile_where, sort_rows
from isthmus_salesforce.simulator.org import Org
from isthmus_salesforce.simulator.schema import OBJECTS, Object
from isthmus_salesforce.simulator.soql import Query, SoqlRefused


def chosen_rows(org: Org, query: Query, *, deleted: bool, today: date) -> list[Row]:
    """The rows a query is about, in order, after offset and limit.

    Raises:
        SoqlRefused: an unknown object or field, or a literal of a wrong type.
    """
    item = _object(query)
    look_up = lookup(org, item, query.alias)

    def chosen(inner: Query) -> set[Any]:
        get = lookup(org, _object(inner), inner.alias)(inner.fields[0])[1]
        return {get(row) for row in chosen_rows(org, inner, deleted=deleted, today=today)}

    fits = compile_where(query.where, look_up, chosen, today)
    rows = [record.fields for record in org.rows(item, deleted=deleted) if fits(record.fields)]
    rows = sort_rows(rows, query.order, look_up)
    end = None if query.limit is None else query.offset + query.limit
    return rows[query.offset : end]


def lookup(org: Org, item: Object, alias: str | None) -> Lookup:
    """How the fields of an object are read, its parents' fields included."""

    def look_up(path: str) -> tuple[str, Getter]:
        parts = path.split(".")
        if len(parts) > 1 and parts[0].lower() in (item.name.lower(), (alias or item.name).lower()):
            parts = parts[1:]
        *relations, last = parts
        here, chain = item, []
        for relation in relations:
            field = here.by_relationship.get(relation.lower())
            if field is None:
                text = f"Didn't understand relationship '{relation}' in field path"
                raise SoqlRefused("INVALID_FIELD", text)
            here = OBJECTS[str(field.refers_to).lower()]
            chain.append((field.name, here))
        found = here.by_name.get(last.lower())
        if found is None:
            text = f"No such column '{last}' on entity '{here.name}'. If you are attempting to use a custom "
            raise SoqlRefused("INVALID_FIELD", text + "field, be sure to append the '__c' after the name.")

        def get(row: Row) -> Any:
            for name, parent in chain:
                record = org.get(parent, row[name], deleted=True) if row[name] else None
                if record is None:
                    return None
                row = record.fields
            return row[found.name]

        return found.type, get

    return look_up


def field_names(query: Query) -> tuple[str, ...]:
    """The fields to show, with ``FIELDS(ALL)`` and its like spelled out.

    Raises:
        SoqlRefused: ``FIELDS()`` without a limit of at most 200.
    """
    names: list[str] = []
    for name in query.fields:
        if not name.startswith("FIELDS("):
            names.append(name)
            continue
        if name != "FIELDS(STANDARD)" and (query.limit is None or query.limit > 200):
            text = "The SOQL FIELDS function must have a LIMIT of at most 200"
            raise SoqlRefused("MALFORMED_QUERY", text)
        for field in _object(query).fields:
            custom = field.name.endswith("__c")
            if name == "FIELDS(ALL)" or custom == (name == "FIELDS(CUSTOM)"):
                names.append(field.name)
    return tuple(names)


def check_fields(org: Org, query: Query) -> None:
    """
    Raises:
        SoqlRefused: a field to show does not exist.
    """
    look_up = lookup(org, _object(query), query.alias)
    for path in field_names(query):
        look_up(path)


def shown(org: Org, query: Query, row: Row, version: str) -> dict[str, Any]:
    """A row as the answer shows it: asked fields only, parents nested."""
    item = _object(query)
    answer: dict[str, Any] = attributes(item, row["Id"], version)
    for path in field_names(query):
        parts = path.split(".")
        if len(parts) > 1 and parts[0].lower() in (item.name.lower(), (query.alias or item.name).lower()):
            parts = parts[1:]
        _put(org, answer, item, row, parts, version)
    return answer


def _put(org: Org, answer: dict[str, Any], item: Object, row: Row, parts: list[str], version: str) -> None:
    if len(parts) == 1:
        field = item.by_name[parts[0].lower()]
        answer[field.name] = presented(field.type, row[field.name])
        return
    relation = item.by_relationship[parts[0].lower()]
    assert relation.relationship is not None, "a field found by its relationship has one"
    parent = OBJECTS[str(relation.refers_to).lower()]
    record = org.get(parent, row[relation.name], deleted=True) if row[relation.name] else None
    if record is None:
        answer[relation.relationship] = None
        return
    inner = answer.setdefault(relation.relationship, attributes(parent, record.id, version))
    _put(org, inner, parent, record.fields, parts[1:], version)


def attributes(item: Object, id: str, version: str) -> dict[str, Any]:
    url = f"/services/data/{version}/sobjects/{item.name}/{id}"
    return {"attributes": {"type": item.name, "url": url}}


def whole(item: Object, record: Record, version: str, names: list[str] | None = None) -> dict[str, Any]:
    """A record as a GET shows it; ``names`` in lower case, None for all fields."""
    answer = attributes(item, record.id, version)
    for field in item.fields:
        if names is None or field.name.lower() in names or field.name == "Id":
            answer[field.name] = presented(field.type, record.fields[field.name])
    return answer


def presented(kind: str, value: Any) -> Any:
    """A value as the API writes it: doubles in Java's form, so 10 million is ``1.0E7``."""
    if kind not in ("double", "currency") or value is None:
        return value
    return msgspec.Raw(java_double(value).encode())


def java_double(value: float) -> str:
    """A double as Java prints it."""
    if value == 0 or 1e-3 <= abs(value) < 1e7:
        return repr(value)
    mantissa, exponent = "0.0", "0"
    for digits in range(1, 18):
        mantissa, _, exponent = f"{value:.{digits}e}".partition("e")
        if float(f"{mantissa}e{exponent}") == value:
            break
    return f"{mantissa}E{int(exponent)}"


def _object(query: Query) -> Object:
    item = OBJECTS.get(query.object.lower())
    if item is None:
        text = (
            f"sObject type '{query.object}' is not supported. If you are attempting to use a custom object, "
        )
        raise SoqlRefused("INVALID_TYPE", text + "be sure to append the '__c' after the entity name.")
    return item


def columns(org: Org, query: Query) -> dict[str, Any]:
    """What ``columns=true`` answers: the columns of a query instead of its rows."""
    item = _object(query)
    look_up = lookup(org, item, query.alias)
    described = []
    for name in field_names(query):
        kind = look_up(name)[0]
        described.append(
            {
                "aggregate": False,
                "apexType": {"double": "Double", "currency": "Double", "datetime": "Datetime"}.get(
                    kind, "String"
                ),
                "booleanType": kind == "boolean",
                "columnName": name,
                "custom": name.endswith("__c"),
                "displayName": name,
                "foreignKeyName": None,
                "insertable": name != "Id",
                "joinColumns": [],
                "numberType": kind in ("double", "currency", "int"),
                "textType": kind in ("string", "textarea", "picklist"),
                "updatable": name != "Id",
            }
        )
    return {
        "columnMetadata": described,
        "entityName": item.name,
        "groupBy": False,
        "idSelected": "Id" in query.fields,
        "keyPrefix": item.prefix,
    }
