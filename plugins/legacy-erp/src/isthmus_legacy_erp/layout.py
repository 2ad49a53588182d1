"""Layouts as data: which field stands where in the records of an interface.

A layout is a TOML file. Its records are a header, one or more kinds of detail, and a trailer, told apart by
a tag at the start. Field names are the names `translate` works with; a layout may leave out optional ones,
and may give an accounting dimension a column of its own (``dimension.department``).
"""

from collections.abc import Iterable
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from isthmus_legacy_erp.settings import Interface, TextRules

FieldKind = Literal["text", "key", "integer", "decimal", "date", "stamp", "filler"]
Count = Annotated[int, msgspec.Meta(gt=0)]

COPYBOOKS = (".cpy", ".cbl", ".cob")
MASKS = {"date": "%Y%m%d", "stamp": "%Y%m%d%H%M%S"}
MASK_WIDTHS = {"%Y": 4, "%y": 2, "%m": 2, "%d": 2, "%j": 3, "%H": 2, "%M": 2, "%S": 2}

ZONED = "zoned"
"""Of `TextOverride.sign`: overpunched, in whichever way the instance's settings say."""
HEADER_NEEDS = frozenset({"interface", "company", "seq", "batch_id", "created"})
DETAIL_NEEDS = frozenset({"line", "ref"})
TRAILER_NEEDS = frozenset({"count", "hash_total"})


class LayoutError(ValueError):
    """A layout file cannot work; the message names the field and the remedy."""


