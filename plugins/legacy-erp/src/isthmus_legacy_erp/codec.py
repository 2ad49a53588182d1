"""Values to the bytes of a record and back, by a layout: fixed-width or delimited."""

from codecs import BOM_UTF8
from collections.abc import Callable
from typing import TypeVar

import msgspec

from isthmus_legacy_erp import delimited
from isthmus_legacy_erp.fields import Fields, Value, Values
from isthmus_legacy_erp.layout import Delimited, Field, Layout, Record
from isthmus_legacy_erp.refusals import BytesRefused, ValueRefused
from isthmus_legacy_erp.settings import TextRules

__all__ = ["BytesRefused", "Codec", "Row", "Value", "ValueRefused", "Values"]

T = TypeVar("T")

LINE_ENDS = {"lf": "\n", "crlf": "\r\n", "none": ""}


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One record that was read: its number in the file from 1, its kind's name, its values, its bytes."""

    number: int
    tag: str
    name: str
    values: dict[str, Value]
    raw: bytes


class Codec:
    """Writes and reads the records of one interface of one company.

    Raises:
        ValueRefused: layout and text rules do not go together.
    """

    def __init__(self, layout: Layout, text: TextRules, currency: str) -> None:
        self.layout = layout
        self.text = layout.rules(text)
        self._fields = Fields(self.text, currency, layout.delimited)
        self.encoding = self._fields.encoding
        self.start = BOM_UTF8 if self.text.encoding == "utf-8-sig" else b""
        """What stands before the first record."""
        self._line_end = LINE_ENDS[self.text.line_end]
        self._end = self._line_end.encode(self.encoding)
        self._blank = " ".encode(self.encoding)
        self._by_tag = {record.tag: record for record in layout.records()}
        self._tag_bytes = len(layout.header.tag.encode(self.encoding))
        self._by_name = {record.name: record for record in layout.details}
        if (problem := self._problem()) is not None:
            raise ValueRefused(problem)

    def _problem(self) -> str | None:
        layout, fields = self.layout, [field for record in self.layout.records() for field in record.fields]
        if layout.delimited is not None:
            if not self._line_end:
                return "delimited records need a line end, lf or crlf"
            if self.text.sign.startswith("overpunch") and any(field.signed for field in fields):
                return "numbers in delimited files are not overpunched; set sign to leading or trailing"
            if self.text.decimals == "comma" and layout.delimited.delimiter == ",":
                return "the comma cannot be both the delimiter and the decimal sign"
            return None
        if self._line_end and any(field.packed for field in fields):
            return "packed fields need line_end none: a packed byte may look like a line end"
        for record in layout.records():
            width = self._tag_bytes + sum(self.width(field) for field in record.fields)
            if layout.length is not None and width > layout.length:
                return f"record {record.tag} is {width} bytes; raise length {layout.length}"
        return None

    def width(self, field: Field) -> int:
        """Bytes of a field, with its sign and point; of a cell the most it may have."""
        return self._fields.width(field)

    def detail(self, name: str) -> Record:
        """The kind of detail called ``name``."""
        return self._by_name[name]

    def encode(self, record: Record, values: Values) -> bytes:
        """One record with its line end.

        Raises:
            ValueRefused: a value is missing, too long, or has characters the encoding lacks.
        """
        if self.layout.delimited is None:
            line = record.tag.encode(self.encoding) + b"".join(
                _named(field, values, self._fields.write) for field in record.fields
            )
            assert self.layout.length is not None, "a fixed-width layout without one was refused"
            return line.ljust(self.layout.length, self._blank) + self._end
        cells = [_named(field, values, self._fields.cell) for field in record.fields]
        text = delimited.join([record.tag, *cells], self.layout.delimited, self._line_end)
        return text.encode(self.encoding)

    def fitted(self, record: Record, values: Values) -> dict[str, Value]:
        """The values of a detail as the other side will read them: free text cut, amounts to their places.

        Raises:
            ValueRefused: see `encode`.
        """
        (row,) = self._rows(self.encode(record, {**values, "line": 1}))
        return row.values

    def decode(self, data: bytes) -> list[Row]:
        """All records of a file.

        Raises:
            BytesRefused: a record is short, of no known kind, or a field is malformed.
        """
        if data.startswith(BOM_UTF8) and self.text.encoding == "utf-8":
            raise BytesRefused("starts with a byte order mark; set encoding to utf-8-sig")
        return self._rows(data.removeprefix(self.start))

    def _rows(self, data: bytes) -> list[Row]:
        if self.layout.delimited is not None:
            return self._split(data, self.layout.delimited)
        assert self.layout.length is not None, "a fixed-width layout without one was refused"
        step = self.layout.length + len(self._end)
        if len(data) % step:
            raise BytesRefused(f"{len(data)} bytes are no multiple of the record length {step}: cut off?")
        return [
            self._row(number, data[at : at + step])
            for number, at in enumerate(range(0, len(data), step), start=1)
        ]

    def _row(self, number: int, raw: bytes) -> Row:
        if not raw.endswith(self._end):
            raise BytesRefused(f"record {number} does not end where the layout says")
        at = self._tag_bytes
        record = self._by_tag.get(raw[:at].decode(self.encoding, "replace"))
        if record is None:
            raise BytesRefused(f"record {number} starts with {raw[:at]!r}, which is no tag of the layout")
        values: dict[str, Value] = {}
        for field in record.fields:
            width = self.width(field)
            try:
                value = self._fields.read(field, raw[at : at + width])
            except (ValueError, ArithmeticError) as error:
                raise BytesRefused(f"record {number}, field {field.name}: {error}") from None
            if field.kind != "filler":
                values[field.name] = value
            at += width
        return Row(number=number, tag=record.tag, name=record.name, values=values, raw=raw)

    def _split(self, data: bytes, form: Delimited) -> list[Row]:
        try:
            text = data.decode(self.encoding)
        except UnicodeDecodeError as error:
            raise BytesRefused(f"byte {error.start} is not in {self.encoding}") from None
        rows: list[Row] = []
        for number, (raw, cells) in enumerate(delimited.split(text, form, self._line_end), start=1):
            record = self._by_tag.get(cells[0])
            if record is None:
                raise BytesRefused(f"record {number} starts with {cells[0]!r}, which is no tag of the layout")
            if len(cells) != len(record.fields) + 1:
                raise BytesRefused(
                    f"record {number} has {len(cells) - 1} cells, the layout {len(record.fields)}"
                )
            values: dict[str, Value] = {}
            for field, cell in zip(record.fields, cells[1:], strict=True):
                try:
                    values[field.name] = self._fields.value(field, cell)
                except (ValueError, ArithmeticError) as error:
                    raise BytesRefused(f"record {number}, field {field.name}: {error}") from None
            row = raw.encode(self.encoding)
            rows.append(Row(number=number, tag=record.tag, name=record.name, values=values, raw=row))
        return rows


def _named(field: Field, values: Values, write: Callable[[Field, Value], T]) -> T:
    """The field written; what is refused names it."""
    try:
        return write(field, values.get(field.name))
    except ValueRefused as error:
        raise ValueRefused(f"{field.name}: {error}") from None
