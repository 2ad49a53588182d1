"""A small valid fact of each kind, made from its type: to ask a connector about a kind, and for trials."""

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from msgspec import inspect

from isthmus.events.base import BusinessEvent
from isthmus.events.codec import CURRENT_TYPES
from isthmus.events.values import decode_hook

__all__ = ["sample"]

_TEXTS = {"currency": "EUR", "time_zone": "UTC"}


def sample(kind: str) -> BusinessEvent:
    """A fact of ``kind`` with nothing but its required fields.

    Raises:
        KeyError: no such kind is written today.
    """
    newest = {tag.partition("/")[0]: shape for tag, shape in CURRENT_TYPES.items()}
    made: BusinessEvent = _value(inspect.type_info(newest[kind]), "")
    return made


def _value(wanted: inspect.Type, name: str) -> Any:
    match wanted:
        case inspect.Metadata():
            return _value(wanted.type, name)
        case inspect.UnionType():
            return _value(wanted.types[0], name)
        case inspect.StrType():
            return _TEXTS.get(name, "sample:1")
        case inspect.IntType():
            return 1
        case inspect.BoolType():
            return False
        case inspect.DecimalType():
            return Decimal(1)
        case inspect.DateType():
            return date(2026, 1, 5)
        case inspect.DateTimeType():
            return datetime(2026, 1, 5, tzinfo=UTC)
        case inspect.LiteralType():
            return wanted.values[0]
        case inspect.ListType():
            return [_value(wanted.item_type, name)]
        case inspect.DictType():
            return {}
        case inspect.StructType():
            fields = {field.name: _value(field.type, field.name) for field in wanted.fields if field.required}
            return wanted.cls(**fields)
        case inspect.CustomType():
            return decode_hook(wanted.cls, "1")
    raise NotImplementedError(f"{name}: no sample of {wanted}")
