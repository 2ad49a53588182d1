"""The example of the manual, row by row: what finance was promised is what the rules do."""

from decimal import Decimal
from typing import Any

from isthmus.events import ChangeOrderStepped, ChargeDetermined, Milestones, MilestoneTerm, TimeAndMaterials
from isthmus.process.preview import preview

M = Milestones(
    line="M", milestones=[MilestoneTerm(milestone="m1", title="Go live", amount=Decimal("20000.00"))]
)


def timed(cap: str) -> TimeAndMaterials:
    return TimeAndMaterials(
        line="T",
        rates={"consulting": Decimal("150.00")},
        included_hours=Decimal(10),
        cap_amount=Decimal(cap),
    )


ROWS = [
    ("time e1 r1 8.00 10-05", ["e1 waive included 8.00"]),
    ("time e2 r1 4.00 10-06", ["e2 waive included 2.00", "e2 charge T 2.00 x 150.00 = 300.00"]),
    ("time e3 r1 6.00 10-07", ["e3 charge T 4.66 x 150.00 = 699.00", "e3 hold cap_reached 1.34 (201.00)"]),
    ("milestone m1 r1 10-08", ["m1 charge M 1 x 20000.00 = 20000.00"]),
    (
        "time e2 r2 3.00 10-06",
        [
            "e2 reverse T -300.00",
            "e2 waive included 2.00",
            "e2 charge T 1.00 x 150.00 = 150.00",
            "e3 charge T 1.00 x 150.00 = 150.00",
            "e3 hold cap_reached 0.34 (51.00)",
        ],
    ),
]


def play(ledger: Any) -> None:
    assert ledger.sign(M, timed("1000.00")) == []
    for sentence, derived in ROWS:
        assert ledger.tell(sentence) == derived, sentence
    assert ledger.amend(2, M, timed("2000.00"), effective_on="10-09") == [
        "e3 charge T 0.34 x 150.00 = 51.00",
        "e3 release cap_reached",
    ]
    assert ledger.net("T") == Decimal("1050.00")
    assert ledger.tell("close 10") == []
    assert ledger.tell("time e1 r2 9.00 10-05") == ["e1 hold period_closed 9.00"]


def test_every_row_of_the_worked_example(ledger: Any) -> None:
    play(ledger)


def test_a_reopened_period_lets_the_correction_through(ledger: Any) -> None:
    play(ledger)
    assert ledger.tell("open 10") == [
        "e1 waive included 8.00",
        "e1 charge T 1.00 x 150.00 = 150.00",
        "e1 release period_closed",
    ]


def test_next_open_lets_the_correction_through_into_the_next_period(ledger: Any) -> None:
    play(ledger)
    said = ledger.amend(3, M, timed("2000.00"), effective_on="10-10", period_policy="next_open")
    assert said == [
        "e1 waive included 8.00",
        "e1 charge T 1.00 x 150.00 = 150.00 posted 11-01",
        "e1 release period_closed",
    ]


def test_preview_says_what_the_ledger_says(ledger: Any) -> None:
    play(ledger)
    assert list(preview(ledger.told)) == [
        event for event in ledger.derived if not isinstance(event, ChangeOrderStepped)
    ]


def test_a_charge_explains_itself(ledger: Any) -> None:
    play(ledger)
    charges = {
        (event.origin_key, event.amount): event
        for event in ledger.derived
        if isinstance(event, ChargeDetermined)
    }
    assert charges["e3", Decimal("699.00")].explanation == [
        "time e3 revision 1: 6.00 h consulting on 2026-10-07",
        "contract C1 revision 1",
        "line T: consulting at 150.00 EUR per hour",
        "cap 1000.00 EUR: 300.00 before, 999.00 after",
        "1.34 of 6.00 do not fit",
        "4.66 h x 150.00 = 699.00 EUR",
        "posted on 2026-10-07",
    ]
    reversal = charges["e2", Decimal("-300.00")]
    original = charges["e2", Decimal("300.00")]
    assert reversal.reverses == original.charge
    assert reversal.explanation == [
        f"reverses {original.charge}: corrected, revision 2",
        "-300.00 EUR",
        "posted on 2026-10-06",
    ]


def test_a_charge_names_its_customer_resource_and_chain(ledger: Any) -> None:
    play(ledger)
    charge = next(event for event in ledger.derived if isinstance(event, ChargeDetermined))
    cause = next(event for event in ledger.told if event.id == charge.causation)
    assert (charge.customer, charge.resource, charge.service) == ("A", "R1", "consulting")
    assert (charge.correlation, charge.occurred_at, charge.source) == (cause.id, cause.occurred_at, "billing")
    assert len(charge.charge.encode()) == 30
    assert charge.id == f"billing/charge.determined/{cause.id}/1"
