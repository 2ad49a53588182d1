"""One value to its field and back, by the text rules of an interface.

Nothing is guessed and nothing is cut but free text that the layout allows to be: a key or an amount that
does not fit is refused, and so is a byte that should not be there.
"""

import unicodedata
from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal

from isthmus.events import minor_digits
from isthmus_legacy_erp import packed
from isthmus_legacy_erp.layout import Delimited, Field, mask_of
from isthmus_legacy_erp.refusals import BytesRefused, ValueRefused
from isthmus_legacy_erp.settings import TextRules

Value = str | int | Decimal | date | datetime | None
Values = Mapping[str, Value]

POINTS = {"point": ".", "comma": ","}
OVERPUNCHED = {
    "overpunch": ("{ABCDEFGHI", "}JKLMNOPQR"),
    "overpunch-ascii": ("0123456789", "pqrstuvwxy"),
}
"""The last digit 0 to 9 of a positive and of a negative number, by the setting ``sign``."""
PLAIN = {
    ord(char): plain
    for pair in "ß=ss æ=ae Æ=AE ø=o Ø=O œ=oe Œ=OE ł=l Ł=L đ=d Đ=D €=EUR –=- —=- ‘=' ’=' “=\" ”=\"".split()
    for char, _, plain in [pair.partition("=")]
}
"""Letters that have no accent to drop."""


