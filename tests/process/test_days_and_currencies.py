"""Money in yen, euros and dinars; days where the contract is dated; months that are shorter than others."""

from datetime import date, datetime
from decimal import Decimal as D
from typing import Any, Literal

import pytest

from isthmus.app.calendar import days_begun
from isthmus.events import (
    ChargeDetermined,
    Milestones,
    MilestoneTerm,
    Retainer,
    Subscription,
    TimeAndMaterials,
)


def d(text: str) -> date:
    return date.fromisoformat(text)


@pytest.mark.parametrize(
    ("currency", "rate", "cap", "sentence", "said"),
    [
        pytest.param(
            *("JPY", "15001", "5000", "time e r1 0.50 10-05"),
            ["e charge T 0.33 x 15001 = 4950", "e hold cap_reached 0.17 (2551)"],
            id="yen have no minor unit",
        ),
        pytest.param(
            *("EUR", "100.01", "100.00", "time e r1 2.50 10-05"),
            ["e charge T 0.99 x 100.01 = 99.01", "e hold cap_reached 1.51 (151.02)"],
            id="euros have two digits",
        ),
        pytest.param(
            *("KWD", "10.005", "3.000", "time e r1 0.33 10-05"),
            ["e charge T 0.29 x 10.005 = 2.901", "e hold cap_reached 0.04 (0.401)"],
            id="dinars have three digits",
        ),
        pytest.param(
            *("JPY", "1", "5000", "expense x r1 333 10-05 JPY +7.5"),
            ["x charge T 1 x 358 = 358"],
            id="a mark-up in yen",
        ),
        pytest.param(
            *("EUR", "1", "100", "expense x r1 33.33 10-05 EUR +7.5"),
            ["x charge T 1 x 35.83 = 35.83"],
            id="a mark-up in euros",
        ),
        pytest.param(
            *("KWD", "1", "100", "expense x r1 1.111 10-05 KWD +7.5"),
            ["x charge T 1 x 1.194 = 1.194"],
            id="a mark-up in dinars",
        ),
        pytest.param(
            *("JPY", "1", "5000", "expense x r1 20.00 10-05 EUR"),
            ["x hold currency_mismatch"],
            id="an expense in euros on a contract in yen waits: nobody said at which rate",
        ),
    ],
)
def test_money_is_rounded_to_what_its_currency_has(
    ledger: Any, currency: str, rate: str, cap: str, sentence: str, said: list[str]
) -> None:
    line = TimeAndMaterials(line="T", default_rate=D(rate), cap_amount=D(cap), expenses=True)
    ledger.sign(line, currency=currency)
    assert ledger.tell(sentence) == said


def test_an_expense_in_another_currency_is_billed_once_it_is_corrected(ledger: Any) -> None:
    ledger.sign(TimeAndMaterials(line="T", expenses=True), currency="JPY")
    ledger.tell("expense x r1 20.00 10-05 EUR")
    assert ledger.tell("expense x r2 3200 10-05 JPY") == [
        "x charge T 1 x 3200 = 3200",
        "x release currency_mismatch",
    ]


def billed(ledger: Any, until: str) -> list[tuple[str, str]]:
    """First days and amounts of what is billed up to a day."""
    ledger.tell(f"tick {until}")
    charges = [event for event in ledger.derived if isinstance(event, ChargeDetermined)]
    return [(charge.origin_key.rpartition("/")[2], str(charge.amount)) for charge in charges]


@pytest.mark.parametrize(
    ("every", "amount", "starts_on", "until", "parts"),
    [
        pytest.param(
            *("month", "290.00", "2028-02-29", "2028-03-01"),
            [("2028-02-29", "10.00"), ("2028-03-01", "290.00")],
            id="a month from the leap day: one of 29 days",
        ),
        pytest.param(
            *("quarter", "910.00", "2028-02-29", "2028-04-01"),
            [("2028-02-29", "320.00"), ("2028-04-01", "910.00")],
            id="a quarter from the leap day: 32 of 91 days",
        ),
        pytest.param(
            *("year", "366.00", "2028-02-29", "2029-01-01"),
            [("2028-02-29", "307.00"), ("2029-01-01", "366.00")],
            id="a year from the leap day: 307 of 366 days, and the next is whole though shorter",
        ),
        pytest.param(
            *("month", "280.00", "2027-02-28", "2027-03-01"),
            [("2027-02-28", "10.00"), ("2027-03-01", "280.00")],
            id="one of 28 days",
        ),
        pytest.param(
            *("quarter", "900.00", "2027-02-28", "2027-03-01"),
            [("2027-02-28", "320.00")],
            id="32 of 90 days",
        ),
        pytest.param(
            *("year", "365.00", "2027-02-28", "2027-03-01"), [("2027-02-28", "307.00")], id="307 of 365 days"
        ),
        pytest.param(
            *("year", "366.00", "2028-01-01", "2028-02-29"),
            [("2028-01-01", "366.00")],
            id="a whole leap year",
        ),
    ],
)
def test_a_part_of_a_subscription_is_counted_in_days_of_its_calendar(
    ledger: Any,
    every: Literal["month", "quarter", "year"],
    amount: str,
    starts_on: str,
    until: str,
    parts: list[tuple[str, str]],
) -> None:
    ledger.sign(Subscription(line="S", amount=D(amount), every=every, starts_on=d(starts_on)))
    assert billed(ledger, until) == parts


