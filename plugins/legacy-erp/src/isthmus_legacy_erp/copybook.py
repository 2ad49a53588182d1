"""A layout from the ERP's own COBOL copybook: where each field stands and how wide it is.

What a field means comes from the layout in the package, by name: ``EXT-REF`` is the reference, ``POSTING-ON``
a date. Each 01 level is one kind of record; its first item is the tag, with its VALUE. Read are PIC X and 9
with S and V, COMP-3, SIGN ... SEPARATE, FILLER and groups; what else COBOL has is refused by name.
"""

import re
from typing import Literal, NamedTuple

import msgspec

from isthmus_legacy_erp.layout import ZONED, Field, Layout, LayoutError, Record, TextOverride

NAMES = {
    "IFACE": "interface",
    "CURRENCY-CODE": "currency",
    "CUST-ADDRESS": "address",
    "SEQ-NO": "seq",
    "LINE-NO": "line",
    "EXT-REF": "ref",
    "REVERSES-REF": "reverses",
    "CONTRACT-REF": "contract",
    "CUST-NAME": "name",
    "CUST-CURRENCY": "currency",
    "CUST-STATUS": "status",
    "PROJ-NAME": "name",
    "PROJ-CURRENCY": "currency",
    "CHG-CURRENCY": "currency",
    "INV-CURRENCY": "currency",
    "PAY-CURRENCY": "currency",
    "VOID-CURRENCY": "currency",
    "LINE-TEXT": "text",
    "HOURS": "quantity",
    "REC-COUNT": "count",
    "TOT-QUANTITY": "quantity",
    "TOT-HOURS": "quantity",
    "TOT-AMOUNT": "amount",
    "INVOICE-NO": "invoice",
    "LINE-STATUS": "status",
    "BATCH-STATUS": "status",
    "ERR-CODE": "code",
    "ERR-TEXT": "message",
    "CHANGE-NO": "change",
}
"""Field names by item, where they are not the item's own in lower case with ``_`` for ``-``."""
DIMENSION = "DIM-"
"""``DIM-DEPARTMENT`` is the column of the dimension department."""

LENGTH = re.compile(r"^.{6}\*\s*RECORD LENGTH (\d+)", re.M | re.I)
PICTURE = re.compile(r"(?P<sign>S?)(?P<whole>(?:9(?:\(\d+\))?)+)?(?:V(?P<part>(?:9(?:\(\d+\))?)+))?", re.I)
SIGN = re.compile(r"\bSIGN(?:\s+IS)?\s+(LEADING|TRAILING)\s+SEPARATE(?:\s+CHARACTER)?\b", re.I)
VALUE = re.compile(r"\bVALUE(?:\s+IS)?\s+(?:'([^']*)'|\"([^\"]*)\")", re.I)
REFUSED = re.compile(
    r"\b(OCCURS|REDEFINES|RENAMES|COMP-[1245X]|COMP|COMPUTATIONAL(?:-[1245])?|BINARY|FLOAT|POINTER|INDEX|COPY)\b(?!-)",
    re.I,
)
PACKED = re.compile(r"\b(COMP-3|COMPUTATIONAL-3|PACKED-DECIMAL)\b", re.I)


class Item(NamedTuple):
    """One elementary item of a copybook."""

    name: str
    picture: str
    clauses: str


def layout(data: bytes, meaning: Layout, place: str) -> Layout:
    """The layout a copybook describes.

    Args:
        meaning: the layout of the same interface in the package.

    Raises:
        LayoutError: something in it is not read, or an item has no meaning here.
    """
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError as error:
        raise LayoutError(f"{place}: a copybook is ASCII; byte {error.start} is not") from error
    records: dict[str, Record] = {}
    signs: set[str] = set()
    for items in _records(text, place):
        tag = _tag(items[0], place)
        known = next((record for record in meaning.records() if record.tag == tag), None)
        if known is None:
            raise LayoutError(f"{place}: {meaning.interface} has no record {tag!r}")
        fields = [_field(item, known, signs, place) for item in items[1:]]
        records[tag] = msgspec.structs.replace(known, fields=fields)
    missing = [record.tag for record in meaning.records() if record.tag not in records]
    if missing:
        raise LayoutError(f"{place}: has no record with the VALUE {', '.join(map(repr, missing))}")
    if len(signs) > 1:
        raise LayoutError(f"{place}: signs are written in several ways: {', '.join(sorted(signs))}; use one")
    said = LENGTH.search(text)
    return Layout(
        interface=meaning.interface,
        version=meaning.version,
        length=int(said[1]) if said is not None else _longest(records, signs),
        header=records[meaning.header.tag],
        details=[records[record.tag] for record in meaning.details],
        trailer=records[meaning.trailer.tag],
        text=TextOverride(sign=next(iter(signs), None), decimals="implied"),
    )