class Fields:
    """Writes and reads single fields; fixed ones have a width, cells of delimited files a greatest one."""

    def __init__(self, text: TextRules, currency: str, delimited: Delimited | None) -> None:
        self._text = text
        self._currency = currency
        self._grouping = delimited.grouping if delimited is not None else ""
        self._newlines = delimited is not None and delimited.newlines
        self._overpunched = OVERPUNCHED.get(text.sign)
        self._point = POINTS.get(text.decimals, "")
        self.encoding = text.charset
        self._blank = " ".encode(self.encoding)

    def width(self, field: Field) -> int:
        """Bytes of a field, with its sign and point."""
        if field.digits is None:
            assert field.width is not None, "a layout without one was refused"
            return field.width
        if field.packed:
            return packed.width(field.digits)
        own_sign = field.signed and self._overpunched is None
        point = bool(self._point) and self._decimals(field) > 0
        return field.digits + own_sign + point

    def write(self, field: Field, value: Value) -> bytes:
        """The field of a fixed-width record.

        Raises:
            ValueRefused: the value is missing, too long, or has characters the encoding lacks.
        """
        width = self.width(field)
        if field.kind == "filler":
            return self._blank * width
        if field.packed and isinstance(value, Decimal | int):
            assert field.digits is not None, "a layout without them was refused"
            return packed.pack(self._minor(field, Decimal(value)), field.digits, signed=field.signed)
        filled = self.encoded(self.cell(field, value, pad=True), field)
        if value is None or value == "" or field.kind in ("text", "key"):
            return filled.ljust(width, self._blank)
        if len(filled) != width:
            raise ValueRefused(f"fills {len(filled)} bytes, not {width}")
        return filled

    def read(self, field: Field, raw: bytes) -> Value:
        """The value of a fixed-width field.

        Raises:
            ValueError: the bytes are none of its values.
        """
        if field.kind == "filler":
            return None
        if field.packed:
            assert field.digits is not None, "a layout without them was refused"
            minor = packed.unpack(raw, field.digits, signed=field.signed)
            number = Decimal(minor).scaleb(-self._decimals(field))
            return int(number) if field.kind == "integer" else number
        return self.value(field, raw.decode(self.encoding), pad=True)

    def cell(self, field: Field, value: Value, *, pad: bool = False) -> str:
        """The value as text; ``pad`` fills numbers up with zeros.

        Raises:
            ValueRefused: see `write`.
        """
        if value is None or value == "":
            if not field.optional:
                raise ValueRefused("has no value")
            return ""
        match value:
            case datetime() if field.kind == "stamp":
                return value.astimezone(UTC).strftime(mask_of(field))
            case date() if field.kind == "date":
                return value.strftime(mask_of(field))
            case Decimal() | int() if field.digits is not None:
                return self._number(field, Decimal(value), pad)
            case str() if field.kind in ("text", "key"):
                return self._words(field, value)
        raise ValueRefused(f"a {type(value).__name__} is no {field.kind}")

    def value(self, field: Field, text: str, *, pad: bool = False) -> Value:
        """What a cell or the text of a fixed field says.

        Raises:
            ValueError: it is none of its values.
        """
        if not text.strip(" "):
            if not field.optional:
                raise BytesRefused("is blank")
            return None
        match field.kind:
            case "integer":
                return int(self._parsed(field, text, pad))
            case "decimal":
                return self._parsed(field, text, pad)
            case "date":
                return _instant(text, mask_of(field)).date()
            case "stamp":
                return _instant(text, mask_of(field))
        return text.rstrip(" ")

    def encoded(self, text: str, field: Field) -> bytes:
        """Text in the encoding; free text is written plainly where the settings allow it."""
        try:
            return text.encode(self.encoding)
        except UnicodeEncodeError as error:
            if self._text.unmappable == "reject" or field.kind != "text":
                raise ValueRefused(f"{error.object[error.start]!r} is not in {self.encoding}") from None
            return _plain(text, self.encoding).encode(self.encoding)

    def _words(self, field: Field, value: str) -> str:
        """Text that fits. White space of free text becomes single blanks, where cells may not have lines."""
        lined = self._newlines and field.kind == "text"
        keep = "\n" if lined else ""
        if field.kind == "text":
            lines = value.splitlines() if lined else [value]
            value = "\n".join(" ".join(line.split()) for line in lines)
        bad = any(unicodedata.category(c) in ("Cc", "Cs") and c not in keep for c in value)
        if bad or value != value.strip():
            raise ValueRefused("has control characters or outer blanks")
        filled, width = self.encoded(value, field), self.width(field)
        while len(filled) > width:
            if not field.cut:
                raise ValueRefused(f"is {len(filled)} bytes, the field holds {width}")
            filled = filled.decode(self.encoding)[:-1].encode(self.encoding)
        return filled.decode(self.encoding).rstrip(" ")

    def _minor(self, field: Field, value: Decimal) -> int:
        """A number in units of its last place."""
        decimals = self._decimals(field)
        if not value.is_finite():
            raise ValueRefused(f"{value} is no number")
        minor = value.scaleb(decimals)
        if minor != minor.to_integral_value():
            raise ValueRefused(f"{value} has more than {decimals} decimals")
        assert field.digits is not None, "a layout without them was refused"
        if len(str(abs(int(minor)))) > field.digits:
            raise ValueRefused(f"{value} has more than {field.digits} digits")
        if int(minor) < 0 and not field.signed:
            raise ValueRefused(f"{value} is negative, the field has no sign")
        return int(minor)

    def _number(self, field: Field, value: Decimal, pad: bool) -> str:
        minor, decimals = self._minor(field, value), self._decimals(field)
        assert field.digits is not None, "a layout without them was refused"
        digits = str(abs(minor)).zfill(field.digits if pad else decimals + 1)
        if field.signed and self._overpunched is not None:
            digits = digits[:-1] + self._overpunched[minor < 0][int(digits[-1])]
        if self._point and decimals:
            digits = f"{self._grouped(digits[:-decimals])}{self._point}{digits[-decimals:]}"
        if not field.signed or self._overpunched is not None:
            return digits
        sign = "-" if minor < 0 else "+" if pad else ""
        return sign + digits if self._text.sign == "leading" else digits + sign

    def _grouped(self, whole: str) -> str:
        """Digits before the point, by thousands where the form says so."""
        return f"{int(whole):,}".replace(",", self._grouping) if self._grouping else whole

    def _parsed(self, field: Field, text: str, pad: bool) -> Decimal:
        """A number in exactly the form `_number` writes; a plain last digit counts as overpunched plus."""
        decimals = self._decimals(field)
        digits, negative = text, False
        if field.signed and self._overpunched is not None:
            digits, negative = _unpunched(text, self._overpunched)
        elif field.signed:
            leading = self._text.sign == "leading"
            sign = text[0] if leading else text[-1]
            if sign in "+-":
                digits, negative = text[1:] if leading else text[:-1], sign == "-"
            elif pad:
                raise BytesRefused(f"{text!r} has no sign where it belongs")
        if self._point and decimals:
            whole, point, part = digits.partition(self._point)
            if not point or len(part) != decimals:
                raise BytesRefused(f"{text!r} has no {self._text.decimals} {decimals} digits from the end")
            plain = whole.replace(self._grouping, "") if self._grouping else whole
            if plain != whole and (not plain.isdigit() or self._grouped(plain) != whole):
                raise BytesRefused(f"{text!r} is not grouped by thousands")
            digits = plain + part
        most = field.digits or 0
        fits = len(digits) == most if pad else len(digits.lstrip("0")) <= most
        if not fits or not (digits.isascii() and digits.isdigit()):
            raise BytesRefused(f"{text!r} is no number of {field.digits} digits")
        return Decimal(-int(digits) if negative else int(digits)).scaleb(-decimals)

    def _decimals(self, field: Field) -> int:
        return minor_digits(self._currency) if field.decimals == "currency" else field.decimals


def _unpunched(text: str, styles: tuple[str, str]) -> tuple[str, bool]:
    """The plain digits and whether they are negative."""
    plus, minus = styles
    last = text[-1]
    if last in minus:
        return text[:-1] + str(minus.index(last)), True
    return (text[:-1] + str(plus.index(last)) if last in plus else text), False


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
