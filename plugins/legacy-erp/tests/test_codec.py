"""Values to bytes and back: every sign style, every encoding, and what is refused."""

from codecs import BOM_UTF8
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus_legacy_erp.codec import BytesRefused, Codec, Value, ValueRefused
from isthmus_legacy_erp.layout import Field, Layout, Record
from isthmus_legacy_erp.settings import TextRules

NEEDED = [
    Field(name="interface", width=10),
    Field(name="company", width=10),
    Field(name="seq", kind="integer", digits=8),
    Field(name="batch_id", width=10),
    Field(name="created", kind="stamp", width=14),
]


def codec(field: Field, currency: str = "EUR", **text: Any) -> Codec:
    """A codec whose only detail is ``field``."""
    fields: dict[str, Any] = {"encoding": "cp1252", "line_end": "lf", "sign": "overpunch", **text}
    layout = Layout(
        interface="charges",
        version=1,
        length=80,
        header=Record(tag="H", fields=NEEDED),
        details=[Record(tag="D", name="line", fields=[field])],
        trailer=Record(tag="T", fields=[Field(name="count", kind="integer", digits=8)]),
    )
    return Codec(layout, msgspec.convert({"decimals": "implied", **fields}, TextRules), currency)


def written(field: Field, value: Value, **text: Any) -> str:
    """The field as it stands in the file, as text."""
    made = codec(field, **text)
    raw = made.encode(made.detail("line"), {field.name: value})
    return raw[1 : 1 + made.width(field)].decode(made.text.encoding)


AMOUNT = Field(name="amount", kind="decimal", digits=9, decimals="currency", signed=True)
NAME = Field(name="name", width=10)
KEY = Field(name="ref", kind="key", width=10)


@pytest.mark.parametrize(
    ("value", "sign", "decimals", "text"),
    [
        pytest.param("937.50", "overpunch", "implied", "00009375{", id="a positive last digit 0 is a brace"),
        pytest.param("-937.50", "overpunch", "implied", "00009375}", id="a negative 0 the other brace"),
        pytest.param("0.01", "overpunch", "implied", "00000000A", id="1 is A"),
        pytest.param("-0.01", "overpunch", "implied", "00000000J", id="minus 1 is J"),
        pytest.param("0.09", "overpunch", "implied", "00000000I", id="9 is I"),
        pytest.param("-0.09", "overpunch", "implied", "00000000R", id="minus 9 is R"),
        pytest.param("-0.00", "overpunch", "implied", "00000000{", id="there is no minus zero"),
        pytest.param("937.50", "leading", "implied", "+000093750", id="a leading sign has its own byte"),
        pytest.param("-937.50", "trailing", "implied", "000093750-", id="and so has a trailing one"),
        pytest.param("-937.50", "leading", "point", "-0000937.50", id="a written point has one too"),
        pytest.param("-937.50", "overpunch", "point", "0000937.5}", id="overpunch and point together"),
        pytest.param(
            "937.54", "overpunch-ascii", "implied", "000093754", id="in ASCII a plus is a plain digit"
        ),
        pytest.param("-937.50", "overpunch-ascii", "implied", "00009375p", id="a negative 0 is p"),
        pytest.param("-0.09", "overpunch-ascii", "implied", "00000000y", id="and minus 9 is y"),
        pytest.param("-937.50", "trailing", "comma", "0000937,50-", id="a comma for the point"),
    ],
)
def test_an_amount_in_each_style(value: str, sign: str, decimals: str, text: str) -> None:
    assert written(AMOUNT, Decimal(value), sign=sign, decimals=decimals) == text


@pytest.mark.parametrize(
    ("value", "digits", "signed", "raw"),
    [
        pytest.param("123.45", 9, True, "000012345c", id="plus is C"),
        pytest.param("-123.45", 9, True, "000012345d", id="minus is D"),
        pytest.param("123.45", 9, False, "000012345f", id="no sign is F"),
        pytest.param("0", 9, True, "000000000c", id="zero is positive"),
        pytest.param("1.00", 8, True, "000000100c", id="an even number of digits has a half byte to spare"),
        pytest.param("-1.00", 3, True, "100d", id="three digits are two bytes"),
    ],
)
def test_a_packed_decimal(value: str, digits: int, signed: bool, raw: str) -> None:
    field = Field(name="n", kind="decimal", digits=digits, decimals=2, signed=signed, packed=True)
    made = codec(field, line_end="none")
    record = made.encode(made.detail("line"), {"n": Decimal(value)})
    assert record[1 : 1 + made.width(field)].hex() == raw
    assert made.decode(record)[0].values == {"n": Decimal(value)}


