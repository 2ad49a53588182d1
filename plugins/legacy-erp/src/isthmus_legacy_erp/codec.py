"""Values to the bytes of a fixed-width record and back, by a layout and the text rules of an interface.

Nothing is guessed and nothing is cut but free text that the layout allows to be: a key or an amount that
does not fit is refused, and so is a byte that should not be there.
"""

import unicodedata
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal

import msgspec

from isthmus.events import minor_digits
from isthmus_legacy_erp.layout import Field, Layout, Record, mask_of
from isthmus_legacy_erp.settings import TextRules

Value = str | int | Decimal | date | datetime | None
Values = Mapping[str, Value]

PLUS, MINUS = "{ABCDEFGHI", "}JKLMNOPQR"
LINE_ENDS = {"lf": "\n", "crlf": "\r\n", "none": ""}
PLAIN = {
    ord(char): plain
    for pair in "ß=ss æ=ae Æ=AE ø=o Ø=O œ=oe Œ=OE ł=l Ł=L đ=d Đ=D €=EUR –=- —=- ‘=' ’=' “=\" ”=\"".split()
    for char, _, plain in [pair.partition("=")]
}
"""Letters that have no accent to drop."""


class ValueRefused(ValueError):
    """A value does not fit its field; the message names the field and why."""


class BytesRefused(ValueError):
    """Bytes are not what the layout says; the message names the record, the field and why."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One record that was read: its number in the file from 1, its kind's name, its values, its bytes."""

    number: int
    tag: str
    name: str
    values: dict[str, Value]
    raw: bytes