def _records(text: str, place: str) -> list[list[Item]]:
    """The elementary items of each 01 level."""
    code = "\n".join(line[6:72] for line in text.splitlines() if line[6:7] not in ("*", "/"))
    found: list[list[Item]] = []
    for sentence in re.split(r"\.(?=\s|$)", code):
        words = sentence.split(None, 2)
        if not words:
            continue
        level, name, clauses = words[0], words[1].upper() if len(words) > 1 else "FILLER", " ".join(words[2:])
        if not level.isdigit() or level in ("66", "77"):
            raise LayoutError(f"{place}: {' '.join(words)[:40]!r} is not read; write 01 records with items")
        if level == "88":
            continue
        if name in ("PIC", "PICTURE"):
            name, clauses = "FILLER", f"{name} {clauses}"
        if (refused := REFUSED.search(PACKED.sub("", clauses))) is not None:
            raise LayoutError(f"{place}: {name}: {refused[1].upper()} is not read; describe it without")
        if int(level) == 1:
            found.append([])
        picture = re.search(r"\bPIC(?:TURE)?(?:\s+IS)?\s+(\S+)", clauses, re.I)
        if picture is None:
            continue
        if not found:
            raise LayoutError(f"{place}: {name} stands before the first 01")
        found[-1].append(Item(name, picture[1].upper(), clauses))
    return [items for items in found if items]


def _tag(item: Item, place: str) -> str:
    value = VALUE.search(item.clauses)
    if value is None:
        raise LayoutError(f"{place}: the first item of a record is its tag; give {item.name} a VALUE")
    return value[1] or value[2]


def _field(item: Item, known: Record, signs: set[str], place: str) -> Field:
    """One item with the meaning its name has in the record ``known``."""
    packed = PACKED.search(item.clauses) is not None
    characters = re.fullmatch(r"(?:[XA](?:\(\d+\))?)+", item.picture)
    number = PICTURE.fullmatch(item.picture)
    if characters is None and (number is None or (number["whole"] is None and number["part"] is None)):
        raise LayoutError(f"{place}: {item.name}: PIC {item.picture} is not read")
    whole, part = (0, 0) if number is None else (_count(number["whole"]), _count(number["part"]))
    width = _count(item.picture) if characters is not None else whole + part
    if item.name == "FILLER":
        return Field(kind="filler", width=width)
    field = _meaning(item, known, place)
    if field.kind not in ("integer", "decimal"):
        if packed or (number is not None and (part or number["sign"])):
            raise LayoutError(f"{place}: {item.name} is a {field.kind}; PIC {item.picture} is a number")
        return msgspec.structs.replace(field, width=width)
    if number is None:
        raise LayoutError(f"{place}: {item.name} is a number; PIC {item.picture} is text")
    signed = bool(number["sign"])
    if signed and not packed:
        separate = SIGN.search(item.clauses)
        signs.add(separate[1].lower() if separate is not None else ZONED)
    return msgspec.structs.replace(
        field,
        digits=width,
        decimals=part,
        signed=signed,
        packed=packed,
        optional=field.optional and not packed,
    )


def _meaning(item: Item, known: Record, place: str) -> Field:
    if item.name.startswith(DIMENSION):
        name = "dimension." + item.name.removeprefix(DIMENSION).lower().replace("-", "_")
        return Field(name=name, width=1, optional=True)
    name = NAMES.get(item.name, item.name.lower().replace("-", "_"))
    for field in known.fields:
        if field.name == name:
            return field
    raise LayoutError(f"{place}: {item.name} has no meaning in record {known.tag!r}; call it FILLER")


def _count(picture: str | None) -> int:
    """Characters of a picture such as ``X(20)``, ``999`` or ``9(4)9``."""
    counts: list[tuple[Literal["9", "X", "A"], str]] = re.findall(r"([9XA])(?:\((\d+)\))?", picture or "")
    return sum(int(count or 1) for _, count in counts)


def _longest(records: dict[str, Record], signs: set[str]) -> int:
    """The length of the longest record, which is that of all of them."""
    own = 0 if signs <= {ZONED} else 1

    def width(field: Field) -> int:
        if field.digits is None:
            return field.width or 0
        return field.digits // 2 + 1 if field.packed else field.digits + own * field.signed

    return max(len(tag) + sum(map(width, record.fields)) for tag, record in records.items())