@pytest.mark.parametrize(
    ("raw", "signed", "value"),
    [
        pytest.param("123a", True, "1.23", id="A is plus too"),
        pytest.param("123b", True, "-1.23", id="B is minus too"),
        pytest.param("123f", True, "1.23", id="F is plus in a signed field"),
        pytest.param("123d", False, None, id="a minus in a field without sign"),
        pytest.param("12ac", True, None, id="a half byte that is no digit"),
        pytest.param("1234", True, None, id="no sign"),
        pytest.param("4040", True, None, id="blanks"),
    ],
)
def test_a_packed_decimal_is_read_as_the_machines_do_or_refused(
    raw: str, signed: bool, value: str | None
) -> None:
    field = Field(name="n", kind="decimal", digits=3, decimals=2, signed=signed, packed=True)
    made = codec(field, line_end="none", encoding="cp037")
    record = ("D".encode("cp037") + bytes.fromhex(raw)).ljust(80, b"\x40")
    if value is None:
        with pytest.raises(BytesRefused, match="record 1, field n"):
            made.decode(record)
    else:
        assert made.decode(record)[0].values == {"n": Decimal(value)}


def test_more_digits_than_the_field_has_are_refused_in_the_half_byte_to_spare() -> None:
    field = Field(name="n", kind="integer", digits=2, packed=True)
    with pytest.raises(BytesRefused, match="more than 2 digits"):
        codec(field, line_end="none").decode((b"D" + bytes.fromhex("123f")).ljust(80))


def test_packed_fields_and_line_ends_do_not_go_together() -> None:
    with pytest.raises(ValueRefused, match="may look like a line end"):
        codec(Field(name="n", kind="integer", digits=2, packed=True), line_end="crlf")


def test_a_byte_order_mark_stands_before_the_file_where_it_was_agreed() -> None:
    made = codec(NAME, encoding="utf-8-sig")
    record = made.encode(made.detail("line"), {"name": "Łódź"})
    assert not record.startswith(BOM_UTF8), "a record has none of its own"
    assert made.start == BOM_UTF8
    assert made.decode(made.start + record)[0].values == {"name": "Łódź"}
    with pytest.raises(BytesRefused, match="set encoding to utf-8-sig"):
        codec(NAME, encoding="utf-8").decode(BOM_UTF8 + record)


def test_a_filler_is_blank_on_the_way_out_and_unread_on_the_way_in() -> None:
    made = codec(Field(kind="filler", width=4))
    assert made.decode(b"D####".ljust(80) + b"\n")[0].values == {}
    assert made.encode(made.detail("line"), {}) == b"D".ljust(80) + b"\n"


def test_overpunch_in_ebcdic_is_the_zoned_decimal_of_the_mainframe() -> None:
    made = codec(AMOUNT, encoding="cp037")
    raw = made.encode(made.detail("line"), {"amount": Decimal("-123.45")})
    assert raw[1:10].hex() == "f0f0f0f0f1f2f3f4d5"


@pytest.mark.parametrize(
    ("currency", "value", "text"),
    [
        pytest.param("JPY", "937", "00000093G", id="yen have no digits after the point"),
        pytest.param("KWD", "9.375", "00000937E", id="dinars have three"),
    ],
)
def test_decimals_follow_the_currency(currency: str, value: str, text: str) -> None:
    made = codec(AMOUNT, currency)
    raw = made.encode(made.detail("line"), {"amount": Decimal(value)})
    assert raw[1:10].decode() == text


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        pytest.param(AMOUNT, Decimal("1.005"), "more than 2 decimals", id="an amount is never rounded"),
        pytest.param(AMOUNT, Decimal("10000000.00"), "more than 9 digits", id="nor cut"),
        pytest.param(AMOUNT, Decimal("NaN"), "no number", id="nor invented"),
        pytest.param(
            Field(name="n", kind="integer", digits=3), -1, "no sign", id="a field without sign takes no minus"
        ),
        pytest.param(KEY, "crm:0012345", "is 11 bytes", id="a key is never cut"),
        pytest.param(KEY, "crm:\u20ac\u0141", "not in cp1252", id="nor rewritten"),
        pytest.param(KEY, "crm:1\n", "control characters", id="a line end does not get into a key"),
        pytest.param(NAME, "A\x00B", "control characters", id="nor a NUL into a text"),
        pytest.param(NAME, "Grand Hotel", "is 11 bytes", id="a text is cut only where the layout says so"),
        pytest.param(NAME, None, "no value", id="a field that is not optional wants a value"),
        pytest.param(NAME, Decimal(1), "no text", id="and one of its kind"),
    ],
)
def test_what_does_not_fit_is_refused(field: Field, value: Value, words: str) -> None:
    with pytest.raises(ValueRefused, match=f"^{field.name}: .*{words}"):
        written(field, value)


