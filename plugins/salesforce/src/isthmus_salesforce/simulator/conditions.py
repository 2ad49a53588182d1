"""What a parsed query asks of rows: conditions as tests, and the order."""

import re
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from isthmus_salesforce.simulator.soql import (
    Among,
    Compare,
    Condition,
    Junction,
    Negation,
    Order,
    Query,
    SoqlRefused,
    Value,
)

Row = dict[str, Any]
"""The fields of a record: instants as ``2026-11-01T10:00:00.000+0000``, dates as ``2026-11-01``."""

Getter = Callable[[Row], Any]
Lookup = Callable[[str], tuple[str, Getter]]
"""The type of a field path, and how to read it from a row."""
Chosen = Callable[[Query], set[Any]]
"""The values of the only field of a query inside IN."""

_TYPE_KINDS = {
    "boolean": {"boolean"},
    "date": {"date", "word"},
    "datetime": {"datetime", "word"},
    "double": {"number"},
    "currency": {"number"},
    "int": {"number"},
}
_TYPE_NAMES = {"datetime": "dateTime", "id": "string", "reference": "string", "picklist": "string"}


def compile_where(
    condition: Condition | None, lookup: Lookup, chosen: Chosen, today: date
) -> Callable[[Row], bool]:
    """A test for rows.

    Raises:
        SoqlRefused: an unknown field, or a literal of another type than its field.
    """
    match condition:
        case None:
            return lambda row: True
        case Negation(part):
            inner = compile_where(part, lookup, chosen, today)
            return lambda row: not inner(row)
        case Junction(word, parts):
            tests = [compile_where(part, lookup, chosen, today) for part in parts]
            if word == "AND":
                return lambda row: all(test(row) for test in tests)
            return lambda row: any(test(row) for test in tests)
        case Among(path, choice, negated):
            kind, get = lookup(path)
            if isinstance(choice, Query):
                wanted = chosen(choice)
            else:
                wanted = {_comparable(kind, _checked(path, kind, value, today)) for value in choice}
            return lambda row: (_comparable(kind, get(row)) in wanted) is not negated
        case Compare(path, op, value):
            kind, get = lookup(path)
            return _comparison(op, kind, get, _checked(path, kind, value, today))


def _comparison(op: str, kind: str, get: Getter, wanted: Any) -> Callable[[Row], bool]:
    target = _comparable(kind, wanted)
    if op == "=":
        return lambda row: bool(_comparable(kind, get(row)) == target)
    if op == "!=":
        return lambda row: bool(_comparable(kind, get(row)) != target)
    if op == "LIKE":
        pattern = re.escape(str(wanted)).replace("%", ".*").replace("_", ".")
        like = re.compile(pattern, re.IGNORECASE | re.DOTALL)
        return lambda row: get(row) is not None and like.fullmatch(str(get(row))) is not None

    def test(row: Row) -> bool:
        held = _comparable(kind, get(row))
        if held is None or target is None:
            return False
        return bool(
            held < target
            if op == "<"
            else held > target
            if op == ">"
            else held <= target
            if op == "<="
            else held >= target
        )

    return test


def _checked(path: str, kind: str, value: Value, today: date) -> Any:
    """The value of a literal whose type fits the field."""
    if value.kind == "null":
        return None
    if value.kind not in _TYPE_KINDS.get(kind, {"string"}):
        quotes = "not be" if kind in _TYPE_KINDS else "be"
        raise SoqlRefused(
            "INVALID_FIELD",
            f"value of filter criterion for field '{path}' must be of type "
            f"{_TYPE_NAMES.get(kind, kind)} and should {quotes} enclosed in quotes",
        )
    if value.kind == "word":
        word, days = value.value
        if word not in _DAYS:
            raise SoqlRefused("MALFORMED_QUERY", f"unexpected token: '{word}'")
        day = today + timedelta(days=_DAYS[word](days))
        return day.isoformat() if kind == "date" else f"{day.isoformat()}T00:00:00.000+0000"
    return value.value


_DAYS: dict[str, Callable[[int], int]] = {
    "TODAY": lambda n: 0,
    "YESTERDAY": lambda n: -1,
    "TOMORROW": lambda n: 1,
    "LAST_N_DAYS": lambda n: -n,
    "N_DAYS_AGO": lambda n: -n,
    "NEXT_N_DAYS": lambda n: n,
}


def _comparable(kind: str, value: Any) -> Any:
    """Text is compared without case, ids with; a boolean that was never set is false."""
    if kind == "boolean":
        return bool(value)
    if isinstance(value, str) and kind not in ("id", "reference", "date", "datetime"):
        return value.casefold() or None
    return value


def sort_rows(rows: list[Row], order: tuple[Order, ...], lookup: Lookup) -> list[Row]:
    """``rows`` in the order asked for; nulls first unless said otherwise."""
    for part in reversed(order):
        kind, get = lookup(part.path)

        def key(row: Row, kind: str = kind, get: Getter = get, part: Order = part) -> Any:
            value = _comparable(kind, get(row))
            return (value is not None, value) if value is not None else (False,)

        rows = sorted(rows, key=key, reverse=part.descending)
        nulls = [row for row in rows if get(row) is None]
        if nulls:
            valued = [row for row in rows if get(row) is not None]
            rows = valued + nulls if part.nulls_last else nulls + valued
    return rows
