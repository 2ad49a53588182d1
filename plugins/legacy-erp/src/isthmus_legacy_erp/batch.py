"""A batch is a header, details and a trailer with control totals: built whole, or refused whole.

The hash total is the sum, over all references, of each byte times its place counted from 1, modulo 10^15.
It has no meaning of its own; it changes when a reference does.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import cast

import msgspec

from isthmus_legacy_erp.codec import BytesRefused, Codec, Row, Value, Values
from isthmus_legacy_erp.names import FileName

HASH_MODULUS = 10**15


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """The control totals of the details. ``quantity`` and ``amount`` sum the columns of that name."""

    count: int
    quantity: Decimal
    amount: Decimal
    hash_total: int


class Batch(msgspec.Struct, frozen=True, kw_only=True):
    """A batch that was read and whose totals agree."""

    header: dict[str, Value]
    rows: list[Row]
    totals: Totals

    @property
    def created(self) -> datetime:
        return cast(datetime, self.header["created"])


def totals(details: Iterable[Values], encoding: str) -> Totals:
    """The control totals of some details."""
    count, quantity, amount, hash_total = 0, Decimal(0), Decimal(0), 0
    for values in details:
        count += 1
        quantity += cast(Decimal, values.get("quantity") or Decimal(0))
        amount += cast(Decimal, values.get("amount") or Decimal(0))
        reference = str(values["ref"]).encode(encoding)
        hash_total += sum(place * byte for place, byte in enumerate(reference, start=1))
    return Totals(count=count, quantity=quantity, amount=amount, hash_total=hash_total % HASH_MODULUS)


def build(codec: Codec, header: Values, details: Sequence[tuple[str, Values]]) -> tuple[bytes, Totals]:
    """The bytes of a batch. ``details`` are kinds and values, without ``line``, which counts from 1.

    Raises:
        ValueRefused: a value does not fit.
    """
    layout = codec.layout
    numbered = [(name, {**values, "line": line}) for line, (name, values) in enumerate(details, start=1)]
    sums = totals((values for _, values in numbered), codec.encoding)
    head = {**header, "version": layout.version}
    records = [
        codec.encode(layout.header, head),
        *(codec.encode(codec.detail(name), values) for name, values in numbered),
        codec.encode(layout.trailer, msgspec.structs.asdict(sums)),
    ]
    return codec.start + b"".join(records), sums


def read(codec: Codec, data: bytes, name: FileName) -> Batch:
    """A batch whose header is that of the file ``name`` and whose totals agree with its details.

    Raises:
        BytesRefused: anything disagrees; nothing of the batch may be used then.
    """
    layout = codec.layout
    rows = codec.decode(data)
    tags = [row.tag for row in rows]
    if len(rows) < 2 or tags[0] != layout.header.tag or tags[-1] != layout.trailer.tag:
        raise BytesRefused("a batch starts with a header and ends with a trailer: cut off?")
    header, details, trailer = rows[0].values, rows[1:-1], rows[-1].values
    if layout.header.tag in tags[1:] or layout.trailer.tag in tags[:-1]:
        raise BytesRefused("there is a second header or trailer")
    said = {"interface": name.interface, "company": name.company, "seq": name.seq, "version": layout.version}
    for field, wanted in said.items():
        if field in header and header[field] != wanted:
            raise BytesRefused(f"the header says {field} {header[field]!r}, expected {wanted!r}")
    for line, row in enumerate(details, start=1):
        if row.values["line"] != line:
            raise BytesRefused(f"record {row.number} has line {row.values['line']}, expected {line}")
    sums = totals((row.values for row in details), codec.encoding)
    for field, found in msgspec.structs.asdict(sums).items():
        if field in trailer and trailer[field] != found:
            raise BytesRefused(f"the trailer says {field} {trailer[field]}, the details make {found}")
    return Batch(header=header, rows=details, totals=sums)
