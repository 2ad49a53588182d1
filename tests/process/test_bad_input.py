"""What is wrong is refused or held, with words that name the field and the remedy; nothing is lost."""

import json
from datetime import date
from decimal import Decimal as D
from typing import Any

import pytest

from isthmus.events import (
    Retainer,
    TimeAndMaterials,
    decode,
    encode,
)
from isthmus.events.codec import EventRefused
from tests.process.agreed import signed

T = {"model": "time_and_materials", "line": "T", "rates": {"consulting": "100.00"}}
F = {
    "model": "fixed_fee",
    "line": "F",
    "amount": "9.00",
    "installments": [{"key": "1", "due_on": "2026-10-01", "amount": "9.00"}],
}
R = {
    "model": "retainer",
    "line": "R",
    "amount": "10.00",
    "every": "month",
    "starts_on": "2026-10-01",
    "included_hours": "5.00",
    "overage_rate": "90.00",
}
S = {"model": "subscription", "line": "S", "amount": "10.00", "every": "month", "starts_on": "2026-10-01"}
M = {"model": "milestone", "line": "M", "milestones": [{"milestone": "m", "title": "Go", "amount": "5.00"}]}


def contract(*lines: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A contract as JSON, with some lines of its own and some fields changed."""
    return {**json.loads(encode(signed())), "lines": list(lines or [T]), **changes}


def refusal(fact: dict[str, Any]) -> str:
    with pytest.raises(EventRefused) as refused:
        decode(json.dumps(fact))
    return str(refused.value)


@pytest.mark.parametrize(
    ("fact", "words"),
    [
        pytest.param(
            contract({**F, "amount": "10.00"}),
            "line 'F': installments sum to 9.00, not to amount 10.00; correct the amount or an instalment",
            id="instalments that do not sum to the amount",
        ),
        pytest.param(
            contract({**F, "amount": "0", "installments": []}) | {"lines": [{**F, "amount": "-1.00"}]},
            "line 'F': installments sum to 9.00, not to amount -1.00",
            id="a fee below zero",
        ),
        pytest.param(
            contract({**T, "rates": {"consulting": "0.00"}}),
            "line 'T': rates.consulting must be more than 0, not 0.00",
            id="a rate of zero",
        ),
        pytest.param(
            contract({**T, "rates": {"consulting": "-5.00"}}),
            "line 'T': rates.consulting must be more than 0, not -5.00",
            id="a rate below zero",
        ),
        pytest.param(
            contract({**T, "default_rate": "0"}), "default_rate must be more than 0", id="no default"
        ),
        pytest.param(
            contract({**T, "overage_rate": "0"}), "overage_rate must be more than 0", id="no overage"
        ),
        pytest.param(
            contract({**T, "cap_amount": "-1"}), "cap_amount must not be negative", id="a cap below 0"
        ),
        pytest.param(
            contract({**T, "cap_amount": "10.005"}),
            "lines.T.cap_amount 10.005 has more than the 2 digits of EUR",
            id="a cap finer than its currency",
        ),
        pytest.param(
            contract({**T, "cap_hours": "1.005"}),
            "line 'T': cap_hours 1.005 has more than two digits; round it",
            id="a cap finer than an hour is written",
        ),
        pytest.param(
            contract({**R, "amount": "0"}), "line 'R': amount must be more than 0", id="a free retainer"
        ),
        pytest.param(
            contract({**R, "ends_on": "2026-09-30"}),
            "line 'R': ends_on 2026-09-30 lies before starts_on 2026-10-01",
            id="a retainer that ends before it starts",
        ),
        pytest.param(contract({**S, "amount": "-1"}), "line 'S': amount must be more than 0", id="a gift"),
        pytest.param(
            contract({**M, "milestones": [*M["milestones"], *M["milestones"]]}),
            "line 'M': milestones must differ in their keys; m stands twice",
            id="one milestone twice",
        ),
        pytest.param(
            contract(T, T), "lines must have names of their own; T stands twice", id="two lines, one name"
        ),
        pytest.param(
            contract({**T, "cap_amout": "1000.00"}),
            "unknown field `cap_amout` - at `$.lines[0]`",
            id="a misspelt cap, which would be no cap",
        ),
        pytest.param(
            contract({**M, "milestones": [{**M["milestones"][0], "advanced": True}]}),  # type: ignore[dict-item]
            "unknown field `advanced` - at `$.lines[0].milestones[0]`",
            id="a field no milestone has",
        ),
        pytest.param(contract({**T, "model": "barter"}), "$.lines[", id="a model nobody knows"),
        pytest.param(contract({**T, "overage": "ask"}), "$.lines[", id="a policy nobody knows"),
        pytest.param(
            contract(ends_on="2026-09-30"), "ends_on 2026-09-30 lies before starts_on", id="it ends first"
        ),
        pytest.param(
            contract(time_zone="Mars/Base"), "write one such as Europe/Berlin", id="a zone nobody knows"
        ),
        pytest.param(contract(time_zone="../etc/passwd"), "is no IANA name", id="a zone that is a path"),
        pytest.param(contract(currency="eur"), "$.currency", id="a currency in small letters"),
        pytest.param(contract(revision=0), "revision counts from 1", id="a revision before the first"),
        pytest.param(contract(starts_on="2027-02-29"), "$.starts_on", id="a 29 February that is none"),
        pytest.param(contract(starts_on="2026-13-01"), "$.starts_on", id="a thirteenth month"),
        pytest.param(contract(starts_on="01.10.2026"), "$.starts_on", id="a day the German way"),
    ],
)
def test_a_contract_that_no_reading_makes_right_is_refused(fact: dict[str, Any], words: str) -> None:
    assert words in refusal(fact)


@pytest.mark.parametrize(
    "text",
    [
        "NaN",
        "Infinity",
        "1e3",
        "1_000",
        "１００",
        " 1",
        "1 ",
        "+1",
        "1,5",
        ".5",
        "5.",
        "0x1",
        "",
        "1" * 16,
        "0." + "1" * 7,
    ],
)
def test_a_hostile_decimal_is_refused_wherever_it_stands(text: str) -> None:
    assert "$.lines[" in refusal(contract({**T, "rates": {"consulting": text}}))
    assert "$.lines[" in refusal(contract({**F, "amount": text}))


def test_a_number_that_is_no_string_is_refused() -> None:
    assert "$.lines[" in refusal(contract({**T, "default_rate": 99.99}))


@pytest.mark.parametrize(
    ("sentence", "said", "detail"),
    [
        pytest.param(
            "time e r1 24.01 10-05",
            ["e hold out_of_range 24.01"],
            "hours 24.01 are more than a day has; correct the entry, or split it by day",
            id="more hours than a day has",
        ),
        pytest.param(
            "time e r1 999999999999999.00 10-05",
            ["e hold out_of_range 999999999999999.00"],
            "hours 999999999999999.00: more than ten digits before the point; correct the entry",
            id="more hours than there were",
        ),
        pytest.param(
            "time e r1 2.00 9999-12-31",
            ["e hold out_of_range 2.00"],
            "worked_on 9999-12-31 lies beyond 2999; correct the entry",
            id="the last day of the calendar",
        ),
        pytest.param(
            "time e r1 2.00 0001-01-01",
            ["e hold contract_not_started 2.00"],
            "contract C1 starts on 2026-10-01",
            id="the first day of the calendar",
        ),
        pytest.param(
            "time e r1 2.00 10-05 testing",
            ["e hold no_line 2.00"],
            "no line of contract C1 takes testing hours; amend its lines, or correct the entry",
            id="a service no line names",
        ),
        pytest.param(
            "time e r1 2.00 10-05 design",
            ["e hold no_rate 2.00"],
            "lines.T.rates has no design, and there is no default_rate; amend one",
            id="a service without a rate",
        ),
        pytest.param(
            "expense x r1 5.00 10-05 USD",
            ["x hold currency_mismatch"],
            "currency is USD, the contract is in EUR; correct the expense",
            id="an expense in another currency than the contract",
        ),
        pytest.param(
            "expense x r1 99999999999.00 10-05",
            ["x hold out_of_range"],
            "amount 99999999999.00: more than ten digits before the point; correct the expense",
            id="an expense nobody could pay",
        ),
        pytest.param(
            "milestone m9 r1 10-05",
            ["m9 hold no_line"],
            "no line of contract C1 takes milestone m9; amend its lines, or correct the milestone",
            id="a milestone no line lists",
        ),
    ],
)
def test_work_that_cannot_be_billed_waits_and_says_what_to_do(
    ledger: Any, sentence: str, said: list[str], detail: str
) -> None:
    rates = {"consulting": D("100.00")}
    ledger.sign(TimeAndMaterials(line="T", services=["consulting", "design"], rates=rates, expenses=True))
    assert ledger.tell(sentence) == said
    assert ledger.derived[-1].detail == detail


def test_an_entry_of_the_last_day_of_the_calendar_stops_no_amendment(ledger: Any) -> None:
    ledger.sign(TimeAndMaterials(line="T", default_rate=D("100.00")))
    ledger.tell("time e r1 2.00 9999-12-31")
    ledger.tell("time f r1 1.00 2999-12-31")
    cheaper = TimeAndMaterials(line="T", default_rate=D("90.00"))
    assert ledger.amend(2, cheaper, effective_on="10-01")[-1] == "f charge T 1.00 x 90.00 = 90.00"


@pytest.mark.parametrize("ends_on", ["9999-12-31", "2026-09-30", "2028-10-01"])
def test_a_period_of_an_impossible_length_is_refused(ledger: Any, ends_on: str) -> None:
    closed = json.loads(encode(ledger.event("close 10")))
    words = refusal({**closed, "ends_on": ends_on})
    assert f"ends_on {ends_on} does not fit starts_on 2026-10-01: a period has at most 400 days" in words


def test_a_mark_up_that_takes_off_more_than_all_is_refused(ledger: Any) -> None:
    spent = json.loads(encode(ledger.event("expense x r1 5.00 10-05")))
    assert "markup_pct -150 takes off more than all of it" in refusal({**spent, "markup_pct": "-150"})


@pytest.mark.parametrize(
    ("services", "says"),
    [
        pytest.param(["consulting"], "lines.R.services names consulting, as line T does", id="overlapping"),
        pytest.param(["care"], "", id="apart"),
    ],
)
def test_overlapping_services_hold_the_contract_before_any_hour_is_billed(
    ledger: Any, services: list[str], says: str
) -> None:
    care = Retainer(
        line="R", services=services, amount=D(10), every="month", starts_on=date(2026, 10, 1),
        included_hours=D(5), overage_rate=D(90),
    )  # fmt: skip
    hourly = TimeAndMaterials(line="T", services=["consulting"], default_rate=D(100))
    assert ledger.sign(hourly, care) == (["C1 hold bad_terms"] if says else [])
    if says:
        assert ledger.derived[-1].detail == f"{says}; name it on one line"
        assert ledger.tell("time e r1 1.00 10-05") == ["e hold no_contract 1.00"]
