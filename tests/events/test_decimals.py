"""Decimals are plain or refused: what `decimal.Decimal` would swallow does not get in."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.events import EventRefused, decode, encode, minor_digits, parse_decimal, quantum, round_money

EXPENSE = (
    '{"type":"expense.validated/1","source":"psa","occurred_at":"2026-10-05T08:00:00Z","entity":"de",'
    '"expense":"psa:X1","revision":1,"project":"crm:P1","resource":"hr:R1","category":"travel",'
    '"spent_on":"2026-10-05","amount":%s,"currency":"%s","billable":true}'
)
TIME = (
    '{"type":"time.approved/1","source":"psa","occurred_at":"2026-10-05T08:00:00Z","entity":"de",'
    '"entry":"psa:T1","revision":1,"project":"crm:P1","resource":"hr:R1","service":"consulting",'
    '"worked_on":"2026-10-05","hours":%s,"billable":true,"approved_on":"2026-10-06"}'
)

HOSTILE = [
    pytest.param("NaN", id="not a number"),
    pytest.param("sNaN", id="a signalling not a number"),
    pytest.param("Infinity", id="infinity"),
    pytest.param("-inf", id="minus infinity"),
    pytest.param("1e3", id="an exponent"),
    pytest.param("1E+3", id="an exponent with a sign"),
    pytest.param("1_000.00", id="underscores"),
    pytest.param("1,000.00", id="thousands separators"),
    pytest.param("937,50", id="a decimal comma"),
    pytest.param("９３７.５０", id="full-width digits"),
    pytest.param("٩٣٧", id="Arabic-Indic digits"),
    pytest.param("−5", id="a typographic minus"),
    pytest.param("+5", id="a plus sign"),
    pytest.param(" 5", id="a blank before"),
    pytest.param("5 ", id="a blank behind"),
    pytest.param("5\n", id="a line feed behind"),
    pytest.param("5.", id="a bare point"),
    pytest.param(".5", id="nothing before the point"),
    pytest.param("--5", id="two signs"),
    pytest.param("", id="nothing"),
    pytest.param("0x10", id="hexadecimal"),
    pytest.param("1234567890123456", id="sixteen digits"),
    pytest.param("0.1234567", id="seven digits after the point"),
]


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_decimal_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no decimal"):
        parse_decimal(text)


@pytest.mark.parametrize("text", HOSTILE)
def test_an_event_with_a_hostile_decimal_is_refused_with_its_place(text: str) -> None:
    payload = EXPENSE % ('"' + text.replace("\n", "\\n") + '"', "EUR")
    with pytest.raises(EventRefused, match=r"\$\.amount"):
        decode(payload)


@pytest.mark.parametrize("literal", ["937.5", "12", "1e3", "true", "null", "[]", '{"amount":"1"}'])
def test_a_decimal_that_is_no_string_is_refused(literal: str) -> None:
    with pytest.raises(EventRefused, match=r"\$\.amount"):
        decode(EXPENSE % (literal, "EUR"))


@pytest.mark.parametrize(
    "text", ["0", "0.00", "937.50", "-937.50", "007.10", "999999999999999.999999", "-0.000001"]
)
def test_a_plain_decimal_is_read_as_it_stands(text: str) -> None:
    assert str(parse_decimal(text)) == str(Decimal(text))


@given(st.text(alphabet="0123456789.-+eE_ ,NaInf٣４", max_size=12))
def test_what_is_read_is_what_was_written(text: str) -> None:
    try:
        value = parse_decimal(text)
    except ValueError:
        return
    assert value.is_finite()
    assert text.isascii()
    assert set(text) <= set("0123456789.-")
    assert Decimal(text) == value


@pytest.mark.parametrize(
    ("currency", "digits", "smallest"),
    [("JPY", 0, "1"), ("EUR", 2, "0.01"), ("KWD", 3, "0.001"), ("CLF", 4, "0.0001"), ("CHF", 2, "0.01")],
)
def test_each_currency_has_its_minor_digits(currency: str, digits: int, smallest: str) -> None:
    assert minor_digits(currency) == digits
    assert quantum(currency) == Decimal(smallest)


@pytest.mark.parametrize(
    ("amount", "currency", "rounded"),
    [
        pytest.param("0.5", "JPY", "1", id="half a yen goes up"),
        pytest.param("1.5", "JPY", "2", id="and so does one and a half"),
        pytest.param("2.5", "JPY", "3", id="to odd as to even"),
        pytest.param("0.125", "EUR", "0.13", id="half a cent goes up"),
        pytest.param("-0.125", "EUR", "-0.13", id="away from zero below zero"),
        pytest.param("0.1245", "KWD", "0.125", id="half a fils goes up"),
        pytest.param("0.1249", "EUR", "0.12", id="less than half goes down"),
    ],
)
def test_money_rounds_half_up(amount: str, currency: str, rounded: str) -> None:
    assert str(round_money(Decimal(amount), currency)) == rounded


@pytest.mark.parametrize(
    ("amount", "currency", "accepted"),
    [
        pytest.param("100", "JPY", True, id="whole yen"),
        pytest.param("100.00", "JPY", True, id="yen with empty decimals"),
        pytest.param("100.50", "JPY", False, id="half a yen"),
        pytest.param("100.55", "EUR", True, id="cents"),
        pytest.param("100.555", "EUR", False, id="a fraction of a cent"),
        pytest.param("100.555", "KWD", True, id="fils"),
        pytest.param("100.5555", "KWD", False, id="a fraction of a fils"),
    ],
)
def test_an_amount_has_at_most_the_digits_of_its_currency(amount: str, currency: str, accepted: bool) -> None:
    payload = EXPENSE % (f'"{amount}"', currency)
    if accepted:
        assert decode(encode(decode(payload))) == decode(payload)
    else:
        with pytest.raises(EventRefused, match="amount"):
            decode(payload)


@pytest.mark.parametrize(
    ("hours", "accepted"),
    [("0.01", True), ("24", True), ("0", False), ("0.00", False), ("-1.00", False), ("1.005", False)],
)
def test_hours_are_positive_and_have_two_digits(hours: str, accepted: bool) -> None:
    if accepted:
        decode(TIME % f'"{hours}"')
    else:
        with pytest.raises(EventRefused, match="hours"):
            decode(TIME % f'"{hours}"')
