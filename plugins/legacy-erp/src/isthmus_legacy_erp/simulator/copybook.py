"""Records by COBOL copybook: a small reader of PIC clauses, and DISPLAY fields in and out.

Numbers come and go as `Decimal`, everything else as text. A signed number is overpunched, or has its sign
SEPARATE before or after the digits.
"""

import re
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import NamedTuple

CLAUSE = re.compile(
    r"05\s+(?P<name>[A-Z-]+)\s+PIC\s+(?P<type>X|S?9)\((?P<size>\d+)\)"
    r"(?:V9\((?P<part>\d+)\))?(?:\s+VALUE\s+'(?P<value>.)')?\."
)
LENGTH = re.compile(r"RECORD LENGTH (\d+)")
POSITIVE, NEGATIVE = "{ABCDEFGHI", "}JKLMNOPQR"

Record = dict[str, str | Decimal]


class Malformed(Exception):
    """The bytes do not fit the copybook; the text says where."""


class Style(NamedTuple):
    """How this ERP writes: encoding, sign (overpunch, leading, trailing), record end, point (or implied)."""

    encoding: str
    sign: str
    end: str
    point: bool


class Item(NamedTuple):
    """One elementary item; ``size`` counts digits or bytes, ``part`` the digits after V."""

    name: str
    type: str
    size: int
    part: int

    def bytes_in(self, style: Style) -> int:
        separate = self.type == "S9" and style.sign != "overpunch"
        return self.size + self.part + separate + (style.point and self.part > 0)


class Copybook(NamedTuple):
    """The record types of a file, by the value of REC-TYPE."""

    length: int
    records: dict[str, list[Item]]


@cache
def copybook(name: str) -> Copybook:
    """The copybook of that name."""
    folder = resources.files("isthmus_legacy_erp.simulator") / "copybooks"
    text = (folder / f"{name}.cpy").read_text("ascii")
    length = LENGTH.search(text)
    assert length is not None, f"{name}.cpy states its record length"
    records: dict[str, list[Item]] = {}
    for clause in CLAUSE.finditer(text):
        if clause["value"] is not None:
            records[clause["value"]] = []
            continue
        item = Item(clause["name"], clause["type"], int(clause["size"]), int(clause["part"] or 0))
        records[list(records)[-1]].append(item)
    return Copybook(int(length[1]), records)


def unpack(book: Copybook, data: bytes, style: Style) -> list[tuple[str, Record]]:
    """All records of a file with their types.

    Raises:
        Malformed: a record is short or of an unknown type, or a field is no number.
    """
    end = style.end.encode(style.encoding)
    step = book.length + len(end)
    if len(data) % step or not data:
        raise Malformed(f"FILE LENGTH {len(data)} IS NO MULTIPLE OF {step}")
    found: list[tuple[str, Record]] = []
    for at in range(0, len(data), step):
        line = data[at : at + step]
        if line[book.length :] != end:
            raise Malformed(f"RECORD {at // step + 1} NOT TERMINATED")
        kind = line[:1].decode(style.encoding)
        if kind not in book.records:
            raise Malformed(f"RECORD {at // step + 1} TYPE {kind!r}")
        record: Record = {}
        offset = 1
        for item in book.records[kind]:
            width = item.bytes_in(style)
            text = line[offset : offset + width].decode(style.encoding)
            offset += width
            record[item.name] = text.rstrip() if item.type == "X" else _number(item, text, style)
        found.append((kind, record))
    return found


def pack(book: Copybook, records: list[tuple[str, Record]], style: Style) -> bytes:
    """The bytes of a file; a missing item is blank."""
    out = b""
    for kind, record in records:
        line = kind.encode(style.encoding)
        for item in book.records[kind]:
            width = item.bytes_in(style)
            value = record.get(item.name)
            text = "" if value is None else value if isinstance(value, str) else _display(item, value, style)
            line += text.encode(style.encoding)[:width].ljust(width, " ".encode(style.encoding))
        out += line.ljust(book.length, " ".encode(style.encoding)) + style.end.encode(style.encoding)
    return out


def _number(item: Item, text: str, style: Style) -> Decimal:
    if not text.strip():
        return Decimal(0)
    digits = text.replace(".", "") if style.point else text
    sign = 1
    if item.type == "S9":
        if style.sign == "leading":
            sign, digits = (-1 if digits[0] == "-" else 1), digits[1:]
        elif style.sign == "trailing":
            sign, digits = (-1 if digits[-1] == "-" else 1), digits[:-1]
        elif digits[-1] in NEGATIVE:
            sign, digits = -1, digits[:-1] + str(NEGATIVE.index(digits[-1]))
        elif digits[-1] in POSITIVE:
            digits = digits[:-1] + str(POSITIVE.index(digits[-1]))
    if not re.fullmatch("[0-9]+", digits) or len(digits) != item.size + item.part:
        raise Malformed(f"{item.name} NOT NUMERIC: {text!r}")
    return (sign * Decimal(digits)).scaleb(-item.part)


def _display(item: Item, value: Decimal, style: Style) -> str:
    digits = str(int(abs(value) * 10**item.part)).zfill(item.size + item.part)
    negative = value < 0
    if item.type == "S9" and style.sign == "overpunch":
        digits = digits[:-1] + (NEGATIVE if negative else POSITIVE)[int(digits[-1])]
    if style.point and item.part:
        digits = digits[: item.size] + "." + digits[item.size :]
    if item.type != "S9" or style.sign == "overpunch":
        return digits
    mark = "-" if negative else "+"
    return mark + digits if style.sign == "leading" else digits + mark
