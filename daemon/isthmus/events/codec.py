"""Events to JSON and back. JSON, because at night an admin has only the ``sqlite3`` shell."""

from collections.abc import Iterable
from typing import Any

import msgspec

from isthmus.events import contract, control, finance, master, planning, retired, upcast, work
from isthmus.events.base import BusinessEvent
from isthmus.events.values import decode_hook


class EventRefused(ValueError):
    """The bytes are no event we know: the message names the field and what would be right."""


def _types(modules: Iterable[Any]) -> list[type[BusinessEvent]]:
    found = {
        item
        for module in modules
        for item in vars(module).values()
        if isinstance(item, type) and issubclass(item, BusinessEvent)
        if item.__struct_config__.tag is not None and item.KEY
        if not item.__name__.startswith("_")
    }
    found.discard(BusinessEvent)
    return sorted(found, key=lambda item: str(item.__struct_config__.tag))


ALL_TYPES: list[type[BusinessEvent]] = _types([contract, control, finance, master, planning, retired, work])
"""Every shape that can be read, retired ones included, by tag."""

CURRENT_TYPES: dict[str, type[BusinessEvent]] = {
    str(item.__struct_config__.tag): item for item in ALL_TYPES if item not in upcast.retired()
}
"""The shapes that are written today, by tag."""

KINDS: frozenset[str] = frozenset(tag.partition("/")[0] for tag in CURRENT_TYPES)

_any_event: Any = ALL_TYPES[0]
for _item in ALL_TYPES[1:]:
    _any_event = _any_event | _item

_decoder: msgspec.json.Decoder[BusinessEvent] = msgspec.json.Decoder(_any_event, dec_hook=decode_hook)
_encoder = msgspec.json.Encoder(decimal_format="string")


def encode(event: BusinessEvent) -> bytes:
    """One flat JSON object, ``type`` first."""
    return _encoder.encode(event)


def decode(payload: bytes | str) -> BusinessEvent:
    """Read an event in its newest shape.

    Raises:
        EventRefused: the payload is no JSON, of an unknown type, or a field is wrong; the message says
            which one and why.
    """
    try:
        return upcast.current(_decoder.decode(payload))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise EventRefused(str(error) or "nested too deep") from error