@pytest.mark.parametrize(
    ("ends_on", "last"),
    [
        pytest.param("2028-02-29", "290.00", id="the leap day is the last: the whole month"),
        pytest.param("2028-02-28", "280.00", id="one day short"),
        pytest.param("2028-02-01", "10.00", id="one day"),
    ],
)
def test_the_last_part_of_a_subscription_counts_the_leap_day(ledger: Any, ends_on: str, last: str) -> None:
    line = Subscription(
        line="S", amount=D("290.00"), every="month", starts_on=d("2028-01-01"), ends_on=d(ends_on)
    )
    ledger.sign(line)
    assert billed(ledger, "2028-12-31") == [("2028-01-01", "290.00"), ("2028-02-01", last)]


@pytest.mark.parametrize(
    ("every", "starts_on", "until", "firsts"),
    [
        pytest.param(
            *("month", "2028-02-29", "2028-04-30"),
            ["2028-02-29", "2028-03-29", "2028-04-29"],
            id="from the leap day on the 29th",
        ),
        pytest.param(
            *("month", "2028-01-31", "2028-04-30"),
            ["2028-01-31", "2028-02-29", "2028-03-31", "2028-04-30"],
            id="from the 31st on the last of a shorter month, and on the 31st again",
        ),
        pytest.param(
            *("month", "2027-01-31", "2027-03-01"), ["2027-01-31", "2027-02-28"], id="a short February"
        ),
        pytest.param(
            *("quarter", "2027-11-30", "2028-05-30"),
            ["2027-11-30", "2028-02-29", "2028-05-30"],
            id="a quarter that ends in a leap February",
        ),
    ],
)
def test_a_retainer_begins_on_its_day_or_the_last_of_a_shorter_month(
    ledger: Any, every: Literal["month", "quarter"], starts_on: str, until: str, firsts: list[str]
) -> None:
    line = Retainer(
        line="R",
        amount=D("10.00"),
        every=every,
        starts_on=d(starts_on),
        included_hours=D(1),
        overage_rate=D(90),
    )
    ledger.sign(line)
    assert [first for first, _ in billed(ledger, until)] == firsts


KIRITIMATI, BERLIN, ANGELES = "Pacific/Kiritimati", "Europe/Berlin", "America/Los_Angeles"


@pytest.mark.parametrize(
    ("instant", "zones"),
    [
        pytest.param("2026-10-31T09:59:59Z", [], id="October everywhere"),
        pytest.param("2026-10-31T10:00:00Z", [KIRITIMATI], id="November begins on Kiritimati"),
        pytest.param("2026-10-31T22:59:59Z", [KIRITIMATI], id="an hour of winter time before Berlin"),
        pytest.param("2026-10-31T23:00:00Z", [KIRITIMATI, BERLIN], id="Berlin, a week after its long night"),
        pytest.param("2026-11-01T06:59:59Z", [KIRITIMATI, BERLIN], id="the last evening in Los Angeles"),
        pytest.param(
            "2026-11-01T07:00:00Z", [KIRITIMATI, BERLIN, ANGELES], id="everywhere; later a long night"
        ),
    ],
)
@pytest.mark.parametrize("zone", [KIRITIMATI, BERLIN, ANGELES])
def test_a_month_begins_where_the_contract_is_dated(
    ledger: Any, instant: str, zones: list[str], zone: str
) -> None:
    ledger.sign(
        Subscription(line="S", amount=D(10), every="month", starts_on=d("2026-11-01")), time_zone=zone
    )
    ((_, day),) = days_begun({("de", zone): None}, datetime.fromisoformat(instant)).items()
    ledger.tell(f"tick {day} {zone}")
    assert [charge.earned_on for charge in ledger.charges("C1/S/2026-11-01")] == [d("2026-11-01")] * (
        zone in zones
    )


@pytest.mark.parametrize("zone", [KIRITIMATI, BERLIN, ANGELES])
def test_a_day_that_was_told_as_a_day_is_the_contracts_day(ledger: Any, zone: str) -> None:
    terms = [MilestoneTerm(milestone="m1", title="Go live", amount=D(5))]
    ledger.sign(
        TimeAndMaterials(line="T", default_rate=D(10)), Milestones(line="M", milestones=terms), time_zone=zone
    )
    ledger.tell("close 10")
    for sentence in ("time e r1 1.00 11-01", "milestone m1 r1 11-01"):
        ledger.tell(sentence)
    said = [event for event in ledger.derived if isinstance(event, ChargeDetermined)]
    assert [(charge.earned_on, charge.posting_on) for charge in said] == [
        (d("2026-11-01"), d("2026-11-01"))
    ] * 2