@pytest.mark.parametrize(
    ("value", "encoding", "text"),
    [
        pytest.param("Müller", "cp850", "Müller    ", id="a letter the encoding has stays"),
        pytest.param("Łódź ß €", "cp850", "Lódz ß EUR", id="one it lacks becomes plain letters"),
        pytest.param("a\tb\n c", "cp1252", "a b c     ", id="white space becomes single blanks"),
    ],
)
def test_free_text_may_be_written_plainly(value: str, encoding: str, text: str) -> None:
    assert written(NAME, value, encoding=encoding, unmappable="transliterate") == text


def test_a_character_without_a_plain_form_is_refused_even_so() -> None:
    with pytest.raises(ValueRefused, match="has no plain form"):
        written(NAME, "株式会社", unmappable="transliterate")


def test_width_counts_bytes_and_a_cut_never_splits_a_character() -> None:
    field = Field(name="name", width=4, cut=True)
    assert written(field, "aéü€", encoding="utf-8") == "aé "


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        pytest.param(b"00009375 ", "no number of 9 digits", id="a blank among the digits"),
        pytest.param(b"0000937.5", "no number of 9 digits", id="a point where it is implied"),
        pytest.param(b"0000-375{", "no number of 9 digits", id="a sign in the middle"),
        pytest.param("\u00b2".encode("cp1252") * 9, "no number of 9 digits", id="digits that are none"),
        pytest.param(b"         ", "is blank", id="nothing"),
    ],
)
def test_a_malformed_number_is_refused(raw: bytes, words: str) -> None:
    made = codec(AMOUNT)
    with pytest.raises(BytesRefused, match=f"record 1, field amount: .*{words}"):
        made.decode((b"D" + raw).ljust(80) + b"\n")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("20261005", date(2026, 10, 5), id="a date in its mask"),
        pytest.param("2026105 ", None, id="one with a blank in it"),
        pytest.param("20261305", None, id="one with a thirteenth month"),
        pytest.param("00000000", None, id="zeros"),
    ],
)
def test_dates_are_read_in_exactly_their_mask(text: str, value: date | None) -> None:
    made = codec(Field(name="on", kind="date", width=8))
    raw = f"D{text}".encode().ljust(80) + b"\n"
    if value is None:
        with pytest.raises(BytesRefused):
            made.decode(raw)
    else:
        assert made.decode(raw)[0].values == {"on": value}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(lambda raw: raw[:-1], "no multiple of the record length", id="a short last record"),
        pytest.param(lambda raw: raw[:-1] + b" ", "does not end", id="a line end that is none"),
        pytest.param(lambda raw: b"X" + raw[1:], "no tag", id="an unknown tag"),
    ],
)
def test_a_malformed_record_is_refused(change: Any, words: str) -> None:
    made = codec(NAME)
    good = made.encode(made.detail("line"), {"name": "Rollout"})
    assert made.decode(good)[0].values == {"name": "Rollout"}
    with pytest.raises(BytesRefused, match=words):
        made.decode(change(good))


TEXTS = st.fixed_dictionaries(
    {
        "encoding": st.sampled_from(
            ["utf-8", "utf-8-sig", "iso8859-15", "cp1252", "cp850", "cp037", "cp500", "cp1140"]
        ),
        "line_end": st.sampled_from(["lf", "crlf", "none"]),
        "sign": st.sampled_from(["leading", "trailing", "overpunch", "overpunch-ascii"]),
        "decimals": st.sampled_from(["implied", "point", "comma"]),
    }
)


@given(
    minor=st.integers(-(10**9) + 1, 10**9 - 1), text=TEXTS, currency=st.sampled_from(["EUR", "JPY", "KWD"])
)
def test_every_amount_survives_every_style(minor: int, text: dict[str, str], currency: str) -> None:
    made = codec(AMOUNT, currency, **text)
    digits = {"EUR": 2, "JPY": 0, "KWD": 3}[currency]
    value = Decimal(minor).scaleb(-digits)
    raw = made.encode(made.detail("line"), {"amount": value})
    assert made.decode(raw)[0].values == {"amount": value}


@given(
    value=st.text(st.characters(codec="cp850", exclude_categories=["C", "Z"]), min_size=1, max_size=10),
    line_end=st.sampled_from(["lf", "crlf", "none"]),
)
def test_every_key_survives(value: str, line_end: str) -> None:
    made = codec(KEY, encoding="cp850", line_end=line_end)
    assert made.decode(made.encode(made.detail("line"), {"ref": value}))[0].values == {"ref": value}


@given(at=st.datetimes(datetime(1990, 1, 1), datetime(2199, 1, 1)))  # noqa: DTZ001  the zone comes next
def test_every_second_survives(at: datetime) -> None:
    made = codec(Field(name="created", kind="stamp", width=14), encoding="cp037")
    at = at.replace(tzinfo=UTC, microsecond=0)
    assert made.decode(made.encode(made.detail("line"), {"created": at}))[0].values == {"created": at}
