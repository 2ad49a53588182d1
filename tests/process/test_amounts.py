"""Rounding and splitting: the parts sum to the whole and never exceed the room."""

from decimal import Decimal as D

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isthmus.events import round_money
from isthmus.process.rules.amounts import SoFar, fitting, next_amount, room_for_cheapest

HUNDREDTH = D("0.01")


@pytest.mark.parametrize(
    ("so_far", "quantity", "price", "currency", "amount"),
    [
        pytest.param(("0", "0"), "2.50", "100.01", "EUR", "250.03", id="half a cent goes up"),
        pytest.param(("0", "0"), "0.50", "99.99", "EUR", "50.00", id="half a cent goes up, to even or not"),
        pytest.param(("0", "0"), "0.50", "100.01", "EUR", "50.01", id="half a cent goes up, from even too"),
        pytest.param(("0.50", "50.01"), "0.50", "100.01", "EUR", "50.00", id="the second half gives it back"),
        pytest.param(("0", "0"), "0.50", "15001", "JPY", "7501", id="yen have no minor unit"),
        pytest.param(("0", "0"), "0.33", "10.005", "KWD", "3.302", id="dinars have three digits"),
        pytest.param(("0.01", "0"), "0.01", "49", "JPY", "1", id="a part may cost nothing until it adds up"),
    ],
)
def test_amount_of_the_next_part(
    so_far: tuple[str, str], quantity: str, price: str, currency: str, amount: str
) -> None:
    done = SoFar(quantity=D(so_far[0]), amount=D(so_far[1]))
    assert next_amount(done, D(quantity), D(price), currency) == D(amount)


@pytest.mark.parametrize(
    ("quantity", "price", "left", "part"),
    [
        pytest.param("6.00", "150.00", "700.00", "4.66", id="the example of the manual"),
        pytest.param("6.00", "150.00", "900.00", "6.00", id="what fits to the cent is not split"),
        pytest.param("6.00", "150.00", "1.49", "0", id="not even a hundredth of an hour fits"),
        pytest.param("6.00", "150.00", "0", "0", id="no room"),
        pytest.param("6.00", "150.00", "-5", "0", id="overdrawn by a lowered cap"),
        pytest.param("0.01", "0.40", "0", "0", id="no room takes nothing, even what rounds to nothing"),
        pytest.param("1.00", "0.50", "0.01", "0.02", id="up to where the next cent would begin"),
    ],
)
def test_what_fits_into_the_room_left(quantity: str, price: str, left: str, part: str) -> None:
    assert fitting(SoFar(), D(quantity), D(price), "EUR", HUNDREDTH, D(left)) == D(part)


hundredths = st.integers(1, 2_000).map(lambda n: D(n) / 100)
prices = st.integers(1, 40_000).map(lambda n: D(n) / 100)


@given(before=st.integers(0, 500), quantity=hundredths, price=prices, left=st.integers(1, 200_000))
def test_the_part_that_fits_is_the_largest(before: int, quantity: D, price: D, left: int) -> None:
    done = SoFar(quantity=D(before) / 100, amount=round_money(D(before) / 100 * price, "EUR"))
    room = D(left) / 100
    part = fitting(done, quantity, price, "EUR", HUNDREDTH, room)
    assert next_amount(done, part, price, "EUR") <= room
    if part < quantity:
        assert next_amount(done, part + HUNDREDTH, price, "EUR") > room
        assert part or not room_for_cheapest(room, price, HUNDREDTH, "EUR") or room < price


@given(before=st.integers(0, 500), quantity=hundredths, price=prices, left=st.integers(1, 500))
def test_room_that_is_refused_takes_nothing(before: int, quantity: D, price: D, left: int) -> None:
    done = SoFar(quantity=D(before) / 100, amount=round_money(D(before) / 100 * price, "EUR"))
    if not room_for_cheapest(D(left) / 100, price, HUNDREDTH, "EUR"):
        assert fitting(done, quantity, price, "EUR", HUNDREDTH, D(left) / 100) == 0
