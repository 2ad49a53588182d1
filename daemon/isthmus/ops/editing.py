"""What of a fact may be edited before it is sent again. Pure.

Whatever names the fact stays, and so does money: it is corrected at its source, else our books and the other
system's would not agree.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from isthmus.events.codec import EventRefused, decode, encode
from isthmus.ops.errors import Refused

__all__ = ["Change", "edited"]

Change = tuple[Any, Any]
"""A field before and after."""

_IDENTITY = frozenset(
    {"type", "id", "source", "occurred_at", "entity", "correlation", "causation", "revision", "reverses"}
)
_MONEY = frozenset(
    {
        "amount",
        "balance",
        "backlog",
        "currency",
        "hours",
        "months",
        "open_amount",
        "quantity",
        "total",
        "unit_price",
    }
)


def edited(payload: bytes, changes: Mapping[str, Any]) -> tuple[bytes, dict[str, Change]]:
    """The fact with some fields changed, and what that changes.

    Raises:
        Refused: a field does not exist or may not be edited, or its value is wrong; the message names it.
    """
    fields: dict[str, Any] = msgspec.json.decode(payload)
    event = decode(payload)
    keys = {type(event).KEY, type(event).SUBJECT, "project", "contract", "charge", "origin_key"}
    for name in changes:
        if name not in fields:
            raise Refused(
                f"{event.kind} has no field {name!r}; it has {', '.join(sorted(set(fields) - _IDENTITY))}"
            )
        if name in _IDENTITY or name in keys:
            raise Refused(f"{name} says which fact it is and cannot be edited")
        if name in _MONEY:
            raise Refused(f"{name} is corrected where it comes from; else the books would not agree")
    try:
        made = encode(decode(msgspec.json.encode({**fields, **changes})))
    except EventRefused as refused:
        raise Refused(str(refused)) from refused
    after = msgspec.json.decode(made)
    return made, {
        name: (fields.get(name), after.get(name)) for name in changes if fields.get(name) != after.get(name)
    }