class Codec:
    """Writes and reads the records of one interface of one company."""

    def __init__(self, layout: Layout, text: TextRules, currency: str) -> None:
        self.layout = layout
        self.text = layout.rules(text)
        self._currency = currency
        self._encoding = self.text.encoding
        self._blank = self._bytes(" ")
        self._end = self._bytes(LINE_ENDS[self.text.line_end])
        self._by_tag = {self._bytes(record.tag): record for record in layout.records()}
        self._by_name = {record.name: record for record in layout.details}
        for record in layout.records():
            width = len(record.tag) + sum(self.width(field) for field in record.fields)
            if width > layout.length:
                raise ValueRefused(f"record {record.tag} is {width} bytes; raise length {layout.length}")

    def width(self, field: Field) -> int:
        """Bytes of a field, with its sign and point."""
        if field.digits is None:
            assert field.width is not None, "a layout without one was refused"
            return field.width
        own_sign = field.signed and self.text.sign != "overpunch"
        point = self.text.decimals == "point" and self._decimals(field) > 0
        return field.digits + own_sign + point

    def detail(self, name: str) -> Record:
        """The kind of detail called ``name``."""
        return self._by_name[name]

    def encode(self, record: Record, values: Values) -> bytes:
        """One record with its line end.

        Raises:
            ValueRefused: a value is missing, too long, or has characters the encoding lacks.
        """
        line = bytearray(self._bytes(record.tag))
        for field in record.fields:
            try:
                line += self._field(field, values.get(field.name))
            except ValueRefused as error:
                raise ValueRefused(f"{field.name}: {error}") from None
        return bytes(line.ljust(self.layout.length, self._blank)) + self._end

    def fitted(self, record: Record, values: Values) -> dict[str, Value]:
        """The values of a detail as the other side will read them: free text cut, amounts to their places.

        Raises:
            ValueRefused: see `encode`.
        """
        return self._row(1, self.encode(record, {**values, "line": 1})).values

    def decode(self, data: bytes) -> list[Row]:
        """All records of a file.

        Raises:
            BytesRefused: a record is short, of no known kind, or a field is malformed.
        """
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
        tag = raw[: len(next(iter(self._by_tag)))]
        record = self._by_tag.get(tag)
        if record is None:
            raise BytesRefused(f"record {number} starts with {tag!r}, which is no tag of the layout")
        values: dict[str, Value] = {}
        at = len(tag)
        for field in record.fields:
            width = self.width(field)
            try:
                values[field.name] = self._value(field, raw[at : at + width].decode(self._encoding))
            except (ValueError, ArithmeticError) as error:
                raise BytesRefused(f"record {number}, field {field.name}: {error}") from None
            at += width
        return Row(number=number, tag=record.tag, name=record.name, values=values, raw=raw)

    def _field(self, field: Field, value: Value) -> bytes:
        width = self.width(field)
        if value is None or value == "":
            if not field.optional:
                raise ValueRefused("has no value")
            return self._blank * width
        match value:
            case datetime() if field.kind == "stamp":
                filled = self._bytes(value.astimezone(UTC).strftime(mask_of(field)))
            case date() if field.kind == "date":
                filled = self._bytes(value.strftime(mask_of(field)))
            case Decimal() | int() if field.digits is not None:
                filled = self._bytes(self._number(field, Decimal(value)))
            case str() if field.kind in ("text", "key"):
                return self._text(field, value, width)
            case _:
                raise ValueRefused(f"a {type(value).__name__} is no {field.kind}")
        if len(filled) != width:
            raise ValueRefused(f"fills {len(filled)} bytes, not {width}")
        return filled

    def _text(self, field: Field, value: str, width: int) -> bytes:
        """Left-justified; white space of free text becomes single blanks."""
        if field.kind == "text":
            value = " ".join(value.split())
        if any(unicodedata.category(c) in ("Cc", "Cs") for c in value) or value != value.strip():
            raise ValueRefused("has control characters or outer blanks")
        try:
            filled = self._bytes(value)
        except UnicodeEncodeError as error:
            if self.text.unmappable == "reject" or field.kind == "key":
                raise ValueRefused(f"{error.object[error.start]!r} is not in {self._encoding}") from None
            filled = self._bytes(_plain(value, self._encoding))
        while len(filled) > width:
            if not field.cut:
                raise ValueRefused(f"is {len(filled)} bytes, the field holds {width}")
            filled = self._bytes(filled.decode(self._encoding)[:-1])
        return filled.ljust(width, self._blank)

    def _number(self, field: Field, value: Decimal) -> str:
        decimals = self._decimals(field)
        if not value.is_finite():
            raise ValueRefused(f"{value} is no number")
        minor = value.scaleb(decimals)
        if minor != minor.to_integral_value():
            raise ValueRefused(f"{value} has more than {decimals} decimals")
        assert field.digits is not None, "a layout without them was refused"
        digits = str(abs(int(minor))).zfill(field.digits)
        if len(digits) > field.digits:
            raise ValueRefused(f"{value} has more than {field.digits} digits")
        negative = int(minor) < 0
        if negative and not field.signed:
            raise ValueRefused(f"{value} is negative, the field has no sign")
        if field.signed and self.text.sign == "overpunch":
            digits = digits[:-1] + (MINUS if negative else PLUS)[int(digits[-1])]
        if self.text.decimals == "point" and decimals:
            digits = f"{digits[:-decimals]}.{digits[-decimals:]}"
        if not field.signed or self.text.sign == "overpunch":
            return digits
        sign = "-" if negative else "+"
        return sign + digits if self.text.sign == "leading" else digits + sign

    def _value(self, field: Field, text: str) -> Value:
        if not text.strip(" "):
            if not field.optional:
                raise BytesRefused("is blank")
            return None
        match field.kind:
            case "integer":
                return int(self._parsed(field, text))
            case "decimal":
                return self._parsed(field, text)
            case "date":
                return _instant(text, mask_of(field)).date()
            case "stamp":
                return _instant(text, mask_of(field))
        return text.rstrip(" ")

    def _parsed(self, field: Field, text: str) -> Decimal:
        """A number in exactly the form `_number` writes; a plain last digit counts as overpunched plus."""
        decimals = self._decimals(field)
        digits, negative = text, False
        if field.signed:
            match self.text.sign:
                case "leading":
                    sign, digits = text[0], text[1:]
                case "trailing":
                    sign, digits = text[-1], text[:-1]
                case "overpunch":
                    sign = "-" if text[-1] in MINUS else "+"
                    digits = text[:-1] + _unpunched(text[-1])
            if sign not in "+-":
                raise BytesRefused(f"{text!r} has no sign where it belongs")
            negative = sign == "-"
        if self.text.decimals == "point" and decimals:
            whole, point, part = digits.partition(".")
            if not point or len(part) != decimals:
                raise BytesRefused(f"{text!r} has no point {decimals} digits from the end")
            digits = whole + part
        if len(digits) != field.digits or not (digits.isascii() and digits.isdigit()):
            raise BytesRefused(f"{text!r} is no number of {field.digits} digits")
        return Decimal(-int(digits) if negative else int(digits)).scaleb(-decimals)

    def _decimals(self, field: Field) -> int:
        return minor_digits(self._currency) if field.decimals == "currency" else field.decimals

    def _bytes(self, text: str) -> bytes:
        return text.encode(self._encoding)


def _unpunched(char: str) -> str:
    if char in PLUS:
        return str(PLUS.index(char))
    if char in MINUS:
        return str(MINUS.index(char))
    return char


def _instant(text: str, mask: str) -> datetime:
    """A date or stamp in exactly the mask; strptime alone would take ``2026 1 1`` as well."""
    instant = datetime.strptime(text, mask).replace(tzinfo=UTC)
    if instant.strftime(mask) != text:
        raise BytesRefused(f"{text!r} is not in the form {mask}")
    return instant


def _plain(value: str, encoding: str) -> str:
    """Each character the encoding lacks as plain letters: its base letter, or a usual substitute.

    Raises:
        ValueRefused: a character has none.
    """
    plain: list[str] = []
    for char in value:
        for form in (char, char.translate(PLAIN), _base(char)):
            try:
                form.encode(encoding)
            except UnicodeEncodeError:
                continue
            if form:
                plain.append(form)
                break
        else:
            raise ValueRefused(f"{char!r} is not in {encoding} and has no plain form")
    return "".join(plain)


def _base(char: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKD", char) if not unicodedata.combining(c))
