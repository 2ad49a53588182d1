"""Rows of a process as JSON, and the in-memory `States` that previews and tests use."""

from typing import TypeVar

import msgspec

from isthmus.events.values import decode_hook

T = TypeVar("T", bound=msgspec.Struct)

_encoder = msgspec.json.Encoder(decimal_format="string")
_decoders: dict[type[msgspec.Struct], msgspec.json.Decoder[msgspec.Struct]] = {}


def encode_state(struct: msgspec.Struct) -> bytes:
    """One JSON object; decimals are strings, as in events."""
    return _encoder.encode(struct)


def decode_state(payload: bytes | str, type: type[T]) -> T:
    """Read a row.

    Raises:
        msgspec.ValidationError: the row is not of that shape; a release changed it without a migration.
    """
    decoder = _decoders.get(type)
    if decoder is None:
        decoder = _decoders[type] = msgspec.json.Decoder(type, dec_hook=decode_hook)
    found = decoder.decode(payload)
    assert isinstance(found, type)
    return found


class MemoryStates:
    """`States` in a dict of JSON rows: what is read back is what the store would give back."""

    def __init__(self) -> None:
        self.rows: dict[str, bytes] = {}

    def get(self, key: str, type: type[T]) -> T | None:
        payload = self.rows.get(key)
        return None if payload is None else decode_state(payload, type)

    def put(self, key: str, struct: msgspec.Struct) -> None:
        self.rows[key] = encode_state(struct)