class Field(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One field. Text, keys and dates have a ``width`` in bytes, numbers have ``digits``.

    A signed number is one byte wider where the sign has a byte of its own, and one more where the decimal
    point is written.
    """

    name: str = ""
    kind: FieldKind = "text"
    """``filler`` is width without a meaning: blanks out, unread in."""
    width: Count | None = None
    digits: Count | None = None
    decimals: Annotated[int, msgspec.Meta(ge=0)] | Literal["currency"] = 0
    """Digits after the point; ``currency`` takes them from the company's currency."""
    signed: bool = False
    packed: bool = False
    """A packed decimal (COMP-3) of ``digits // 2 + 1`` bytes. It cannot be blank."""
    mask: str | None = None
    """Of a date or stamp (stamps are UTC): ``%Y%m%d`` and ``%Y%m%d%H%M%S`` where not said."""
    optional: bool = False
    """Blank means that there is no value."""
    cut: bool = False
    """Free text that may be cut to the width; anything else that is too long is refused."""


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The fields after the tag, in order."""

    tag: str
    name: str = ""
    """What a kind of detail is called in the code: ``charge``, ``invoice``, ``payment`` ..."""
    fields: list[Field]

    def names(self) -> frozenset[str]:
        return frozenset(field.name for field in self.fields if field.kind != "filler")


class Delimited(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How cells are told apart. A cell with a delimiter, a quote, a line end or outer blanks is quoted."""

    delimiter: Annotated[str, msgspec.Meta(pattern=r"^[^A-Za-z0-9\r\n\"'+-]$")] = ";"
    quote: Literal['"', "'"] = '"'
    quote_all: bool = False
    """Quote every cell, not only those that need it."""
    grouping: Literal["", ".", ",", " ", "'"] = ""
    """Between thousands, where the decimal point is written."""
    newlines: bool = False
    """Free text keeps its line breaks; otherwise they become blanks."""


class TextOverride(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one interface does otherwise than the instance's settings say."""

    encoding: str | None = None
    line_end: str | None = None
    sign: str | None = None
    decimals: str | None = None
    unmappable: str | None = None


class Layout(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All records of one interface: fixed-width ones of ``length`` bytes, filled up with blanks, or
    ``delimited`` ones, whose fields' widths are the most a cell may have."""

    interface: Interface
    version: Count
    length: Count | None = None
    delimited: Delimited | None = None
    header: Record
    details: list[Record]
    trailer: Record
    text: TextOverride | None = None

    def records(self) -> list[Record]:
        return [self.header, *self.details, self.trailer]

    def rules(self, settings: TextRules) -> TextRules:
        """The text rules of this interface: its own where it has them, else the instance's."""
        if self.text is None:
            return settings
        if self.text.sign == ZONED and not settings.sign.startswith("overpunch"):
            raise LayoutError(
                f"{self.interface}: the signed items of its copybook are overpunched; "
                "set sign to overpunch or overpunch-ascii"
            )
        own = {
            name: value
            for name, value in msgspec.structs.asdict(self.text).items()
            if value not in (None, ZONED)
        }
        return msgspec.convert({**msgspec.structs.asdict(settings), **own}, TextRules)


def load(interface: Interface, path: Path | None) -> Layout:
    """The layout of an interface: the file at ``path``, or the one in the package.

    Raises:
        LayoutError: the file cannot be read or is no layout of this interface.
    """
    if path is None:
        return _shipped(interface)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise LayoutError(f"{path}: {error.strerror}; give the path of a readable layout file") from error
    if path.suffix.lower() in COPYBOOKS:
        from isthmus_legacy_erp import copybook

        return _checked(copybook.layout(data, _shipped(interface), str(path)), interface, str(path))
    return _read(interface, data, str(path))


@cache
def _shipped(interface: Interface) -> Layout:
    file = resources.files("isthmus_legacy_erp") / "layouts" / f"{interface}.toml"
    return _read(interface, file.read_bytes(), file.name)


def _read(interface: Interface, text: bytes, place: str) -> Layout:
    try:
        layout = msgspec.toml.decode(text, type=Layout)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise LayoutError(f"{place}: {error}") from error
    return _checked(layout, interface, place)


def _checked(layout: Layout, interface: Interface, place: str) -> Layout:
    if (problem := next(iter(_problems(layout, interface)), None)) is not None:
        raise LayoutError(f"{place}: {problem}")
    return layout


def _problems(layout: Layout, interface: Interface) -> Iterable[str]:
    """Why a layout cannot work, one sentence each."""
    if layout.interface != interface:
        yield f"is a layout of {layout.interface!r}, not of {interface!r}"
    if (layout.length is None) == (layout.delimited is None):
        yield "has either a length, of fixed-width records, or a table delimited"
    tags = [record.tag for record in layout.records()]
    if len(set(tags)) < len(tags):
        yield "each record needs a tag of its own"
    if len({len(tag) for tag in tags}) != 1 or not all(tag.isascii() and tag.isalnum() for tag in tags):
        yield "tags are ASCII letters or digits, all of one length"
    for record, needs in (
        (layout.header, HEADER_NEEDS),
        *((detail, DETAIL_NEEDS) for detail in layout.details),
        (layout.trailer, TRAILER_NEEDS),
    ):
        names = [field.name for field in record.fields if field.kind != "filler"]
        if len(set(names)) < len(names):
            yield f"record {record.tag}: a field name stands twice"
        if missing := sorted(needs - set(names)):
            yield f"record {record.tag}: needs the fields {', '.join(missing)}"
        for field in record.fields:
            if (problem := _problem(field, layout.delimited is not None)) is not None:
                yield f"record {record.tag}, field {field.name or field.kind}: {problem}"
    for total in ("quantity", "amount"):
        counted = any(total in detail.names() for detail in layout.details)
        if counted and total not in layout.trailer.names():
            yield f"record {layout.trailer.tag}: details have {total}, so the trailer needs it as a total"


def _problem(field: Field, delimited: bool) -> str | None:
    if not field.name and field.kind != "filler":
        return "needs a name"
    if delimited and (field.packed or field.kind == "filler"):
        return "delimited files have no packed numbers and no fillers"
    if field.packed and (field.optional or field.digits is None):
        return "only a number can be packed, and a packed number cannot be blank"
    if field.kind in ("integer", "decimal"):
        if field.digits is None or field.width is not None:
            return "a number has digits, no width"
        if isinstance(field.decimals, int) and field.decimals > field.digits:
            return f"{field.decimals} decimals do not fit into {field.digits} digits"
    elif field.width is None or field.digits is not None:
        return f"a {field.kind} has a width, no digits"
    elif field.kind in MASKS and (needed := mask_width(mask_of(field))) != field.width:
        return f"the mask {mask_of(field)} fills {needed} bytes, not {field.width}"
    return None


def mask_of(field: Field) -> str:
    return field.mask or MASKS[field.kind]


def mask_width(mask: str) -> int:
    """Characters a date mask fills; one for each character that is no directive."""
    width, rest = 0, mask
    while rest:
        known = MASK_WIDTHS.get(rest[:2])
        width += 1 if known is None else known
        rest = rest[1:] if known is None else rest[2:]
    return width
